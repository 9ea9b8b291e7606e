"""Forcing out a server that does not answer: refused while it may hold a last shard, unless that is accepted."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import (
    ChunkLost,
    Conflict,
    InvalidInput,
    RemovalUnsafe,
    ServerNotFound,
    WarningsNotAccepted,
)
from reelstore.domain.event import EventKind
from reelstore.domain.server import ServerState
from tests.cluster import CHUNK, Cluster, content, memory_cluster
from tests.protocol.world import HookedMetadata
from tests.unit.services.scenes import history, kept
from tests.unit.services.test_removal import registered


async def down(cluster: Cluster, *names: str) -> None:
    for name in names:
        cluster.server(name).down = True
    await cluster.probe()


async def test_a_dead_server_that_nothing_depends_on_goes_at_once_and_the_rest_heals(cluster: Cluster) -> None:
    video_id, data = await kept(cluster)
    await down(cluster, "disk3")
    forced = await cluster.app.forced_removal.remove("disk3")
    assert (forced.risk.chunks, forced.risk.videos) == (0, ())
    assert (await registered(cluster, "disk3")).state is ServerState.REMOVED
    assert cluster.names == ["disk1", "disk2"]
    await cluster.settle()
    await cluster.assert_whole()
    assert await cluster.read(video_id) == data
    event, *_ = await history(cluster, "disk3")
    assert (event.kind, event.data["forced"], event.data["chunks_at_risk"]) == (EventKind.SERVER_REMOVED, True, 0)


async def test_a_server_that_answers_is_not_forced_out(cluster: Cluster) -> None:
    with pytest.raises(Conflict, match="it is drained first"):
        await cluster.app.forced_removal.remove("disk3")
    await down(cluster, "disk3")
    cluster.server("disk3").down = False  # it is back, and no probe has seen that
    with pytest.raises(Conflict, match="it is drained first"):
        await cluster.app.forced_removal.remove("disk3", accept_loss="disk3")
    assert (await registered(cluster, "disk3")).state is ServerState.ACTIVE


async def test_a_server_that_may_hold_the_last_copy_stays_and_the_videos_are_named() -> None:
    async with memory_cluster(servers=3, copies=1) as cluster:
        video_id, _ = await kept(cluster)
        await down(cluster, "disk1")
        epoch = cluster.app.topology.present.epoch
        with pytest.raises(RemovalUnsafe) as caught:
            await cluster.app.forced_removal.remove("disk1")
        assert [dict(video) for video in caught.value.videos] == [{"id": video_id, "name": "video.mp4"}]
        assert caught.value.reasons
        assert (await registered(cluster, "disk1")).state is ServerState.ACTIVE
        assert cluster.app.topology.present.epoch == epoch  # nothing has changed


async def test_a_loss_is_accepted_by_the_servers_name_alone_and_then_told() -> None:
    async with memory_cluster(servers=3, copies=1) as cluster:
        video_id, data = await kept(cluster)
        lost = len(await cluster.listing("disk1"))
        await down(cluster, "disk1")
        for wrong in ("", "disk2", "yes", "DISK1"):
            with pytest.raises(InvalidInput, match="repeat the name"):
                await cluster.app.forced_removal.remove("disk1", accept_loss=wrong)
        forced = await cluster.app.forced_removal.remove("disk1", accept_loss="disk1")
        assert (forced.risk.chunks, forced.risk.size_bytes) == (lost, lost * CHUNK)
        event, *_ = await history(cluster, "disk1")
        assert event.data["videos_at_risk"] == [{"id": video_id, "name": "video.mp4"}]
        await cluster.settle()
        status = await cluster.app.health.status()
        assert status.health == "critical"
        assert len(cluster.app.attention.lost) == lost
        with pytest.raises(ChunkLost):
            assert await cluster.read(video_id) != data


async def test_a_second_silent_server_counts_as_having_nothing_and_is_named() -> None:
    async with memory_cluster(servers=4) as cluster:
        await kept(cluster, chunks=60)
        await down(cluster, "disk1", "disk2")
        with pytest.raises(RemovalUnsafe) as caught:
            await cluster.app.forced_removal.remove("disk1")
        assert any("disk2 does not answer either" in reason for reason in caught.value.reasons)
        cluster.server("disk2").down = False
        await cluster.probe()
        await cluster.app.forced_removal.remove("disk1")


async def test_a_copy_on_a_stand_in_counts() -> None:
    async with memory_cluster(servers=4) as cluster:
        cluster.server("disk1").down = True
        await cluster.probe()
        await cluster.store(content(40 * CHUNK))  # a stand-in has what disk1 should have
        await down(cluster, "disk2")
        cluster.server("disk1").down = False
        await cluster.probe()
        await cluster.app.forced_removal.remove("disk2")
        await cluster.settle()
        await cluster.assert_whole()


async def test_a_ring_that_would_be_too_small_must_be_accepted_too() -> None:
    async with memory_cluster(servers=2) as cluster:
        video_id, data = await kept(cluster)
        await down(cluster, "disk2")
        with pytest.raises(WarningsNotAccepted):
            await cluster.app.forced_removal.remove("disk2")
        assert (await registered(cluster, "disk2")).state is ServerState.ACTIVE
        await cluster.app.forced_removal.remove("disk2", accept_warnings=True)
        assert await cluster.read(video_id) == data


async def test_one_that_is_drained_already_is_only_looked_at_once_more(cluster: Cluster) -> None:
    await kept(cluster)
    await down(cluster, "disk3")
    await cluster.app.changes.change([ServerChange(ChangeAction.REMOVE, "disk3")])
    await cluster.settle()
    epoch = cluster.app.topology.present.epoch
    await cluster.app.forced_removal.remove("disk3")
    assert cluster.app.topology.present.epoch == epoch
    with pytest.raises(ServerNotFound):
        await cluster.app.forced_removal.remove("disk3")


async def test_a_removed_server_that_shows_up_again_is_never_asked_anything(cluster: Cluster) -> None:
    await kept(cluster)
    dead = cluster.server("disk3")
    await down(cluster, "disk3")
    await cluster.app.forced_removal.remove("disk3")
    dead.down = False
    calls = sum(dead.calls.values())
    before = len(dead.inner._stored)  # type: ignore[attr-defined]  # a memory server
    await cluster.settle()
    await cluster.store(content(40 * CHUNK, seed=9), name="later")
    await cluster.restart()
    await cluster.settle()
    assert cluster.names == ["disk1", "disk2"]
    assert sum(dead.calls.values()) == calls
    assert len(dead.inner._stored) == before  # type: ignore[attr-defined]  # the same
    await cluster.assert_whole()


async def test_a_server_that_answers_again_between_the_looks_stays() -> None:
    async with memory_cluster(metadata=HookedMetadata) as cluster:
        await kept(cluster)
        await down(cluster, "disk3")

        async def back() -> None:
            cluster.server("disk3").down = False

        assert isinstance(cluster.metadata, HookedMetadata)
        cluster.metadata.before_unit(back)
        with pytest.raises(Conflict, match="it is drained first"):
            await cluster.app.forced_removal.remove("disk3")
        assert (await registered(cluster, "disk3")).state is ServerState.DRAINING
        await cluster.settle()
        await cluster.assert_whole()


async def test_a_refusal_at_the_second_look_says_that_the_server_is_drained_by_now() -> None:
    async with memory_cluster(metadata=HookedMetadata) as cluster:
        await kept(cluster)
        await down(cluster, "disk3")

        async def another_fails() -> None:
            cluster.server("disk2").down = True

        assert isinstance(cluster.metadata, HookedMetadata)
        cluster.metadata.before_unit(another_fails)
        with pytest.raises(RemovalUnsafe, match="it is drained, and takes nothing new") as caught:
            await cluster.app.forced_removal.remove("disk3")
        assert any("disk2 does not answer either" in reason for reason in caught.value.reasons)
        assert (await registered(cluster, "disk3")).state is ServerState.DRAINING


async def test_what_was_lost_before_is_not_lost_with_it() -> None:
    async with memory_cluster(servers=3) as cluster:
        await kept(cluster, chunks=60)
        for chunk in (await cluster.chunks())[::10]:
            for name, shard in await cluster.row(chunk):
                await cluster.server(name).inner.delete(shard)
        await cluster.settle()
        assert len(cluster.app.attention.lost) == 6
        await down(cluster, "disk3")
        forced = await cluster.app.forced_removal.remove("disk3")
        assert (forced.risk.chunks, forced.risk.size_bytes) == (0, 0)
        await cluster.settle()
        assert len(cluster.app.attention.lost) == 6


@settings(max_examples=12, deadline=None)
@given(
    lost=st.sets(st.tuples(st.sampled_from(["disk2", "disk3", "disk4"]), st.integers(0, 30))),
    torn=st.sets(st.tuples(st.sampled_from(["disk2", "disk3", "disk4"]), st.integers(0, 30))),
    silent=st.sampled_from([(), ("disk2",), ("disk3", "disk4")]),
)
def test_what_is_called_at_risk_is_exactly_what_no_other_server_that_answers_has(
    lost: set[tuple[str, int]], torn: set[tuple[str, int]], silent: tuple[str, ...]
) -> None:
    async def run() -> None:
        async with memory_cluster(servers=4) as cluster:
            await kept(cluster, chunks=12)
            for name, index in lost | torn:
                entries = await cluster.listing(name)
                if entries and (name, index) in torn:
                    await cluster.server(name).truncate(entries[index % len(entries)].name, 7)
                elif entries:
                    await cluster.server(name).inner.delete(entries[index % len(entries)].name)
            elsewhere = {
                entry.name.chunk
                for name in {"disk2", "disk3", "disk4"} - set(silent)
                for entry in await cluster.listing(name)
                if entry.size_bytes == CHUNK
            }
            may_lie_there = {chunk.id for chunk in await cluster.chunks() if "disk1" in dict(await cluster.row(chunk))}
            await down(cluster, "disk1", *silent)
            risk = await cluster.app.forced_removal._risks.of(await registered(cluster, "disk1"))
            assert risk.chunks == len(may_lie_there - elsewhere)
            assert risk.silent == (set(silent) if silent else set())

    asyncio.run(run())
