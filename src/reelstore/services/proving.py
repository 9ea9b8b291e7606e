"""Prove single shards for whoever asks: read and hashed where they lie, and no false alarm while things move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet
from reelstore.chunkstore.topology import TopologyCache, shard_name
from reelstore.domain.chunk import Chunk
from reelstore.domain.errors import ServerUnavailable
from reelstore.placement.ring import Seat
from reelstore.repositories.interface import Metadata, PartitionState
from reelstore.services.attention import Attention, Need
from reelstore.services.pace import Pace
from reelstore.services.repair import Repairer, ShardState
from reelstore.services.survey import Expected

LOOKS_AT_ONCE = 4
ATTEMPTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of one shard that the ring promises.

    Args:
        chunk: its chunk.
        server: the number of the server that it was found on, good or bad, or else should be on.
        state: good, or what is wrong.
        is_moving: it is good, and not yet where the newest ring wants it.
        size_bytes: what was read and hashed for it.
    """

    chunk: Chunk
    server: int
    state: ShardState
    is_moving: bool = False
    size_bytes: int = 0


class Tally:
    """Count proofs, and keep those of what is wrong, up to a number."""

    def __init__(self, problems_max: int) -> None:
        self.shards_total = 0
        self.shards_ok = 0
        self.shards_moving = 0
        self.shards_bytes = 0
        self.problems: list[Proof] = []
        self._problems_max = problems_max

    @property
    def problems_truncated(self) -> bool:
        """Return whether there are more problems than are kept."""
        return self.shards_total - self.shards_ok > len(self.problems)

    def add(self, proofs: Sequence[Proof]) -> None:
        """Add more."""
        for proof in proofs:
            self.shards_total += 1
            self.shards_bytes += proof.size_bytes
            if proof.state is ShardState.GOOD:
                self.shards_ok += 1
                self.shards_moving += proof.is_moving
            elif len(self.problems) < self._problems_max:
                self.problems.append(proof)


@dataclass(frozen=True, slots=True)
class _Standing:
    """Under which ring, and how far proved, a chunk's partition is; what is seen counts only while this is the same."""

    epoch: int
    partition: PartitionState

    @property
    def is_settled(self) -> bool:
        return self.partition.is_synced_to(self.epoch)


