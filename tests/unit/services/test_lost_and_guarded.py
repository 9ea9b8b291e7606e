"""What reconciling does about chunks that are nowhere, and what it must never do."""

from __future__ import annotations

import asyncio

import pytest

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import MetadataUnavailable
from reelstore.repositories.interface import NewChunk, UnitOfWork
from reelstore.services.attention import Need
from reelstore.services.rebalance import Verify
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster, until
from tests.unit.services.scenes import EVERYTHING, kept, reconciler

# ---------------------------------------------------------------------- lost


async def test_a_lost_chunk_is_told_of_and_found_again(cluster: Cluster) -> None:
    video_id, data = await kept(cluster)
    (chunk, *_) = await cluster.chunks()
    row = await cluster.row(chunk)
    good = await cluster.server(row[0][0]).inner.get(row[0][1])
    for name, shard in row:
        await cluster.server(name).inner.delete(shard)
    await cluster.settle()
    status = await cluster.app.rebalancer.status()
    assert status.state == "blocked"
    assert "lost: 1 chunk on no server" in status.reasons
    assert set(reconciler(cluster).lost) == {chunk.id}
    await cluster.settle()  # it stays on the list
    assert "lost: 1 chunk on no server" in (await cluster.app.rebalancer.status()).reasons
    found = ShardName(POLICY, chunk.digest, chunk.id, 0, 42)
    await cluster.server("disk3").inner.put(found, good)
    await cluster.settle()
    await cluster.assert_whole()
    assert await cluster.read(video_id) == data


async def test_a_lost_chunk_stays_an_alert_while_a_server_is_silent_and_the_ring_changes() -> None:
    async with memory_cluster(servers=4) as cluster:
        video_id, data = await kept(cluster)
        (chunk, *_) = await cluster.chunks()
        row = await cluster.row(chunk)
        good = await cluster.server(row[0][0]).inner.get(row[0][1])
        for name, shard in row:
            await cluster.server(name).inner.delete(shard)
        await cluster.settle()
        for name, _ in row:
            cluster.server(name).down = True
            await cluster.probe()
            await cluster.settle()
            assert set(reconciler(cluster).lost) == {chunk.id}
        await cluster.add_server("disk5")
        await cluster.settle()
        assert set(reconciler(cluster).lost) == {chunk.id}
        assert (await cluster.app.health.status()).health == "critical"
        for name, _ in row:
            cluster.server(name).down = False
        await cluster.server(row[0][0]).inner.put(row[0][1], good)
        await cluster.probe()
        await cluster.settle()
        assert reconciler(cluster).lost == {}
        assert await cluster.read(video_id) == data


async def test_a_lost_chunk_that_nobody_needs_any_more_is_no_alert(cluster: Cluster) -> None:
    video_id, _ = await kept(cluster)
    (chunk, *_) = await cluster.chunks()
    for name, shard in await cluster.row(chunk):
        await cluster.server(name).inner.delete(shard)
    await cluster.settle()
    assert set(reconciler(cluster).lost) == {chunk.id}
    await cluster.app.videos.purge(video_id, expected_version=None)
    await cluster.settle()
    assert reconciler(cluster).lost == {}


async def test_what_is_on_no_server_and_was_read_lately_is_made_again(cluster: Cluster) -> None:
    video_id, data = await kept(cluster)
    assert await cluster.read(video_id) == data
    for chunk in await cluster.chunks():
        for name, shard in await cluster.row(chunk):
            await cluster.server(name).inner.delete(shard)
    await cluster.settle()
    assert reconciler(cluster).lost == {}
    await cluster.assert_whole()


async def test_a_lost_chunk_does_not_keep_the_others_from_being_settled(cluster: Cluster) -> None:
    await kept(cluster, 60)
    (chunk, *_) = await cluster.chunks()
    for name, shard in await cluster.row(chunk):
        await cluster.server(name).inner.delete(shard)
    await cluster.add_server("disk4")
    await cluster.settle()
    async with cluster.metadata.snapshot() as view:
        assert await view.partitions.unsettled(POLICY, epoch=2) == []
    promised, held = await cluster.promised(), await cluster.shards()
    gone = {shard for _, shard in await cluster.row(chunk)}
    assert held == {name: shards - gone for name, shards in promised.items()}


async def test_the_bad_copies_of_a_lost_chunk_are_left_to_an_operator(cluster: Cluster) -> None:
    await kept(cluster)
    (chunk, *_) = await cluster.chunks()
    for name, shard in await cluster.row(chunk):
        await cluster.server(name).flip(shard)
    stray = ShardName(POLICY, chunk.digest, chunk.id, 1, 42)
    await cluster.server("disk3").inner.put(stray, bytes(CHUNK))
    before = await cluster.shards()
    await cluster.settle()
    await cluster.settle()
    assert await cluster.shards() == before
    assert set(reconciler(cluster).lost) == {chunk.id}


