"""The rules where each slot keeps another fragment: slots count, and k of them are needed.

The schedules of the other modules are about names, versions and servers, for which a fragment is a shard like a copy.
"""

from __future__ import annotations

from itertools import combinations

import pytest

from reelstore.domain.chunk import ChunkState, ShardName
from reelstore.domain.errors import ChunkLost, ChunkUnavailable, InsufficientServers
from reelstore.domain.policy import Policy
from reelstore.services.rebalance import Verify
from tests.cluster import CHUNK, content, fragments
from tests.protocol.world import a_world, many_chunks, one_chunk

SHAPES = [(2, 1), (4, 2)]


@pytest.fixture(params=SHAPES, ids=str)
def policy(request: pytest.FixtureRequest) -> Policy:
    return fragments(*request.param)


# ---------------------------------------------------------------------- rule 4: what counts


async def test_each_primary_has_the_fragment_of_its_slot(policy: Policy) -> None:
    async with a_world(servers=policy.width + 1, policy=policy) as world:
        gateway = await world.process()
        video = await gateway.store(many_chunks())
        assert await gateway.shards() == await gateway.promised()
        await gateway.settle()
        await gateway.assert_whole()
        assert await gateway.read(video.id) == many_chunks()


async def test_a_stand_in_and_the_primary_that_returns_hold_one_fragment_and_count_once() -> None:
    async with a_world(servers=4, policy=fragments(2, 1)) as world:
        gateway = await world.process()
        first, second, third = await gateway.primaries(one_chunk())
        gateway.server(first).fail_next("put")
        gateway.server(second).down = True
        with pytest.raises(InsufficientServers) as refused:
            await gateway.store(one_chunk())
        # The third has its own, and the stand-in has the first one's, which the first has too by now.
        assert (refused.value.needed, refused.value.acknowledged) == (3, 2)
        assert gateway.server(first).calls["put"] == 2
        assert gateway.server(third).calls["put"] == 1
        assert await gateway.videos() == []


async def test_a_stand_in_keeps_the_fragment_of_the_slot_that_it_stands_in_for(policy: Policy) -> None:
    async with a_world(servers=policy.width + 1, policy=policy) as world:
        gateway = await world.process()
        primaries = await gateway.primaries(one_chunk())
        (handoff,) = set(gateway.names) - set(primaries)
        gateway.server(primaries[1]).down = True
        video = await gateway.store(one_chunk())
        ((shard,)) = (await gateway.shards())[handoff]
        assert shard.slot == 1
        assert await gateway.app.store.is_good_shard(gateway.server(handoff).inner, shard)
        assert await gateway.read(video.id) == one_chunk()
        gateway.server(primaries[1]).down = False
        await gateway.settle()
        await gateway.assert_whole()


async def test_storing_the_same_bytes_again_heals_a_lacking_fragment(policy: Policy) -> None:
    async with a_world(servers=policy.width, policy=policy) as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        (server, name), *_ = await gateway.row(await gateway.chunk())
        await world.places[server].delete(name)
        await gateway.store(one_chunk(), name="again")
        assert [gateway.server(each).calls["put"] for each in gateway.names].count(1) == policy.width - 1
        assert await gateway.shards() == await gateway.promised()
        await gateway.settle()
        await gateway.assert_whole()


# ---------------------------------------------------------------------- rule 8: any k of them


async def test_a_chunk_is_read_from_any_k_servers_and_from_no_fewer(policy: Policy) -> None:
    async with a_world(servers=policy.width, policy=policy, cache_bytes=0) as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        for gone in combinations(gateway.names, policy.losses_tolerated):
            for server in gateway.servers:
                server.down = server.name in gone
            await gateway.probe()
            assert await gateway.read(video.id) == one_chunk(), gone
        left = next(server for server in gateway.servers if not server.down)
        left.down = True
        with pytest.raises(ChunkUnavailable):
            await gateway.read(video.id)


async def test_a_chunk_is_lost_only_when_all_answer_and_fewer_than_k_fragments_are_good(policy: Policy) -> None:
    async with a_world(servers=policy.width, policy=policy, cache_bytes=0) as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        row = await gateway.row(await gateway.chunk())
        for server, name in row[: policy.losses_tolerated]:
            await gateway.server(server).flip(name, 3)
        assert await gateway.read(video.id) == one_chunk()
        server, name = row[-1]
        await gateway.server(server).flip(name, 100)
        with pytest.raises(ChunkLost):
            await gateway.read(video.id)
        left = await gateway.shards()
        await gateway.settle()
        assert await gateway.shards() == left  # what is left of it is an operator's
        assert (await gateway.app.rebalancer.status()).reasons == ("lost: 1 chunk on no server",)


async def test_two_copies_of_one_fragment_are_one_fragment(policy: Policy) -> None:
    async with a_world(servers=policy.width, policy=policy, cache_bytes=0) as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        row = await gateway.row(await gateway.chunk())
        kept, name = row[0]
        data = await world.places[kept].get(name)
        for number, (server, each) in enumerate(row[policy.needed - 1 :]):  # less than k slots, on all the servers
            await world.places[server].delete(each)
            await world.places[server].put(ShardName(each.policy, each.digest, each.chunk, 0, number + 1), data)
        with pytest.raises(ChunkLost):
            await gateway.read(video.id)


