"""Applying a plan: whole or not at all, at the price that was agreed to, and everything follows at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reelstore.domain.change import ChangeAction, PlanWarningKind, ServerChange
from reelstore.domain.errors import Conflict, ServerRefused, ServerUnavailable, StalePlan, WarningsNotAccepted
from reelstore.domain.event import EventKind
from reelstore.domain.server import ServerState
from reelstore.repositories.interface import UnitOfWork
from reelstore.storage.interface import Marker
from reelstore.storage.memory import MemoryServer
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster

ADD, UPDATE, DRAIN = ChangeAction.ADD, ChangeAction.UPDATE, ChangeAction.DRAIN
ACTIVATE, REMOVE = ChangeAction.ACTIVATE, ChangeAction.REMOVE


def added(name: str = "disk4", **more: Any) -> ServerChange:
    return ServerChange(ADD, name, url="memory:", **more)


async def states(cluster: Cluster) -> dict[str, ServerState]:
    return {view.server.name: view.server.state for view in await cluster.app.servers.list()}


async def assert_untouched(cluster: Cluster) -> None:
    assert await states(cluster) == dict.fromkeys(["disk1", "disk2", "disk3"], ServerState.ACTIVE)
    assert cluster.app.topology.present.epoch == 1
    async with cluster.metadata.snapshot() as view:
        assert await view.rings.head() == 1
        assert EventKind.RING_APPLIED not in {event.kind for event in await view.events.latest(limit=10)}
        assert not await view.partitions.unsettled(POLICY, epoch=1)


# ---------------------------------------------------------------------- what it does


async def test_several_changes_are_one_epoch_and_all_follow_at_once(cluster: Cluster) -> None:
    body = content(40 * CHUNK)
    video = await cluster.store(body)
    await cluster.settle()
    cluster.app.attention.wake.clear()
    changes = [
        added("disk4", zone="attic"),
        added("disk5", capacity_bytes=2**33),
        ServerChange(DRAIN, "disk1"),
        ServerChange(UPDATE, "disk2", zone="attic", capacity_bytes=2**33),
    ]
    plan = await cluster.app.changes.plan(changes)
    applied = await cluster.app.changes.apply(plan.id)
    assert applied.applied_epoch == cluster.app.topology.present.epoch == 2
    assert await cluster.app.changes.get(plan.id) == applied
    assert cluster.app.attention.wake.is_set()
    servers = {view.server.name: view.server for view in await cluster.app.servers.list()}
    assert {name: server.state for name, server in servers.items() if server.state != "active"} == {
        "disk1": ServerState.DRAINING
    }
    assert (servers["disk2"].zone, servers["disk2"].capacity_bytes) == ("attic", 2**33)
    assert (servers["disk4"].number, servers["disk5"].number) == (3, 4)
    assert not cluster.member("disk1").takes_writes
    assert {member.number: member.weight for member in cluster.app.topology.present.ring(POLICY).members} == {
        0: 0, 1: 2**33, 2: 2**32, 3: 2**32, 4: 2**33,
    }  # fmt: skip
    await cluster.settle()
    await cluster.assert_whole()
    assert (await cluster.shards())["disk1"] == set()
    assert await cluster.read(video.id) == body


async def test_what_happened_is_told_in_events_and_in_the_rings_reason(cluster: Cluster) -> None:
    plan = await cluster.app.changes.change(
        [added(), ServerChange(REMOVE, "disk1"), ServerChange(UPDATE, "disk2", capacity_bytes=2**33)]
    )
    async with cluster.metadata.snapshot() as view:
        events = list(reversed(await view.events.latest(limit=10)))
        (record, _) = await view.rings.history(limit=2)
    assert [(event.kind, event.subject) for event in events] == [
        (EventKind.SERVER_ADDED, "disk4"),
        (EventKind.SERVER_DRAINING, "disk1"),
        (EventKind.SERVER_CHANGED, "disk2"),
        (EventKind.RING_APPLIED, "2"),
    ]
    assert all(event.data["plan_id"] == plan.id for event in events)
    assert record.reason == plan.reason == "add server disk4, remove server disk1, change server disk2"


async def test_a_change_with_a_reason_and_more_to_do_is_one_transaction(cluster: Cluster) -> None:
    async def also(uow: UnitOfWork) -> None:
        server = await uow.servers.get("disk1")
        assert server is not None
        assert server.state is ServerState.DRAINING
        assert await uow.rings.head() == 2
        if refuses:
            raise Conflict("it came back")

    changes = [added(), ServerChange(DRAIN, "disk1")]
    refuses = True
    with pytest.raises(Conflict, match="it came back"):
        await cluster.app.changes.change(changes, reason="it was silent", also=also)
    await assert_untouched(cluster)
    refuses = False
    assert (await cluster.app.changes.change(changes, reason="it was silent", also=also)).reason == "it was silent"


async def test_the_new_capacity_holds_for_the_driver_at_once(cluster: Cluster) -> None:
    await cluster.app.changes.change([ServerChange(UPDATE, "disk1", capacity_bytes=2**34)])
    assert (await cluster.server("disk1").inner.usage()).capacity_bytes == 2**34
    await cluster.app.changes.change([ServerChange(UPDATE, "disk1", capacity_bytes=2**20)])
    assert (await cluster.server("disk1").inner.usage()).capacity_bytes == 2**20


async def test_an_activated_server_is_filled_again(cluster: Cluster) -> None:
    await cluster.store(content(40 * CHUNK))
    await cluster.app.changes.change([ServerChange(REMOVE, "disk1")])
    await cluster.settle()
    await cluster.app.changes.change([ServerChange(ACTIVATE, "disk1")])
    server = (await cluster.app.servers.get("disk1")).server
    assert (server.state, server.remove_when_empty) == (ServerState.ACTIVE, False)
    await cluster.settle()
    assert (await cluster.shards())["disk1"]
    await cluster.assert_whole()


# ---------------------------------------------------------------------- what it refuses


async def test_a_plan_is_applied_once(cluster: Cluster) -> None:
    plan = await cluster.app.changes.plan([added()])
    await cluster.app.changes.apply(plan.id)
    with pytest.raises(StalePlan, match="applied already: it began epoch 2"):
        await cluster.app.changes.apply(plan.id)
    assert cluster.app.topology.present.epoch == 2


async def test_of_two_who_apply_a_plan_at_once_one_is_told_that_it_was_applied(cluster: Cluster) -> None:
    plan = await cluster.app.changes.plan([added()])
    results = await asyncio.gather(*(cluster.app.changes.apply(plan.id) for _ in range(2)), return_exceptions=True)
    (refused,) = [result for result in results if isinstance(result, BaseException)]
    assert isinstance(refused, StalePlan)
    assert "applied already" in str(refused)


async def test_of_two_plans_of_one_epoch_only_one_is_applied_however_close_they_are(cluster: Cluster) -> None:
    plans = [await cluster.app.changes.plan([added(f"more{index}")]) for index in range(3)]
    results = await asyncio.gather(*(cluster.app.changes.apply(plan.id) for plan in plans), return_exceptions=True)
    refused = [result for result in results if isinstance(result, StalePlan)]
    assert len(refused) == 2
    assert all("plan again" in str(error) for error in refused)
    assert cluster.app.topology.present.epoch == 2
    assert len(cluster.names) == 4
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_plan_that_has_become_dearer_is_refused_and_bytes_stored_since_are_allowed_for() -> None:
    async with memory_cluster(servers=4, partition_bits=5) as cluster:
        await cluster.store(content(60 * CHUNK))
        await cluster.settle()
        await cluster.app.changes.change([added("disk5")])
        cancel = await cluster.app.changes.plan_revert()
        assert cancel.bytes_total == 0
        await cluster.settle()
        with pytest.raises(StalePlan, match="was planned for 0"):
            await cluster.app.changes.apply(cancel.id)
        again = await cluster.app.changes.plan_revert()
        await cluster.store(content(60 * CHUNK, seed=1))
        applied = await cluster.app.changes.apply(again.id)
        assert applied.bytes_total == again.bytes_total > 0


async def test_warnings_must_be_accepted_and_the_plan_is_kept_for_that() -> None:
    async with memory_cluster(servers=2) as cluster:
        with pytest.raises(WarningsNotAccepted, match="1 of 2 shards") as caught:
            await cluster.app.changes.change([ServerChange(DRAIN, "disk1")])
        assert len(caught.value.warnings) == 1
        with pytest.raises(WarningsNotAccepted):
            await cluster.app.changes.apply(caught.value.plan_id)
        assert cluster.app.topology.present.epoch == 1
        applied = await cluster.app.changes.apply(caught.value.plan_id, accept_warnings=True)
        assert (applied.applied_epoch, applied.warnings[0].kind) == (2, PlanWarningKind.TOO_FEW_SERVERS)


async def test_what_is_warned_of_only_since_it_was_planned_must_be_accepted_too(cluster: Cluster) -> None:
    await cluster.store(content(30 * CHUNK))
    await cluster.settle()
    plan = await cluster.app.changes.plan([ServerChange(DRAIN, "disk1")])
    assert not any(warning.needs_acceptance for warning in plan.warnings)
    inner = cluster.server("disk2").inner
    assert isinstance(inner, MemoryServer)
    inner.resize((await inner.usage()).used_bytes)
    with pytest.raises(WarningsNotAccepted, match="disk2"):
        await cluster.app.changes.apply(plan.id)
    await assert_untouched(cluster)


async def test_a_place_that_is_anothers_by_now_refuses_the_whole_plan(cluster: Cluster) -> None:
    plan = await cluster.app.changes.plan([added("disk4"), added("disk5"), ServerChange(DRAIN, "disk1")])
    foreign = MemoryServer("disk5")
    await foreign.attach(Marker("another", "disk5", "g", 5), claim=True)
    await foreign.close()
    cluster.places["disk5"] = foreign
    with pytest.raises(ServerRefused):
        await cluster.app.changes.apply(plan.id)
    await assert_untouched(cluster)
    assert not cluster.places["disk4"]._attached  # it was claimed, and let go


async def test_a_place_that_does_not_answer_can_be_applied_later(cluster: Cluster) -> None:
    plan = await cluster.app.changes.plan([added()])
    cluster.missing = {"disk4"}
    with pytest.raises(ServerUnavailable):
        await cluster.app.changes.apply(plan.id)
    await assert_untouched(cluster)
    cluster.missing = set()
    assert (await cluster.app.changes.apply(plan.id)).applied_epoch == 2


async def test_a_crash_between_the_claims_and_the_commit_is_repeated(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await cluster.app.changes.plan([added(), ServerChange(DRAIN, "disk1")])

    async def crash(*given: Any) -> Any:
        raise OSError("the power went")

    monkeypatch.setattr(cluster.app.changes, "_begin", crash)
    with pytest.raises(OSError, match="power"):
        await cluster.app.changes.apply(plan.id)
    await cluster.restart()
    await assert_untouched(cluster)
    assert (await cluster.app.changes.apply(plan.id)).applied_epoch == 2
    await cluster.settle()
    await cluster.assert_whole()


# ---------------------------------------------------------------------- a draining server takes nothing new


async def test_a_draining_server_gets_no_new_shard_though_others_fail(cluster: Cluster) -> None:
    await cluster.app.changes.change([added(), ServerChange(DRAIN, "disk1")])
    puts = cluster.server("disk1").calls["put"]
    cluster.server("disk2").down = True
    await cluster.store(content(40 * CHUNK))
    assert cluster.server("disk1").calls["put"] == puts


async def test_an_upload_under_way_places_again_when_a_server_is_drained(cluster: Cluster) -> None:
    body = content(60 * CHUNK)

    async def arriving() -> AsyncIterator[bytes]:
        yield body[: 30 * CHUNK]
        await cluster.app.changes.change([added(), ServerChange(DRAIN, "disk1")])
        marks.append(cluster.server("disk1").calls["put"])
        yield body[30 * CHUNK :]

    marks: list[int] = []
    stored = await cluster.send(arriving())
    assert cluster.server("disk1").calls["put"] == marks[0]
    assert await cluster.read(stored.video.id) == body
    await cluster.settle()
    assert (await cluster.shards())["disk1"] == set()
    await cluster.assert_whole()


async def test_a_plan_is_applied_while_an_upload_runs_and_both_end_well(cluster: Cluster) -> None:
    bodies = [content(30 * CHUNK, seed=seed) for seed in range(3)]
    plan = await cluster.app.changes.plan([added("disk4"), added("disk5"), ServerChange(DRAIN, "disk2")])
    applying = asyncio.create_task(cluster.app.changes.apply(plan.id))
    videos = await asyncio.gather(*(cluster.store(body, name=f"{index}") for index, body in enumerate(bodies)))
    assert (await applying).applied_epoch == 2
    await cluster.settle()
    await cluster.assert_whole()
    for video, body in zip(videos, bodies, strict=True):
        assert await cluster.read(video.id) == body
