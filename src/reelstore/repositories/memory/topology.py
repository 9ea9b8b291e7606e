"""Servers, policies, rings and partitions in memory. The methods promise what their ports say."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from reelstore.domain.errors import Conflict, ServerNotFound
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server
from reelstore.placement.ring import RingSet
from reelstore.repositories.interface import PartitionState, RingRecord, ScrubTimes
from reelstore.repositories.memory.tables import Tables


class InMemoryServers:
    """See `ServerRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, server: Server) -> None:
        """See `ServerRepository.add`."""
        if any(server.name == known.name or server.number == known.number for known in self._tables.servers.values()):
            raise self._tables.violation(f"there is a server {server.name} or number {server.number} already")
        self._tables.servers.put(server.name, server)

    async def get(self, name: str) -> Server | None:
        """See `ServerRepository.get`."""
        return self._tables.servers.get(name)

    async def list(self) -> Sequence[Server]:
        """See `ServerRepository.list`."""
        return sorted(self._tables.servers.values(), key=lambda server: server.number)

    async def update(self, server: Server) -> None:
        """See `ServerRepository.update`."""
        known = self._tables.servers.get(server.name)
        if known is None or known.number != server.number:
            raise ServerNotFound(f"there is no server {server.name} of number {server.number}", key=server.name)
        self._tables.servers.put(server.name, server)

    async def next_number(self) -> int:
        """See `ServerRepository.next_number`. No row is ever deleted, so the largest number is still there."""
        return 1 + max((server.number for server in self._tables.servers.values()), default=-1)


class InMemoryPolicies:
    """See `PolicyRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, policy: Policy) -> None:
        """See `PolicyRepository.add`."""
        if policy.name in self._tables.policies:
            raise self._tables.violation(f"there is a policy {policy.name} already")
        self._tables.policies.put(policy.name, policy)

    async def list(self) -> Sequence[Policy]:
        """See `PolicyRepository.list`."""
        return sorted(self._tables.policies.values(), key=lambda policy: policy.name)


class InMemoryRings:
    """See `RingRepository`."""

    def __init__(self, tables: Tables, *, writable: bool) -> None:
        self._tables = tables
        self._writable = writable

    async def head(self, *, lock: bool = False) -> int:
        """See `RingRepository.head`. A unit of work that writes is alone, so there is nothing to lock."""
        if lock and not self._writable:
            raise RuntimeError("a snapshot only reads")
        return len(self._tables.rings)

    async def add(self, rings: RingSet, *, reason: str, at: datetime) -> None:
        """See `RingRepository.add`."""
        head = len(self._tables.rings)
        if rings.epoch != head + 1:
            raise Conflict(f"the newest ring's epoch is {head}, so {rings.epoch} cannot be the next")
        rings.validate()
        self._tables.rings.put(rings.epoch, rings)
        self._tables.ring_records.put(rings.epoch, RingRecord(rings.epoch, reason, at))

    async def history(self, *, limit: int) -> Sequence[RingRecord]:
        """See `RingRepository.history`."""
        newest = len(self._tables.ring_records)
        return [self._tables.ring_records[epoch] for epoch in range(newest, max(0, newest - limit), -1)]

    async def get(self, epoch: int) -> RingSet | None:
        """See `RingRepository.get`."""
        return self._tables.rings.get(epoch)


class InMemoryPartitions:
    """See `PartitionRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, policy: str, count: int, *, epoch: int) -> None:
        """See `PartitionRepository.add`."""
        for index in range(count):
            if (policy, index) in self._tables.partitions:
                raise self._tables.violation(f"there is a partition {index} of {policy} already")
            clean = PartitionState(policy, index, version=0, synced_epoch=epoch, synced_version=0)
            self._tables.partitions.put((policy, index), clean)

    async def get(self, policy: str, index: int) -> PartitionState | None:
        """See `PartitionRepository.get`."""
        return self._tables.partitions.get((policy, index))

    async def list(self, policy: str, start: int = 0, stop: int | None = None) -> Sequence[PartitionState]:
        """See `PartitionRepository.list`."""
        indexes = itertools.count(max(0, start)) if stop is None else range(max(0, start), stop)
        states = (self._tables.partitions.get((policy, index)) for index in indexes)
        return [state for state in itertools.takewhile(lambda state: state is not None, states) if state is not None]

    async def unsettled(self, policy: str, *, epoch: int) -> Sequence[int]:
        """See `PartitionRepository.unsettled`."""
        return [state.index for state in await self.list(policy) if not state.is_synced_to(epoch)]

    async def raise_versions(self, policy: str, indexes: Sequence[int]) -> None:
        """See `PartitionRepository.raise_versions`."""
        for index in sorted(set(indexes)):
            state = self._known(policy, index)
            self._tables.partitions.put((policy, index), replace(state, version=state.version + 1))

    async def swap_synced(self, policy: str, versions: Mapping[int, int], *, epoch: int) -> frozenset[int]:
        """See `PartitionRepository.swap_synced`."""
        swapped = set()
        for index, version in versions.items():
            state = self._tables.partitions.get((policy, index))
            if state is not None and state.version == version:
                changed = replace(state, synced_epoch=epoch, synced_version=version)
                self._tables.partitions.put((policy, index), changed)
                swapped.add(index)
        return frozenset(swapped)

    async def split(self, policy: str) -> None:
        """See `PartitionRepository.split`."""
        for state in await self.list(policy):
            for half in (2 * state.index, 2 * state.index + 1):
                self._tables.partitions.put((policy, half), replace(state, index=half, version=state.version + 1))

    async def set_scrubbed(self, policy: str, indexes: Sequence[int], *, at: datetime | None) -> None:
        """See `PartitionRepository.set_scrubbed`."""
        for index in sorted(set(indexes)):
            self._tables.partitions.put((policy, index), replace(self._known(policy, index), scrubbed_at=at))

    async def scrub_times(self, policy: str, *, before: datetime) -> ScrubTimes:
        """See `PartitionRepository.scrub_times`."""
        found = [state.scrubbed_at for state in await self.list(policy)]
        ever = [at for at in found if at is not None]
        due = len(found) - sum(at >= before for at in ever)
        return ScrubTimes(len(found), len(found) - len(ever), due, min(ever, default=None))

    def _known(self, policy: str, index: int) -> PartitionState:
        state = self._tables.partitions.get((policy, index))
        if state is None:
            raise self._tables.violation(f"there is no partition {index} of {policy}")
        return state
