"""What the monitor writes down of servers that go and come back, and that no other place is ever taken for theirs."""

from __future__ import annotations

import shutil
from pathlib import Path

from reelstore.domain.errors import ServerUnauthorized
from reelstore.domain.event import EventKind
from reelstore.domain.server import Server
from tests.cluster import CHUNK, POLICY, Cluster, content, disk_cluster, memory_cluster
from tests.unit.services.scenes import history, kept


async def registered(cluster: Cluster, name: str) -> Server:
    async with cluster.metadata.snapshot() as view:
        server = await view.servers.get(name)
    assert server is not None
    return server


async def versions(cluster: Cluster) -> int:
    async with cluster.metadata.snapshot() as view:
        return sum(state.version for state in await view.partitions.list(POLICY))


async def kinds(cluster: Cluster, name: str) -> list[EventKind]:
    return [event.kind for event in await history(cluster, name)]


# ---------------------------------------------------------------------- patience


async def test_only_several_misses_in_a_row_are_written_down_and_the_first_of_them_is_when_it_began(
    cluster: Cluster,
) -> None:
    cluster.server("disk1").down = True
    cluster.clock.advance(100)
    began = cluster.clock.now
    for _ in range(2):
        await cluster.probe()
        cluster.clock.advance(2)
        assert (await registered(cluster, "disk1")).health == "up"
        assert not cluster.member("disk1").is_up  # routing reacts at once
    await cluster.probe()
    server = await registered(cluster, "disk1")
    assert (server.health, server.unreachable_since) == ("unreachable", began)
    assert await kinds(cluster, "disk1") == [EventKind.SERVER_UNREACHABLE]


async def test_misses_with_answers_between_them_never_add_up(cluster: Cluster) -> None:
    for _ in range(5):
        for down in (True, True, False):
            cluster.server("disk1").down = down
            await cluster.probe()
    assert (await registered(cluster, "disk1")).health == "up"
    assert await kinds(cluster, "disk1") == []


async def test_a_moment_of_silence_is_no_event_and_yet_everything_is_looked_at_again(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    await cluster.probe()
    cluster.server("disk1").down = False
    await cluster.probe()
    raised = await versions(cluster)
    assert raised > 0
    await cluster.probe()
    assert await versions(cluster) == raised
    assert await kinds(cluster, "disk1") == []


async def test_a_return_is_an_event_that_says_for_how_long_it_was_away(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    for _ in range(3):
        await cluster.probe()
    cluster.clock.advance(90)
    cluster.server("disk1").down = False
    await cluster.probe()
    newest, before = await history(cluster, "disk1")
    assert (newest.kind, newest.data["away_seconds"]) == (EventKind.SERVER_RETURNED, 90)
    assert (before.kind, before.data["reason"]) == (EventKind.SERVER_UNREACHABLE, "down, says the test")
    assert (await registered(cluster, "disk1")).unreachable_since is None


async def test_a_server_that_is_away_at_the_start_is_written_down_at_once_and_since_when_it_was_before() -> None:
    async with memory_cluster(servers=4) as cluster:
        cluster.missing = {"disk1"}
        cluster.clock.advance(60)
        await cluster.restart()
        first = await registered(cluster, "disk1")
        assert (first.health, first.unreachable_since) == ("unreachable", cluster.clock.now)
        cluster.clock.advance(60)
        await cluster.restart()
        assert (await registered(cluster, "disk1")).unreachable_since == first.unreachable_since


async def test_a_server_that_wants_other_credentials_is_told_apart_from_one_that_is_silent(cluster: Cluster) -> None:
    cluster.server("disk1").fail_next("check", error=lambda: ServerUnauthorized("401", server="disk1"))
    await cluster.probe()
    assert (await registered(cluster, "disk1")).health == "unreachable"  # an answer, so at once
    assert cluster.member("disk1").is_unauthorized
    cluster.server("disk2").down = True
    await cluster.probe()
    assert not cluster.member("disk2").is_unauthorized
    assert not cluster.member("disk1").is_refused


# ---------------------------------------------------------------------- whose place it is


async def test_an_emptied_or_swapped_disk_is_refused_and_not_filled_and_the_right_one_heals(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path) as cluster:
        video_id, data = await kept(cluster)
        place, aside = tmp_path / "servers" / "disk2", tmp_path / "aside"
        promised = (await cluster.shards())["disk2"]
        shutil.move(place, aside)
        impostors = {"has no marker": None, "belongs to server 'disk3'": tmp_path / "servers" / "disk3"}
        for reason, impostor in impostors.items():
            place.mkdir()
            if impostor is not None:
                shutil.copy(impostor / "reelstore.json", place)
            before = sorted(path.name for path in place.rglob("*"))
            await cluster.probe()
            await cluster.store(content(5 * CHUNK, seed=len(reason)), name=reason)
            await cluster.settle()
            server = await registered(cluster, "disk2")
            assert server.health == "unreachable"
            assert reason in str(server.health_reason)
            assert sorted(path.name for path in place.rglob("*")) == before
            assert await cluster.read(video_id) == data
            shutil.rmtree(place)
        for shard in list(place.parent.parent.joinpath("aside").rglob("*.*.*.*"))[:3]:
            shard.unlink()  # it comes back with less than it had
        shutil.move(aside, place)
        await cluster.settle()
        await cluster.assert_whole()
        assert promised <= (await cluster.shards())["disk2"]
        assert (await kinds(cluster, "disk2"))[0] is EventKind.SERVER_RETURNED
