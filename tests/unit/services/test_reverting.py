"""Going back: what has not moved stays where it is, and only what has moved comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import Conflict, InvalidInput
from reelstore.domain.server import ServerState
from reelstore.services.rebalance import Verify
from reelstore.services.survey import Slice
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster

ADD, UPDATE, DRAIN = ChangeAction.ADD, ChangeAction.UPDATE, ChangeAction.DRAIN
ADDED = ServerChange(ADD, "disk5", url="memory:")


@pytest.mark.parametrize(
    "changes",
    [
        [ADDED],
        [ServerChange(DRAIN, "disk1")],
        [ServerChange(UPDATE, "disk1", capacity_bytes=2**34)],
        [ADDED, ServerChange(DRAIN, "disk1"), ServerChange(UPDATE, "disk2", zone="attic")],
    ],
    ids=["add", "drain", "reweight", "all"],
)
async def test_cancelling_at_once_moves_nothing_and_gives_the_old_rows_back(changes: list[ServerChange]) -> None:
    async with memory_cluster(servers=4, partition_bits=5) as cluster:
        await cluster.store(content(60 * CHUNK))
        await cluster.settle()
        before, table = await cluster.shards(), cluster.app.topology.present.ring(POLICY)
        planned = await cluster.app.changes.change(changes)
        assert planned.bytes_total > 0
        reverted = await cluster.app.changes.revert()
        assert (reverted.bytes_total, reverted.applied_epoch) == (0, 3)
        now = cluster.app.topology.present.ring(POLICY)
        assert (now.slots == table.slots).all()
        assert (now.tenures == table.tenures).all()
        puts = sum(server.calls["put"] for server in cluster.servers)
        await cluster.settle()
        assert sum(server.calls["put"] for server in cluster.servers) == puts
        assert {name: shards for name, shards in (await cluster.shards()).items() if shards} == before
        await cluster.assert_whole()


async def test_half_way_only_what_has_moved_comes_back() -> None:
    async with memory_cluster(servers=4, partition_bits=5) as cluster:
        body = content(100 * CHUNK)
        video = await cluster.store(body)
        await cluster.settle()
        planned = await cluster.app.changes.change([ADDED])
        eleven = Slice(POLICY, 0, 11)
        await cluster.app.rebalancer.reconciler.reconcile(eleven, verify=Verify.CHANGED)
        moved = len((await cluster.shards())["disk5"])
        assert 0 < moved * CHUNK < planned.bytes_total
        reverted = await cluster.app.changes.revert()
        assert reverted.bytes_total == moved * CHUNK
        assert {move.source for move in reverted.moves} == {"disk5"}
        assert await cluster.read(video.id) == body
        puts = sum(server.calls["put"] for server in cluster.servers)
        await cluster.settle()
        assert sum(server.calls["put"] for server in cluster.servers) == puts + moved
        assert (await cluster.shards())["disk5"] == set()
        await cluster.assert_whole()


async def test_states_capacities_and_zones_are_those_of_the_epoch_again(cluster: Cluster) -> None:
    changes = cluster.app.changes
    await changes.change([ServerChange(UPDATE, "disk1", zone="attic", capacity_bytes=2**33)])  # epoch 2
    await changes.change([replace(ADDED, name="disk4"), ServerChange(DRAIN, "disk1", capacity_bytes=2**30)])  # epoch 3
    await changes.change([ServerChange(ChangeAction.REMOVE, "disk2")])  # epoch 4
    plan = await changes.plan_revert(2)
    assert plan.applied_epoch is None
    assert plan.reason == "go back to the servers of epoch 2"
    assert {(change.action, change.name) for change in plan.changes} == {
        (ChangeAction.ACTIVATE, "disk1"), (ChangeAction.ACTIVATE, "disk2"), (DRAIN, "disk4"),
    }  # fmt: skip
    await changes.apply(plan.id)
    servers = {view.server.name: view.server for view in await cluster.app.servers.list()}
    assert (servers["disk1"].zone, servers["disk1"].capacity_bytes) == ("attic", 2**33)
    assert [servers[name].state for name in ("disk1", "disk2", "disk4")] == ["active", "active", "draining"]
    assert not servers["disk2"].remove_when_empty
    await changes.revert(1)
    servers = {view.server.name: view.server for view in await cluster.app.servers.list()}
    assert (servers["disk1"].zone, servers["disk1"].capacity_bytes) == ("memory", 2**32)


async def test_reverting_a_reversion_does_the_change_again(cluster: Cluster) -> None:
    await cluster.app.changes.change([ServerChange(DRAIN, "disk1")])
    drained = cluster.app.topology.present.ring(POLICY)
    await cluster.app.changes.revert()
    await cluster.app.changes.revert()
    assert (cluster.app.topology.present.ring(POLICY).slots == drained.slots).all()
    assert (await cluster.app.servers.get("disk1")).server.state is ServerState.DRAINING


@pytest.mark.parametrize("epoch", [0, -1, 2, 3, 10**9])
async def test_an_epoch_that_there_was_not_is_refused(cluster: Cluster, epoch: int) -> None:
    await cluster.app.changes.change([ServerChange(DRAIN, "disk1")])
    with pytest.raises(InvalidInput, match=f"no epoch {epoch} ") as caught:
        await cluster.app.changes.plan_revert(epoch)
    assert caught.value.field == "epoch"


async def test_there_is_nothing_to_revert_at_first_or_when_all_is_as_it_was(cluster: Cluster) -> None:
    with pytest.raises(InvalidInput, match="no epoch 0"):
        await cluster.app.changes.revert()
    await cluster.app.changes.change([ServerChange(DRAIN, "disk1")])
    await cluster.app.changes.revert()
    with pytest.raises(Conflict, match="nothing to revert"):
        await cluster.app.changes.revert(1)


async def test_a_server_that_is_removed_cannot_come_back(cluster: Cluster) -> None:
    await cluster.app.changes.change([ServerChange(DRAIN, "disk1")])
    await cluster.settle()
    async with cluster.metadata.unit_of_work() as uow:
        server = await uow.servers.get("disk1")
        assert server is not None
        await uow.servers.update(replace(server, state=ServerState.REMOVED))
        await uow.commit()
    with pytest.raises(Conflict, match=r"disk1 has been removed .* under a new name"):
        await cluster.app.changes.revert()
