"""The rebalancer: what it does first, when it rests, and that its status is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelstore.services import rebalancer as rebalancer_module
from reelstore.services.attention import Attention, Need
from reelstore.services.ordering import slices as slices_of
from reelstore.services.rebalance import Verify
from reelstore.services.rebalance_status import RebalanceStatus
from reelstore.services.rebalancer import BLOCKED_RETRY_SECONDS, COLLECT_SECONDS
from reelstore.services.survey import Slice
from tests.cluster import CHUNK, POLICY, Cluster, content, disk_cluster, memory_cluster


async def status_of(cluster: Cluster) -> RebalanceStatus:
    return await cluster.app.rebalancer.status()


def watch(cluster: Cluster) -> list[tuple[Slice, Verify, bool]]:
    """Return the list into which each reconcile is written from now on."""
    seen: list[tuple[Slice, Verify, bool]] = []
    reconciler = cluster.app.rebalancer.reconciler
    reconcile = reconciler.reconcile

    async def noted(where: Slice, *, verify: Verify, collect: bool = False) -> object:
        seen.append((where, verify, collect))
        return await reconcile(where, verify=verify, collect=collect)

    reconciler.reconcile = noted  # type: ignore[method-assign, assignment] # notes
    return seen


async def raise_versions(cluster: Cluster, *partitions: int) -> None:
    async with cluster.metadata.unit_of_work() as uow:
        await uow.partitions.raise_versions(POLICY, partitions)
        await uow.commit()


# ---------------------------------------------------------------------- the order of work, and rest


async def test_needs_come_before_unproved_partitions_before_surveys(cluster: Cluster) -> None:
    seen = watch(cluster)
    await raise_versions(cluster, 9)
    cluster.app.attention.add(POLICY, [3], Need(verify=True))
    await cluster.app.rebalancer.step()
    await cluster.app.rebalancer.step()
    await cluster.app.rebalancer.step()
    assert seen == [
        (Slice(POLICY, 3, 4), Verify.ALL, False),
        (Slice(POLICY, 9, 10), Verify.CHANGED, False),
        (Slice(POLICY, 0, 16), Verify.CHANGED, True),  # the first pass also collects what a crash left
    ]


async def test_needs_of_one_kind_are_done_by_runs_of_neighbours(cluster: Cluster) -> None:
    seen = watch(cluster)
    cluster.app.attention.add(POLICY, [5, 1, 2, 3, 9], Need())
    cluster.app.attention.add(POLICY, [2], Need(collect=True))
    await cluster.app.rebalancer.step()
    assert sorted((where.start, where.stop, collect) for where, _, collect in seen) == [
        (1, 2, False),
        (2, 3, True),
        (3, 4, False),
        (5, 6, False),
        (9, 10, False),
    ]


async def test_an_unsettling_need_raises_the_version_first(cluster: Cluster) -> None:
    await cluster.settle()
    cluster.server("disk1").down = True
    await cluster.probe()
    cluster.app.attention.add(POLICY, [3], Need(unsettled=True))
    cluster.app.attention.add(POLICY, [4], Need(verify=True))
    await cluster.app.rebalancer.step()
    async with cluster.metadata.snapshot() as view:
        versions = [state.version for state in await view.partitions.list(POLICY)]
    assert (versions[3], versions[4]) == (1, 0)


async def test_a_settled_cluster_rests_until_the_next_survey_is_due(cluster: Cluster) -> None:
    await cluster.store(content(5 * CHUNK))
    await cluster.settle()
    seen = watch(cluster)
    assert not await cluster.app.rebalancer.step()
    cluster.clock.advance(cluster.settings.survey_seconds - 1)
    assert not await cluster.app.rebalancer.step()
    assert seen == []
    cluster.clock.advance(2)
    assert await cluster.app.rebalancer.step()
    assert [verify for _, verify, _ in seen] == [Verify.CHANGED]


async def test_what_another_process_left_when_it_died_is_collected_in_time(cluster: Cluster) -> None:
    await cluster.store(content(3 * CHUNK))
    await cluster.settle()
    seen = watch(cluster)
    for _ in range(4):
        cluster.clock.advance(COLLECT_SECONDS / 2)
        while await cluster.app.rebalancer.step():
            pass
    collected = [collect for _, verify, collect in seen if verify is Verify.CHANGED]
    assert collected in ([True, False, True, False], [False, True, False, True])


async def test_a_slow_survey_is_not_begun_again_at_once(cluster: Cluster) -> None:
    await cluster.settle()
    cluster.clock.advance(100)
    for server in cluster.servers:
        listed = server.list

        def slow(policy: str, start: bytes, stop: bytes | None, *, listed: object = listed) -> object:
            cluster.clock.advance(10)
            return listed(policy, start, stop)  # type: ignore[operator] # as above

        server.list = slow  # type: ignore[method-assign, assignment] # takes long
    while await cluster.app.rebalancer.step():
        pass
    seen = watch(cluster)
    cluster.clock.advance(30 * 18)
    assert not await cluster.app.rebalancer.step()
    cluster.clock.advance(30 * 2)
    assert await cluster.app.rebalancer.step()
    assert len(seen) == 1


async def test_everything_is_scrubbed_once_in_its_time(cluster: Cluster) -> None:
    await cluster.store(content(20 * CHUNK))
    await cluster.settle()
    async with cluster.metadata.snapshot() as view:
        assert all(state.scrubbed_at is not None for state in await view.partitions.list(POLICY))
    seen = watch(cluster)
    await cluster.settle()
    assert Verify.ALL not in {verify for _, verify, _ in seen}
    cluster.clock.advance(cluster.settings.scrub_seconds)
    await cluster.settle()
    scrubbed = [where for where, verify, _ in seen if verify is Verify.ALL]
    assert sum(where.stop - where.start for where in scrubbed) == 16


async def test_a_server_that_is_down_does_not_keep_the_scrub_busy(cluster: Cluster) -> None:
    await cluster.store(content(20 * CHUNK))
    cluster.server("disk1").down = True
    await cluster.settle()  # comes to an end
    assert not await cluster.app.rebalancer.step()
    cluster.server("disk1").down = False
    await cluster.settle()
    async with cluster.metadata.snapshot() as view:
        assert all(state.scrubbed_at is not None for state in await view.partitions.list(POLICY))


async def test_what_is_blocked_is_tried_again_after_a_while_and_not_before(cluster: Cluster) -> None:
    await cluster.settle()
    await raise_versions(cluster, 0, 1, 2, 3, 4, 5, 6, 7)
    cluster.server("disk1").down = True
    await cluster.probe()
    while await cluster.app.rebalancer.step():
        pass
    seen = watch(cluster)
    assert not await cluster.app.rebalancer.step()
    cluster.clock.advance(BLOCKED_RETRY_SECONDS)
    assert await cluster.app.rebalancer.step()
    assert seen


async def test_slices_of_a_survey_are_cut_by_the_number_of_chunks(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.store(content(32 * CHUNK))
    monkeypatch.setattr(rebalancer_module, "SLICE_CHUNKS", 8)
    slices = await cluster.app.rebalancer._all_slices()
    assert slices == [Slice(POLICY, start, start + 4) for start in range(0, 16, 4)]
    monkeypatch.setattr(rebalancer_module, "SLICE_CHUNKS", 1)
    assert len(await cluster.app.rebalancer._all_slices()) == 16
    await cluster.settle()
    await cluster.assert_whole()


@pytest.mark.parametrize(
    ("partitions", "size_max", "slices"),
    [
        ([], 4, []),
        ([("a", 0)], 4, [("a", 0, 1)]),
        ([("a", 0), ("a", 1), ("a", 2)], 2, [("a", 0, 2), ("a", 2, 3)]),
        ([("a", 0), ("a", 2)], 4, [("a", 0, 1), ("a", 2, 3)]),
        ([("a", 1), ("b", 2)], 4, [("a", 1, 2), ("b", 2, 3)]),
    ],
)
def test_partitions_are_joined_into_bounded_runs(
    partitions: list[tuple[str, int]], size_max: int, slices: list[tuple[str, int, int]]
) -> None:
    assert list(slices_of(partitions, size_max)) == [Slice(*each) for each in slices]


# ---------------------------------------------------------------------- the truth


async def test_idle_is_said_of_a_settled_cluster(cluster: Cluster) -> None:
    await cluster.store(content(5 * CHUNK))
    await cluster.settle()
    status = await status_of(cluster)
    assert (status.state, status.reasons, status.epoch) == ("idle", (), 1)
    assert (status.partitions_total, status.partitions_done) == (16, 16)
    assert (status.bytes_total, status.bytes_moved, status.eta_seconds) == (0, 0, None)


async def test_a_new_ring_is_running_until_it_is_proved(cluster: Cluster) -> None:
    await cluster.store(content(100 * CHUNK))
    await cluster.settle()
    await cluster.add_server("disk4")
    status = await status_of(cluster)
    assert (status.state, status.epoch, status.bytes_moved) == ("running", 2, 0)
    assert status.partitions_done == 0  # nothing of it is proved by the new ring yet, moved or not
    expected = round(0.25 * 200 * CHUNK)
    assert expected / 2 < status.bytes_total < expected * 2
    assert status.eta_seconds is None  # nothing has moved: there is no rate
    await cluster.settle()
    after = await status_of(cluster)
    assert (after.state, after.partitions_done) == ("idle", 16)


async def test_progress_has_bytes_and_a_rate_and_an_end(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebalancer_module, "SLICE_PARTITIONS_MAX", 4)
    await cluster.store(content(100 * CHUNK))
    await cluster.settle()
    await cluster.add_server("disk4")
    reconciler = cluster.app.rebalancer.reconciler
    reconcile = reconciler.reconcile
    seen: list[RebalanceStatus] = []

    async def timed(where: Slice, *, verify: Verify, collect: bool = False) -> object:
        outcome = await reconcile(where, verify=verify, collect=collect)
        cluster.clock.advance(1)
        seen.append(await status_of(cluster))
        return outcome

    reconciler.reconcile = timed  # type: ignore[method-assign, assignment] # takes a second each
    for _ in range(4):
        await cluster.app.rebalancer.step()
    moved = [status.bytes_moved for status in seen]
    assert moved == sorted(moved)
    assert moved[-1] > 0
    assert all(status.bytes_total >= status.bytes_moved for status in seen)
    assert [status.partitions_done for status in seen] == [4, 8, 12, 16]
    assert seen[1].rate_bytes_per_second > 0
    assert seen[1].eta_seconds is not None


async def test_a_partition_that_a_handoff_serves_is_not_idle(cluster: Cluster) -> None:
    await cluster.settle()
    cluster.server("disk1").down = True
    await cluster.store(content(20 * CHUNK))
    assert (await status_of(cluster)).state == "running"
    await cluster.settle()
    status = await status_of(cluster)
    assert status.state == "blocked"
    assert status.reasons == ("unreachable: disk1",)
    assert status.partitions_done < 16
    cluster.server("disk1").down = False
    await cluster.settle()
    assert (await status_of(cluster)).state == "idle"


async def test_a_version_that_nobody_looked_at_yet_is_not_idle(cluster: Cluster) -> None:
    await cluster.settle()
    await raise_versions(cluster, 5)
    status = await status_of(cluster)
    assert (status.state, status.partitions_done) == ("running", 15)


async def test_full_servers_are_a_reason_that_ends_when_there_is_room(cluster: Cluster) -> None:
    await cluster.store(content(60 * CHUNK))
    await cluster.settle()
    await cluster.add_server("disk4")
    cluster.server("disk4").full = True
    await cluster.settle()
    status = await status_of(cluster)
    assert status.state == "blocked"
    assert all(reason.startswith("full: server disk4: ") for reason in status.reasons)
    cluster.server("disk4").full = False
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_chunk_that_was_lost_is_not_called_idle_after_a_restart(cluster: Cluster) -> None:
    """Idle is proved by a listing and never assumed: a process that has not listed yet does not know."""
    await cluster.store(content(5 * CHUNK))
    await cluster.settle()
    for name, shard in await cluster.row((await cluster.chunks())[0]):
        await cluster.server(name).inner.delete(shard)
    await cluster.settle()
    assert (await status_of(cluster)).state == "blocked"
    await cluster.restart()
    assert (await status_of(cluster)).state != "idle"
    await cluster.settle()
    assert (await status_of(cluster)).state == "blocked"


# ---------------------------------------------------------------------- attention


def test_needs_of_a_partition_are_joined_and_taken_once_in_order() -> None:
    attention = Attention()
    attention.add("p", [3, 1], Need(verify=True))
    attention.add("p", [1], Need(collect=True))
    attention.add("a", [9], Need(unsettled=True))
    assert attention.wake.is_set()
    assert len(attention) == 3
    assert list(attention.take().items()) == [
        (("a", 9), Need(unsettled=True)),
        (("p", 1), Need(verify=True, collect=True)),
        (("p", 3), Need(verify=True)),
    ]
    assert attention.take() == {}
    assert not attention.wake.is_set()


# ---------------------------------------------------------------------- the same on disk


async def test_repair_and_growth_settle_on_disk_too(tmp_path: Path) -> None:
    data = content(8 * CHUNK)
    async with disk_cluster(tmp_path, copies=3, servers=4) as cluster:
        video = await cluster.store(data)
        for shard in sorted((await cluster.shards())["disk2"])[:3]:
            await cluster.server("disk2").truncate(shard, 3)
        for shard in sorted((await cluster.shards())["disk3"])[:3]:
            await cluster.server("disk3").inner.delete(shard)
        await cluster.add_server("disk5", url=(tmp_path / "more").as_uri())
        await cluster.settle()
        await cluster.assert_whole()
        assert await cluster.read(video.id) == data


@pytest.mark.parametrize("copies", [1, 2, 3])
async def test_any_number_of_copies_settles(copies: int) -> None:
    async with memory_cluster(copies=copies, servers=4) as cluster:
        data = content(20 * CHUNK)
        video = await cluster.store(data)
        await cluster.add_server("disk5", zone="elsewhere")
        await cluster.settle()
        await cluster.assert_whole()
        assert await cluster.read(video.id) == data
