"""Several workers over one cluster: leases save double work and nothing more, and a pause holds for all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

import pytest

from reelstore.domain.counter import Counter
from reelstore.services import control, leases, moves
from tests.cluster import CHUNK, until
from tests.protocol.world import Process, a_world, many_chunks


@pytest.fixture(autouse=True)
def small_and_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each partition is a block; what is set is read each time that it is asked for."""
    monkeypatch.setattr(leases, "BLOCK_PARTITIONS", 1)
    monkeypatch.setattr(control, "READ_SECONDS", 0.0)
    monkeypatch.setattr(moves, "LOOK_SECONDS", 0.001)


async def work(process: Process) -> None:
    """Work as the background does, until everything is proved."""
    while await process.unsettled():
        if not await process.app.rebalancer.step():
            await asyncio.sleep(0.001)


async def work_until_nothing_may_be_done(process: Process) -> None:
    while await process.app.rebalancer.step():
        pass


def puts(*processes: Process) -> list[object]:
    return [name for process in processes for server in process.servers for name, _ in server.puts]


def began(process: Process, *operations: str) -> int:
    return sum(server.calls[operation] for server in process.servers for operation in operations)


# ---------------------------------------------------------------------- leases


async def test_two_workers_share_a_move_and_put_no_shard_twice() -> None:
    async with a_world(partition_bits=4) as world:
        one, two = await world.process(), await world.process()
        video = await one.store(many_chunks(60))
        await one.settle()
        await one.add_server("disk4")
        await two.catch_up()
        for process in (one, two):
            for server in process.servers:
                server.puts.clear()
        await asyncio.gather(work(one), work(two))
        moved = puts(one, two)
        assert len(moved) == len(set(moved)) == len((await one.shards())["disk4"])
        assert puts(one)
        assert puts(two)
        for process in (one, two):
            await process.settle()
            await process.assert_whole()
        assert await two.read(video.id) == many_chunks(60)


async def test_steps_at_the_same_time_in_one_process_put_no_shard_twice_either() -> None:
    async with a_world(partition_bits=4) as world:
        process = await world.process()
        await process.store(many_chunks(60))
        await process.settle()
        await process.add_server("disk4")
        await asyncio.gather(*(work(process) for _ in range(3)))
        assert len(process.server("disk4").puts) == len(set(puts(process)) & (await process.shards())["disk4"])
        await process.settle()
        await process.assert_whole()


async def test_what_a_dead_worker_had_begun_is_passed_over_and_then_done_by_another() -> None:
    async with a_world(partition_bits=4) as world:
        dying, alive = await world.process(), await world.process()
        await dying.store(many_chunks(60))
        await dying.settle()
        await dying.add_server("disk4")
        await alive.catch_up()
        dying.server("disk4").fail_next("put", error=lambda: RuntimeError("the process died here"))
        with pytest.raises(RuntimeError):
            await work(dying)
        (lost,) = dying.app.rebalancer.leases._leased
        await work_until_nothing_may_be_done(alive)
        assert await alive.unsettled() == [lost[1]]  # a block has one partition here
        world.clock.advance(leases.TERM_SECONDS)
        await work_until_nothing_may_be_done(alive)
        assert await alive.unsettled() == []
        await alive.assert_whole()


