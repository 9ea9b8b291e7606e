"""Adding servers: claims, refusals, crashes in between; and what is there already stays readable all the time."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from reelstore.bootstrap import DRIVERS
from reelstore.domain.errors import InvalidInput, InvalidServerUrl, ServerExists, ServerRefused, ServerUnavailable
from reelstore.repositories.interface import UnitOfWork
from reelstore.services import places as places_module
from reelstore.services import server_changes
from reelstore.services.server_changes import CAPACITY_BYTES_MAX
from reelstore.storage.interface import Marker, StorageServer
from reelstore.storage.memory import MemoryServer
from tests.cluster import CHUNK, Cluster, content, disk_cluster
from tests.faults import FaultyServer


async def assert_unchanged(cluster: Cluster, names: list[str]) -> None:
    assert [view.server.name for view in await cluster.app.servers.list()] == names
    assert cluster.app.topology.present.epoch == 1
    assert sorted(cluster.names) == names
    async with cluster.metadata.snapshot() as view:
        assert await view.rings.head() == 1
        assert len(await view.servers.list()) == len(names)


THREE = ["disk1", "disk2", "disk3"]


# ---------------------------------------------------------------------- what it does


async def test_an_added_server_is_claimed_registered_and_in_the_next_ring(cluster: Cluster) -> None:
    view = await cluster.app.servers.add(name="disk4", url="memory:", zone="z", capacity_bytes=7 * 2**30)
    assert (view.server.name, view.server.number, view.server.url) == ("disk4", 3, "memory:")
    assert (view.server.zone, view.server.capacity_bytes) == ("z", 7 * 2**30)
    assert (view.server.state, view.server.health) == ("active", "up")
    assert view.server.last_seen_at == cluster.clock.now
    assert view.share > 0
    assert cluster.app.topology.present.epoch == 2
    async with cluster.metadata.snapshot() as uow:
        owner = await uow.cluster.get()
    assert owner is not None
    marker = await cluster.server("disk4").inner.check()
    assert marker == Marker(owner.id, "disk4", owner.generation, 0)
    assert cluster.app.attention.wake.is_set()


async def test_zone_and_capacity_come_from_the_driver_when_not_given(cluster: Cluster) -> None:
    server = await cluster.add_server("disk4")
    assert server.zone == "memory"
    assert server.capacity_bytes == (await cluster.server("disk4").inner.usage()).capacity_bytes


async def test_numbers_are_not_reused_and_each_server_begins_an_epoch(cluster: Cluster) -> None:
    numbers = [(await cluster.add_server(f"more{index}")).number for index in range(3)]
    assert numbers == [3, 4, 5]
    assert cluster.app.topology.present.epoch == 4


async def test_servers_added_at_once_are_added_one_after_the_other(cluster: Cluster) -> None:
    await asyncio.gather(*(cluster.add_server(f"more{index}") for index in range(4)))
    assert cluster.app.topology.present.epoch == 5
    assert len(cluster.names) == 7
    await cluster.settle()
    await cluster.assert_whole()


async def test_one_name_added_twice_at_once_is_added_once(cluster: Cluster) -> None:
    results = await asyncio.gather(*(cluster.add_server("disk4") for _ in range(2)), return_exceptions=True)
    assert sum(isinstance(result, ServerExists) for result in results) == 1
    assert cluster.app.topology.present.epoch == 2
    await cluster.server("disk4").check()  # the refused one has not closed it


# ---------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"name": ""}, InvalidInput, "name"),
        ({"name": "Disk4"}, InvalidInput, "name"),
        ({"name": "-x"}, InvalidInput, "name"),
        ({"name": "../x"}, InvalidInput, "name"),
        ({"name": "x" * 64}, InvalidInput, "name"),
        ({"name": "disk4\n"}, InvalidInput, "name"),
        ({"zone": ""}, InvalidInput, "zone"),
        ({"zone": "a b"}, InvalidInput, "zone"),
        ({"zone": "z" * 64}, InvalidInput, "zone"),
        ({"zone": "z\n"}, InvalidInput, "zone"),
        ({"capacity_bytes": 0}, InvalidInput, "capacity_bytes"),
        ({"capacity_bytes": -1}, InvalidInput, "capacity_bytes"),
        ({"capacity_bytes": CAPACITY_BYTES_MAX + 1}, InvalidInput, "capacity_bytes"),
        ({"url": ""}, InvalidServerUrl, "url"),
        ({"url": "/srv/disk"}, InvalidServerUrl, "url"),
        ({"url": "ftp://x/y"}, InvalidServerUrl, "url"),
        ({"url": "file://host/x"}, InvalidServerUrl, "url"),
        ({"url": "file:relative"}, InvalidServerUrl, "url"),
        ({"url": "memory:x"}, InvalidServerUrl, "url"),
        ({"url": "x" * 5000}, InvalidServerUrl, "url"),
    ],
)
async def test_what_breaks_a_rule_is_named_and_nothing_is_registered(
    cluster: Cluster, changes: dict[str, Any], error: type[InvalidInput], field: str
) -> None:
    given = {"name": "disk4", "url": "memory:", "zone": "z", "capacity_bytes": None} | changes
    with pytest.raises(error) as caught:
        await cluster.app.servers.add(**given)
    assert caught.value.field == field
    await assert_unchanged(cluster, THREE)


@pytest.mark.parametrize("capacity_bytes", [1, CAPACITY_BYTES_MAX])
async def test_a_capacity_at_its_bounds_is_taken(cluster: Cluster, capacity_bytes: int) -> None:
    assert (await cluster.add_server("disk4", capacity_bytes=capacity_bytes)).capacity_bytes == capacity_bytes
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_name_is_taken_once(cluster: Cluster) -> None:
    with pytest.raises(ServerExists, match="disk2"):
        await cluster.add_server("disk2")
    await assert_unchanged(cluster, THREE)
    await cluster.server("disk2").check()


async def test_one_place_is_one_server_however_it_is_written(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path) as cluster:
        there = tmp_path / "servers" / "disk1"
        link = tmp_path / "link"
        link.symlink_to(there)
        for url in (
            there.as_uri(),
            f"{there.as_uri()}/",
            link.as_uri(),
            f"{tmp_path.as_uri()}/servers/../servers/disk1",
        ):
            with pytest.raises(ServerExists, match="disk1 is at that place"):
                await cluster.add_server("disk4", url=url)
        await assert_unchanged(cluster, THREE)
        await cluster.server("disk1").check()


async def test_a_place_of_another_cluster_is_refused_and_left_alone(cluster: Cluster) -> None:
    foreign = MemoryServer("disk4")
    marker = Marker("another", "disk4", "g", 5)
    await foreign.attach(marker, claim=True)
    await foreign.close()
    cluster.places["disk4"] = foreign
    with pytest.raises(ServerRefused, match="another"):
        await cluster.add_server("disk4")
    await assert_unchanged(cluster, THREE)
    assert foreign._marker == marker


async def test_a_place_of_another_server_of_this_cluster_is_refused(cluster: Cluster) -> None:
    async with cluster.metadata.snapshot() as view:
        owner = await view.cluster.get()
    assert owner is not None
    place = MemoryServer("disk4")
    await place.attach(Marker(owner.id, "disk9", owner.generation, 0), claim=True)
    await place.close()
    cluster.places["disk4"] = place
    with pytest.raises(ServerRefused, match="disk9"):
        await cluster.add_server("disk4")
    await assert_unchanged(cluster, THREE)


async def test_a_place_that_cannot_be_opened_is_refused_and_may_be_tried_again(cluster: Cluster) -> None:
    cluster.missing = {"disk4"}
    with pytest.raises(ServerUnavailable) as caught:
        await cluster.add_server("disk4")
    assert caught.value.retryable
    await assert_unchanged(cluster, THREE)
    cluster.missing = set()
    await cluster.add_server("disk4")
    assert cluster.app.topology.present.epoch == 2


async def test_the_most_servers_of_a_cluster_is_a_bound(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_changes, "SERVERS_MAX", 4)
    await cluster.add_server("disk4")
    with pytest.raises(InvalidInput, match="at most 4"):
        await cluster.add_server("disk5")


# ---------------------------------------------------------------------- crashes


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_a_crash_around_the_commit_is_repeated_or_was_done(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    """Between claim and commit the place bears our marker and nothing knows it; the same call goes on from there."""
    data = content(20 * CHUNK)
    video = await cluster.store(data)
    begin = cluster.app.changes._begin

    async def interrupted(*given: Any) -> Any:
        if crash == "after":
            await begin(*given)
        raise OSError("the power went")

    monkeypatch.setattr(cluster.app.changes, "_begin", interrupted)
    with pytest.raises(OSError, match="power"):
        await cluster.add_server("disk4")
    await cluster.restart()
    if crash == "before":
        assert "disk4" not in cluster.names
        await cluster.add_server("disk4")
    else:
        with pytest.raises(ServerExists):
            await cluster.add_server("disk4")
    assert cluster.app.topology.present.epoch == 2
    await cluster.settle()
    await cluster.assert_whole()
    assert await cluster.read(video.id) == data


async def test_an_addition_whose_caller_leaves_is_done_whole_or_not_at_all(cluster: Cluster) -> None:
    """Also in this process: what the metadata has, the fleet and the topology have."""
    commits = asyncio.Event()
    gate = asyncio.Event()
    begin = cluster.metadata.unit_of_work

    class Slow:
        """Commit, and be left alone before the answer arrives, as a database on a thread or a wire does."""

        def __init__(self, inner: UnitOfWork) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def __aenter__(self) -> Self:
            await self._inner.__aenter__()
            return self

        async def __aexit__(self, *error: object) -> None:
            await self._inner.__aexit__(*error)  # type: ignore[arg-type] # handed on

        async def commit(self) -> None:
            await self._inner.commit()
            commits.set()
            await gate.wait()

    cluster.metadata.unit_of_work = lambda **more: Slow(begin(**more))  # type: ignore[method-assign] # slow
    adding = asyncio.create_task(cluster.add_server("disk4"))
    await commits.wait()
    adding.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
    assert adding.cancelled()
    cluster.metadata.unit_of_work = begin  # type: ignore[method-assign] # as it was
    async with cluster.metadata.snapshot() as view:
        registered = {server.name for server in await view.servers.list()}
        head = await view.rings.head()
    assert set(cluster.names) == registered
    assert cluster.app.topology.present.epoch == head


async def test_whether_a_place_is_taken_is_asked_in_a_thread_because_a_disk_may_not_answer(cluster: Cluster) -> None:
    asked_in: list[int] = []

    def same_place(url_a: str, url_b: str) -> bool:
        asked_in.append(threading.get_ident())
        return DRIVERS.same_place(url_a, url_b)

    places = cluster.app.changes._places
    places._drivers = replace(places._drivers, same_place=same_place)
    await cluster.add_server("disk4")
    assert len(asked_in) == 3
    assert threading.get_ident() not in asked_in


async def test_a_place_that_never_answers_keeps_no_other_server_from_being_added(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places_module, "PLACE_SECONDS", 0.1)
    monkeypatch.setattr(places_module, "CLAIM_SECONDS", 0.1)
    answers = threading.Event()
    places = cluster.app.changes._places
    connect = places._drivers.connect

    asked = iter(range(100))

    def hangs(url_a: str, url_b: str) -> bool:
        if next(asked) % 3 == 0:  # one server of the three; each call that hangs holds a thread
            answers.wait()
        return DRIVERS.same_place(url_a, url_b)

    def connect_to_what_hangs(url: str, name: str, capacity_bytes: int | None) -> StorageServer:
        driver = connect(url, name, capacity_bytes)
        if name == "hanging":
            assert isinstance(driver, FaultyServer)
            driver.hold("attach")
        return driver

    places._drivers = replace(places._drivers, connect=connect_to_what_hangs, same_place=hangs)
    try:
        with pytest.raises(ServerUnavailable):
            await cluster.add_server("hanging")
        assert (await cluster.add_server("disk4")).number == 3
    finally:
        answers.set()
