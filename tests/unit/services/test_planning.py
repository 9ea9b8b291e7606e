"""What plans say: bytes, fill, time, warnings; and which changes make no sense."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reelstore.domain.change import ChangeAction, Plan, PlannedMove, PlanWarningKind, ServerChange
from reelstore.domain.counter import Counter
from reelstore.domain.errors import (
    Conflict,
    InvalidInput,
    PlanNotFound,
    ReelstoreError,
    ServerExists,
    ServerNotFound,
    ServerUnavailable,
)
from reelstore.domain.event import EventKind
from reelstore.domain.server import ServerState
from reelstore.repositories.interface import RebalanceControl
from reelstore.services.planning import ASSUMED_BYTES_PER_SECOND
from reelstore.storage.memory import MemoryServer
from tests.cluster import CHUNK, Cluster, content, memory_cluster

ADD, UPDATE, DRAIN = ChangeAction.ADD, ChangeAction.UPDATE, ChangeAction.DRAIN
ACTIVATE, REMOVE = ChangeAction.ACTIVATE, ChangeAction.REMOVE
GIB = 2**30


def added(name: str = "disk4", **more: Any) -> ServerChange:
    return ServerChange(ADD, name, url="memory:", **more)


def kinds(plan: Plan, *, needing: bool | None = None) -> set[PlanWarningKind]:
    return {warning.kind for warning in plan.warnings if needing in {None, warning.needs_acceptance}}


async def used(cluster: Cluster) -> dict[str, int]:
    return {name: sum(entry.size_bytes for entry in await cluster.listing(name)) for name in cluster.names}


# ---------------------------------------------------------------------- what it says


async def test_a_plan_changes_nothing_and_is_kept_with_an_event(cluster: Cluster) -> None:
    plan = await cluster.app.changes.plan([added(zone="attic", capacity_bytes=7 * GIB)])
    assert plan.applied_epoch is None
    assert (plan.base_epoch, plan.reason) == (1, "add server disk4")
    assert plan.changes == (ServerChange(ADD, "disk4", "memory:", "attic", 7 * GIB),)
    assert await cluster.app.changes.get(plan.id) == plan
    assert await cluster.app.changes.latest(5) == (plan,)
    assert cluster.names == ["disk1", "disk2", "disk3"]
    assert cluster.app.topology.present.epoch == 1
    async with cluster.metadata.snapshot() as view:
        assert await view.rings.head() == 1
        assert len(await view.servers.list()) == 3
        (event,) = await view.events.latest(limit=1)
    assert (event.kind, event.subject, event.data["bytes_total"]) == (EventKind.RING_PLANNED, plan.id, 0)


async def test_the_bytes_of_each_pair_are_those_that_settling_then_moves() -> None:
    async with memory_cluster(servers=4, partition_bits=5) as cluster:
        await cluster.store(content(40 * CHUNK))
        await cluster.settle()
        before = await used(cluster)
        plan = await cluster.app.changes.plan([added("disk5"), ServerChange(DRAIN, "disk1")])
        assert {server.name: server.used_bytes_before for server in plan.servers} == before | {"disk5": 0}

        puts = {server.name: server.calls["put"] for server in cluster.servers}
        await cluster.app.changes.apply(plan.id)
        await cluster.settle()

        received: dict[str, int] = {}
        for move in plan.moves:
            received[move.target] = received.get(move.target, 0) + move.size_bytes
        moved = {server.name: (server.calls["put"] - puts.get(server.name, 0)) * CHUNK for server in cluster.servers}
        assert {name: size_bytes for name, size_bytes in moved.items() if size_bytes} == received
        assert plan.bytes_total == sum(received.values())
        assert plan.bytes_stored == sum(before.values())
        assert {server.name: server.used_bytes_after for server in plan.servers} == await used(cluster)
        await cluster.assert_whole()


async def test_fill_is_highest_before_what_goes_is_deleted(cluster: Cluster) -> None:
    await cluster.store(content(30 * CHUNK))
    await cluster.settle()
    plan = await cluster.app.changes.plan([added("disk4"), added("disk5"), ServerChange(DRAIN, "disk2")])
    for server in plan.servers:
        incoming = sum(move.size_bytes for move in plan.moves if move.target == server.name)
        assert server.used_bytes_peak == server.used_bytes_before + incoming
    drained = next(server for server in plan.servers if server.name == "disk2")
    assert (drained.used_bytes_after, drained.share_after, drained.state_after) == (0, 0.0, ServerState.DRAINING)
    assert drained.used_bytes_peak == drained.used_bytes_before > 0
    assert sum(server.share_after for server in plan.servers) == pytest.approx(1)


async def test_zones_are_told_as_they_are_and_as_they_will_be(cluster: Cluster) -> None:
    await cluster.store(content(30 * CHUNK))
    await cluster.settle()
    plan = await cluster.app.changes.plan([added(zone="attic"), ServerChange(UPDATE, "disk1", zone="cellar")])
    zones = {zone.name: zone for zone in plan.zones}
    assert list(zones) == ["attic", "cellar", "memory"]
    assert zones["memory"].shards_before == sum(zone.shards_after for zone in plan.zones) == 32
    assert zones["attic"].shards_before == zones["cellar"].shards_before == 0
    assert zones["cellar"].used_bytes_after > 0 == zones["cellar"].used_bytes_before
    assert zones["memory"].used_bytes_before == plan.bytes_stored


async def test_shards_that_nobody_has_come_from_nobody() -> None:
    async with memory_cluster(servers=2, copies=3) as cluster:
        await cluster.store(content(10 * CHUNK))
        plan = await cluster.app.changes.plan([added()])
        assert plan.moves == (PlannedMove(None, "disk4", 10 * CHUNK),)


async def test_the_same_changes_planned_twice_cost_the_same(cluster: Cluster) -> None:
    await cluster.store(content(20 * CHUNK))
    first = await cluster.app.changes.plan([added()])
    cluster.clock.advance(1)
    second = await cluster.app.changes.plan([added()])
    assert replace(second, id=first.id, created_at=first.created_at) == first
    assert [plan.id for plan in await cluster.app.changes.latest(1)] == [second.id]


async def test_an_unknown_plan_is_named(cluster: Cluster) -> None:
    with pytest.raises(PlanNotFound, match="'nonsense'"):
        await cluster.app.changes.get("nonsense")
    with pytest.raises(PlanNotFound):
        await cluster.app.changes.apply("nonsense")


# ---------------------------------------------------------------------- how long it takes


async def test_the_time_comes_from_an_assumed_a_measured_or_a_limited_rate(cluster: Cluster) -> None:
    await cluster.store(content(30 * CHUNK))
    changes = cluster.app.changes

    async def planned() -> tuple[str, int]:
        plan = await changes.plan([added()])
        assert plan.bytes_total > 0
        return plan.duration_basis, round(plan.bytes_total / plan.duration_seconds)

    assert await planned() == ("assumed", ASSUMED_BYTES_PER_SECOND)
    async with cluster.metadata.unit_of_work() as uow:
        await uow.counters.add({Counter.SHARDS_MOVED_BYTES: 9 * 10**6, Counter.MOVING_SECONDS: 9})
        await uow.commit()
    assert (await planned())[0] == "assumed"  # too short to say anything
    async with cluster.metadata.unit_of_work() as uow:
        await uow.counters.add({Counter.SHARDS_MOVED_BYTES: 11 * 10**6, Counter.MOVING_SECONDS: 1})
        await uow.commit()
    assert await planned() == ("measured", 2 * 10**6)
    for limit, expected in ((10**5, ("limit", 10**5)), (10**9, ("measured", 2 * 10**6))):
        async with cluster.metadata.unit_of_work() as uow:
            await uow.control.set(RebalanceControl(bytes_per_second=limit))
            await uow.commit()
        assert await planned() == expected


# ---------------------------------------------------------------------- what it warns of


async def test_too_few_servers_must_be_accepted_only_by_who_takes_one_away() -> None:
    async with memory_cluster(servers=2) as cluster:
        drain = await cluster.app.changes.plan([ServerChange(DRAIN, "disk1")])
        assert PlanWarningKind.TOO_FEW_SERVERS in kinds(drain, needing=True)
        assert "nothing can be stored" in drain.warnings[0].message
        await cluster.app.changes.apply(drain.id, accept_warnings=True)
        grow = await cluster.app.changes.plan([ServerChange(UPDATE, "disk2", capacity_bytes=9 * GIB)])
        assert PlanWarningKind.TOO_FEW_SERVERS in kinds(grow, needing=False)


async def test_a_server_without_room_must_be_accepted() -> None:
    async with memory_cluster(servers=3, capacity_bytes=100 * CHUNK) as cluster:
        await cluster.store(content(120 * CHUNK))
        await cluster.settle()
        drain = await cluster.app.changes.plan([ServerChange(DRAIN, "disk1")])
        overfull = [warning for warning in drain.warnings if warning.kind is PlanWarningKind.OVERFULL]
        assert [warning.servers for warning in overfull] == [("disk2",), ("disk3",)]
        assert all(warning.needs_acceptance for warning in overfull)
        relieved = await cluster.app.changes.plan([ServerChange(DRAIN, "disk1"), added(capacity_bytes=1000 * CHUNK)])
        assert kinds(relieved, needing=True) == set()


async def test_a_server_that_nears_its_end_is_told_and_need_not_be_accepted() -> None:
    async with memory_cluster(servers=3, capacity_bytes=100 * CHUNK) as cluster:
        await cluster.store(content(90 * CHUNK))
        await cluster.settle()
        drain = await cluster.app.changes.plan([ServerChange(DRAIN, "disk1")])
        assert PlanWarningKind.NEARLY_FULL in kinds(drain, needing=False)
        assert PlanWarningKind.OVERFULL not in kinds(drain)


async def test_a_capacity_below_what_stays_must_be_accepted(cluster: Cluster) -> None:
    await cluster.store(content(30 * CHUNK))
    await cluster.settle()
    changes = [ServerChange(UPDATE, name, capacity_bytes=CHUNK) for name in cluster.names]
    assert PlanWarningKind.OVERFULL in kinds(await cluster.app.changes.plan(changes), needing=True)


async def test_relief_for_a_full_server_needs_no_acceptance() -> None:
    async with memory_cluster(servers=2, capacity_bytes=40 * CHUNK) as cluster:
        await cluster.store(content(39 * CHUNK))
        await cluster.settle()
        assert kinds(await cluster.app.changes.plan([added(capacity_bytes=40 * CHUNK)]), needing=True) == set()


async def test_a_disk_with_less_room_than_its_capacity_says_is_overfull(cluster: Cluster) -> None:
    await cluster.store(content(30 * CHUNK))
    await cluster.settle()
    inner = cluster.server("disk2").inner
    assert isinstance(inner, MemoryServer)
    inner.resize((await inner.usage()).used_bytes + CHUNK)
    drain = await cluster.app.changes.plan([ServerChange(DRAIN, "disk1")])
    (overfull,) = [warning for warning in drain.warnings if warning.kind is PlanWarningKind.OVERFULL]
    assert overfull.servers == ("disk2",)


async def test_a_server_that_does_not_answer_is_told(cluster: Cluster) -> None:
    cluster.server("disk2").down = True
    await cluster.probe()
    plan = await cluster.app.changes.plan([added()])
    assert PlanWarningKind.UNREACHABLE in kinds(plan, needing=False)
    drain = await cluster.app.changes.plan([added(), ServerChange(DRAIN, "disk2")])
    assert PlanWarningKind.UNREACHABLE not in kinds(drain)


async def test_copies_that_may_share_a_disk_are_told_whatever_their_zones_are_called(cluster: Cluster) -> None:
    crowded = await cluster.app.changes.plan([added()])
    assert PlanWarningKind.SAME_DISK in kinds(crowded)
    hidden = await cluster.app.changes.plan(
        [ServerChange(UPDATE, name, zone=f"rack{index}") for index, name in enumerate(cluster.names)]
    )
    (warning,) = [warning for warning in hidden.warnings if warning.kind is PlanWarningKind.SAME_DISK]
    assert warning.servers == ("disk1", "disk2", "disk3")


async def test_zones_that_keep_capacity_from_use_are_told(cluster: Cluster) -> None:
    changes = [
        ServerChange(UPDATE, "disk1", zone="a", capacity_bytes=10 * GIB),
        ServerChange(UPDATE, "disk2", zone="b", capacity_bytes=10 * GIB),
        ServerChange(UPDATE, "disk3", zone="c", capacity_bytes=100 * GIB),
    ]
    plan = await cluster.app.changes.plan(changes)
    (warning,) = [warning for warning in plan.warnings if warning.kind is PlanWarningKind.UNUSABLE_CAPACITY]
    assert (warning.servers, warning.needs_acceptance) == (("disk3",), False)


# ---------------------------------------------------------------------- what makes no sense


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ([], InvalidInput, "1 to"),
        ([ServerChange(DRAIN, "disk1"), ServerChange(UPDATE, "disk1", zone="z")], InvalidInput, "2 times"),
        ([added(), added()], InvalidInput, "2 times"),
        ([ServerChange(ADD, "disk4")], InvalidInput, "by its url"),
        ([added("Disk4")], InvalidInput, "lower-case"),
        ([added("disk1")], ServerExists, "disk1 already"),
        ([added(zone="a b")], InvalidInput, "a zone has"),
        ([added(capacity_bytes=0)], InvalidInput, "capacity_bytes"),
        ([added(capacity_bytes=2**61)], InvalidInput, "capacity_bytes"),
        ([ServerChange(UPDATE, "disk1")], InvalidInput, "say which"),
        ([ServerChange(UPDATE, "disk1", url="memory:")], InvalidInput, "never changes"),
        ([ServerChange(UPDATE, "disk1", capacity_bytes=0)], InvalidInput, "capacity_bytes"),
        ([ServerChange(UPDATE, "disk1", zone="memory")], Conflict, "already"),
        ([ServerChange(REMOVE, "disk1", zone="z")], InvalidInput, "no zone"),
        ([ServerChange(DRAIN, "disk9")], ServerNotFound, "disk9"),
        ([ServerChange(REMOVE, "../x\n")], ServerNotFound, "x"),
        ([ServerChange(ACTIVATE, "disk1")], Conflict, "active already"),
        ([ServerChange(DRAIN, f"disk{index}") for index in (1, 2, 3)], Conflict, "no server would be left"),
    ],
)
async def test_a_change_that_makes_no_sense_says_why_and_leaves_no_plan(
    cluster: Cluster, changes: list[ServerChange], error: type[ReelstoreError], words: str
) -> None:
    for attempt in (cluster.app.changes.plan, cluster.app.changes.change):
        with pytest.raises(error, match=words):
            await attempt(changes)
    assert await cluster.app.changes.latest(5) == ()
    assert cluster.app.topology.present.epoch == 1


async def test_what_drains_is_not_drained_again_and_a_removal_can_become_a_mere_drain(cluster: Cluster) -> None:
    changes = cluster.app.changes
    await changes.change([added()])
    await changes.change([ServerChange(REMOVE, "disk1")])
    assert (await cluster.app.servers.get("disk1")).server.remove_when_empty
    with pytest.raises(Conflict, match="removed when it is empty"):
        await changes.plan([ServerChange(REMOVE, "disk1")])
    await changes.change([ServerChange(DRAIN, "disk1")])
    assert not (await cluster.app.servers.get("disk1")).server.remove_when_empty
    with pytest.raises(Conflict, match="draining already"):
        await changes.plan([ServerChange(DRAIN, "disk1")])


async def test_a_removed_server_is_gone_and_its_name_too(cluster: Cluster) -> None:
    async with cluster.metadata.unit_of_work() as uow:
        server = await uow.servers.get("disk3")
        assert server is not None
        await uow.servers.update(replace(server, state=ServerState.REMOVED))
        await uow.commit()
    with pytest.raises(ServerNotFound):
        await cluster.app.changes.plan([ServerChange(ACTIVATE, "disk3")])
    with pytest.raises(ServerExists, match="names are never used again"):
        await cluster.app.changes.plan([added("disk3")])


async def test_a_place_that_cannot_be_asked_may_be_planned_later(cluster: Cluster) -> None:
    places = cluster.app.changes._places

    def silent(url: str) -> int:
        raise TimeoutError

    places._drivers = replace(places._drivers, default_capacity=silent)
    with pytest.raises(ServerUnavailable) as caught:
        await cluster.app.changes.plan([added()])
    assert caught.value.retryable
    places._drivers = replace(places._drivers, default_capacity=lambda url: 0)
    with pytest.raises(InvalidInput, match="no capacity of its own"):
        await cluster.app.changes.plan([added()])
