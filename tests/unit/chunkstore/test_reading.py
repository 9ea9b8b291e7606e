"""Reading a range: every shape of it, a bounded look ahead, and memory that comes back."""

from __future__ import annotations

import asyncio

import pytest

from reelstore.chunkstore import reading
from reelstore.chunkstore.budget import MemoryBudget
from reelstore.chunkstore.cache import ChunkCache
from reelstore.chunkstore.reading import READ_AHEAD_CHUNKS_MAX, RangeReader, ReadingTools
from reelstore.domain.chunk import Chunk, ChunkRef, ChunkState
from reelstore.domain.errors import ChunkLost, ChunkUnavailable, StoredFileNotFound
from reelstore.domain.video import Video
from reelstore.storage.interface import ByteString
from tests.cluster import CHUNK, POLICY, Cluster, content, until

SIZE = 3 * CHUNK + 100
EDGES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 1, 3 * CHUNK, SIZE - 1, SIZE]


def tools(cluster: Cluster) -> ReadingTools:
    return cluster.app.store._reading


def limited(cluster: Cluster, limit_bytes: int, **more: float) -> None:
    """Give all readers together that much, and no cache that would hide what is fetched."""
    store = cluster.app.store
    store._cache = ChunkCache(store._fetcher.fetch, limit_bytes=0)
    store._reading = ReadingTools(
        cluster.metadata, store._cache, MemoryBudget(limit_bytes, **more), tools(cluster).activity
    )


class Fetches:
    """Stand between the cache and the servers: count, hold and spoil."""

    def __init__(self, cluster: Cluster) -> None:
        self.done: list[Chunk] = []
        self.begun: list[Chunk] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        self._fetch = cluster.app.store._fetcher.fetch
        cluster.app.store._cache._fetch = self.fetch

    async def fetch(self, chunk: Chunk) -> ByteString:
        self.begun.append(chunk)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        data = await self._fetch(chunk)
        self.done.append(chunk)
        return data


async def reader_of(cluster: Cluster, video: Video, start: int = 0, stop: int | None = None) -> RangeReader:
    return await cluster.app.store.read(video.file_id, start, video.size_bytes if stop is None else stop)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("start", EDGES)
async def test_every_range_gives_exactly_its_bytes(cluster: Cluster, start: int) -> None:
    data = content(SIZE)
    video = await cluster.store(data)
    for stop in EDGES:
        if start <= stop:
            assert await cluster.read(video.id, start, stop) == data[start:stop]
    assert tools(cluster).budget.used_bytes == 0


async def test_pieces_are_cut_at_chunks_and_never_empty(cluster: Cluster) -> None:
    video = await cluster.store(content(SIZE))
    reader = await reader_of(cluster, video, CHUNK - 1, 3 * CHUNK + 1)
    assert [len(piece) async for piece in reader] == [1, CHUNK, CHUNK, 1]


async def test_an_empty_range_and_an_empty_file_have_no_piece(cluster: Cluster) -> None:
    video = await cluster.store(b"")
    assert [piece async for piece in await reader_of(cluster, video)] == []
    video = await cluster.store(content(SIZE))
    assert [piece async for piece in await reader_of(cluster, video, 5, 5)] == []


