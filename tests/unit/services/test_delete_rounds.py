"""Rounds of deletes: stopped by what may be another's, and written down before the first of them."""

from __future__ import annotations

from reelstore.domain.chunk import ShardName
from reelstore.services.rebalance_status import RebalanceStatus
from tests.cluster import CHUNK, POLICY, Cluster, content


async def status_of(cluster: Cluster) -> RebalanceStatus:
    return await cluster.app.rebalancer.status()


async def test_stopped_deletes_are_a_reason_and_nothing_is_deleted(cluster: Cluster) -> None:
    video = await cluster.store(content(10 * CHUNK))
    await cluster.settle()
    await cluster.server("disk2").inner.record_delete_rounds(1000)  # the metadata is older than the servers
    await cluster.app.videos.purge(video.id, expected_version=None)
    before = await cluster.shards()
    await cluster.settle()
    status = await status_of(cluster)
    assert any("1000 rounds of deletes" in reason for reason in status.reasons)
    assert status.state == "blocked"
    assert await cluster.shards() == before
    assert not any(server.calls["delete"] for server in cluster.servers)


async def test_a_server_of_another_generation_stops_all_deletes(cluster: Cluster) -> None:
    video = await cluster.store(content(10 * CHUNK))
    await cluster.settle()
    inner = cluster.server("disk3").inner
    marker = await inner.check()
    inner._marker = type(marker)(marker.cluster, marker.server, "another", 0)  # type: ignore[attr-defined] # a memory's
    await cluster.app.videos.purge(video.id, expected_version=None)
    before = await cluster.shards()
    await cluster.settle()
    assert await cluster.shards() == before
    assert any("another generation" in reason for reason in (await status_of(cluster)).reasons)


async def test_a_server_that_cannot_note_the_round_keeps_its_shards(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    await cluster.settle()
    await cluster.app.videos.purge(video.id, expected_version=None)
    cluster.server("disk1").fail_next("record_delete_rounds")
    held = (await cluster.shards())["disk1"]
    await cluster.app.rebalancer.step()
    shards = await cluster.shards()
    assert (shards["disk1"], shards["disk2"], shards["disk3"]) == (held, set(), set())
    await cluster.settle()
    assert not any((await cluster.shards()).values())


async def test_each_round_is_counted_in_the_metadata_and_then_in_the_markers(cluster: Cluster) -> None:
    for expected in (1, 2):
        stray = ShardName(POLICY, bytes(32), "a" * 32, 0, expected)
        await cluster.server("disk1").inner.put(stray, b"x")
        await cluster.settle()
        async with cluster.metadata.snapshot() as view:
            owner = await view.cluster.get()
        assert owner is not None
        assert owner.delete_rounds == expected
        assert {(await server.inner.check()).delete_rounds for server in cluster.servers} == {expected}


async def test_a_round_in_which_nothing_is_to_be_deleted_is_not_begun(cluster: Cluster) -> None:
    await cluster.store(content(20 * CHUNK))
    await cluster.settle()
    assert not any(server.calls["record_delete_rounds"] for server in cluster.servers)
