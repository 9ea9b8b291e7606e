"""Verify single shards where they lie, and put good ones in the place of missing and corrupt ones (rule 9)."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.store import ChunkStore
from reelstore.domain.errors import (
    ChunkLost,
    ChunkUnavailable,
    ServerFull,
    ServerUnavailable,
    ShardMissing,
    StorageError,
)
from reelstore.services.survey import Expected
from reelstore.storage.interface import ByteString, Quarantining, ShardEntry

log = logging.getLogger(__name__)


class ShardState(StrEnum):
    """What a look at one expected shard shows."""

    GOOD = "good"
    MISSING = "missing"
    CORRUPT = "corrupt"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a shard that had to be put: `why_not` is None when it is durable now."""

    size_bytes: int = 0
    why_not: str | None = None
    lost: bool = False


class Repairer:
    """Check and repair shards, one at a time.

    Args:
        fleet: where they lie.
        store: fetches good bytes.
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
            good = await self._is_good(member, shard) or await self._is_good(member, shard)
        except ShardMissing:
            return ShardState.MISSING
        except ServerUnavailable as error:
            member.failed(error)
            return ShardState.UNREACHABLE
        return ShardState.GOOD if good else ShardState.CORRUPT

    async def _is_good(self, member: FleetMember, shard: Expected) -> bool:
        async with member.answering(self._store.limits.get_timeout_seconds, "a look at a shard"):
            return await self._store.is_good_shard(member.driver, shard.name)

    def has_right_size(self, shard: Expected, entry: ShardEntry) -> bool:
        """Return whether a listed shard has the size that it should have."""
        redundancy = self._store.topology.present.redundancy(shard.chunk.policy)
        return entry.size_bytes == redundancy.shard_size_bytes(shard.chunk.size_bytes)

    async def put(self, shard: Expected, *, suspect: bool) -> Repaired:
        """Put the good bytes under the shard's name, over whatever is there.

        Args:
            shard: which one.
            suspect: set a copy of the present bytes aside first.
        """
        member = self._fleet.get(shard.seat.server)
        if member is None:
            return Repaired(why_not="the server is not registered any more")
        if suspect and not self._may_overwrite():
            return Repaired(
                why_not=f"more than {self._corrupt_per_hour_max} corrupt shards within an hour: repair is stopped; "
                "check the memory and the disks of this machine, then restart it"
            )
        repaired = await self._put_good(member, shard, suspect=suspect)
        if suspect and repaired.why_not is not None:
            self._corrupt_at.pop()
        return repaired

    async def _put_good(self, member: FleetMember, shard: Expected, *, suspect: bool) -> Repaired:
        try:
            data = await self._store.fetch(shard.chunk)
        except (ChunkLost, ChunkUnavailable) as error:
            return Repaired(why_not=str(error), lost=isinstance(error, ChunkLost))
        redundancy = self._store.topology.present.redundancy(shard.chunk.policy)
        return await self._overwrite(member, shard, redundancy.encode(data)[shard.seat.slot], suspect=suspect)

    async def _overwrite(self, member: FleetMember, shard: Expected, data: ByteString, *, suspect: bool) -> Repaired:
        try:
            if suspect and isinstance(member.driver, Quarantining):
                await self._set_aside(member, member.driver, shard)
            async with member.answering(self._store.limits.put_timeout_seconds, "a put"):
                await member.driver.put(shard.name, data)
            if not await self._is_good(member, shard):
                return Repaired(why_not=f"server {member.server.name} does not give back what was put there")
        except ShardMissing:
            return Repaired(why_not=f"server {member.server.name} does not have what was put there")
        except ServerFull as error:
            return Repaired(why_not=f"full: server {member.server.name}: {error}")
        except ServerUnavailable as error:
            member.failed(error)
            return Repaired(why_not=f"unreachable: {error}")
        log.info("put a shard of chunk %s on server %s", shard.chunk.digest.hex(), member.server.name)
        return Repaired(size_bytes=memoryview(data).nbytes)

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
