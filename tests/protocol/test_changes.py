"""Rules 7 and 11 where several processes change the topology: one epoch at a time, from where the shards really are."""

from __future__ import annotations

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import StalePlan
from tests.cluster import POLICY
from tests.protocol.world import Process, a_world, many_chunks, one_chunk

DRAIN = ChangeAction.DRAIN


def added(name: str) -> ServerChange:
    return ServerChange(ChangeAction.ADD, name, url="memory:")


async def test_of_two_plans_for_one_epoch_the_second_is_refused_at_the_last_moment_too() -> None:
    async with a_world() as world:
        first, second = await world.process(), await world.process()
        mine = await first.app.changes.plan([added("disk4")])
        theirs = await second.app.changes.plan([ServerChange(DRAIN, "disk1")])
        first.hooks.before_unit(lambda: second.app.changes.apply(theirs.id))  # it has looked, and is about to write
        with pytest.raises(StalePlan, match="now is epoch 2"):
            await first.app.changes.apply(mine.id)
        async with world.metadata.snapshot() as view:
            assert await view.rings.head() == 2
            assert await view.servers.get("disk4") is None
        again = await first.app.changes.plan([added("disk4")])
        assert (await first.app.changes.apply(again.id)).applied_epoch == 3


async def test_one_plan_that_two_processes_apply_is_applied_once() -> None:
    async with a_world() as world:
        first, second = await world.process(), await world.process()
        plan = await first.app.changes.plan([ServerChange(DRAIN, "disk1")])
        first.hooks.before_unit(lambda: second.app.changes.apply(plan.id))
        with pytest.raises(StalePlan, match="applied already"):
            await first.app.changes.apply(plan.id)
        assert (await first.app.changes.get(plan.id)).applied_epoch == 2


async def test_a_change_that_nobody_priced_is_made_on_top_of_what_came_in_between() -> None:
    async with a_world() as world:
        first, second = await world.process(), await world.process()
        video = await first.store(many_chunks())
        first.hooks.before_unit(lambda: second.app.changes.change([added("disk4")]))
        assert (await first.app.changes.change([ServerChange(DRAIN, "disk1")])).applied_epoch == 3
        await first.catch_up()
        await first.settle()
        await first.assert_whole()
        assert {name for name, shards in (await first.shards()).items() if not shards} == {"disk1"}
        assert await first.read(video.id) == many_chunks()


async def test_what_has_moved_since_the_plan_was_looked_at_makes_it_stale() -> None:
    async with a_world(servers=4) as world:
        admin, worker = await world.process(), await world.process()
        await admin.store(many_chunks())
        await admin.settle()
        await admin.app.changes.change([ServerChange(DRAIN, "disk1")])
        cancel = await admin.app.changes.plan_revert()
        assert cancel.bytes_total == 0
        await worker.catch_up()

        async def move() -> None:
            await worker.round()

        admin.hooks.before_unit(move)  # the price was right a moment ago
        with pytest.raises(StalePlan, match="was planned for 0"):
            await admin.app.changes.apply(cancel.id)


async def test_an_upload_placed_by_an_older_ring_counts_nothing_on_a_server_that_drains_by_now() -> None:
    async with a_world() as world:
        gateway, admin = await world.process(), await world.process()
        leaving, staying = await gateway.primaries(one_chunk())
        (entering,) = set(gateway.names) - {leaving, staying}

        async def drain() -> None:
            await admin.app.changes.change([ServerChange(DRAIN, leaving)])

        gateway.server(leaving).after("put", drain)  # acknowledged, and not confirmed yet
        video = await gateway.store(one_chunk())
        assert {staying, entering} <= await gateway.holders()
        await gateway.catch_up()
        await gateway.settle()
        assert await gateway.holders() == {staying, entering}
        assert await gateway.read(video.id) == one_chunk()


async def test_a_process_that_dies_right_after_the_commit_has_changed_everything_or_seemingly_nothing() -> None:
    async with a_world() as world:
        dying = await world.process()
        video = await dying.store(many_chunks())

        async def die() -> None:
            raise _Death

        dying.hooks.after_commit(die)
        with pytest.raises(_Death):
            await dying.app.changes.change([added("disk4"), ServerChange(DRAIN, "disk1")])
        other = await world.process()
        assert other.app.topology.present.epoch == 2
        assert "disk4" in other.names
        await other.settle()
        await other.assert_whole()
        assert await other.read(video.id) == many_chunks()


async def test_a_round_that_began_before_a_split_records_nothing_after_it() -> None:
    async with a_world() as world:
        admin, worker = await world.process(), await world.process()
        await admin.store(many_chunks())
        await admin.empty_servers()
        await worker.catch_up()
        worker.hooks.before_unit(admin.app.changes.split)
        await worker.round()
        states = await admin.states()
        assert len(states) == 8
        assert {state.synced_epoch for state in states} == {1}
        await everything_is_proved(admin)


async def test_both_halves_of_a_split_partition_have_a_version_that_no_earlier_round_has_read() -> None:
    async with a_world() as world:
        admin = await world.process()
        before = {state.index: state.version for state in await admin.states()}
        await admin.app.changes.split()
        assert all(state.version > before[state.index // 2] for state in await admin.states())


async def everything_is_proved(process: Process) -> None:
    await process.catch_up()
    await process.settle()
    await process.assert_whole()
    assert process.app.topology.present.ring(POLICY).partitions == len(await process.states())


class _Death(Exception):
    pass
