"""What to reconcile next, and how far it has come.

`step` does one bounded piece of work and is all that the background calls: noted needs first, then partitions that
are not proved, then one slice of the survey that sees everything again, then one slice of the scrub.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

import numpy as np

from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.errors import MetadataUnavailable
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention, Need, Partition
from reelstore.services.rebalance import Outcome, Reconciler, Verify
from reelstore.services.survey import Slice

SLICE_PARTITIONS_MAX = 256
SLICE_CHUNKS = 4_000
"""A step must be short: what is more urgent waits for its end, and what is compared in it blocks others."""
SCRUB_PARTITIONS = 64
SCRUB_CHUNKS = 256
FAIR_STEPS = 10
"""Every so many steps survey and scrub go first: urgent work that never ends must not keep them from seeing all."""
BLOCKED_RETRY_SECONDS = 5.0
SURVEY_DUTY = 20
"""A survey pass is begun at most every so many times as long as the last one took."""
SCRUB_LOOK_SECONDS = 60.0
"""How often to look for partitions that are due, once there were none."""
REASONS_MAX = 20


class RebalanceState(StrEnum):
    """What is going on; `idle` is proved by a listing, never assumed (rule 14)."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class RebalanceStatus:
    """How far reconciling has come; bytes and rates are of the present run, which began when something was unproved."""

    state: RebalanceState
    reasons: tuple[str, ...]
    epoch: int
    partitions_total: int
    partitions_done: int
    bytes_total: int
    bytes_moved: int
    rate_bytes_per_second: float
    eta_seconds: float | None


@dataclass(slots=True)
class _Run:
    """Counters since the partitions were last all proved."""

    began: float
    moved_bytes: int = 0
    partitions: int = 0


@dataclass(slots=True)
class _Sweep:
    """One time through what is not proved; a retry takes what was blocked too."""

    slices: Iterator[Slice] = field(default_factory=lambda: iter(()))
    began: float = 0.0
    retry: bool = False


