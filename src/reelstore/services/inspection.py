"""Show where a video lies, and prove that it does."""

from __future__ import annotations

from dataclasses import dataclass

from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.chunk import ChunkRef
from reelstore.domain.errors import InvalidCursor
from reelstore.placement.ring import Seat
from reelstore.repositories.interface import Metadata
from reelstore.services.lookup import found_video
from reelstore.services.pages import Page, check_limit, decode_cursor, encode_cursor
from reelstore.services.proving import ShardProver, Tally

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
    """What is wrong with one shard: `missing`, `corrupt` or `unreachable`; by digest in hexadecimal, and by name."""

    chunk: str
    server: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading and hashing every shard of a video showed; at most `PROBLEMS_MAX` problems are listed.

    `shards_moving` of the `shards_ok` are not yet where the newest ring wants them, and good where they are.
    """

    video_id: str
    shards_total: int
    shards_ok: int
    shards_moving: int
    problems: tuple[ShardProblem, ...]
    problems_truncated: bool


class VideoInspector:
    """Look at where videos lie, without changing anything.

    Args:
        metadata, topology: where shards should be.
        prover: reads and hashes them.
    """

    def __init__(self, metadata: Metadata, topology: TopologyCache, prover: ShardProver) -> None:
        self._metadata = metadata
        self._topology = topology
        self._prover = prover

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
            MetadataUnavailable: a retry can help.
        """
        tally = Tally(PROBLEMS_MAX)
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
            tally.add(await self._prover.prove([place.chunk for place in places]))
        return Verification(
            video_id,
            tally.shards_total,
            tally.shards_ok,
            tally.shards_moving,
            tuple(
                ShardProblem(proof.chunk.digest.hex(), names.get(proof.server, str(proof.server)), proof.state.value)
                for proof in tally.problems
            ),
            tally.problems_truncated,
        )


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
