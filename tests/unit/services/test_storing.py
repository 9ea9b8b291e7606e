"""Storing: any body comes back byte for byte, and a body that fails leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from reelstore.chunkstore.body import PiecedBody
from reelstore.domain.errors import (
    IncompleteBody,
    InsufficientServers,
    InsufficientStorage,
    InvalidInput,
    PolicyNotFound,
    TooLarge,
)
from reelstore.domain.video import VideoState
from reelstore.services import video_requests
from reelstore.services.video_requests import StoreRequest
from tests.cluster import CHUNK, Cluster, content, memory_cluster, pieces, until


async def assert_nothing_is_left(cluster: Cluster) -> None:
    """Prove that a failed store is not to be seen, holds no memory, and leaves no bytes after settling."""
    async with cluster.metadata.snapshot() as view:
        totals = await view.videos.totals()
    assert (totals.videos, totals.open_files) == (0, 0)
    assert cluster.app.store._writing.buffers._budget.used_bytes == 0
    await cluster.settle()
    assert await cluster.chunks() == []
    assert not any((await cluster.shards()).values())


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


# ---------------------------------------------------------------------- what comes back


@pytest.mark.parametrize(
    "size_bytes",
    [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 7 * CHUNK + 123, 16 * CHUNK, 17 * CHUNK, 33 * CHUNK + 1],
)
async def test_a_body_of_any_size_comes_back_byte_for_byte(cluster: Cluster, size_bytes: int) -> None:
    data = content(size_bytes)
    video = await cluster.store(data)
    assert video.size_bytes == size_bytes
    assert await cluster.read(video.id) == data
    await cluster.settle()
    await cluster.assert_whole()
    assert len(await cluster.chunks()) == -(-size_bytes // CHUNK)


@pytest.mark.parametrize("piece_bytes", [1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
async def test_how_a_body_arrives_makes_no_difference(cluster: Cluster, piece_bytes: int) -> None:
    data = content(2 * CHUNK + 5)
    video = await cluster.store(data, piece_bytes=piece_bytes)
    assert await cluster.read(video.id) == data
    assert [chunk.size_bytes for chunk in await cluster.chunks()].count(CHUNK) == 2


async def test_empty_pieces_and_other_kinds_of_bytes_are_fine(cluster: Cluster) -> None:
    async def body() -> AsyncIterator[bytes | bytearray | memoryview]:
        yield b""
        yield bytearray(b"ab")
        yield memoryview(b"cd")
        yield b""

    stored = await cluster.app.videos.store(StoreRequest("x"), PiecedBody(body()))
    assert await cluster.read(stored.video.id) == b"abcd"


async def test_a_sender_may_use_its_piece_again_at_once(cluster: Cluster) -> None:
    async def body() -> AsyncIterator[bytearray]:
        piece = bytearray(CHUNK)
        for number in range(5):
            piece[:] = bytes([number]) * CHUNK
            yield piece

    stored = await cluster.app.videos.store(StoreRequest("x"), PiecedBody(body()))
    assert await cluster.read(stored.video.id) == b"".join(bytes([number]) * CHUNK for number in range(5))


async def test_what_was_said_of_the_video_is_kept(cluster: Cluster) -> None:
    video = await cluster.store(
        b"x", name="a.mp4", title="A", description="one\ntwo", tags=("x", " y ", "x"), content_type="video/mp4"
    )
    assert (video.name, video.title, video.description) == ("a.mp4", "A", "one\ntwo")
    assert (video.tags, video.content_type, video.state) == (("x", "y"), "video/mp4", VideoState.STORED)
    assert (video.policy, video.version) == ("default", 1)
    assert video.created_at == video.updated_at == cluster.clock.now
    assert await cluster.app.videos.get(video.id) == video


async def test_without_a_title_the_name_is_the_title(cluster: Cluster) -> None:
    assert (await cluster.store(b"x", name="film.mkv")).title == "film.mkv"


async def test_each_chunk_lies_on_as_many_servers_as_the_policy_asks_for() -> None:
    async with memory_cluster(servers=5, copies=3) as cluster:
        await cluster.store(content(20 * CHUNK))
        shards = [name for held in (await cluster.shards()).values() for name in held]
        assert len(shards) == 60
        assert await cluster.shards() == await cluster.promised()


# ---------------------------------------------------------------------- announced lengths


@pytest.mark.parametrize("announced", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
async def test_a_body_of_the_announced_length_is_taken(cluster: Cluster, announced: int) -> None:
    assert (await cluster.store(content(announced), length_bytes=announced)).size_bytes == announced


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK, 3 * CHUNK - 1, 3 * CHUNK + 1, 9 * CHUNK])
async def test_a_body_of_another_length_is_refused_and_leaves_nothing(cluster: Cluster, size_bytes: int) -> None:
    with pytest.raises(IncompleteBody):
        await cluster.store(content(size_bytes), length_bytes=3 * CHUNK)
    await assert_nothing_is_left(cluster)


async def test_a_body_that_goes_on_past_its_length_is_not_read_to_its_end(cluster: Cluster) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield bytes(CHUNK)

    with pytest.raises(IncompleteBody):
        await cluster.send(endless(), length_bytes=2 * CHUNK)
    assert read == 3


async def test_the_size_limit_holds_at_the_bound_and_one_byte_past_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("reelstore.services.videos", "reelstore.services.video_requests"):
        monkeypatch.setattr(f"{module}.UPLOAD_SIZE_BYTES_MAX", 2 * CHUNK)
    assert (await cluster.store(content(2 * CHUNK))).size_bytes == 2 * CHUNK
    with pytest.raises(TooLarge) as caught:
        await cluster.store(content(2 * CHUNK + 1, seed=1))
    assert caught.value.limit == 2 * CHUNK
    with pytest.raises(TooLarge):
        StoreRequest("x", length_bytes=2 * CHUNK + 1)
    assert StoreRequest("x", length_bytes=2 * CHUNK).length_bytes == 2 * CHUNK


def test_the_largest_video_has_16_tib() -> None:
    assert video_requests.UPLOAD_SIZE_BYTES_MAX == 16 * 2**40
    StoreRequest("x", length_bytes=16 * 2**40)
    with pytest.raises(TooLarge):
        StoreRequest("x", length_bytes=16 * 2**40 + 1)


# ---------------------------------------------------------------------- bodies that fail


@pytest.mark.parametrize("after_bytes", [0, 1, CHUNK, 3 * CHUNK + 5, 40 * CHUNK])
async def test_a_body_that_fails_half_way_leaves_nothing(cluster: Cluster, after_bytes: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        async for piece in pieces(content(after_bytes), 1000):
            yield piece
        raise ConnectionResetError("the client is gone")

    with pytest.raises(ConnectionResetError, match="the client is gone"):
        await cluster.send(body())
    await assert_nothing_is_left(cluster)


@pytest.mark.parametrize("after_bytes", [0, CHUNK + 1, 20 * CHUNK])
async def test_a_store_that_is_cancelled_half_way_leaves_nothing(cluster: Cluster, after_bytes: int) -> None:
    waits = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield content(after_bytes)
        waits.set()
        await asyncio.Event().wait()

    storing = asyncio.create_task(cluster.send(body()))
    await waits.wait()
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    await assert_nothing_is_left(cluster)


async def test_a_store_that_is_cancelled_while_servers_take_its_bytes_leaves_nothing(cluster: Cluster) -> None:
    gates = [server.hold("put") for server in cluster.servers]
    storing = asyncio.create_task(cluster.store(content(3 * CHUNK)))
    await until(lambda: any(server.calls["put"] for server in cluster.servers))
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    for gate in gates:
        gate.set()
    await assert_nothing_is_left(cluster)


async def test_too_few_servers_refuse_a_store_and_leave_nothing(cluster: Cluster) -> None:
    for name in ("disk1", "disk2"):
        cluster.server(name).down = True
    with pytest.raises(InsufficientServers) as caught:
        await cluster.store(content(3 * CHUNK))
    assert caught.value.needed == 2
    assert caught.value.acknowledged == 1
    for server in cluster.servers:
        server.down = False
    await assert_nothing_is_left(cluster)


async def test_full_servers_refuse_a_store_and_leave_nothing(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.full = True
    with pytest.raises(InsufficientStorage):
        await cluster.store(content(3 * CHUNK))
    await assert_nothing_is_left(cluster)


async def test_one_server_down_is_replaced_and_the_video_is_whole_after_it_is_back(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    data = content(30 * CHUNK)
    video = await cluster.store(data)
    assert sum(map(len, (await cluster.shards()).values())) == 60  # two copies of each all the same
    cluster.server("disk1").down = False
    await cluster.settle()
    await cluster.assert_whole()
    assert await cluster.read(video.id) == data


async def test_an_upload_that_expired_under_its_gateway_is_to_be_sent_again(cluster: Cluster) -> None:
    gates = [server.hold("put") for server in cluster.servers]
    storing = asyncio.create_task(cluster.store(content(3 * CHUNK)))
    await until(lambda: any(server.calls["put"] for server in cluster.servers))
    cluster.clock.advance(10_000)
    assert await cluster.app.expire()
    for gate in gates:
        gate.set()
    with pytest.raises(IncompleteBody, match="send it again"):
        await storing
    await assert_nothing_is_left(cluster)


# ---------------------------------------------------------------------- the same bytes


async def test_the_same_bytes_twice_are_stored_once(cluster: Cluster) -> None:
    data = content(5 * CHUNK + 1)
    first, second = await cluster.store(data), await cluster.store(data)
    assert first.id != second.id
    assert first.file_id != second.file_id
    assert len(await cluster.chunks()) == 6
    assert await cluster.shards() == await cluster.promised()
    assert await cluster.read(second.id) == data


async def test_the_same_bytes_at_once_are_stored_once(cluster: Cluster) -> None:
    data = content(9 * CHUNK + 1)
    videos = await asyncio.gather(*(cluster.store(data) for _ in range(4)))
    assert len({video.id for video in videos}) == 4
    assert len(await cluster.chunks()) == 10
    for video in videos:
        assert await cluster.read(video.id) == data
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_body_that_repeats_itself_is_one_chunk(cluster: Cluster) -> None:
    video = await cluster.store(bytes(20 * CHUNK))
    assert len(await cluster.chunks()) == 1
    assert await cluster.read(video.id) == bytes(20 * CHUNK)


async def test_storing_the_same_bytes_again_heals_what_was_missing(cluster: Cluster) -> None:
    data = content(5 * CHUNK)
    await cluster.store(data)
    for shard in (await cluster.shards())["disk1"]:
        await cluster.server("disk1").inner.delete(shard)
    await cluster.store(data)
    assert await cluster.shards() == await cluster.promised()


# ---------------------------------------------------------------------- requests that break a rule


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "x" * 1025}, "name"),
        ({"name": "é" * 513}, "name"),
        ({"title": "x" * 1025}, "title"),
        ({"title": "a\tb"}, "title"),
        ({"description": "x" * (16 * 1024 + 1)}, "description"),
        ({"description": "\x1b[2J"}, "description"),
        ({"tags": ("",)}, "tags"),
        ({"tags": ("x" * 129,)}, "tags"),
        ({"tags": tuple(map(str, range(65)))}, "tags"),
        ({"content_type": "vidéo/mp4"}, "content_type"),
        ({"content_type": "video/mp4\r\nx: y"}, "content_type"),
        ({"content_type": "x" * 256}, "content_type"),
        ({"idempotency_key": ""}, "Idempotency-Key"),
        ({"idempotency_key": "x" * 256}, "Idempotency-Key"),
        ({"idempotency_key": "a\nb"}, "Idempotency-Key"),
    ],
)
def test_a_field_that_breaks_its_rule_is_named(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        StoreRequest(**{"name": "x"} | fields)  # type: ignore[arg-type] # wrong on purpose
    assert caught.value.field == field


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x" * 1024},
        {"name": "é" * 512},
        {"title": "x" * 1024},
        {"description": "x" * 16 * 1024},
        {"description": "a\r\n\tb"},
        {"tags": tuple(map(str, range(64)))},
        {"tags": ("x" * 128,)},
        {"content_type": "x" * 255},
        {"idempotency_key": "x" * 255},
    ],
)
def test_a_field_at_its_limit_is_taken(fields: dict[str, object]) -> None:
    StoreRequest(**{"name": "x"} | fields)  # type: ignore[arg-type] # as above


async def test_an_unknown_policy_is_refused_before_the_body_is_read(cluster: Cluster) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    with pytest.raises(PolicyNotFound, match="default"):
        await cluster.send(unread(), policy="other")


async def test_a_body_without_any_piece_is_an_empty_video(cluster: Cluster) -> None:
    stored = await cluster.send(nothing())
    assert stored.created
    assert await cluster.read(stored.video.id) == b""
