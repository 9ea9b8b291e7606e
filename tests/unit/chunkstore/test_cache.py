"""The chunk cache: bounded, and one fetch in flight for each chunk."""

from __future__ import annotations

import asyncio
import gc

import pytest

from reelstore.chunkstore.cache import ChunkCache
from reelstore.domain.chunk import Chunk, ChunkState
from reelstore.domain.errors import ChunkLost, ChunkUnavailable


def chunk(number: int, *, policy: str = "default", size_bytes: int = 10, chunk_id: str | None = None) -> Chunk:
    return Chunk(chunk_id or f"c{number}", policy, number.to_bytes(32, "big"), size_bytes, ChunkState.LIVE)


class Source:
    """Count fetches; wait for `gate` where one is set."""

    def __init__(self, *, size_bytes: int = 10) -> None:
        self.size_bytes = size_bytes
        self.fetched: list[Chunk] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None

    async def fetch(self, wanted: Chunk) -> bytes:
        self.fetched.append(wanted)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return wanted.policy.encode()[:1] + wanted.digest[-1:] * (self.size_bytes - 1)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_kept_chunk_is_not_fetched_again() -> None:
    source = Source()
    cache = ChunkCache(source.fetch, limit_bytes=100)
    assert await cache.get(chunk(1)) == await cache.get(chunk(1))
    assert len(source.fetched) == 1


async def test_readers_of_one_chunk_share_one_fetch() -> None:
    source = Source()
    source.gate = asyncio.Event()
    cache = ChunkCache(source.fetch, limit_bytes=0)
    readers = [asyncio.create_task(cache.get(chunk(1))) for _ in range(20)]
    await turns()
    source.gate.set()
    assert len({bytes(data) for data in await asyncio.gather(*readers)}) == 1
    assert len(source.fetched) == 1


async def test_a_reader_who_leaves_does_not_take_the_fetch_from_the_others() -> None:
    source = Source()
    source.gate = asyncio.Event()
    cache = ChunkCache(source.fetch, limit_bytes=100)
    first, second = (asyncio.create_task(cache.get(chunk(1))) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    source.gate.set()
    assert len(await second) == 10
    assert len(source.fetched) == 1


async def test_an_error_reaches_everybody_who_waits_and_is_not_kept() -> None:
    source = Source()
    source.gate = asyncio.Event()
    source.error = ChunkUnavailable("down", digest="")
    cache = ChunkCache(source.fetch, limit_bytes=100)
    readers = [asyncio.create_task(cache.get(chunk(1))) for _ in range(3)]
    await turns()
    source.gate.set()
    results = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(result) for result in results] == [ChunkUnavailable] * 3
    source.error = None
    assert len(await cache.get(chunk(1))) == 10


async def test_the_chunk_that_was_not_read_for_the_longest_time_goes_first() -> None:
    source = Source()
    cache = ChunkCache(source.fetch, limit_bytes=20)
    await cache.get(chunk(1))
    await cache.get(chunk(2))
    await cache.get(chunk(1))  # read again: 2 is the oldest now
    await cache.get(chunk(3))
    source.fetched.clear()
    await cache.get(chunk(1))
    await cache.get(chunk(3))
    assert source.fetched == []
    await cache.get(chunk(2))
    assert len(source.fetched) == 1


@pytest.mark.parametrize("limit_bytes", [0, 9, 10, 11, 25])
async def test_the_cache_never_holds_more_than_its_limit(limit_bytes: int) -> None:
    cache = ChunkCache(Source().fetch, limit_bytes=limit_bytes)
    for number in range(10):
        await cache.get(chunk(number))
        kept = sum(len(data) for data in cache._kept.values())
        assert kept == cache._kept_bytes <= limit_bytes
    assert len(cache._kept) == limit_bytes // 10


async def test_two_policies_and_two_digests_are_never_mixed_up() -> None:
    cache = ChunkCache(Source().fetch, limit_bytes=1000)
    answers = [bytes(await cache.get(each)) for each in (chunk(1), chunk(2), chunk(1, policy="other"))]
    assert len(set(answers)) == 3


async def test_the_same_bytes_in_another_row_are_the_same_chunk_to_a_reader() -> None:
    source = Source()
    cache = ChunkCache(source.fetch, limit_bytes=100)
    await cache.get(chunk(1))
    await cache.get(chunk(1, chunk_id="another"))
    assert len(source.fetched) == 1


async def test_a_row_that_is_gone_does_not_take_a_new_row_of_the_same_bytes_with_it() -> None:
    gone, there = chunk(1, chunk_id="gone"), chunk(1, chunk_id="there")

    async def fetch(wanted: Chunk) -> bytes:
        await turns()
        if wanted is gone:
            raise ChunkLost("purged while it was being read", digest="")
        return b"0123456789"

    cache = ChunkCache(fetch, limit_bytes=100)
    lost, read = await asyncio.gather(cache.get(gone), cache.get(there), return_exceptions=True)
    assert isinstance(lost, ChunkLost)
    assert read == b"0123456789"


async def test_two_rows_of_the_same_bytes_that_are_read_at_once_are_kept_once() -> None:
    cache = ChunkCache(Source().fetch, limit_bytes=100)
    await asyncio.gather(*(cache.get(chunk(1, chunk_id=row)) for row in ("a", "b")))
    assert cache._kept_bytes == 10


async def test_a_fetch_that_fails_when_all_who_waited_have_left_is_nobodys_alarm() -> None:
    source = Source()
    source.gate, source.error = asyncio.Event(), ChunkUnavailable("down", digest="")
    cache = ChunkCache(source.fetch, limit_bytes=100)
    alarms: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: alarms.append(context))
    waiting = asyncio.create_task(cache.get(chunk(1)))
    await turns()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    del waiting
    source.gate.set()
    await turns()
    gc.collect()
    assert alarms == []


async def test_closing_stops_what_is_under_way_and_forgets_the_rest() -> None:
    source = Source()
    cache = ChunkCache(source.fetch, limit_bytes=100)
    await cache.get(chunk(1))
    source.gate = asyncio.Event()
    waiting = asyncio.create_task(cache.get(chunk(2)))
    await turns()
    await cache.close()
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)
    assert not cache._kept
    assert cache._kept_bytes == 0
