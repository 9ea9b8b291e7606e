"""Trouble that lasts: a full server, what cannot be repaired, a server that stays away, metadata that fails."""

from __future__ import annotations

from reelstore.domain.errors import ServerFull
from tests.cluster import CHUNK, Cluster, content


async def test_a_server_too_full_for_its_marker_does_not_keep_the_others_from_being_freed(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    await cluster.settle()
    await cluster.app.videos.purge(video.id, expected_version=None)
    cluster.server("disk1").fail_next(
        "record_delete_rounds", times=100, error=lambda: ServerFull("no room for a marker", server="disk1")
    )
    await cluster.settle()
    left = await cluster.shards()
    assert left["disk1"]
    assert not left["disk2"]
    assert not left["disk3"]


async def test_what_cannot_be_repaired_is_tried_again_without_stopping_the_repair_of_the_rest(cluster: Cluster) -> None:
    video = await cluster.store(content(2 * CHUNK))
    await cluster.settle()
    cluster.app.rebalancer.reconciler._repairer._corrupt_per_hour_max = 10
    for name, shards in (await cluster.shards()).items():
        for shard in shards:
            await cluster.server(name).truncate(shard, 3)
    for _ in range(20):
        await cluster.settle()
    await cluster.app.videos.purge(video.id, expected_version=None)
    await cluster.store(content(5 * CHUNK, seed=1))
    await cluster.settle()
    await cluster.server("disk1").truncate(min((await cluster.shards())["disk1"]), 3)
    await cluster.settle()
    await cluster.assert_whole()
