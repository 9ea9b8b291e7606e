"""The test cluster itself: it stores, reads, restarts and settles, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import CHUNK, content, disk_cluster, memory_cluster


async def test_a_memory_cluster_stores_settles_restarts_and_reads() -> None:
    data = content(5 * CHUNK + 7)
    async with memory_cluster() as cluster:
        video = await cluster.store(data)
        await cluster.settle()
        await cluster.assert_whole()
        await cluster.restart()
        assert await cluster.read(video.id) == data
        await cluster.settle()
        await cluster.assert_whole()


async def test_a_cluster_on_disk_is_there_again_when_it_is_opened_again(tmp_path: Path) -> None:
    data = content(3 * CHUNK + 7)
    async with disk_cluster(tmp_path) as cluster:
        video = await cluster.store(data)
    async with disk_cluster(tmp_path, seed=1) as cluster:
        assert await cluster.read(video.id) == data
        await cluster.settle()
        await cluster.assert_whole()


async def test_a_server_missing_at_the_start_leaves_everything_readable() -> None:
    data = content(5 * CHUNK)
    async with memory_cluster() as cluster:
        video = await cluster.store(data)
        cluster.missing = {"disk2"}
        await cluster.restart()
        assert await cluster.read(video.id) == data
        assert (await cluster.app.health.status()).health == "degraded"


async def test_an_added_server_receives_its_part() -> None:
    data = content(40 * CHUNK)
    async with memory_cluster() as cluster:
        await cluster.store(data)
        await cluster.add_server("disk4")
        await cluster.settle()
        await cluster.assert_whole()
        assert (await cluster.shards())["disk4"]
