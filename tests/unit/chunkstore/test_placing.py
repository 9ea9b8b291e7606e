"""Placing one chunk: who is asked, under which name, who stands in, and when it is too few."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from reelstore.chunkstore.placing import Placement, Placer
from reelstore.chunkstore.redundancy import digest_of
from reelstore.domain.chunk import Chunk, ChunkState, ShardName
from reelstore.domain.errors import InsufficientServers, InsufficientStorage
from reelstore.domain.server import ServerState
from tests.cluster import POLICY, Cluster, content, memory_cluster, seeded
from tests.faults import FaultyServer

DATA = content(1000)


@dataclass
class Place:
    """One chunk and the servers of a cluster, seen from its row."""

    cluster: Cluster
    chunk: Chunk
    row: list[tuple[str, ShardName]]
    handoffs: list[str]
    placer: Placer

    async def place(self, *, acknowledged_min: int = 2) -> Placement:
        ring = self.cluster.app.topology.present.ring(POLICY)
        return await self.placer.place(ring, self.chunk, [DATA] * 2, alike=True, acknowledged_min=acknowledged_min)

    def server(self, name: str) -> FaultyServer:
        return self.cluster.server(name)

    def numbers(self, *names: str) -> frozenset[int]:
        return frozenset(self.cluster.member(name).server.number for name in names)

    @property
    def primaries(self) -> list[str]:
        return [name for name, _ in self.row]

    async def held(self) -> dict[str, set[ShardName]]:
        return {name: shards for name, shards in (await self.cluster.shards()).items() if shards}


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    async with memory_cluster(servers=4) as cluster:
        chunk = Chunk("c" * 32, POLICY, digest_of(DATA), len(DATA), ChunkState.WRITING)
        ring = cluster.app.topology.present.ring(POLICY)
        handoffs = ring.handoffs(ring.partition_of(chunk.digest))
        placer = Placer(cluster.app.fleet, entropy=seeded(1), put_timeout_seconds=0.02)
        names = [cluster.app.fleet[number].server.name for number in handoffs]
        yield Place(cluster, chunk, await cluster.row(chunk), names, placer)


async def test_each_primary_takes_its_shard_under_the_promised_name(place: Place) -> None:
    placement = await place.place()
    assert placement == Placement(1, place.numbers(*place.primaries), settled=True, released=True)
    assert await place.held() == {name: {shard} for name, shard in place.row}
    assert not any(place.server(name).calls["put"] for name in place.handoffs)


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("fault", ["down", "full"])
async def test_the_first_handoff_stands_in_for_a_failing_primary(place: Place, slot: int, fault: str) -> None:
    setattr(place.server(place.primaries[slot]), fault, True)
    placement = await place.place()
    assert placement.acknowledged == place.numbers(place.primaries[1 - slot], place.handoffs[0])
    assert not placement.settled
    ((shard,)) = (await place.held())[place.handoffs[0]]
    assert shard.slot == slot
    assert shard.tenure not in {0, place.row[slot][1].tenure}


async def test_a_handoff_is_never_named_alike_twice(place: Place) -> None:
    place.server(place.primaries[0]).down = True
    for _ in range(3):
        await place.place()
    assert len((await place.held())[place.handoffs[0]]) == 3


async def test_both_primaries_are_replaced_by_two_different_servers(place: Place) -> None:
    for name in place.primaries:
        place.server(name).down = True
    placement = await place.place()
    assert placement.acknowledged == place.numbers(*place.handoffs)
    slots = {shard.slot for held in (await place.held()).values() for shard in held}
    assert slots == {0, 1}


async def test_the_next_handoff_is_asked_when_the_first_one_fails(place: Place) -> None:
    place.server(place.primaries[0]).down = True
    place.server(place.handoffs[0]).full = True
    placement = await place.place()
    assert placement.acknowledged == place.numbers(place.primaries[1], place.handoffs[1])


async def test_a_draining_server_does_not_stand_in(place: Place) -> None:
    place.server(place.primaries[0]).down = True
    member = place.cluster.member(place.handoffs[0])
    member.server = replace(member.server, state=ServerState.DRAINING)
    placement = await place.place()
    assert placement.acknowledged == place.numbers(place.primaries[1], place.handoffs[1])


async def test_a_primary_thought_to_be_down_is_tried_at_the_last(place: Place) -> None:
    for name in place.handoffs:
        place.server(name).down = True
    place.cluster.member(place.primaries[0]).problem = "did not answer an hour ago"
    placement = await place.place()
    assert placement.acknowledged == place.numbers(*place.primaries)
    assert not placement.settled  # what was not there at the first try is looked at again
    assert place.server(place.primaries[0]).calls["put"] == 1


async def test_a_server_thought_to_be_down_is_not_waited_for(place: Place) -> None:
    place.cluster.member(place.primaries[0]).problem = "did not answer a second ago"
    await place.place()
    assert place.server(place.primaries[0]).calls["put"] == 0


async def test_a_failed_put_marks_the_server_and_a_full_one_does_not(place: Place) -> None:
    place.server(place.primaries[0]).down = True
    place.server(place.primaries[1]).full = True
    await place.place()
    assert not place.cluster.member(place.primaries[0]).is_up
    assert place.cluster.member(place.primaries[1]).is_up


# ---------------------------------------------------------------------- too few


async def test_fewer_than_the_minimum_are_refused_with_the_figures(place: Place) -> None:
    for name in [place.primaries[0], *place.handoffs]:
        place.server(name).down = True
    with pytest.raises(InsufficientServers, match=r"2 servers must acknowledge each part, 1 did") as caught:
        await place.place()
    assert (caught.value.needed, caught.value.acknowledged, caught.value.retryable) == (2, 1, True)


async def test_one_acknowledgement_is_enough_where_the_policy_asks_for_one(place: Place) -> None:
    for name in [place.primaries[0], *place.handoffs]:
        place.server(name).down = True
    placement = await place.place(acknowledged_min=1)
    assert placement.acknowledged == place.numbers(place.primaries[1])
    assert not placement.settled


async def test_servers_are_counted_and_not_acknowledgements(place: Place) -> None:
    """The same server acknowledging two shards would be one place to lose."""
    for name in [place.primaries[0], *place.handoffs[1:]]:
        place.server(name).down = True
    placement = await place.place()
    assert len(placement.acknowledged) == 2
    with pytest.raises(InsufficientServers):
        await place.place(acknowledged_min=3)


async def test_full_servers_are_a_matter_of_storage_and_not_of_servers(place: Place) -> None:
    for name in place.cluster.names:
        place.server(name).full = True
    with pytest.raises(InsufficientStorage) as caught:
        await place.place()
    assert not caught.value.retryable
    assert await place.held() == {}


async def test_one_full_server_among_dead_ones_is_a_matter_of_servers(place: Place) -> None:
    """Room on it would not help: a second server must answer, so a retry can."""
    place.server(place.primaries[0]).full = True
    for name in [place.primaries[1], *place.handoffs]:
        place.server(name).down = True
    with pytest.raises(InsufficientServers):
        await place.place()


# ---------------------------------------------------------------------- servers that do not answer


@dataclass
class Slow:
    """Take the data and never answer; the data is still read by somebody afterwards."""

    name: str
    kept: Any = None

    async def put(self, _name: ShardName, data: Any) -> None:
        self.kept = data
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


async def test_a_put_that_takes_too_long_is_replaced_and_keeps_the_buffer(place: Place) -> None:
    place.cluster.member(place.primaries[0]).driver = Slow(place.primaries[0])
    placement = await place.place()
    assert placement.acknowledged == place.numbers(place.primaries[1], place.handoffs[0])
    assert not placement.released
    assert not placement.settled
    assert "no answer to a put" in place.cluster.member(place.primaries[0]).problem


async def test_a_put_that_fails_at_once_leaves_the_buffer_free(place: Place) -> None:
    place.server(place.primaries[0]).down = True
    assert (await place.place()).released


# ---------------------------------------------------------------------- live chunks


def live(place: Place) -> None:
    place.chunk = replace(place.chunk, state=ChunkState.LIVE)


async def test_a_live_chunk_is_looked_at_and_not_written_again(place: Place) -> None:
    await place.place()
    live(place)
    placement = await place.place()
    assert placement.acknowledged == place.numbers(*place.primaries)
    assert placement.settled
    for name in place.primaries:
        assert (place.server(name).calls["put"], place.server(name).calls["stat"]) == (1, 1)


async def test_a_chunk_that_is_not_live_is_written_again_whatever_is_there(place: Place) -> None:
    await place.place()
    await place.place()
    for name in place.primaries:
        assert (place.server(name).calls["put"], place.server(name).calls["stat"]) == (2, 0)


@pytest.mark.parametrize("harm", ["missing", "truncated", "longer"])
async def test_a_live_chunk_is_put_where_it_lacks_or_has_the_wrong_size(place: Place, harm: str) -> None:
    await place.place()
    live(place)
    name, shard = place.row[0]
    match harm:
        case "missing":
            await place.server(name).inner.delete(shard)
        case "truncated":
            await place.server(name).truncate(shard, 10)
        case _:
            await place.server(name).replace(shard, DATA + b"x")
    placement = await place.place()
    assert len(placement.acknowledged) == 2
    assert await place.server(name).inner.get(shard) == DATA


async def test_a_live_chunk_whose_primary_does_not_answer_gets_a_handoff(place: Place) -> None:
    await place.place()
    live(place)
    place.server(place.primaries[0]).down = True
    placement = await place.place()
    assert placement.acknowledged == place.numbers(place.primaries[1], place.handoffs[0])
    assert not placement.settled


async def test_a_ring_with_fewer_servers_than_copies_is_settled_with_those_it_has() -> None:
    async with memory_cluster(servers=2, copies=3) as cluster:
        chunk = Chunk("c" * 32, POLICY, digest_of(DATA), len(DATA), ChunkState.WRITING)
        placer = Placer(cluster.app.fleet, entropy=seeded(1))
        ring = cluster.app.topology.present.ring(POLICY)
        placement = await placer.place(ring, chunk, [DATA] * 3, alike=True, acknowledged_min=2)
        assert len(placement.acknowledged) == 2
        assert placement.settled
        with pytest.raises(InsufficientServers, match=r"3 servers must .*too few servers"):
            await placer.place(ring, chunk, [DATA] * 3, alike=True, acknowledged_min=3)
