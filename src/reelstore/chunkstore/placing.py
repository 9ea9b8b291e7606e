"""Put the shards of one chunk on the servers of its row, with stand-ins for those that fail (rules 2 and 4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.topology import shard_name
from reelstore.domain.chunk import Chunk, ChunkState, ShardName
from reelstore.domain.errors import InsufficientServers, InsufficientStorage, ServerFull, ServerUnavailable
from reelstore.domain.ids import Entropy, random_tenure
from reelstore.domain.wording import count
from reelstore.placement.ring import Ring, Seat
from reelstore.storage.interface import ByteString


@dataclass(frozen=True, slots=True)
class Placement:
    """What was acknowledged during this very upload.

    Args:
        epoch: of the ring that was used.
        acknowledged: numbers of the distinct servers that hold a shard under its exact name, and of which none holds
            the same fragment as another.
        settled: every server of the row did at the first try, so that nothing is left to be moved.
        released: no put is still under way that might read the data.
    """

    epoch: int
    acknowledged: frozenset[int]
    settled: bool
    released: bool


@dataclass(slots=True)
class _Attempt:
    ring: Ring
    chunk: Chunk
    shards: Sequence[ByteString]
    alike: bool
    handoffs: Iterator[int]
    acknowledged: set[int] = field(default_factory=set)
    slots: set[int] = field(default_factory=set)
    full: set[int] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    released: bool = True

    def acknowledge(self, member: FleetMember, slot: int) -> None:
        """Count a server, unless its fragment is counted already: a second one of a slot makes nothing whole."""
        if self.alike or slot not in self.slots:
            self.acknowledged.add(member.server.number)
        self.slots.add(slot)


class Placer:
    """Place chunks.

    Args:
        fleet: the servers.
        entropy: draws the tenures of handoffs, random for each write, so that nothing ever relies on an old one.
        put_timeout_seconds: after which a put counts as failed (it may still arrive, which is harmless).
        is_known_bad: tells of a shard that was read and is bad, so that it is written anew: its size says nothing.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        entropy: Entropy,
        put_timeout_seconds: float = 30.0,
        is_known_bad: Callable[[ShardName], bool] = lambda _: False,
    ) -> None:
        self._fleet = fleet
        self._entropy = entropy
        self._is_known_bad = is_known_bad
        self._put_timeout_seconds = put_timeout_seconds

    async def place(
        self, ring: Ring, chunk: Chunk, shards: Sequence[ByteString], *, alike: bool, acknowledged_min: int
    ) -> Placement:
        """Store every shard of a chunk whose row and reference are committed (rule 1).

        A live chunk is looked at rather than relied on: a primary that has the shard acknowledges by a stat, one that
        lacks it is written to, so that storing the same bytes again heals them (rule 4).

        Args:
            ring: the newest ring known.
            chunk: its row.
            shards: by slot; must not change until this returns with `released`.
            alike: whether they are all the same bytes.
            acknowledged_min: distinct servers that must acknowledge.

        Raises:
            InsufficientStorage: too few, and those asked were full; a retry does not help before there is room.
            InsufficientServers: too few acknowledged; a retry can help.
        """
        row = ring.lookup(chunk.digest)
        attempt = _Attempt(ring, chunk, shards, alike, _handoffs(ring, chunk))
        first_try = await asyncio.gather(*(self._primary(attempt, seat) for seat in row))
        settled = all(first_try)
        failed = [seat for seat, done in zip(row, first_try, strict=True) if not done]
        await asyncio.gather(*(self._handoff(attempt, seat.slot) for seat in failed))
        if len(attempt.acknowledged) < acknowledged_min:  # a server thought to be down may be back
            await asyncio.gather(*(self._primary(attempt, seat, even_if_down=True) for seat in failed))
        if len(attempt.acknowledged) < acknowledged_min:
            raise self._too_few(attempt, acknowledged_min)
        return Placement(ring.epoch, frozenset(attempt.acknowledged), settled, attempt.released)

    async def _primary(self, attempt: _Attempt, seat: Seat, *, even_if_down: bool = False) -> bool:
        member = self._fleet.get(seat.server)
        if member is None or not (member.is_up or even_if_down):
            attempt.failures.append(f"{member.server.name}: {member.problem}" if member else "not registered")
            return False
        name = shard_name(attempt.chunk, seat)
        look = attempt.chunk.state is ChunkState.LIVE and not self._is_known_bad(name)
        return await self._keep(attempt, member, name, look=look)

    async def _handoff(self, attempt: _Attempt, slot: int) -> bool:
        chunk = attempt.chunk
        for number in attempt.handoffs:
            member = self._fleet.get(number)
            if member is None or not member.takes_writes:
                continue
            if not member.is_up:
                attempt.failures.append(f"{member.server.name}: {member.problem}")
                continue
            name = ShardName(chunk.policy, chunk.digest, chunk.id, slot, random_tenure(self._entropy))
            if await self._keep(attempt, member, name, look=False):
                return True
        return False

    async def _keep(self, attempt: _Attempt, member: FleetMember, name: ShardName, *, look: bool) -> bool:
        """Have one server hold one shard; return whether it acknowledged."""
        shard = attempt.shards[name.slot]
        try:
            async with asyncio.timeout(self._put_timeout_seconds):
                if look:
                    entry = await member.driver.stat(name)
                    if entry is not None and entry.size_bytes == memoryview(shard).nbytes:
                        attempt.acknowledge(member, name.slot)
                        return True
                await member.driver.put(name, shard)
        except ServerFull as error:
            attempt.full.add(member.server.number)
            attempt.failures.append(str(error))
            return False
        except ServerUnavailable as error:
            member.failed(error)
            attempt.failures.append(f"{member.server.name}: {error}")
            return False
        except TimeoutError:
            attempt.released = False
            late = f"no answer to a put within {self._put_timeout_seconds:g} s"
            member.failed(ServerUnavailable(late, server=member.server.name))
            attempt.failures.append(f"{member.server.name}: {late}")
            return False
        attempt.acknowledge(member, name.slot)
        return True

    @staticmethod
    def _too_few(attempt: _Attempt, needed: int) -> InsufficientServers | InsufficientStorage:
        got = len(attempt.acknowledged)
        why = "; ".join(dict.fromkeys(attempt.failures)) or "the ring has too few servers"
        if attempt.full and got + len(attempt.full) >= needed:
            return InsufficientStorage(f"{count(needed, 'server')} must take each part, {got} had room: {why}")
        return InsufficientServers(
            f"{count(needed, 'server')} must acknowledge each part, {got} did: {why}", needed=needed, acknowledged=got
        )


def _handoffs(ring: Ring, chunk: Chunk) -> Iterator[int]:
    """Rank the stand-ins when the first is asked for: hardly a chunk needs one, and each ranking takes 0.15 ms."""
    yield from ring.handoffs(ring.partition_of(chunk.digest))
