"""Verify single shards where they lie, and put good ones in the place of missing and corrupt ones (rule 9)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from enum import StrEnum

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.redundancy import Redundancy
from reelstore.chunkstore.store import ChunkStore
from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ServerFull, ServerUnavailable, ShardCorrupt, ShardMissing, StorageError
from reelstore.services.survey import Expected
from reelstore.storage.interface import Adopting, ByteString, Quarantining, ShardEntry

log = logging.getLogger(__name__)


class ShardState(StrEnum):
    """What a look at one expected shard shows."""

    GOOD = "good"
    MISSING = "missing"
    CORRUPT = "corrupt"
    UNREACHABLE = "unreachable"


class Repairer:
    """Check and repair shards, one at a time.

    Args:
        fleet: where they lie.
        store: knows what is good, and how long a server may take.
        corrupt_per_hour_max: when more corrupt shards than that were overwritten within an hour, it is likelier that
            this process or its machine is at fault, and no other is. What cannot be repaired does not count: it is
            tried again and again.
    """

    def __init__(self, fleet: Fleet, store: ChunkStore, *, corrupt_per_hour_max: int = 10_000) -> None:
        self._fleet = fleet
        self._store = store
        self._corrupt_per_hour_max = corrupt_per_hour_max
        self._corrupt_at: deque[float] = deque()

    async def look(self, shard: Expected) -> ShardState:
        """Read and hash a shard where the newest row promises it.

        It is called corrupt only when a second reading agrees, so that a fault on the way does not count.
        """
        member = self._fleet.get(shard.seat.server)
        if member is None or not member.is_up:
            return ShardState.UNREACHABLE
        try:
            good = await self._is_good(member, shard.name) or await self._is_good(member, shard.name)
        except ShardMissing:
            return ShardState.MISSING
        except ServerUnavailable as error:
            member.failed(error)
            return ShardState.UNREACHABLE
        return ShardState.GOOD if good else ShardState.CORRUPT

    async def _is_good(self, member: FleetMember, name: ShardName) -> bool:
        async with member.answering(self._store.limits.get_timeout_seconds, "a look at a shard"):
            return await self._store.is_good_shard(member.driver, name)

    async def read(self, shard: Expected) -> ByteString | None:
        """Return a shard's bytes if they are good; whoever gets None has a look at what is wrong."""
        member = self._fleet.get(shard.seat.server)
        if member is None or not member.is_up:
            return None
        redundancy, name = self._redundancy(shard), shard.name
        try:
            async with member.answering(self._store.limits.get_timeout_seconds, "a get"):
                data = await member.driver.get(name)
        except (ShardMissing, ShardCorrupt):
            return None
        except ServerUnavailable as error:
            member.failed(error)
            return None
        good = await asyncio.to_thread(redundancy.is_good, data, digest=name.digest, slot=name.slot)
        return data if good else None

    def has_right_size(self, shard: Expected, entry: ShardEntry) -> bool:
        """Return whether a listed shard has the size that it should have."""
        return entry.size_bytes == self.size_bytes(shard)

    def size_bytes(self, shard: Expected) -> int:
        """Return the size that a shard should have."""
        return self._redundancy(shard).shard_size_bytes(shard.chunk.size_bytes)

    def _redundancy(self, shard: Expected) -> Redundancy:
        return self._store.topology.present.redundancy(shard.chunk.policy)

    async def adopt(self, shard: Expected, others: Iterable[ShardEntry]) -> bool:
        """Give the shard's name to the same bytes that its server has under another, verified before (rule 2).

        The other name stays: it goes when rule 6 allows it. A server that cannot, or has no room, is sent the bytes.

        Args:
            shard: which one.
            others: what the listing has of the same chunk on that server.

        Returns:
            whether it is durable now.
        """
        member = self._fleet.get(shard.seat.server)
        if member is None or not isinstance(member.driver, Adopting):
            return False
        limits = self._store.limits
        try:
            for other in others:
                if not self._is_same(shard, other) or not await self._is_good(member, other.name):
                    continue
                async with member.answering(limits.put_timeout_seconds, "adopting a shard"):
                    if await member.driver.adopt(other.name, shard.name):
                        return True
        except ServerUnavailable as error:
            member.failed(error)
        except (ShardMissing, ShardCorrupt, ServerFull) as error:
            log.info("%s is put, as its server could not adopt it: %s", shard.name, error)
        return False

    def _is_same(self, shard: Expected, other: ShardEntry) -> bool:
        """Return whether another shard of the chunk holds the same bytes: a fragment does so for its slot alone."""
        same = self._redundancy(shard).alike or shard.name.slot == other.name.slot
        return self.has_right_size(shard, other) and same

    async def put(self, shard: Expected, data: ByteString, *, suspect: bool) -> str | None:
        """Put the good bytes under the shard's name, over whatever is there, and read them back.

        Args:
            shard: which one.
            data: the bytes that it should have.
            suspect: set a copy of the present bytes aside first.

        Returns:
            why it is not durable, or None when it is.
        """
        member = self._fleet.get(shard.seat.server)
        if member is None:
            return "the server is not registered any more"
        if suspect and not self._may_overwrite():
            return (
                f"more than {self._corrupt_per_hour_max} corrupt shards within an hour: repair is stopped; "
                "check the memory and the disks of this machine, then restart it"
            )
        why_not = await self._overwrite(member, shard, data, suspect=suspect)
        if suspect and why_not is not None:
            self._corrupt_at.pop()
        return why_not

    async def _overwrite(self, member: FleetMember, shard: Expected, data: ByteString, *, suspect: bool) -> str | None:
        try:
            if suspect and isinstance(member.driver, Quarantining):
                await self._set_aside(member, member.driver, shard)
            async with member.answering(self._store.limits.put_timeout_seconds, "a put"):
                await member.driver.put(shard.name, data)
            if not await self._is_good(member, shard.name):
                return f"server {member.server.name} does not give back what was put there"
        except ShardMissing:
            return f"server {member.server.name} does not have what was put there"
        except ServerFull as error:
            return f"full: server {member.server.name}: {error}"
        except ServerUnavailable as error:
            member.failed(error)
            return f"unreachable: {error}"
        log.debug("put a shard of chunk %s on server %s", shard.chunk.digest.hex(), member.server.name)
        return None

    def _may_overwrite(self) -> bool:
        now = time.monotonic()
        while self._corrupt_at and now - self._corrupt_at[0] > 3600:
            self._corrupt_at.popleft()
        if len(self._corrupt_at) >= self._corrupt_per_hour_max:
            return False
        self._corrupt_at.append(now)
        return True

    async def _set_aside(self, member: FleetMember, driver: Quarantining, shard: Expected) -> None:
        """Keep a copy of suspect bytes; failing to must not keep the good bytes from being put."""
        try:
            async with member.answering(self._store.limits.put_timeout_seconds, "setting a shard aside"):
                await driver.set_aside(shard.name)
        except StorageError as error:
            log.warning("the suspect shard %s was not set aside: %s", shard.name, error)
