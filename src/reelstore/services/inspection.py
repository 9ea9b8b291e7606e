"""Show where a video lies, and prove that it does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.chunk import ChunkRef
from reelstore.domain.errors import InvalidCursor
from reelstore.placement.ring import Seat
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention, Need
from reelstore.services.lookup import found_video
from reelstore.services.pages import Page, check_limit, decode_cursor, encode_cursor
from reelstore.services.repair import Repairer, ShardState
from reelstore.services.survey import Expected

LOOKS_AT_ONCE = 4
MAP_PAGE_CHUNKS = 256
PROBLEMS_MAX = 10_000
LISTING = "placement"


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where one chunk of a video lies.

    Args:
        position, offset_bytes, size_bytes: its place in the file.
        digest: in hexadecimal.
        partition: its partition.
        servers: names, by slot, of the servers of the newest row.
        synced_servers: of the row to which the partition is synced: where it is until it has moved.
    """

    position: int
    offset_bytes: int
    size_bytes: int
    digest: str
    partition: int
    servers: tuple[str, ...]
    synced_servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShardProblem:
    """What is wrong with one shard: `missing`, `corrupt` or `unreachable`."""

    chunk: str
    server: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading and hashing every shard of a video showed; at most `PROBLEMS_MAX` problems are listed."""

    video_id: str
    shards_total: int
    shards_ok: int
    problems: tuple[ShardProblem, ...]
    problems_truncated: bool


class VideoInspector:
    """Look at where videos lie, without changing anything.

    Args:
        metadata, topology: where shards should be.
        repairer: reads and hashes single shards.
        attention: told of what is wrong, so that it is repaired.
    """

    def __init__(self, metadata: Metadata, topology: TopologyCache, repairer: Repairer, attention: Attention) -> None:
        self._metadata = metadata
        self._topology = topology
        self._repairer = repairer
        self._attention = attention

    async def placement(self, video_id: str, *, limit: int = 1000, cursor: str | None = None) -> Page[ChunkPlace]:
        """List the chunks of a video in order, each with its servers.

        Raises:
            VideoNotFound, InvalidInput, InvalidCursor: a retry does not help.
        """
        check_limit(limit)
        start = 0
        if cursor is not None:
            value, key = decode_cursor(LISTING, cursor)
            if not isinstance(value, int) or key != video_id or value < 0:
                raise InvalidCursor("the cursor belongs to another video's placement", field="cursor")
            start = value
        async with self._metadata.snapshot() as view:
            video = found_video(await view.videos.get(video_id), video_id)
            places = list(await view.files.chunk_map(video.file_id, start, video.size_bytes, limit=limit))
            names = {server.number: server.name for server in await view.servers.list()}
        topology = self._topology.present
        items = tuple(_place(topology, place, names) for place in places)
        more = bool(places) and places[-1].stop_bytes < video.size_bytes
        return Page(items, encode_cursor(LISTING, places[-1].stop_bytes, video_id) if more else None)

    async def verify(self, video_id: str) -> Verification:
        """Read and hash every shard that the newest ring promises of a video; what is wrong is repaired afterwards.

        Raises:
            VideoNotFound: a retry does not help.
        """
        total = good = found = 0
        problems: list[ShardProblem] = []
        offset = 0
        while True:
            async with self._metadata.snapshot() as view:
                video = found_video(await view.videos.get(video_id), video_id)
                places = list(
                    await view.files.chunk_map(video.file_id, offset, video.size_bytes, limit=MAP_PAGE_CHUNKS)
                )
                names = {server.number: server.name for server in await view.servers.list()}
            if not places:
                break
            offset = places[-1].stop_bytes
            for shard, state in await self._look_at_all(places):
                total += 1
                if state is ShardState.GOOD:
                    good += 1
                    continue
                found += 1
                if len(problems) < PROBLEMS_MAX:
                    server = names.get(shard.seat.server, str(shard.seat.server))
                    problems.append(ShardProblem(shard.chunk.digest.hex(), server, state.value))
        return Verification(video_id, total, good, tuple(problems), found > len(problems))

    async def _look_at_all(self, places: list[ChunkRef]) -> list[tuple[Expected, ShardState]]:
        topology = self._topology.present
        at_once = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def look(shard: Expected) -> tuple[Expected, ShardState]:
            async with at_once:
                state = await self._repairer.look(shard)
            if state in {ShardState.CORRUPT, ShardState.MISSING}:
                self._attention.add(shard.chunk.policy, [shard.partition], Need(verify=True, unsettled=True))
            return shard, state

        expected = []
        for place in places:
            ring = topology.ring(place.chunk.policy)
            partition = ring.partition_of(place.chunk.digest)
            expected += [Expected(place.chunk, seat, partition, None) for seat in ring.row(partition)]
        return await asyncio.gather(*map(look, expected))


def _place(topology: Topology, place: ChunkRef, names: dict[int, str]) -> ChunkPlace:
    ring = topology.ring(place.chunk.policy)
    partition = ring.partition_of(place.chunk.digest)

    def named(row: tuple[Seat, ...]) -> tuple[str, ...]:
        return tuple(names.get(seat.server, str(seat.server)) for seat in row)

    return ChunkPlace(
        position=place.position,
        offset_bytes=place.offset_bytes,
        size_bytes=place.chunk.size_bytes,
        digest=place.chunk.digest.hex(),
        partition=partition,
        servers=named(ring.row(partition)),
        synced_servers=named(topology.synced_row(place.chunk.policy, partition)),
    )
