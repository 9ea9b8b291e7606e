"""The cluster's health says what is lost and whose it is, and why nothing is dropped for its age."""

from __future__ import annotations

from reelstore.domain.counter import Counter
from tests.cluster import CHUNK, Cluster, content


async def test_videos_that_lost_a_chunk_are_named_until_they_are_purged(cluster: Cluster) -> None:
    hit, whole = await cluster.store(content(3 * CHUNK), name="hit.mp4"), await cluster.store(b"x", name="whole.mp4")
    await cluster.settle()
    status = await cluster.app.health.status()
    assert (status.health, status.lost_chunks, status.lost_videos) == ("ok", 0, ())
    async with cluster.metadata.snapshot() as view:
        (first, *_) = await view.files.references(hit.file_id, 0, 1)
    for server in cluster.servers:
        for entry in await server.inner.find(first.chunk.policy, first.chunk.digest):
            await server.inner.delete(entry.name)
    await cluster.settle()
    await cluster.settle()
    status = await cluster.app.health.status()
    assert (status.health, status.lost_chunks) == ("critical", 1)
    assert [(video.id, video.name) for video in status.lost_videos] == [(hit.id, "hit.mp4")]
    await cluster.app.videos.purge(hit.id, expected_version=None)
    await cluster.settle()
    await cluster.settle()
    status = await cluster.app.health.status()
    assert (status.health, status.lost_chunks, status.lost_videos) == ("ok", 0, ())
    assert status.counts[Counter.VIDEOS_PURGED] == 1
    assert await cluster.read(whole.id) == b"x"


async def test_a_clock_that_has_jumped_is_a_reason(cluster: Cluster) -> None:
    await cluster.app.clock_guard.tick()
    cluster.app.clock_guard.clock = lambda: 0.0
    await cluster.app.clock_guard.tick()
    status = await cluster.app.health.status()
    assert status.health == "degraded"
    assert [reason for reason in status.reasons if "clock jumped" in reason] == [cluster.app.clock_guard.holds()]