async def test_a_healthy_read_asks_the_servers_with_data_and_no_others() -> None:
    async with a_world(servers=6, policy=fragments(4, 2), cache_bytes=0) as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        row = await gateway.row(await gateway.chunk())
        assert await gateway.read(video.id) == one_chunk()
        assert [gateway.server(server).calls["get"] for server, _ in row] == [1, 1, 1, 1, 0, 0]


# ---------------------------------------------------------------------- rules 2 and 9: single fragments


async def test_only_the_fragment_that_lacks_or_is_bad_is_put(policy: Policy) -> None:
    async with a_world(servers=policy.width, policy=policy) as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        await gateway.settle()
        row = await gateway.row(await gateway.chunk())
        before = [gateway.server(server).calls["put"] for server, _ in row]
        await world.places[row[0][0]].delete(row[0][1])
        outcome = await gateway.round(verify=Verify.ALL)
        assert outcome.put_bytes == len(await world.places[row[0][0]].get(row[0][1])) < CHUNK
        await gateway.server(row[-1][0]).flip(row[-1][1], 90)
        await gateway.round(verify=Verify.ALL)
        await gateway.settle()
        await gateway.assert_whole()
        puts = [gateway.server(server).calls["put"] - calls for (server, _), calls in zip(row, before, strict=True)]
        assert puts == [1, *[0] * (policy.width - 2), 1]


async def test_a_fragment_is_never_adopted_as_that_of_another_slot() -> None:
    async with a_world(servers=3, policy=fragments(2, 1)) as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        await gateway.settle()
        (server, name), (_, other), _ = await gateway.row(await gateway.chunk())
        data = [await world.places[each].get(shard) for each, shard in await gateway.row(await gateway.chunk())]
        await world.places[server].delete(name)
        elsewhere = ShardName(other.policy, other.digest, other.chunk, other.slot, 77)
        await world.places[server].put(elsewhere, data[1])
        await gateway.round(verify=Verify.ALL)
        await gateway.settle()
        assert await world.places[server].get(name) == data[0]
        assert gateway.server(server).calls["adopt"] == 0
        await gateway.assert_whole()


async def test_a_fragment_of_the_same_slot_is_adopted() -> None:
    async with a_world(servers=3, policy=fragments(2, 1)) as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        await gateway.settle()
        (server, name), *_ = await gateway.row(await gateway.chunk())
        older = ShardName(name.policy, name.digest, name.chunk, name.slot, 77)
        await world.places[server].put(older, await world.places[server].get(name))
        await world.places[server].delete(name)
        puts = gateway.server(server).calls["put"]
        await gateway.round(verify=Verify.ALL)
        await gateway.settle()
        assert (gateway.server(server).calls["adopt"], gateway.server(server).calls["put"]) == (1, puts)
        await gateway.assert_whole()


# ---------------------------------------------------------------------- rules 3, 7 and 14: other rings


async def test_a_drained_server_gives_its_fragments_away_and_everything_is_read_meanwhile(policy: Policy) -> None:
    async with a_world(servers=policy.width + 1, policy=policy, cache_bytes=0) as world:
        gateway = await world.process()
        video = await gateway.store(many_chunks())
        await gateway.settle()
        drained = gateway.names[0]
        await gateway.empty_servers(drained)

        async def read() -> None:
            assert await gateway.read(video.id) == many_chunks()

        for server in gateway.servers:
            server.before("put", read)
            server.before("delete", read)
        await read()
        await gateway.settle()
        await gateway.assert_whole()
        assert (await gateway.shards())[drained] == set()
        await read()


async def test_a_ring_that_is_applied_while_fragments_are_placed_has_them_placed_again(policy: Policy) -> None:
    async with a_world(servers=policy.width + 1, policy=policy) as world:
        gateway, other = await world.process(), await world.process()
        (spare,) = set(gateway.names) - set(await gateway.primaries(one_chunk()))
        gone = (await gateway.primaries(one_chunk()))[0]
        gateway.server(gone).after("put", lambda: other.empty_servers(gone))
        video = await gateway.store(one_chunk())
        chunk = await gateway.chunk()
        assert chunk.state is ChunkState.LIVE
        assert spare in await gateway.primaries(one_chunk())
        await gateway.settle()
        await gateway.assert_whole()
        assert await gateway.read(video.id) == one_chunk()


async def test_with_one_server_too_few_everything_but_full_redundancy_works() -> None:
    async with a_world(servers=5, policy=fragments(4, 2), cache_bytes=0) as world:
        gateway = await world.process()
        video = await gateway.store(many_chunks())
        await gateway.settle()
        await gateway.assert_whole()
        gateway.servers[0].down = True
        await gateway.probe()
        assert await gateway.read(video.id) == many_chunks()
        gateway.servers[0].down = False
        await gateway.add_server("disk6")
        await gateway.settle()
        await gateway.assert_whole()
        for server in gateway.servers[:2]:
            server.down = True
        await gateway.probe()
        assert await gateway.read(video.id) == many_chunks()


async def test_what_the_other_servers_have_too_few_fragments_of_is_at_risk() -> None:
    async with a_world(servers=6, policy=fragments(4, 2)) as world:
        gateway = await world.process()
        await gateway.store(content(CHUNK - 5))
        await gateway.settle()
        row = await gateway.row(await gateway.chunk())
        for server, name in row[1:3]:
            await world.places[server].delete(name)
        asked = gateway.member(row[0][0]).server
        risks = gateway.app.forced_removal._risks
        assert (await risks.of(asked)).chunks == 1  # three slots would be left
        await gateway.settle()
        assert (await risks.of(asked)).chunks == 0
