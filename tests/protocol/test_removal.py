"""Rules 3, 4, 6 and 14: what can come between a listing that shows nothing and the removal, and why nothing is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import InsufficientServers, RemovalUnsafe
from reelstore.domain.event import EventKind
from reelstore.domain.server import Eviction, Server, ServerState
from tests.protocol.world import Process, World, a_world, many_chunks, one_chunk
from tests.unit.services.scenes import history

Meanwhile = Callable[[], Awaitable[object]]


async def registered(process: Process, name: str) -> Server:
    async with process.metadata.snapshot() as view:
        server = await view.servers.get(name)
    assert server is not None
    return server


async def change(process: Process, action: ChangeAction, name: str) -> None:
    await process.app.changes.change([ServerChange(action, name)], accept_warnings=True)


async def about_to_be_removed(world: World) -> tuple[Process, Process]:
    """Make a gateway that still places by the ring before, and a worker for whom disk3 is drained and empty."""
    gateway, worker = await world.process(), await world.process()
    await gateway.store(many_chunks(), name="before")
    await worker.settle()
    await change(worker, ChangeAction.REMOVE, "disk3")
    await worker.settle()
    assert gateway.app.topology.present.epoch == 1
    return gateway, worker


def between(worker: Process, moment: str, act: Meanwhile) -> None:
    """Have something happen after the listing of disk3 has begun, at one of the moments that there are."""
    if moment == "while it is listed":
        worker.server("disk3").after("list", act)
    else:
        worker.hooks.before_unit(act)


MOMENTS = ["while it is listed", "before it is written down"]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_late_put_of_an_upload_under_an_older_ring_is_not_what_the_upload_relies_on(moment: str) -> None:
    async with a_world() as world:
        gateway, worker = await about_to_be_removed(world)
        sent = len(gateway.server("disk3").puts)
        between(worker, moment, lambda: gateway.store(many_chunks(seed=7), name="meanwhile"))
        assert await worker.app.removals.step() == ("disk3",)
        assert len(gateway.server("disk3").puts) > sent  # it did arrive there
        await worker.settle()
        await worker.assert_whole()
        for video in await worker.videos():
            assert await worker.read(video.id) == many_chunks(seed=7 if video.name == "meanwhile" else 100)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_stand_in_under_an_older_ring_is_not_relied_on_either(moment: str) -> None:
    async with a_world() as world:
        gateway, worker = await about_to_be_removed(world)
        gateway.server("disk1").down = True  # for the gateway alone; disk3 stands in for it
        between(worker, moment, lambda: gateway.store(many_chunks(seed=7), name="meanwhile"))
        with pytest.raises(InsufficientServers):  # one server is not enough, and disk3 is none
            await worker.app.removals.step()
        assert world.places["disk3"]._stored
        assert await worker.app.removals.step() == ()
        gateway.server("disk1").down = False
        await gateway.settle()  # what is left of the upload is collected
        await worker.settle()
        assert await worker.app.removals.step() == ("disk3",)
        await worker.assert_whole()
        (video,) = await worker.videos()
        assert await worker.read(video.id) == many_chunks()


async def test_a_worker_that_still_has_the_older_ring_can_put_back_and_nothing_relies_on_it() -> None:
    async with a_world() as world:
        old, worker = await about_to_be_removed(world)
        between(worker, "before it is written down", old.round)
        assert await worker.app.removals.step() == ("disk3",)
        assert old.server("disk3").puts  # it did put
        await worker.settle()
        await worker.assert_whole()
        (video,) = await worker.videos()
        assert await worker.read(video.id) == many_chunks()


async def test_an_upload_that_is_not_confirmed_keeps_its_server_until_it_has_placed_again() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()

        async def remove_it() -> None:
            await change(worker, ChangeAction.REMOVE, "disk3")
            await worker.settle()
            assert await worker.app.removals.step() == ()
            assert (await registered(worker, "disk3")).state is ServerState.DRAINING

        gateway.server("disk3").after("put", remove_it)
        video = await gateway.store(many_chunks())
        await worker.settle()
        assert await worker.app.removals.step() == ("disk3",)
        await worker.assert_whole()
        assert await worker.read(video.id) == many_chunks()


async def test_nobody_who_knows_the_newest_ring_sends_anything_to_a_server_that_is_to_go() -> None:
    async with a_world(servers=4) as world:
        gateway, worker = await world.process(), await world.process()
        await change(worker, ChangeAction.REMOVE, "disk4")
        await gateway.catch_up()
        gateway.server("disk1").fail_next("put", times=100)  # stand-ins are needed
        await gateway.store(many_chunks())
        await worker.settle()
        assert gateway.server("disk4").puts == worker.server("disk4").puts == []


async def test_a_server_that_is_activated_at_the_last_moment_stays() -> None:
    async with a_world() as world:
        _, worker = await about_to_be_removed(world)
        other = await world.process()
        between(worker, "before it is written down", lambda: change(other, ChangeAction.ACTIVATE, "disk3"))
        assert await worker.app.removals.step() == ()
        assert (await registered(worker, "disk3")).state is ServerState.ACTIVE
        await worker.settle()
        await worker.assert_whole()


async def test_a_partition_that_is_unsettled_at_the_last_moment_puts_the_removal_off() -> None:
    async with a_world() as world:
        _, worker = await about_to_be_removed(world)
        other = await world.process()

        async def unsettle() -> None:
            async with other.metadata.unit_of_work() as uow:
                await uow.partitions.raise_versions("default", [0])
                await uow.commit()

        between(worker, "before it is written down", unsettle)
        assert await worker.app.removals.step() == ()
        await worker.settle()
        assert await worker.app.removals.step() == ("disk3",)


async def test_two_workers_remove_a_server_once() -> None:
    async with a_world() as world:
        _, worker = await about_to_be_removed(world)
        other = await world.process()
        between(worker, "before it is written down", other.app.removals.step)
        assert await worker.app.removals.step() == ()
        kinds = [event.kind for event in await history(other, "disk3")]
        assert kinds.count(EventKind.SERVER_REMOVED) == 1
        await worker.probe()  # it follows
        assert worker.names == other.names == ["disk1", "disk2"]


async def test_a_crash_between_the_removal_and_its_marker_leaves_a_place_that_is_nobodys_to_write_to() -> None:
    async with a_world() as world:
        _, worker = await about_to_be_removed(world)

        async def crash() -> None:
            raise _Crash

        worker.hooks.after_commit(crash)
        with pytest.raises(_Crash):
            await worker.app.removals.step()
        after = await world.process()
        assert after.names == ["disk1", "disk2"]
        assert world.places["disk3"]._marker is not None
        await after.settle()
        await after.assert_whole()


class _Crash(Exception):
    pass


async def test_what_was_confirmed_on_a_dying_server_after_the_first_look_is_seen_by_the_second() -> None:
    async with a_world(copies=1) as world:
        gateway, admin = await world.process(), await world.process()
        holder = (await gateway.primaries(one_chunk()))[0]
        admin.server(holder).down = True  # for the admin's process alone
        admin.hooks.before_unit(lambda: gateway.store(one_chunk()))
        with pytest.raises(RemovalUnsafe) as caught:
            await admin.app.forced_removal.remove(holder)
        assert [video["name"] for video in caught.value.videos] == ["video.mp4"]
        assert (await registered(admin, holder)).state is ServerState.DRAINING
        (video,) = await gateway.videos()
        await gateway.settle()
        assert await gateway.read(video.id) == one_chunk()


async def test_of_two_workers_that_would_evict_one_does() -> None:
    async with a_world(servers=7, copies=3, evict=Eviction.ON, probe_misses=1) as world:
        one, other = await world.process(), await world.process()
        for process in (one, other):
            for name in ("disk6", "disk7"):
                process.server(name).down = True
            await process.probe()
        world.clock.advance(1800)
        one.hooks.before_unit(other.app.evictor.step)
        evicted = await one.app.evictor.step()
        states = {name: (await registered(one, name)).state for name in ("disk6", "disk7")}
        assert evicted is None
        assert states == {"disk6": ServerState.DRAINING, "disk7": ServerState.ACTIVE}
        assert one.app.topology.present.epoch <= 2
