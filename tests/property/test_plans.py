"""Plans are true: what one says is what reconciling then puts, however the last change was left half-way."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import Conflict, InvalidInput
from reelstore.domain.server import ServerState
from reelstore.services.rebalance import Verify
from reelstore.services.survey import Slice
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster

SOME = settings(max_examples=15, deadline=None)
GIB = 2**30

capacities = st.sampled_from([GIB, 2 * GIB, 3 * GIB])
zones = st.sampled_from(["a", "b", "c"])


@st.composite
def changes(draw: st.DrawFn, servers: dict[str, ServerState]) -> list[ServerChange]:
    """Draw changes that mostly make sense for these servers."""
    chosen = []
    for name in draw(st.lists(st.sampled_from(sorted(servers)), max_size=3, unique=True)):
        action = draw(st.sampled_from(["update", "drain" if servers[name] is ServerState.ACTIVE else "activate"]))
        capacity = draw(capacities) if action == "update" else None
        chosen.append(ServerChange(ChangeAction(action), name, zone=draw(zones), capacity_bytes=capacity))
    for index in range(draw(st.integers(0 if chosen else 1, 2))):
        name = f"new{len(servers)}-{index}"
        chosen.append(
            ServerChange(ChangeAction.ADD, name, url="memory:", zone=draw(zones), capacity_bytes=draw(capacities))
        )
    return chosen


async def present(cluster: Cluster) -> dict[str, ServerState]:
    return {view.server.name: view.server.state for view in await cluster.app.servers.list()}


async def reconcile(cluster: Cluster, start: int, stop: int) -> int:
    """Reconcile some partitions; return how many bytes were put."""
    before = {server.name: server.calls["put"] for server in cluster.servers}
    await cluster.app.rebalancer.reconciler.reconcile(Slice(POLICY, start, stop), verify=Verify.CHANGED)
    return sum(server.calls["put"] - before[server.name] for server in cluster.servers) * CHUNK


async def received(cluster: Cluster) -> dict[str, int]:
    """Reconcile everything; return the bytes that each server was sent."""
    before = {server.name: server.calls["put"] for server in cluster.servers}
    await reconcile(cluster, 0, cluster.app.topology.present.ring(POLICY).partitions)
    sent = {server.name: (server.calls["put"] - before[server.name]) * CHUNK for server in cluster.servers}
    return {name: size_bytes for name, size_bytes in sent.items() if size_bytes}


@SOME
@given(st.data())
def test_what_a_plan_says_is_what_is_put_from_any_state_of_the_changes_before(data: st.DataObject) -> None:
    async def scene() -> None:
        async with memory_cluster(servers=data.draw(st.integers(3, 5)), partition_bits=4) as cluster:
            await cluster.store(content(40 * CHUNK))
            partitions = 2**4
            for _ in range(data.draw(st.integers(0, 3))):
                await attempt(cluster, data)
                for start, stop in data.draw(slices(partitions)):
                    await reconcile(cluster, start, stop)
                if data.draw(st.integers(0, 3)) == 0:
                    await cluster.app.changes.split()
                    partitions *= 2
            asked = data.draw(changes(await present(cluster)))
            try:
                plan = await cluster.app.changes.plan(asked)
                applied = await cluster.app.changes.apply(plan.id, accept_warnings=True)
            except Conflict:
                return
            assert applied.moves == plan.moves
            expected: dict[str, int] = {}
            for move in plan.moves:
                expected[move.target] = expected.get(move.target, 0) + move.size_bytes
            assert await received(cluster) == expected
            assert sum(expected.values()) == plan.bytes_total >= plan.bytes_minimum
            await cluster.settle()
            await cluster.assert_whole()

    asyncio.run(scene())


@st.composite
def slices(draw: st.DrawFn, partitions: int) -> list[tuple[int, int]]:
    cuts = sorted(draw(st.lists(st.integers(0, partitions), max_size=4, unique=True)))
    return [(cuts[index], cuts[index + 1]) for index in range(0, len(cuts) - 1, 2)]


async def attempt(cluster: Cluster, data: st.DataObject) -> None:
    asked = data.draw(changes(await present(cluster)))
    with suppress(Conflict):  # such as draining the last server
        await cluster.app.changes.change(asked, accept_warnings=True)


@SOME
@given(st.data())
def test_reverting_before_anything_has_moved_moves_nothing_and_undoes_every_state(data: st.DataObject) -> None:
    async def scene() -> None:
        async with memory_cluster(servers=data.draw(st.integers(3, 5)), partition_bits=4) as cluster:
            await cluster.store(content(40 * CHUNK))
            await attempt(cluster, data)
            await cluster.settle()
            before = {view.server.name: view.server for view in await cluster.app.servers.list()}
            epoch, held = cluster.app.topology.present.epoch, await cluster.shards()
            for _ in range(data.draw(st.integers(1, 2))):
                await attempt(cluster, data)
            try:
                reverted = await cluster.app.changes.revert(epoch, accept_warnings=True)
            except (Conflict, InvalidInput):  # every change was refused, or they undid each other
                return
            assert reverted.bytes_total == 0
            await cluster.settle()
            assert {name: shards for name, shards in (await cluster.shards()).items() if name in held} == held
            for view in await cluster.app.servers.list():
                was = before.get(view.server.name)
                if was is None:
                    assert view.server.state is ServerState.DRAINING
                else:
                    assert (view.server.state, view.server.zone) == (was.state, was.zone)
                    if was.state is ServerState.ACTIVE:
                        assert view.server.capacity_bytes == was.capacity_bytes

    asyncio.run(scene())