@dataclass(slots=True)
class _Pass:
    """A survey pass under way."""

    slices: Iterator[Slice]
    collect: bool
    worked_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the background looks at what.

    Args:
        survey_seconds: how long a survey pass is begun after the last one ended, at least.
        scrub_seconds: within which every shard is read again.
    """

    survey_seconds: float = 15.0
    scrub_seconds: float = 7 * 86_400.0


@dataclass(slots=True)
class Rebalancer:
    """Drive a `Reconciler`. One at a time in a process; more of them, in other processes, do harmless double work."""

    metadata: Metadata
    topology: TopologyCache
    reconciler: Reconciler
    attention: Attention
    schedule: Schedule
    clock: Callable[[], float] = time.monotonic
    _steps: int = 0
    _blocked: dict[Partition, str] = field(default_factory=dict)
    _sweep: _Sweep = field(default_factory=_Sweep)
    _retry_at: float = 0.0
    _pass: _Pass | None = None
    _next_pass_at: float = 0.0
    _passes: int = 0
    _scrub_at: float = 0.0
    _run: _Run | None = None

    async def step(self) -> bool:
        """Do the most urgent piece of work; return whether there was any.

        Raises:
            MetadataUnavailable: a retry can help; needs that were taken are noted again.
        """
        self._steps += 1
        if self._steps % FAIR_STEPS == 0 and (await self._survey() or await self._scrub()):
            return True
        return await self._needs() or await self._unproved() or await self._survey() or await self._scrub()

    # ------------------------------------------------------------------ the kinds of work, most urgent first

    async def _needs(self) -> bool:
        needs = self.attention.take()
        if not needs:
            return False
        try:
            await self._meet(needs)
        except MetadataUnavailable:
            for (policy, index), need in needs.items():
                self.attention.add(policy, [index], need)
            raise
        return True

    async def _meet(self, needs: Mapping[Partition, Need]) -> None:
        for policy in {policy for policy, _ in needs}:
            unsettled = [index for (name, index), need in needs.items() if name == policy and need.unsettled]
            if unsettled:
                async with self.metadata.unit_of_work() as uow:
                    await uow.partitions.raise_versions(policy, unsettled)
                    await uow.commit()
        for need in set(needs.values()):
            partitions = [partition for partition, present in needs.items() if present == need]
            for where in _slices(partitions, SLICE_PARTITIONS_MAX):
                await self._reconcile(where, Verify.ALL if need.verify else Verify.CHANGED, collect=need.collect)

    async def _unproved(self) -> bool:
        where = next(self._sweep.slices, None)
        if where is None:
            self._sweep = await self._next_sweep()
            where = next(self._sweep.slices, None)
        if where is None:
            return False
        await self._reconcile(where, Verify.CHANGED)
        return True

    async def _next_sweep(self) -> _Sweep:
        began = self.clock()
        if self._sweep.retry:  # half of the time is left to what is less urgent, however long a retry takes
            self._retry_at = began + max(BLOCKED_RETRY_SECONDS, began - self._sweep.began)
        retry = began >= self._retry_at
        unproved = await self._list_unproved()
        if not unproved:
            self._run = None
        due = [partition for partition in unproved if retry or partition not in self._blocked]
        return _Sweep(_slices(due, SLICE_PARTITIONS_MAX), began, retry and bool(due))

    async def _survey(self) -> bool:
        began = self.clock()
        if self._pass is None:
            if began < self._next_pass_at:
                return False
            self._pass = _Pass(iter(await self._all_slices()), collect=self._passes == 0)
        where = next(self._pass.slices, None)
        if where is None:
            rest = max(self.schedule.survey_seconds, self._pass.worked_seconds * (SURVEY_DUTY - 1))
            self._next_pass_at = self.clock() + rest
            self._pass = None
            self._passes += 1
            return False
        outcome = await self._reconcile(where, Verify.CHANGED, collect=self._pass.collect)
        if not outcome.verified:  # reading keeps to a pace of its own
            self._pass.worked_seconds += self.clock() - began
        return True

    async def _scrub(self) -> bool:
        if self.clock() < self._scrub_at:
            return False
        async with self.metadata.snapshot() as view:
            due = await view.now() - timedelta(seconds=self.schedule.scrub_seconds)
            chunks = (await view.videos.totals()).chunks
            for policy in self.topology.present.policies:
                states = await view.partitions.list(policy)
                waiting = [s.index for s in states if s.scrubbed_at is None or s.scrubbed_at < due]
                waiting = [index for index in waiting if (policy, index) not in self._blocked]
                if waiting:
                    break
            else:
                self._scrub_at = self.clock() + SCRUB_LOOK_SECONDS
                return False
        count = min(SCRUB_PARTITIONS, max(1, len(states) * SCRUB_CHUNKS // max(chunks, 1)))
        for where in _slices([(policy, index) for index in waiting[:count]], count):
            await self._reconcile(where, Verify.ALL, collect=True)
        return True

    async def _reconcile(self, where: Slice, verify: Verify, *, collect: bool = False) -> Outcome:
        outcome = await self.reconciler.reconcile(where, verify=verify, collect=collect)
        for partition in range(where.start, where.stop):
            self._blocked.pop((where.policy, partition), None)
        self._blocked.update(((where.policy, partition), why) for partition, why in outcome.blocked.items())
        if self._run is None and outcome.put_bytes:
            self._run = _Run(self.clock())
        if self._run is not None:
            self._run.moved_bytes += outcome.put_bytes
        return outcome

    # ------------------------------------------------------------------ what there is to do, and how far it is

    async def _list_unproved(self) -> list[Partition]:
        topology = self.topology.present
        async with self.metadata.snapshot() as view:
            return [
                (policy, index)
                for policy in topology.policies
                for index in await view.partitions.unsettled(policy, epoch=topology.epoch)
            ]

    async def _all_slices(self) -> list[Slice]:
        async with self.metadata.snapshot() as view:
            chunks = (await view.videos.totals()).chunks
        slices: list[Slice] = []
        for policy in self.topology.present.policies:
            partitions = self.topology.present.ring(policy).partitions
            size = min(SLICE_PARTITIONS_MAX, max(1, partitions * SLICE_CHUNKS // max(chunks, 1)))
            slices += [Slice(policy, start, min(start + size, partitions)) for start in range(0, partitions, size)]
        return slices

    async def status(self) -> RebalanceStatus:
        """Say how far reconciling has come."""
        topology = self.topology.present
        unproved = await self._list_unproved()
        total = sum(topology.ring(policy).partitions for policy in topology.policies)
        reasons = self._reasons(unproved)
        listed = self._passes > 0  # what is lost is known only from listings of this process
        if listed and not unproved and not reasons:
            state = RebalanceState.IDLE
        elif reasons and all(partition in self._blocked for partition in unproved):
            state = RebalanceState.BLOCKED
        else:
            state = RebalanceState.RUNNING
        run = self._run or _Run(self.clock())
        seconds = self.clock() - run.began
        rate = run.moved_bytes / seconds if seconds > 0 else 0.0
        left = await self._bytes_left(unproved) if unproved else 0
        return RebalanceStatus(
            state=state,
            reasons=reasons,
            epoch=topology.epoch,
            partitions_total=total,
            partitions_done=total - len(unproved),
            bytes_total=run.moved_bytes + left,
            bytes_moved=run.moved_bytes,
            rate_bytes_per_second=rate,
            eta_seconds=left / rate if rate and state is RebalanceState.RUNNING else None,
        )

    async def _bytes_left(self, unproved: list[Partition]) -> int:
        """Estimate what is still to be moved: for each unproved partition, the shards of servers new in its row."""
        topology = self.topology.present
        async with self.metadata.snapshot() as view:
            totals = await view.videos.totals()
        partitions = sum(topology.ring(policy).partitions for policy in topology.policies)
        mean = totals.chunk_bytes / partitions
        moving = 0
        for policy, newest in topology.newest.items():
            indexes = np.array([index for named, index in unproved if named == policy], dtype=np.int64)
            now, synced = newest.slots[indexes], topology.synced[policy][indexes]
            for epoch, rings in topology.older.items():
                was = rings.rings[policy].slots[indexes]
                moving += int(np.sum((now != was) & (now >= 0) & (synced == epoch)[:, np.newaxis]))
        return round(mean * moving)

    def _reasons(self, unproved: Iterable[Partition]) -> tuple[str, ...]:
        reasons = dict.fromkeys(self._blocked[partition] for partition in unproved if partition in self._blocked)
        if self.reconciler.lost:
            reasons[f"lost: {len(self.reconciler.lost)} chunks are on no server"] = None
        if self.reconciler.deletes.stopped_because:
            reasons[f"deletes are stopped: {self.reconciler.deletes.stopped_because}"] = None
        return tuple(reasons)[:REASONS_MAX]


def _slices(partitions: Iterable[Partition], size_max: int) -> Iterator[Slice]:
    """Join sorted partitions into runs of neighbours of one policy, each of at most that many."""
    run: Slice | None = None
    for policy, index in partitions:
        if run is not None and run.policy == policy and run.stop == index and index - run.start < size_max:
            run = Slice(policy, run.start, index + 1)
            continue
        if run is not None:
            yield run
        run = Slice(policy, index, index + 1)
    if run is not None:
        yield run
