"""`Idempotency-Key`: one request, one video, however often it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from reelstore.domain.errors import IncompleteBody, VideoStateConflict
from reelstore.services.retention import IDEMPOTENCY_KEEP
from tests.cluster import CHUNK, Cluster, content, pieces


async def unread() -> AsyncIterator[bytes]:
    raise AssertionError("the body was read")
    yield b""


async def count(cluster: Cluster) -> int:
    async with cluster.metadata.snapshot() as view:
        totals = await view.videos.totals()
    assert totals.open_files == 0
    return totals.videos


async def test_a_repeated_request_answers_with_the_first_video_and_does_not_read_the_body(cluster: Cluster) -> None:
    first = await cluster.send(pieces(b"abc"), idempotency_key="k")
    again = await cluster.send(unread(), idempotency_key="k")
    assert (first.created, again.created) == (True, False)
    assert again.video == first.video
    assert await count(cluster) == 1


async def test_the_answer_is_the_video_as_it_is_now(cluster: Cluster) -> None:
    first = await cluster.send(pieces(b"abc"), idempotency_key="k")
    trashed = await cluster.app.videos.trash(first.video.id, expected_version=None)
    assert (await cluster.send(unread(), idempotency_key="k")).video == trashed


@pytest.mark.parametrize(
    "other",
    [
        {"name": "b.mp4"},
        {"title": "B"},
        {"description": "b"},
        {"tags": ("b",)},
        {"policy": "default"},
        {"length_bytes": 3},
    ],
)
async def test_the_key_of_another_request_is_refused(cluster: Cluster, other: dict[str, Any]) -> None:
    await cluster.send(pieces(b"abc"), idempotency_key="k")
    with pytest.raises(VideoStateConflict):
        await cluster.send(unread(), idempotency_key="k", **other)


async def test_requests_with_one_key_at_once_make_one_video(cluster: Cluster) -> None:
    gates = [server.hold("put") for server in cluster.servers]
    sent = [asyncio.create_task(cluster.send(pieces(content(3 * CHUNK)), idempotency_key="k")) for _ in range(5)]
    await asyncio.sleep(0.01)  # all of them have begun, and none knows of another
    for gate in gates:
        gate.set()
    stored = await asyncio.gather(*sent)
    assert [each.created for each in stored].count(True) == 1
    assert len({each.video.id for each in stored}) == 1
    assert await count(cluster) == 1
    await cluster.settle()
    await cluster.assert_whole()


async def test_other_requests_with_one_key_at_once_make_one_video_and_a_conflict(cluster: Cluster) -> None:
    gates = [server.hold("put") for server in cluster.servers]
    sent = [asyncio.create_task(cluster.send(pieces(content(CHUNK)), name=name, idempotency_key="k")) for name in "ab"]
    await asyncio.sleep(0.01)
    for gate in gates:
        gate.set()
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert sum(isinstance(result, VideoStateConflict) for result in results) == 1
    assert await count(cluster) == 1


async def test_a_request_that_failed_leaves_its_key_free(cluster: Cluster) -> None:
    with pytest.raises(IncompleteBody):
        await cluster.send(pieces(b"abc"), idempotency_key="k", length_bytes=5)
    assert (await cluster.send(pieces(b"abcde"), idempotency_key="k", length_bytes=5)).created


async def test_different_keys_are_different_videos(cluster: Cluster) -> None:
    for key in ("k", "K", "k ", "ключ"):
        assert (await cluster.send(pieces(b"abc"), idempotency_key=key)).created
    assert await count(cluster) == 4


async def test_the_key_of_a_purged_video_is_refused_before_the_body_is_read(cluster: Cluster) -> None:
    first = await cluster.send(pieces(b"abc"), idempotency_key="k")
    await cluster.app.videos.purge(first.video.id, expected_version=None)
    with pytest.raises(VideoStateConflict, match="purged"):
        await cluster.send(unread(), idempotency_key="k")


async def test_a_key_is_remembered_for_a_day_and_then_forgotten(cluster: Cluster) -> None:
    first = await cluster.send(pieces(b"abc"), idempotency_key="k")
    cluster.clock.now += IDEMPOTENCY_KEEP
    assert await cluster.app.retention.forget() == 0
    assert not (await cluster.send(unread(), idempotency_key="k")).created
    cluster.clock.now += timedelta(microseconds=1)
    assert await cluster.app.retention.forget() == 1
    again = await cluster.send(pieces(b"abc"), idempotency_key="k")
    assert again.created
    assert again.video.id != first.video.id
