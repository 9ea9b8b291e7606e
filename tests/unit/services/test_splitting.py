"""Twice the partitions: nothing moves, nothing is forgotten, and everything is proved anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.chunk import Chunk, ChunkState, ShardName
from reelstore.placement import builder
from reelstore.placement.ring import Seat
from reelstore.repositories.interface import PartitionState
from reelstore.services.attention import Attention, Need
from reelstore.services.epochs import begin_epochs, present_layout, split_layout
from reelstore.services.locations import holds
from reelstore.services.rebalance import Verify
from reelstore.services.survey import Expected
from reelstore.services.verified import VerifiedThrough
from reelstore.storage.interface import ShardEntry
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster
from tests.protocol.world import HookedMetadata
from tests.unit.services.scenes import EVERYTHING, kept, reconciler, shard_on

ADDED = ServerChange(ChangeAction.ADD, "disk4", url="memory:")


async def test_a_split_is_an_epoch_of_its_own_that_moves_nothing(cluster: Cluster) -> None:
    body = content(40 * CHUNK)
    video = await cluster.store(body)
    await cluster.settle()
    before, ring = await cluster.shards(), cluster.app.topology.present.ring(POLICY)
    puts = sum(server.calls["put"] for server in cluster.servers)
    assert await cluster.app.changes.split() == 2
    wide = cluster.app.topology.present.ring(POLICY)
    assert (wide.epoch, wide.partitions) == (2, 2 * ring.partitions)
    assert all(wide.row(index) == ring.row(index // 2) for index in range(wide.partitions))
    async with cluster.metadata.snapshot() as view:
        assert len(await view.partitions.unsettled(POLICY, epoch=2)) == wide.partitions
        (event,) = await view.events.latest(limit=1)
    assert event.message == "epoch 2: split the partitions"
    assert await cluster.read(video.id) == body
    await cluster.settle()
    assert await cluster.shards() == before
    assert sum(server.calls["put"] for server in cluster.servers) == puts
    await cluster.assert_whole()


async def test_rows_from_before_a_split_are_read_until_they_have_moved(cluster: Cluster) -> None:
    body = content(60 * CHUNK)
    video = await cluster.store(body)
    await cluster.settle()
    await cluster.app.changes.change([ADDED])
    await cluster.app.changes.split()
    await cluster.app.changes.change([ServerChange(ChangeAction.DRAIN, "disk1")])
    await cluster.app.changes.split()
    assert await cluster.read(video.id) == body
    assert not any(server.calls["find"] for server in cluster.servers)  # nothing had to be searched for
    topology = cluster.app.topology.present
    assert holds(topology, POLICY, 0).any()  # it drains, and has everything still
    assert len(holds(topology, POLICY, 0)) == 64
    assert (await cluster.app.rebalancer.status()).bytes_total > 0
    cluster.server("disk2").down = True
    for _ in range(5):
        await cluster.probe()
    cluster.server("disk2").down = False
    await cluster.probe()  # a server that returns unsettles the rows that it had before the split, too
    await cluster.settle()
    await cluster.assert_whole()
    assert await cluster.read(video.id) == body


async def test_a_change_from_before_a_split_is_cancelled_after_it_but_for_rounding(cluster: Cluster) -> None:
    await cluster.store(content(60 * CHUNK))
    await cluster.settle()
    planned = await cluster.app.changes.change([ADDED])
    await cluster.app.changes.split()
    reverted = await cluster.app.changes.plan_revert(1)
    assert reverted.bytes_total < planned.bytes_total / 10


async def test_an_upload_goes_on_over_a_split(cluster: Cluster) -> None:
    body = content(30 * CHUNK)

    async def arriving() -> AsyncIterator[bytes]:
        for index in range(3):
            yield body[index * 10 * CHUNK : (index + 1) * 10 * CHUNK]
            await cluster.app.changes.split()

    stored = await cluster.send(arriving())
    await cluster.settle()
    await cluster.assert_whole()
    assert await cluster.read(stored.video.id) == body


async def test_a_purge_before_a_split_frees_its_bytes_after_it(cluster: Cluster) -> None:
    video = await cluster.store(content(30 * CHUNK))
    await cluster.settle()
    await cluster.app.videos.purge(video.id, expected_version=None)
    await cluster.app.changes.split()
    await cluster.app.rebalancer.step()
    assert await cluster.chunks() == []
    await cluster.settle()
    assert not any((await cluster.shards()).values())


def test_what_is_noted_of_a_partition_is_noted_of_its_parts() -> None:
    attention = Attention()
    attention.add("a", [1, 2], Need(collect=True))
    attention.add("b", [1], Need(verify=True))
    attention.widen("a", 2)
    assert attention.take() == {
        **{("a", index): Need(collect=True) for index in range(4, 12)},
        ("b", 1): Need(verify=True),
    }


async def test_a_process_that_learns_of_anothers_split_follows_with_what_it_noted(cluster: Cluster) -> None:
    async with cluster.metadata.unit_of_work() as uow:  # as another process does it
        layout = await present_layout(uow)
        following = split_layout(split_layout(layout, [POLICY]), [POLICY]).newest
        between = split_layout(layout, [POLICY]).newest
        await begin_epochs(uow, layout.newest, [between, following], reason="a test", at=await uow.now())
        await uow.commit()
    cluster.app.attention.add(POLICY, [3], Need(verify=True))
    await cluster.app.changes.follow()
    assert cluster.app.attention.take() == {(POLICY, index): Need(verify=True) for index in range(12, 16)}


async def test_a_change_splits_first_when_there_are_too_few_partitions_for_its_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(builder, "PARTITION_BITS_DEFAULT", 4)
    monkeypatch.setattr(builder, "QUOTA_MIN", 20)
    async with memory_cluster(servers=3, partition_bits=6) as cluster:
        body = content(60 * CHUNK)
        video = await cluster.store(body)
        await cluster.settle()
        changes = [ServerChange(ChangeAction.ADD, f"more{index}", url="memory:") for index in range(5)]
        small = await cluster.app.changes.plan(changes[:1])
        plan = await cluster.app.changes.plan(changes)
        applied = await cluster.app.changes.apply(plan.id)
        assert applied.applied_epoch == cluster.app.topology.present.epoch == 3  # the split is epoch 2
        assert cluster.app.topology.present.ring(POLICY).partition_bits == 7
        async with cluster.metadata.snapshot() as view:
            history = await view.rings.history(limit=3)
            assert [record.reason for record in history[:2]] == [plan.reason, "split the partitions"]
        assert small.bytes_total > 0
        await cluster.settle()
        await cluster.assert_whole()
        moved = sum(len(shards) for name, shards in (await cluster.shards()).items() if name.startswith("more"))
        assert moved * CHUNK == plan.bytes_total
        assert await cluster.read(video.id) == body
        assert (await cluster.app.changes.plan_revert()).changes[0].name == "more0"


async def test_a_ring_that_was_begun_with_few_partitions_keeps_them(cluster: Cluster) -> None:
    await cluster.app.changes.change([ADDED])
    assert cluster.app.topology.present.ring(POLICY).partition_bits == 4


async def test_what_was_scrubbed_by_numbers_from_before_a_split_does_not_count_as_scrubbed() -> None:
    async with memory_cluster(metadata=HookedMetadata) as cluster:
        await kept(cluster)
        async with cluster.metadata.unit_of_work() as uow:
            await uow.partitions.set_scrubbed(POLICY, range(16), at=None)
            await uow.commit()

        async def split_meanwhile() -> None:
            await cluster.app.changes.split()

        assert isinstance(cluster.metadata, HookedMetadata)
        cluster.metadata.before_unit(split_meanwhile)
        await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.ALL)
        async with cluster.metadata.snapshot() as view:
            states = await view.partitions.list(POLICY)
        assert len(states) == 32
        assert not any(state.scrubbed_at for state in states)


async def test_a_shard_found_corrupt_by_numbers_from_before_a_split_is_mended_all_the_same() -> None:
    async with memory_cluster(metadata=HookedMetadata) as cluster:
        video_id, data = await kept(cluster)
        await cluster.server("disk1").flip(await shard_on(cluster, "disk1"))

        async def split_meanwhile() -> None:
            await cluster.app.changes.split()

        assert isinstance(cluster.metadata, HookedMetadata)
        cluster.metadata.before_unit(split_meanwhile)
        await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.ALL)
        await cluster.settle()
        await cluster.assert_whole()
        assert await cluster.read(video_id) == data


def test_what_was_verified_is_forgotten_when_partitions_are_numbered_anew() -> None:
    chunk = Chunk("1" * 24, POLICY, bytes(32), 7, ChunkState.LIVE)
    shard = Expected(chunk, Seat(0, 1, 5), 3, ShardEntry(ShardName(POLICY, bytes(32), chunk.id, 0, 5), 7, changed_ns=9))
    state, verified = PartitionState(POLICY, 3, 0, 1, 0), VerifiedThrough()
    verified.follow(POLICY, 16)
    assert shard.entry is not None
    assert verified.is_due(state, 1, shard.entry)
    verified.note(POLICY, [shard], but=())
    verified.follow(POLICY, 16)
    assert not verified.is_due(state, 1, shard.entry)
    verified.follow(POLICY, 32)
    assert verified.is_due(state, 1, shard.entry)