class ShardProver:
    """Look at every shard of chunks, without changing anything but what the background looks at next.

    A shard that the newest ring wants elsewhere and that was not moved yet is looked for where it was: that it is
    good there is a proof, and no problem. A shard is missed only when neither the ring nor its partition changed
    while it was looked for (rule 8); a chunk that is purged meanwhile is not missed at all.

    Args:
        metadata, topology: where shards should be.
        fleet: where they may be meanwhile.
        repairer: reads and hashes single shards.
        attention: told of what is wrong, so that it is repaired.
        pace: how fast is read; users go first.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        repairer: Repairer,
        attention: Attention,
        pace: Pace,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._repairer = repairer
        self._attention = attention
        self._pace = pace

    async def prove(self, chunks: Sequence[Chunk]) -> Sequence[Proof]:
        """Read and hash every shard of these chunks, a few at a time, in the order of the chunks.

        Returns:
            one proof for each shard that the newest ring promises, less those of chunks that are gone.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        topology, at_once = self._topology.present, asyncio.Semaphore(LOOKS_AT_ONCE)

        async def prove(chunk: Chunk, seat: Seat) -> Proof | None:
            async with at_once:
                return await self._prove(chunk, seat)

        shards = []
        for chunk in chunks:
            ring = topology.ring(chunk.policy)
            shards += [(chunk, seat) for seat in ring.row(ring.partition_of(chunk.digest))]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(prove(chunk, seat)) for chunk, seat in shards]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [proof for task in tasks if (proof := task.result()) is not None]

    async def _prove(self, chunk: Chunk, seat: Seat) -> Proof | None:
        proof: Proof | None = await self._look(chunk, seat)
        for _ in range(ATTEMPTS_MAX):
            if proof is None or proof.state is ShardState.GOOD:
                return proof
            before = await self._standing(chunk)
            if before is None:
                return None
            proof = await self._look_anew(chunk, seat.slot, before)
            if await self._standing(chunk) == before:
                break
        if proof is not None and proof.state in {ShardState.CORRUPT, ShardState.MISSING}:
            self._note(chunk, seat.slot)
        return proof

    async def _look(self, chunk: Chunk, seat: Seat) -> Proof:
        topology = self._topology.present
        size_bytes = topology.redundancy(chunk.policy).shard_size_bytes(chunk.size_bytes)
        partition = topology.ring(chunk.policy).partition_of(chunk.digest)
        await self._pace.wait(size_bytes)
        state = await self._repairer.look(Expected(chunk, seat, partition, None))
        was_read = state in {ShardState.GOOD, ShardState.CORRUPT}
        return Proof(chunk, seat.server, state, size_bytes=size_bytes if was_read else 0)

    async def _look_anew(self, chunk: Chunk, slot: int, standing: _Standing) -> Proof | None:
        """Look where the newest ring wants the slot's shard, and while it may be on its way, everywhere else."""
        topology = self._topology.present
        ring = topology.ring(chunk.policy)
        partition = ring.partition_of(chunk.digest)
        newest = _of_slot(ring.row(partition), slot)
        if newest is None:  # fewer servers than copies by now
            return None
        proof = await self._look(chunk, newest)
        if proof.state is ShardState.GOOD or standing.is_settled:
            return proof
        tried = {newest}
        former = _of_slot(topology.synced_row(chunk.policy, partition), slot)
        if former is not None and former != newest:
            tried.add(former)
            found = await self._look(chunk, former)
            if found.state is ShardState.GOOD:
                return _moving(found)
            if found.state is not ShardState.MISSING:
                proof = found  # what has to be moved is bad, or cannot be reached: that is the problem
        async for other in self._elsewhere(chunk, slot):
            if other not in tried:
                found = await self._look(chunk, other)
                if found.state is ShardState.GOOD:
                    return _moving(found)
        return proof

    async def _elsewhere(self, chunk: Chunk, slot: int) -> AsyncIterator[Seat]:
        """Find the slot's shard wherever it is: on a stand-in, or where an older ring had it."""
        for member in self._fleet:
            if not member.is_up:
                continue
            try:
                async with member.answering(ANSWER_SECONDS, "a search for a shard"):
                    entries = await member.driver.find(chunk.policy, chunk.digest)
            except ServerUnavailable as error:
                member.failed(error)
                continue
            for entry in entries:
                if (entry.name.chunk, entry.name.slot) == (chunk.id, slot):
                    yield Seat(slot, member.server.number, entry.name.tenure)

    async def _standing(self, chunk: Chunk) -> _Standing | None:
        """Return under what the chunk is looked for now; None when it is gone."""
        async with self._metadata.snapshot() as view:
            epoch = await view.rings.head()
        if epoch != self._topology.present.epoch:
            await self._topology.refresh()
        topology = self._topology.present
        partition = topology.ring(chunk.policy).partition_of(chunk.digest)
        async with self._metadata.snapshot() as view:
            state = await view.partitions.get(chunk.policy, partition)
            is_there = chunk.id in await view.chunks.get_many([chunk.id])
        return _Standing(topology.epoch, state) if is_there and state is not None else None

    def _note(self, chunk: Chunk, slot: int) -> None:
        """Have the chunk's partition looked at, unless the reconciler knows, and tries by itself."""
        ring = self._topology.present.ring(chunk.policy)
        partition = ring.partition_of(chunk.digest)
        seat = _of_slot(ring.row(partition), slot)
        known = seat is not None and shard_name(chunk, seat) in self._attention.known_bad
        if not known and chunk.id not in self._attention.lost:
            self._attention.add(chunk.policy, [partition], Need(verify=True, unsettled=True))


def _of_slot(row: Sequence[Seat], slot: int) -> Seat | None:
    return next((seat for seat in row if seat.slot == slot), None)


def _moving(found: Proof) -> Proof:
    return Proof(found.chunk, found.server, found.state, is_moving=True, size_bytes=found.size_bytes)