async def test_a_chunk_is_not_called_lost_while_a_server_does_not_answer(cluster: Cluster) -> None:
    await kept(cluster)
    (chunk, *_) = await cluster.chunks()
    row = await cluster.row(chunk)
    cluster.server(row[0][0]).down = True
    await cluster.server(row[1][0]).inner.delete(row[1][1])
    await cluster.settle()
    assert reconciler(cluster).lost == {}
    status = await cluster.app.rebalancer.status()
    assert status.state == "blocked"
    assert any(row[0][0] in reason for reason in status.reasons)
    cluster.server(row[0][0]).down = False
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_lost_chunk_that_nobody_needs_any_more_leaves_the_list(cluster: Cluster) -> None:
    video_id, _ = await kept(cluster, 1)
    for name, shard in await cluster.row((await cluster.chunks())[0]):
        await cluster.server(name).inner.delete(shard)
    await cluster.settle()
    assert reconciler(cluster).lost
    await cluster.app.videos.purge(video_id, expected_version=None)
    await cluster.settle()
    await cluster.assert_whole()


# ---------------------------------------------------------------------- what it must not do


async def test_a_version_raised_during_the_listing_leaves_the_partition_unproved(cluster: Cluster) -> None:
    await kept(cluster)
    everything = range(16)
    async with cluster.metadata.unit_of_work() as uow:
        await uow.partitions.raise_versions(POLICY, list(everything))
        await uow.commit()
    gate, listed = cluster.server("disk2").hold("list"), cluster.server("disk2").calls["list"]
    running = asyncio.create_task(reconciler(cluster).reconcile(EVERYTHING, verify=Verify.CHANGED))
    await until(lambda: cluster.server("disk2").calls["list"] > listed)
    async with cluster.metadata.unit_of_work() as uow:
        await uow.partitions.raise_versions(POLICY, [3, 7])
        await uow.commit()
    gate.set()
    await running
    async with cluster.metadata.snapshot() as view:
        assert await view.partitions.unsettled(POLICY, epoch=1) == [3, 7]


async def test_a_ring_applied_during_the_listing_leaves_everything_unproved(cluster: Cluster) -> None:
    await kept(cluster)
    async with cluster.metadata.unit_of_work() as uow:
        await uow.partitions.raise_versions(POLICY, list(range(16)))
        await uow.commit()
    gate, listed = cluster.server("disk2").hold("list"), cluster.server("disk2").calls["list"]
    running = asyncio.create_task(reconciler(cluster).reconcile(EVERYTHING, verify=Verify.CHANGED))
    await until(lambda: cluster.server("disk2").calls["list"] > listed)
    await cluster.add_server("disk4")
    gate.set()
    before = await cluster.shards()
    outcome = await running
    async with cluster.metadata.snapshot() as view:
        assert await view.partitions.unsettled(POLICY, epoch=2) == list(range(16))
    assert outcome.freed_bytes == 0
    assert await cluster.shards() == before


async def test_a_server_that_stops_answering_while_it_is_verified_blocks_its_partitions(cluster: Cluster) -> None:
    await kept(cluster)
    server = cluster.server("disk1")
    server.fail_next("digest", times=1)
    outcome = await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.ALL)
    assert outcome.blocked
    assert all("unreachable" in reason for reason in outcome.blocked.values())
    async with cluster.metadata.snapshot() as view:
        states = await view.partitions.list(POLICY)
    assert outcome.put_bytes == 0
    assert len(states) == 16


async def test_metadata_that_fails_during_a_repair_is_reported_as_what_it_is(cluster: Cluster) -> None:
    await kept(cluster)
    for shard in (await cluster.shards())["disk1"]:
        await cluster.server("disk1").inner.delete(shard)
        chunk = next(chunk for chunk in await cluster.chunks() if chunk.digest == shard.digest)
        for name, other in await cluster.row(chunk):
            if name != "disk1":
                await cluster.server(name).flip(other)
    await cluster.probe()
    snapshot = cluster.metadata.snapshot
    taken = 0

    def failing() -> UnitOfWork:
        nonlocal taken
        taken += 1
        if taken > 2:  # after those of the survey: in the search for a chunk
            raise MetadataUnavailable("locked")
        return snapshot()

    cluster.metadata.snapshot = failing  # type: ignore[method-assign] # fails
    with pytest.raises(MetadataUnavailable):
        await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.CHANGED)
    cluster.metadata.snapshot = snapshot  # type: ignore[method-assign] # as it was


async def test_a_crash_at_any_call_to_a_server_loses_nothing(cluster: Cluster) -> None:
    video_id, data = await kept(cluster)
    await cluster.store(content(5 * CHUNK, seed=5))
    await cluster.add_server("disk4")
    for operation in ("list", "put", "delete", "record_delete_rounds", "check"):
        for server in cluster.servers:
            server.fail_next(operation, error=lambda: RuntimeError("the process died here"))
        for _ in range(30):
            try:
                if not await cluster.app.rebalancer.step():
                    break
            except RuntimeError:
                await cluster.restart()
        for server in cluster.servers:
            server._failing.clear()
        assert await cluster.read(video_id) == data
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_need_to_collect_frees_what_a_broken_upload_left(cluster: Cluster) -> None:
    await kept(cluster, 3)
    async with cluster.metadata.unit_of_work() as uow:
        await uow.chunks.obtain(POLICY, [NewChunk("e" * 32, bytes([0x10]) * 32, 5)])
        await uow.commit()
    await cluster.server("disk1").inner.put(ShardName(POLICY, bytes([0x10]) * 32, "e" * 32, 0, 9), b"12345")
    cluster.app.attention.add(POLICY, [1], Need(collect=True))
    assert await cluster.app.rebalancer.step()
    assert len(await cluster.chunks()) == 3
    assert await cluster.shards() == await cluster.promised()
