"""What speaks against taking a server away: what the metadata says of it, what it holds, what only it may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet, FleetMember
from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.chunk import Chunk, ChunkState, ShardName
from reelstore.domain.errors import ServerUnavailable
from reelstore.domain.server import Server, ServerState
from reelstore.domain.video import Video
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.attention import Attention
from reelstore.services.epochs import ring_set
from reelstore.services.survey import Listing, Slice, list_shards, partitions_at_once

SLICE_PARTITIONS_MAX = 256
SLICE_CHUNKS = 4_000
"""What is compared at a time, so that memory does not grow with the cluster."""
CHUNKS_NAMED_MAX = 1_000
VIDEOS_NAMED_MAX = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """What the metadata says of a server at one moment.

    Args:
        server: as it is registered.
        epoch: of the newest ring.
        partitions_on_it: partitions of all policies that the newest ring places on it.
        partitions_unsettled: those that are not synced to the newest ring at their version, whoever they lie on.
        partitions_total: all partitions of all policies.
        paused: nothing is moved.
    """

    server: Server
    epoch: int
    partitions_on_it: int
    partitions_unsettled: int
    partitions_total: int
    paused: bool

    def obstacles(self, *, deletes_stopped: str | None) -> list[str]:
        """Return what must come to be otherwise before a listing can prove that nothing needs the server."""
        found = []
        if self.partitions_on_it or self.server.state is ServerState.ACTIVE:
            found.append(f"the ring places {self.partitions_on_it:,} partitions on it: drain it first")
        if self.partitions_unsettled:
            left, total = self.partitions_unsettled, self.partitions_total
            found.append(f"{left:,} of {total:,} partitions are not proved to lie where the ring says")
        if self.paused:
            found.append("moving is paused")
        if deletes_stopped is not None:
            found.append(f"deletes are stopped: {deletes_stopped}")
        return found


async def standing(view: UnitOfWork, server: Server) -> Standing:
    """Read what the metadata says of a server."""
    epoch = await view.rings.head()
    rings = await ring_set(view, epoch)
    return Standing(
        server=server,
        epoch=epoch,
        partitions_on_it=sum(
            int(np.count_nonzero(np.any(ring.slots == server.number, axis=1))) for ring in rings.rings.values()
        ),
        partitions_unsettled=sum([len(await view.partitions.unsettled(policy, epoch=epoch)) for policy in rings.rings]),
        partitions_total=sum(ring.partitions for ring in rings.rings.values()),
        paused=(await view.control.get()).paused,
    )


@dataclass(frozen=True, slots=True)
class Contents:
    """What a listing of a whole server showed: shards of every policy, expected there or not, and their bytes."""

    shards: int
    size_bytes: int


async def contents(member: FleetMember, policies: Iterable[str], *, shards_max: int | None = None) -> Contents | None:
    """List a server.

    Args:
        member: which server.
        policies: all that there are; files that are no shards do not count.
        shards_max: stop when so many are found; None counts all.

    Returns:
        what it has, or None when it did not say all of it.
    """
    if not member.is_up:
        return None
    shards = size_bytes = 0
    try:
        async with member.answering(ANSWER_SECONDS, "a listing") as limit:
            for policy in policies:
                async for entry in member.driver.list(policy, b"", None):
                    shards, size_bytes = shards + 1, size_bytes + entry.size_bytes
                    if shards == shards_max:
                        return Contents(shards, size_bytes)
                    limit.reschedule(asyncio.get_running_loop().time() + ANSWER_SECONDS)
    except ServerUnavailable as error:
        member.failed(error)
        return None
    return Contents(shards, size_bytes)


@dataclass(slots=True)
class Risk:
    """What may be lost with a server: confirmed chunks of which the others that answer have too few good shards.

    Chunks that were found on no server when all of them answered are lost already, and not counted.

    Args:
        epoch: of the ring at which it was looked.
        chunks: how many.
        size_bytes: of one copy of them.
        videos: some of those that need one, in order of id; at most `VIDEOS_NAMED_MAX`.
        silent: names of other servers that did not list all they have; it counts as not there.
    """

    epoch: int
    chunks: int = 0
    size_bytes: int = 0
    videos: Sequence[Video] = ()
    silent: set[str] = field(default_factory=set)


class RiskSurvey:
    """Find out what only one server may hold.

    A good shard is one of the right size that is not known to be bad; it is not read. Stand-ins and shards that are
    still to be moved count like any other.
    """

    def __init__(self, metadata: Metadata, topology: TopologyCache, fleet: Fleet, attention: Attention) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._attention = attention
        self._looking = asyncio.Lock()  # it lists every server: one at a time is enough

    async def of(self, server: Server) -> Risk:
        """Look for every confirmed chunk that may lie on the server on all the others.

        It may be on it in a partition that the newest ring places there, and in one that is not proved to lie where
        that ring says. Of a server that answers, only what it lists is at risk. Chunks that are confirmed meanwhile
        are not seen; where the newest ring is without the server already, they are not on it.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        async with self._looking:
            topology = await self._topology.refresh()
            risk = Risk(topology.epoch)
            named: list[str] = []
            slices = [each for policy in topology.policies for each in await self._slices(topology, policy, server)]
            for where, concerned in slices:
                for chunk in await self._missing(topology, where, concerned, server, risk):
                    risk.chunks += 1
                    risk.size_bytes += chunk.size_bytes
                    if len(named) < CHUNKS_NAMED_MAX:
                        named.append(chunk.id)
            if named:
                async with self._metadata.snapshot() as view:
                    risk.videos = tuple(await view.videos.of_chunks(named, limit=VIDEOS_NAMED_MAX))
            return risk

    async def _slices(self, topology: Topology, policy: str, server: Server) -> list[tuple[Slice, frozenset[int]]]:
        """Return the slices with partitions that may have something on the server, and which those are."""
        ring = topology.ring(policy)
        async with self._metadata.snapshot() as view:
            unsettled = await view.partitions.unsettled(policy, epoch=topology.epoch)
            chunks = (await view.videos.totals()).chunks
        concerned = {*np.flatnonzero(np.any(ring.slots == server.number, axis=1)).tolist(), *unsettled}
        step = partitions_at_once(ring.partitions, chunks, partitions_max=SLICE_PARTITIONS_MAX, chunks_max=SLICE_CHUNKS)
        slices = [Slice(policy, start, min(start + step, ring.partitions)) for start in range(0, ring.partitions, step)]
        parts = [(where, concerned.intersection(range(where.start, where.stop))) for where in slices]
        return [(where, frozenset(part)) for where, part in parts if part]

    async def _missing(
        self, topology: Topology, where: Slice, concerned: Container[int], server: Server, risk: Risk
    ) -> Sequence[Chunk]:
        """Return the chunks of some partitions that the other servers do not have enough of.

        A shard that moves from one server to another between their listings is in neither: what is missing is looked
        for a second time.
        """
        ring = topology.ring(where.policy)
        suspects = await self._look(
            topology, where, server, risk, wanted=lambda chunk: ring.partition_of(chunk.digest) in concerned
        )
        if not suspects:
            return ()
        known = {chunk.id for chunk in suspects}.difference(self._attention.lost)
        return await self._look(topology, where, server, risk, wanted=lambda chunk: chunk.id in known)

    async def _look(
        self, topology: Topology, where: Slice, server: Server, risk: Risk, *, wanted: Callable[[Chunk], bool]
    ) -> Sequence[Chunk]:
        start, stop = where.digests(topology)
        # The metadata first: the shards of what is confirmed were there before.
        async with self._metadata.snapshot() as view:
            rows = await view.chunks.in_range(where.policy, start, stop)
        chunks = [row for row in rows if row.state is ChunkState.LIVE and wanted(row)]
        members = list(self._fleet)
        listings = await asyncio.gather(*(list_shards(member, where.policy, start, stop) for member in members))
        own: Listing | None = None
        others: list[Listing] = []
        for member, listing in zip(members, listings, strict=True):
            if member.server.number == server.number:
                own = listing
            elif listing is None:
                risk.silent.add(member.server.name)
            else:
                others.append(listing)
        missing = list(_without_enough(topology, chunks, others, known_bad=self._attention.known_bad))
        if own is None:
            return missing
        there = {name.chunk for name in own}
        return [chunk for chunk in missing if chunk.id in there]


def _without_enough(
    topology: Topology, chunks: Sequence[Chunk], listings: Iterable[Listing], *, known_bad: Container[ShardName]
) -> Iterator[Chunk]:
    """Yield the chunks of one policy that these listings do not show enough good shards of to read them."""
    if not chunks:
        return
    redundancy = topology.redundancy(chunks[0].policy)
    sizes: Mapping[str, int] = {chunk.id: redundancy.shard_size_bytes(chunk.size_bytes) for chunk in chunks}
    slots: dict[str, set[int]] = {chunk.id: set() for chunk in chunks}
    for listing in listings:
        for name, entry in listing.items():
            if entry.size_bytes == sizes.get(name.chunk) and name not in known_bad:
                slots[name.chunk].add(name.slot)
    yield from (chunk for chunk in chunks if len(slots[chunk.id]) < redundancy.needed)
