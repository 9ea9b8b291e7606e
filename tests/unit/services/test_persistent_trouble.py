"""Trouble that lasts: a full server, what cannot be repaired, a server that stays away, metadata that fails."""

from __future__ import annotations

import pytest

from reelstore.domain.errors import MetadataUnavailable, ServerFull
from reelstore.services.outcome import Outcome
from reelstore.services.rebalance import Verify
from reelstore.services.survey import Slice
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster


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


async def test_what_was_verified_is_not_read_again_at_every_retry_while_a_server_of_its_row_is_away(
    cluster: Cluster,
) -> None:
    await cluster.store(content(20 * CHUNK))
    await cluster.settle()
    cluster.server("disk3").down = True
    await cluster.probe()
    await cluster.store(content(20 * CHUNK, seed=1))
    await cluster.settle(probe=False)
    read = [server.calls["digest"] for server in cluster.servers]
    assert sum(read)
    for _ in range(3):
        await cluster.settle(probe=False)
    assert [server.calls["digest"] for server in cluster.servers] == read


async def test_what_needs_attention_does_not_wait_until_all_that_a_new_server_is_to_have_has_moved(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelstore.services.rebalancer.SLICE_PARTITIONS_MAX", 1)
    await cluster.store(content(30 * CHUNK))
    await cluster.settle()
    await cluster.add_server("disk4")
    await cluster.app.rebalancer.step()
    doomed = await cluster.store(content(CHUNK, seed=1))
    await cluster.app.videos.purge(doomed.id, expected_version=None)
    await cluster.app.rebalancer.step()
    assert len(await cluster.chunks()) == 30
    assert (await cluster.app.rebalancer.status()).state == "running"


async def test_attention_that_never_ends_does_not_keep_the_survey_from_seeing_everything(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    await cluster.settle()
    for shards in (await cluster.shards()).values():
        assert shards
    gone = min((await cluster.shards())["disk1"])
    await cluster.server("disk1").inner.delete(gone)
    for _ in range(60):
        cluster.clock.advance(60)
        await cluster.app.videos.purge((await cluster.store(b"x")).id, expected_version=None)
        await cluster.app.rebalancer.step()
    assert gone in (await cluster.shards())["disk1"]
    assert await cluster.read(video.id) == content(20 * CHUNK)


async def test_what_was_to_be_collected_is_noted_again_when_the_metadata_fails(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    await cluster.settle()
    await cluster.app.videos.purge(video.id, expected_version=None)
    reconciler = cluster.app.rebalancer.reconciler
    reconcile = reconciler.reconcile

    async def fail(where: Slice, *, verify: Verify, collect: bool = False) -> Outcome:
        reconciler.reconcile = reconcile  # type: ignore[method-assign] # fails once
        raise MetadataUnavailable(f"busy: {where}, {verify}, {collect}")

    reconciler.reconcile = fail  # type: ignore[method-assign] # the same
    with pytest.raises(MetadataUnavailable):
        await cluster.app.rebalancer.step()
    await cluster.app.rebalancer.step()
    assert await cluster.chunks() == []


async def test_a_scrub_slice_is_cut_by_the_number_of_chunks(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelstore.services.rebalancer.SCRUB_CHUNKS", 8)
    await cluster.store(content(32 * CHUNK))
    while await cluster.app.rebalancer._unproved() or await cluster.app.rebalancer._survey():
        pass
    await cluster.app.rebalancer._scrub()
    async with cluster.metadata.snapshot() as view:
        states = await view.partitions.list(POLICY)
    assert [state.index for state in states if state.scrubbed_at is not None] == [0, 1, 2, 3]


@pytest.mark.parametrize("operation", ["list", "digest", "check", "record_delete_rounds", "delete", "put", "set_aside"])
async def test_a_server_that_never_returns_from_a_call_does_not_stop_the_background(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("survey", "delete_rounds"):
        monkeypatch.setattr(f"reelstore.services.{module}.ANSWER_SECONDS", 0.1)
    async with memory_cluster(get_timeout_seconds=0.1, put_timeout_seconds=0.1) as cluster:
        video = await cluster.store(content(20 * CHUNK))
        await cluster.settle()
        await cluster.app.videos.purge(video.id, expected_version=None)
        await cluster.store(content(20 * CHUNK, seed=1))
        await cluster.server("disk1").truncate(min((await cluster.shards())["disk1"]), 3)
        answers = cluster.server("disk1").hold(operation)
        await cluster.settle(probe=False)
        answers.set()
        await cluster.settle()
        await cluster.assert_whole()


async def test_a_look_at_a_video_ends_though_a_server_never_answers() -> None:
    async with memory_cluster(get_timeout_seconds=0.1) as cluster:
        video = await cluster.store(content(20 * CHUNK))
        cluster.server("disk1").hold("digest")
        found = await cluster.app.inspector.verify(video.id)
        assert {(problem.server, problem.problem) for problem in found.problems} == {("disk1", "unreachable")}
        assert found.shards_ok == 40 - len(found.problems)


async def test_a_cluster_that_has_lost_a_chunk_is_not_well_until_it_is_found_again(cluster: Cluster) -> None:
    await cluster.store(content(CHUNK))
    await cluster.settle()
    (chunk,) = await cluster.chunks()
    for name, shard in await cluster.row(chunk):
        await cluster.server(name).inner.delete(shard)
    await cluster.settle()
    status = await cluster.app.health.status()
    assert status.health == "critical"
    assert status.reasons == ("1 chunk on no server: parts of videos cannot be read",)
    name, shard = (await cluster.row(chunk))[0]
    await cluster.server(name).inner.put(shard, content(CHUNK))
    await cluster.settle()
    assert (await cluster.app.health.status()).health == "ok"
    await cluster.assert_whole()
