"""The fleet: who answers, who has come back, and whose place is whose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.domain.errors import ServerRefused, ServerUnavailable
from reelstore.domain.server import Server, ServerState
from reelstore.storage.interface import StorageServer
from reelstore.storage.memory import MemoryServer
from tests.faults import FaultyServer


def server(number: int, **changes: object) -> Server:
    made = Server(f"s{number}", number, "memory:", "z", 100)
    return replace(made, **changes)  # type: ignore[arg-type] # names of fields


class Drivers:
    """Make drivers, and remember them by name."""

    def __init__(self) -> None:
        self.made: dict[str, FaultyServer] = {}

    def connect(self, wanted: Server) -> StorageServer:
        self.made[wanted.name] = FaultyServer(MemoryServer(wanted.name))
        return self.made[wanted.name]


def fleet_of(drivers: Drivers) -> Fleet:
    return Fleet(drivers.connect, cluster_id="c", generation="g")


async def claimed(fleet: Fleet, member: FleetMember) -> None:
    await fleet.attach(member.driver, member.server.name, claim=True)


async def test_a_server_is_up_only_after_a_probe_and_new_only_once() -> None:
    fleet = fleet_of(Drivers())
    await fleet.refresh([server(0)])
    member = fleet[0]
    assert not member.is_up
    await claimed(fleet, member)
    assert await fleet.probe(member)
    assert member.is_up
    assert not await fleet.probe(member)


async def test_a_probe_does_not_claim_a_place_without_a_marker() -> None:
    fleet = fleet_of(Drivers())
    await fleet.refresh([server(0)])
    assert not await fleet.probe(fleet[0])
    assert not fleet[0].is_up
    assert "marker" in str(fleet[0].problem)


async def test_a_server_that_comes_back_is_noticed_once() -> None:
    drivers = Drivers()
    fleet = fleet_of(drivers)
    await fleet.refresh([server(0)])
    await claimed(fleet, fleet[0])
    await fleet.probe(fleet[0])
    drivers.made["s0"].down = True
    assert not await fleet.probe(fleet[0])
    assert fleet[0].problem == "down, says the test"
    drivers.made["s0"].down = False
    assert await fleet.probe(fleet[0])
    assert not await fleet.probe(fleet[0])


async def test_a_probe_tells_how_full_a_server_is() -> None:
    drivers = Drivers()
    fleet = fleet_of(drivers)
    await fleet.refresh([server(0)])
    await claimed(fleet, fleet[0])
    await fleet.probe(fleet[0])
    assert fleet[0].server.used_bytes == (await drivers.made["s0"].usage()).used_bytes


async def test_another_clusters_place_is_refused() -> None:
    drivers = Drivers()
    ours, theirs = fleet_of(drivers), Fleet(drivers.connect, cluster_id="other", generation="g")
    await ours.refresh([server(0)])
    await claimed(ours, ours[0])
    with pytest.raises(ServerRefused):
        await theirs.attach(ours[0].driver, "s0", claim=True)


async def test_refreshing_keeps_drivers_connects_new_ones_and_closes_removed_ones() -> None:
    drivers = Drivers()
    fleet = fleet_of(drivers)
    await fleet.refresh([server(0), server(1)])
    await claimed(fleet, fleet[1])
    first = fleet[0]
    await fleet.refresh([server(0, zone="y"), server(1, state=ServerState.REMOVED), server(2)])
    assert fleet.numbers() == {0, 2}
    assert fleet[0] is first
    assert first.server.zone == "y"
    assert fleet.get(1) is None
    with pytest.raises(ServerUnavailable):
        await drivers.made["s1"].usage()  # closed


async def test_servers_that_answer_come_before_quicker_ones_that_do_not() -> None:
    fleet = fleet_of(Drivers())
    await fleet.refresh([server(0), server(1), server(2)])
    for number, (problem, seconds) in enumerate([("down", 0.001), (None, 5.0), (None, 0.1)]):
        fleet[number].problem, fleet[number].latency_seconds = problem, seconds
    assert [member.server.number for member in fleet.by_preference([0, 1, 2, 99])] == [2, 1, 0]


async def test_servers_alike_take_turns() -> None:
    fleet = fleet_of(Drivers())
    await fleet.refresh([server(0), server(1)])
    for member in fleet:
        member.problem, member.latency_seconds = None, 0.1
    assert {fleet.by_preference([0, 1])[0].server.number for _ in range(200)} == {0, 1}


def test_latency_follows_the_newest_readings() -> None:
    member = FleetMember(server(0), MemoryServer("s0"))
    member.succeeded(1.0)
    assert member.latency_seconds == 1.0
    for _ in range(30):
        member.succeeded(0.1)
    assert 0.1 <= member.latency_seconds < 0.11


@pytest.mark.parametrize(("state", "takes"), [("active", True), ("draining", False), ("removed", False)])
def test_only_active_servers_take_writes(state: str, takes: bool) -> None:
    assert FleetMember(server(0, state=ServerState(state)), MemoryServer("s0")).takes_writes is takes
