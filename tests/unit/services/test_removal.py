"""Removing a server: drained, proved empty by a listing, then gone; and what is said while it cannot go yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import Conflict, ServerExists, ServerNotFound
from reelstore.domain.event import EventKind
from reelstore.domain.server import Server, ServerState
from reelstore.services.removal import RemovalCheck
from tests.cluster import CHUNK, Cluster, content, disk_cluster, memory_cluster
from tests.unit.services.scenes import history, kept, shard_on


async def registered(cluster: Cluster, name: str) -> Server:
    async with cluster.metadata.snapshot() as view:
        server = await view.servers.get(name)
    assert server is not None
    return server


async def change(cluster: Cluster, action: ChangeAction, name: str) -> None:
    await cluster.app.changes.change([ServerChange(action, name)], accept_warnings=True)


async def check(cluster: Cluster, name: str) -> RemovalCheck:
    return await cluster.app.removals.check(name)


# ---------------------------------------------------------------------- removed when empty


async def test_a_server_is_removed_only_when_nothing_is_left_on_it(cluster: Cluster) -> None:
    video_id, data = await kept(cluster)
    assert await cluster.app.removals.step() == ()
    await change(cluster, ChangeAction.REMOVE, "disk3")
    number = cluster.member("disk3").server.number
    assert (await registered(cluster, "disk3")).state is ServerState.DRAINING
    while (await cluster.shards())["disk3"]:
        assert await cluster.app.removals.step() == ()
        assert await cluster.app.rebalancer.step()
    await cluster.settle()
    assert await cluster.app.removals.step() == ("disk3",)
    server = await registered(cluster, "disk3")
    assert (server.state, server.remove_when_empty) == (ServerState.REMOVED, False)
    assert cluster.app.fleet.get(number) is None
    assert [view.server.name for view in await cluster.app.servers.list()] == ["disk1", "disk2"]
    assert await cluster.read(video_id) == data
    await cluster.assert_whole()
    (event, *_) = await history(cluster, "disk3")
    assert (event.kind, event.data) == (EventKind.SERVER_REMOVED, {"forced": False})


async def test_a_plain_drain_stays_and_is_called_empty_once_that_is_proved(cluster: Cluster) -> None:
    await kept(cluster)
    await change(cluster, ChangeAction.DRAIN, "disk3")
    assert not cluster.member("disk3").is_empty
    await cluster.app.removals.step()
    assert not cluster.member("disk3").is_empty
    await cluster.settle()
    assert await cluster.app.removals.step() == ()
    assert cluster.member("disk3").is_empty
    assert (await registered(cluster, "disk3")).state is ServerState.DRAINING
    await change(cluster, ChangeAction.ACTIVATE, "disk3")
    assert not cluster.member("disk3").is_empty
    await change(cluster, ChangeAction.DRAIN, "disk3")
    assert not cluster.member("disk3").is_empty  # what was proved of an earlier drain proves nothing of this one


async def test_a_drained_server_can_be_told_to_go_and_one_that_goes_can_be_kept(cluster: Cluster) -> None:
    await kept(cluster)
    await change(cluster, ChangeAction.REMOVE, "disk3")
    await change(cluster, ChangeAction.DRAIN, "disk3")
    await cluster.settle()
    assert await cluster.app.removals.step() == ()
    await change(cluster, ChangeAction.REMOVE, "disk3")
    await cluster.settle()
    assert await cluster.app.removals.step() == ("disk3",)


async def test_a_removed_name_is_never_used_again_and_its_number_neither(cluster: Cluster) -> None:
    await change(cluster, ChangeAction.REMOVE, "disk3")
    await cluster.settle()
    await cluster.app.removals.step()
    with pytest.raises(ServerExists, match="never used again"):
        await cluster.add_server("disk3")
    assert (await cluster.add_server("disk4")).number == 3


async def test_a_removed_servers_place_is_free_for_another_name(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path) as cluster:
        video_id, data = await kept(cluster)
        place = tmp_path / "servers" / "disk3"
        await change(cluster, ChangeAction.REMOVE, "disk3")
        await cluster.settle()
        assert await cluster.app.removals.step() == ("disk3",)
        assert [*place.iterdir()] == []
        await cluster.add_server("disk4", url=place.as_uri())
        await cluster.settle()
        await cluster.assert_whole()
        assert await cluster.read(video_id) == data


async def test_a_place_with_something_of_somebody_elses_keeps_its_marker_and_is_refused(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path) as cluster:
        await kept(cluster)
        place = tmp_path / "servers" / "disk3"
        await change(cluster, ChangeAction.REMOVE, "disk3")
        await cluster.settle()
        (place / "shards" / "notes.txt").write_text("mine")
        assert await cluster.app.removals.step() == ("disk3",)  # what is no shard keeps nobody
        assert (place / "reelstore.json").exists()
        with pytest.raises(Exception, match="if that server was removed, empty the folder"):
            await cluster.add_server("disk4", url=place.as_uri())


# ---------------------------------------------------------------------- what keeps it


async def test_nothing_is_removed_while_moving_is_paused_or_deletes_are_stopped(cluster: Cluster) -> None:
    await kept(cluster)
    await change(cluster, ChangeAction.REMOVE, "disk3")
    await cluster.settle()
    async with cluster.metadata.unit_of_work() as uow:
        control = await uow.control.get()
        await uow.control.set(type(control)(paused=True))
        await uow.commit()
    assert await cluster.app.removals.step() == ()
    assert cluster.member("disk3").obstacles == ("moving is paused",)
    async with cluster.metadata.unit_of_work() as uow:
        await uow.control.set(control)
        await uow.commit()
    deletes = cluster.app.rebalancer.reconciler.deletes
    deletes.stopped_because = "the test"
    assert await cluster.app.removals.step() == ()
    assert cluster.member("disk3").obstacles == ("deletes are stopped: the test",)
    deletes.stopped_because = None
    assert await cluster.app.removals.step() == ("disk3",)


async def test_a_server_that_does_not_answer_is_never_called_empty(cluster: Cluster) -> None:
    await change(cluster, ChangeAction.REMOVE, "disk3")
    await cluster.settle()
    cluster.server("disk3").down = True
    assert await cluster.app.removals.step() == ()
    assert not (await check(cluster, "disk3")).is_safe
    cluster.server("disk3").fail_next("list")
    cluster.server("disk3").down = False
    await cluster.probe()
    assert await cluster.app.removals.step() == ()
    await cluster.settle()
    assert await cluster.app.removals.step() == ("disk3",)


async def test_the_last_bad_copy_of_a_lost_chunk_keeps_its_server(cluster: Cluster) -> None:
    await kept(cluster, chunks=1)
    for server in cluster.servers:
        for entry in await cluster.listing(server.name):
            await server.flip(entry.name)
    holder, *_ = [name for name in cluster.names if await cluster.listing(name)]
    await change(cluster, ChangeAction.REMOVE, holder)
    await cluster.settle()
    assert await cluster.app.removals.step() == ()
    found = await check(cluster, holder)
    assert not found.is_safe
    assert found.listed is not None
    assert found.listed.shards == 1
    assert len(cluster.app.attention.lost) == 1


async def test_files_that_are_no_shards_keep_nobody(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path) as cluster:
        await kept(cluster)
        await change(cluster, ChangeAction.REMOVE, "disk3")
        await cluster.settle()
        (tmp_path / "servers" / "disk3" / "lost+found").mkdir()
        assert (await check(cluster, "disk3")).is_safe
        assert await cluster.app.removals.step() == ("disk3",)


# ---------------------------------------------------------------------- the check


async def test_the_check_of_an_active_server_says_what_it_has_and_what_would_have_to_happen(cluster: Cluster) -> None:
    await kept(cluster)
    found = await check(cluster, "disk1")
    assert not found.is_safe
    assert any("drain it first" in reason for reason in found.reasons)
    shards = (await cluster.shards())["disk1"]
    assert found.listed is not None
    assert (found.listed.shards, found.listed.size_bytes) == (len(shards), len(shards) * CHUNK)
    assert (found.standing.partitions_unsettled, found.standing.partitions_total) == (0, 16)
    assert found.risk is not None
    assert found.risk.chunks == 0  # each has another copy


async def test_the_check_is_safe_exactly_when_the_step_would_remove(cluster: Cluster) -> None:
    await kept(cluster)
    await change(cluster, ChangeAction.DRAIN, "disk3")
    while not (found := await check(cluster, "disk3")).is_safe:
        assert found.reasons
        await cluster.app.removals.step()
        assert not cluster.member("disk3").is_empty
        cluster.clock.advance(20)
        await cluster.app.rebalancer.step()
    assert found.listed_at is not None
    assert not (await cluster.shards())["disk3"]
    await cluster.app.removals.step()
    assert cluster.member("disk3").is_empty


async def test_the_check_names_the_videos_whose_last_copy_is_there() -> None:
    async with memory_cluster(servers=3, copies=1) as cluster:
        video = await cluster.store(content(CHUNK), name="only.mp4")
        await cluster.settle()
        holder, *_ = [name for name in cluster.names if await cluster.listing(name)]
        found = await check(cluster, holder)
        assert [each.id for each in found.videos_at_risk] == [video.id]
        assert found.risk is not None
        assert (found.risk.chunks, found.risk.size_bytes) == (1, CHUNK)
        for other in set(cluster.names) - {holder}:
            assert not (await check(cluster, other)).videos_at_risk


async def test_a_copy_that_is_known_to_be_bad_is_no_copy(cluster: Cluster) -> None:
    await kept(cluster, chunks=1)
    first, second = [name for name in cluster.names if await cluster.listing(name)]
    cluster.server(first).fail_next("get", times=1000)  # so that nothing can be repaired
    await cluster.server(second).flip(await shard_on(cluster, second))
    await cluster.settle()
    await cluster.probe()
    found = await check(cluster, first)
    assert found.risk is not None
    assert found.risk.chunks == 1


async def test_a_copy_that_is_torn_is_no_copy(cluster: Cluster) -> None:
    await kept(cluster, chunks=1)
    first, second = [name for name in cluster.names if await cluster.listing(name)]
    await cluster.server(second).truncate(await shard_on(cluster, second), 10)
    found = await check(cluster, first)
    assert found.risk is not None
    assert found.risk.chunks == 1
    found = await check(cluster, second)
    assert found.risk is not None
    assert found.risk.chunks == 0


async def test_the_check_names_other_silent_servers(cluster: Cluster) -> None:
    await kept(cluster)
    cluster.server("disk2").down = True
    await cluster.probe()
    found = await check(cluster, "disk1")
    assert found.silent == ("disk2",)
    assert found.risk is not None
    assert found.risk.chunks > 0


async def test_there_is_no_check_of_a_server_that_is_not_there(cluster: Cluster) -> None:
    with pytest.raises(ServerNotFound):
        await check(cluster, "nobody")


async def test_the_last_server_cannot_be_removed() -> None:
    async with memory_cluster(servers=1, copies=1) as cluster:
        with pytest.raises(Conflict, match="no server would be left"):
            await change(cluster, ChangeAction.REMOVE, "disk1")