async def test_a_range_touches_no_chunk_that_it_does_not_need(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    fetches = Fetches(cluster)
    await cluster.read(video.id, 7 * CHUNK, 8 * CHUNK)
    assert len(fetches.begun) == 1
    await cluster.read(video.id, 10 * CHUNK - 1, 10 * CHUNK + 1)
    assert len(fetches.begun) == 3


async def test_a_file_of_many_pages_of_the_chunk_map_is_read_in_order(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAP_PAGE_CHUNKS", 3)
    data = content(20 * CHUNK + 5)
    video = await cluster.store(data)
    assert await cluster.read(video.id) == data
    assert await cluster.read(video.id, 5 * CHUNK + 1, 17 * CHUNK) == data[5 * CHUNK + 1 : 17 * CHUNK]


# ---------------------------------------------------------------------- ahead of the reader


async def test_the_first_chunk_is_verified_before_the_reader_is_handed_over(cluster: Cluster) -> None:
    video = await cluster.store(content(5 * CHUNK))
    for name, held in (await cluster.shards()).items():
        for shard in held:
            await cluster.server(name).replace(shard, b"bad")
    with pytest.raises(ChunkLost):
        await reader_of(cluster, video)
    assert tools(cluster).budget.used_bytes == 0


async def test_no_more_than_two_chunks_are_read_ahead(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    fetches = Fetches(cluster)
    reader = await reader_of(cluster, video)
    await settled()  # a slow reader
    assert len(fetches.begun) == 1 + READ_AHEAD_CHUNKS_MAX
    for taken in range(1, 6):
        await anext(reader)
        await settled()
        assert len(fetches.begun) == taken + READ_AHEAD_CHUNKS_MAX
        assert tools(cluster).budget.used_bytes == (1 + READ_AHEAD_CHUNKS_MAX) * CHUNK
    await reader.aclose()
    assert tools(cluster).budget.used_bytes == 0


async def test_a_reader_who_leaves_gives_its_memory_back_and_stops_reading(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    fetches = Fetches(cluster)
    reader = await reader_of(cluster, video)
    await anext(reader)
    await reader.aclose()
    await reader.aclose()
    assert tools(cluster).budget.used_bytes == 0
    await settled()
    begun = len(fetches.begun)
    await settled()
    assert len(fetches.begun) == begun <= 1 + READ_AHEAD_CHUNKS_MAX
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


async def test_opening_that_is_cancelled_gives_its_memory_back(cluster: Cluster) -> None:
    video = await cluster.store(content(5 * CHUNK))
    fetches = Fetches(cluster)
    fetches.gate = asyncio.Event()
    opening = asyncio.create_task(reader_of(cluster, video))
    await until(lambda: fetches.begun)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert tools(cluster).budget.used_bytes == 0
    fetches.gate.set()
    assert await cluster.read(video.id) == content(5 * CHUNK)


async def test_a_reader_cancelled_in_the_middle_gives_its_memory_back(cluster: Cluster) -> None:
    video = await cluster.store(content(9 * CHUNK))
    fetches = Fetches(cluster)
    reader = await reader_of(cluster, video)
    await settled()
    fetches.gate = asyncio.Event()

    async def read_on() -> None:
        try:
            async for _ in reader:
                pass
        finally:
            await reader.aclose()

    reading_on = asyncio.create_task(read_on())
    await until(lambda: len(fetches.begun) > 1 + READ_AHEAD_CHUNKS_MAX)
    reading_on.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading_on
    assert tools(cluster).budget.used_bytes == 0


async def test_readers_keep_within_the_memory_that_all_of_them_share(cluster: Cluster) -> None:
    bodies = [content(12 * CHUNK, seed=seed) for seed in range(6)]
    videos = [await cluster.store(body) for body in bodies]
    limited(cluster, 4 * CHUNK)
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, tools(cluster).budget.used_bytes)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    read = await asyncio.gather(*(cluster.read(video.id) for video in videos))
    watching.cancel()
    assert read == bodies
    assert 0 < highest <= 4 * CHUNK
    assert tools(cluster).budget.used_bytes == 0


async def test_a_reader_that_stalls_keeps_one_chunk_and_goes_on_where_it_was(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "STALL_SECONDS", 0.0)
    data = content(6 * CHUNK + 1)
    video = await cluster.store(data)
    reader = await reader_of(cluster, video)
    got = b""
    async for piece in reader:
        got += piece
        await settled()
        assert tools(cluster).budget.used_bytes <= CHUNK
    assert got == data
    assert tools(cluster).budget.used_bytes == 0


async def test_reading_ahead_leaves_half_of_the_memory_to_readers_that_begin(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    limited(cluster, 8 * CHUNK, patience_seconds=0.0)
    readers = [await reader_of(cluster, video) for _ in range(6)]
    assert tools(cluster).budget.used_bytes == 8 * CHUNK  # each has its own, and only the first one two ahead
    for reader in readers:
        await reader.aclose()


async def test_with_memory_for_one_chunk_a_reader_still_comes_to_its_end(cluster: Cluster) -> None:
    data = content(5 * CHUNK + 1)
    video = await cluster.store(data)
    limited(cluster, CHUNK)
    assert await cluster.read(video.id) == data


async def test_many_readers_of_one_video_share_its_fetches(cluster: Cluster) -> None:
    data = content(6 * CHUNK)
    video = await cluster.store(data)
    fetches = Fetches(cluster)
    assert await asyncio.gather(*(cluster.read(video.id) for _ in range(10))) == [data] * 10
    assert len(fetches.begun) == 6


# ---------------------------------------------------------------------- failures in the middle


@pytest.mark.parametrize("error", [ChunkUnavailable("down", digest=""), ChunkLost("gone", digest="")])
async def test_an_error_in_the_middle_comes_after_the_bytes_before_it(cluster: Cluster, error: Exception) -> None:
    data = content(9 * CHUNK)
    video = await cluster.store(data)
    fetches = Fetches(cluster)
    reader = await reader_of(cluster, video)
    await settled()
    fetches.error = error
    got = bytearray()

    async def read_on() -> None:
        async for piece in reader:
            got.extend(piece)

    with pytest.raises(type(error)):
        await read_on()
    await reader.aclose()
    assert bytes(got) == data[: (1 + READ_AHEAD_CHUNKS_MAX) * CHUNK]
    assert tools(cluster).budget.used_bytes == 0


async def test_a_reader_whose_chunk_map_is_old_reads_it_again_and_goes_on_at_the_same_byte(cluster: Cluster) -> None:
    """A chunk map is a cache (rule 8): what it names may have been rewritten into other chunks and collected."""
    data = content(6 * CHUNK)
    video = await cluster.store(data)
    reader = RangeReader(tools(cluster), video.file_id, 10, 6 * CHUNK)
    collected = [Chunk(f"{number}" * 32, POLICY, bytes([number]) * 32, 100, ChunkState.LIVE) for number in range(4)]
    reader._map.extend(ChunkRef(number, 100 * number, chunk) for number, chunk in enumerate(collected))
    reader._mapped = 400
    assert b"".join([bytes(piece) async for piece in reader]) == data[10:]
    assert tools(cluster).budget.used_bytes == 0


async def test_a_file_that_does_not_exist_is_named(cluster: Cluster) -> None:
    with pytest.raises(StoredFileNotFound) as caught:
        await cluster.app.store.read("nothing", 0, 1)
    assert caught.value.key == "nothing"
    assert tools(cluster).budget.used_bytes == 0
