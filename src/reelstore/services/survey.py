"""Look at a slice of partitions: what each server has, then what the metadata expects, and how they differ.

Rule 6: the listing comes first, the metadata second. A name that was listed and whose chunk has no row afterwards is
garbage for ever, because the row is committed before the first byte is sent (rule 1) and its id is never used again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet, FleetMember
from reelstore.chunkstore.topology import Topology, digest_range, shard_name
from reelstore.domain.chunk import Chunk, ChunkState, ShardName
from reelstore.domain.errors import ServerUnavailable
from reelstore.placement.ring import Ring, Seat
from reelstore.repositories.interface import Metadata, PartitionState
from reelstore.storage.interface import ShardEntry

Listing = Mapping[ShardName, ShardEntry]


@dataclass(frozen=True, slots=True)
class Slice:
    """Partitions `[start, stop)` of a policy."""

    policy: str
    start: int
    stop: int

    def digests(self, topology: Topology) -> tuple[bytes, bytes | None]:
        """Return the slice as a half-open range of digests."""
        bits = topology.ring(self.policy).partition_bits
        return digest_range(bits, self.start, self.stop)


@dataclass(frozen=True, slots=True)
class Expected:
    """A shard that the newest row promises, and what the listing has of it: None when it is missing."""

    chunk: Chunk
    seat: Seat
    partition: int
    entry: ShardEntry | None

    @property
    def name(self) -> ShardName:
        """Return the shard's name."""
        return shard_name(self.chunk, self.seat)


@dataclass(slots=True)
class Findings:
    """What a survey found.

    Args:
        topology: the rings it compared with.
        states: of each partition, read before the listing (rule 7).
        unreachable: numbers and names of servers that did not list.
        live: ids of every live chunk.
        expected: every shard of every live chunk on the servers that listed.
        unprovable: partitions of whose row a server did not list, with that server's name.
        garbage: by server, listed names whose chunk has no row.
        misplaced: by partition, listed names of live chunks that the newest row does not promise.
    """

    topology: Topology
    states: Mapping[int, PartitionState]
    unreachable: Mapping[int, str]
    live: set[str] = field(default_factory=set)
    expected: list[Expected] = field(default_factory=list)
    unprovable: dict[int, str] = field(default_factory=dict)
    garbage: defaultdict[int, list[ShardEntry]] = field(default_factory=lambda: defaultdict(list))
    misplaced: defaultdict[int, list[tuple[int, ShardEntry]]] = field(default_factory=lambda: defaultdict(list))

    def is_clean(self, partition: int) -> bool:
        """Return whether the partition was called clean at the newest epoch when its version was read."""
        return self.states[partition].is_synced_to(self.topology.epoch)

    def is_move(self, shard: Expected) -> bool:
        """Return whether a shard is expected only since the row is another: it was never there, and is not missed."""
        state = self.states[shard.partition]
        if state.synced_epoch == self.topology.epoch:
            return False
        older = self.topology.older.get(state.synced_epoch)
        return older is None or shard.seat not in older.rings[state.policy].row(shard.partition)


def partitions_at_once(partitions: int, chunks: int, *, partitions_max: int, chunks_max: int) -> int:
    """Return how many partitions a slice takes so that about so many chunks lie in it, however full the cluster is."""
    return min(partitions_max, max(1, partitions * chunks_max // max(chunks, 1)))


async def survey(metadata: Metadata, topology: Topology, fleet: Fleet, where: Slice) -> Findings:
    """Compare a slice with what should be there; changes nothing.

    Args:
        metadata: read twice: the versions before the listing, the chunks after it.
        topology: the newest rings.
        fleet: all servers are listed, whether or not the ring still names them.
        where: which partitions.
    """
    async with metadata.snapshot() as view:
        states = {state.index: state for state in await view.partitions.list(where.policy, where.start, where.stop)}
    start, stop = where.digests(topology)
    members = list(fleet)
    listings = await asyncio.gather(*(list_shards(member, where.policy, start, stop) for member in members))
    async with metadata.snapshot() as view:
        chunks = await view.chunks.in_range(where.policy, start, stop)
    listed = {m.server.number: listing for m, listing in zip(members, listings, strict=True) if listing is not None}
    silent = {m.server.number: m.server.name for m, listing in zip(members, listings, strict=True) if listing is None}
    findings = Findings(topology, states, silent)
    await asyncio.to_thread(_compare, findings, where, chunks, listed)  # 0.6 s for 20,000 chunks
    return findings


async def list_shards(member: FleetMember, policy: str, start: bytes, stop: bytes | None) -> Listing | None:
    """Return what a server has of a range of digests, or None when it did not say all of it."""
    if not member.is_up:
        return None
    listing: dict[ShardName, ShardEntry] = {}
    try:
        async with member.answering(ANSWER_SECONDS, "a listing") as limit:
            async for entry in member.driver.list(policy, start, stop):
                listing[entry.name] = entry
                limit.reschedule(asyncio.get_running_loop().time() + ANSWER_SECONDS)
        return listing  # noqa: TRY300 - what was listed before a failure is no listing
    except ServerUnavailable as error:
        member.failed(error)
        return None


def _compare(findings: Findings, where: Slice, chunks: Sequence[Chunk], listed: Mapping[int, Listing]) -> None:
    """Fill in the findings from the rows of the slice and the listings by server."""
    ring = findings.topology.ring(where.policy)
    for partition in range(where.start, where.stop):
        for seat in ring.row(partition):
            if seat.server not in listed:
                findings.unprovable[partition] = findings.unreachable.get(seat.server, f"server number {seat.server}")
    for chunk in chunks:
        if chunk.state is ChunkState.LIVE:
            findings.live.add(chunk.id)
            _expect(findings, ring, chunk, listed)
    promised = {(shard.seat.server, shard.name) for shard in findings.expected}
    rows = {chunk.id: chunk for chunk in chunks}
    for server, listing in listed.items():
        for name, entry in listing.items():
            row = rows.get(name.chunk)
            if row is None:
                findings.garbage[server].append(entry)
            elif row.state is ChunkState.LIVE and (server, name) not in promised:
                findings.misplaced[ring.partition_of(name.digest)].append((server, entry))


def _expect(findings: Findings, ring: Ring, chunk: Chunk, listed: Mapping[int, Listing]) -> None:
    """Note which shards of a live chunk the servers that listed should have."""
    partition = ring.partition_of(chunk.digest)
    for seat in ring.row(partition):
        if seat.server in listed:
            entry = listed[seat.server].get(shard_name(chunk, seat))
            findings.expected.append(Expected(chunk, seat, partition, entry))