@pytest.mark.parametrize("seed", range(4))
async def test_workers_whose_leases_are_all_void_do_no_harm(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(leases, "TERM_SECONDS", 0.0)
    async with a_world() as world:
        processes = one, two, three = [await world.process() for _ in range(3)]
        kept = await one.store(many_chunks(20))
        gone = await one.store(many_chunks(20, seed=7), name="gone")
        await one.app.videos.purge(gone.id, expected_version=None)
        await one.add_server("disk4")
        await asyncio.gather(two.catch_up(), three.catch_up())
        answer_at_any_time(processes, random.Random(seed))
        storing = asyncio.create_task(two.store(many_chunks(40, seed=8), piece_bytes=CHUNK, name="at the same time"))
        await asyncio.gather(
            storing,
            *(process.round(collect=True) for process in processes for _ in range(5)),
            *(work(process) for process in processes),
        )
        stored = await storing
        assert await one.read(stored.id) == many_chunks(40, seed=8)
        for process in processes:
            await process.settle()
            await process.assert_whole()
        assert await three.read(kept.id) == many_chunks(20)
        assert await three.read(stored.id) == many_chunks(40, seed=8)


def answer_at_any_time(processes: Iterable[Process], draw: random.Random) -> None:
    """Have every request to a server wait, so that what goes on at the same time comes in another order each time."""

    async def wait() -> None:
        for _ in range(draw.randrange(20)):
            await asyncio.sleep(0)

    for process in processes:
        for server in process.servers:
            for operation in ("put", "get", "list", "delete", "digest", "adopt", "check"):
                server.before_each(operation, wait)


# ---------------------------------------------------------------------- pause


async def a_move_and_a_purge(process: Process) -> str:
    """Have some shards to be moved and some to be deleted; return the id of the video that stays."""
    kept = await process.store(many_chunks(10))
    gone = await process.store(many_chunks(6, seed=7), name="gone")
    await process.settle()
    await process.app.videos.purge(gone.id, expected_version=None)
    await process.add_server("disk4")
    await process.app.rebalancer.control.change(concurrency=1)
    return kept.id


def reaching(process: Process, operation: str, nth: int, act: Callable[[], Awaitable[object]]) -> None:
    """Do something right before the n-th call of an operation on any server."""
    left = nth

    async def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            await act()

    for server in process.servers:
        server.before_each(operation, count)


@pytest.mark.parametrize("operation", ["put", "delete", "get", "digest"])
async def test_nothing_begins_after_a_pause_wherever_it_comes_and_all_is_done_after_it(operation: str) -> None:
    for nth in range(1, 30):
        async with a_world() as world:
            worker, admin = await world.process(), await world.process()
            kept = await a_move_and_a_purge(worker)
            at_pause: list[int] = []

            async def pause(worker: Process = worker, admin: Process = admin, found: list[int] = at_pause) -> None:
                found.append(began(worker, "put", "adopt", "delete"))
                await admin.app.rebalancer.control.change(paused=True)

            reaching(worker, operation, nth, pause)
            await worker.settle()
            if not at_pause:
                break
            # The call before which the pause came is under way, and was not counted yet; nothing else may begin.
            assert began(worker, "put", "adopt", "delete") - at_pause[0] <= (operation in {"put", "delete"})
            status = await worker.app.rebalancer.status()
            assert (status.state, status.paused, status.eta_seconds) == ("paused", True, None)
            assert status.reasons[0].startswith("paused since 2026-")
            assert await worker.read(kept) == many_chunks(10)
            await admin.app.rebalancer.control.change(paused=False)
            await worker.settle()
            await worker.assert_whole()
    assert nth > 3


async def test_a_pause_leaves_at_most_what_is_under_way_when_many_move_at_once() -> None:
    async with a_world() as world:
        worker, admin = await world.process(), await world.process()
        await worker.store(many_chunks(60))
        await worker.settle()
        await worker.add_server("disk4")
        target = worker.server("disk4")
        may_end = target.hold("put")
        working = asyncio.create_task(work_until_nothing_may_be_done(worker))
        await until(lambda: target.calls["put"] >= moves.AT_ONCE)
        await admin.app.rebalancer.control.change(paused=True)
        may_end.set()
        await working
        assert target.calls["put"] == moves.AT_ONCE
        assert len((await worker.shards())["disk4"]) == moves.AT_ONCE  # and what was under way has ended
        async with world.metadata.snapshot() as view:
            assert (await view.counters.get())[Counter.SHARDS_MOVED] == moves.AT_ONCE


async def test_a_pause_outlives_the_process_and_what_users_do_goes_on() -> None:
    async with a_world() as world:
        process = await world.process()
        await process.app.rebalancer.control.change(paused=True)
        process = await world.process()
        video = await process.store(many_chunks(10))
        other = await process.store(many_chunks(10, seed=7), name="gone")
        await process.add_server("disk4")
        await process.app.videos.purge(other.id, expected_version=None)
        before = await process.shards()
        await process.settle()
        assert await process.shards() == before
        assert len(await process.chunks()) == 20
        assert await process.read(video.id) == many_chunks(10)
        assert not process.app.attention.wake.is_set()  # or it would be asked again and again
        await process.app.rebalancer.control.change(paused=False)
        await process.settle()
        await process.assert_whole()
        assert len(await process.chunks()) == 10


async def test_a_worker_without_a_share_leaves_the_work_to_the_others() -> None:
    async with a_world(partition_bits=4) as world:
        one, two = await world.process(), await world.process()
        await one.store(many_chunks(30))
        await one.settle()
        await one.add_server("disk4")
        await two.catch_up()
        for process in (one, two):
            await process.app.rebalancer.leases.renew()
        await one.app.rebalancer.control.change(concurrency=1)
        worked = [await process.app.rebalancer.step() for process in (one, two)]
        assert sorted(worked) == [False, True]
        await asyncio.gather(work(one), work(two))
        assert sum(bool(process.server("disk4").puts) for process in (one, two)) == 1
