"""Rule 9: repair overwrites, only what two readings call bad, and keeps a copy."""

from __future__ import annotations

from reelstore.domain.chunk import ShardName
from reelstore.services.rebalance import Verify
from tests.protocol.world import Process, a_world, one_chunk


async def a_bad_shard(process: Process) -> tuple[str, ShardName, bytes]:
    """Store a chunk and flip a bit of one of its shards; return its server, its name and the bad bytes."""
    await process.store(one_chunk())
    await process.settle()
    (server, name), _ = await process.row(await process.chunk())
    await process.server(server).flip(name, 100)
    return server, name, await process.server(server).inner.get(name)


async def test_a_bad_shard_is_overwritten_and_a_copy_of_it_set_aside() -> None:
    async with a_world() as world:
        gateway = await world.process()
        server, name, bad = await a_bad_shard(gateway)
        await gateway.settle()
        await gateway.assert_whole()
        assert world.places[server].quarantine == ((name, bad),)
        assert gateway.server(server).calls["delete"] == 0


async def test_the_bad_bytes_stay_until_the_good_ones_take_their_place() -> None:
    async with a_world() as world:
        gateway = await world.process()
        server, name, bad = await a_bad_shard(gateway)
        present = []

        async def look() -> None:
            present.append(await gateway.server(server).inner.get(name))

        gateway.server(server).before("put", look)
        gateway.server(server).fail_next("put")  # and the worker's machine dies there
        await gateway.round()
        assert present == [bad]
        assert await gateway.server(server).inner.get(name) == bad


async def test_a_fault_on_the_way_that_a_second_reading_does_not_show_changes_nothing() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        await gateway.settle()
        (server, name), _ = await gateway.row(await gateway.chunk())
        digest = gateway.server(server).digest
        readings = []

        async def misread_once(shard: ShardName) -> bytes:
            readings.append(shard)
            return bytes(32) if len(readings) == 1 else await digest(shard)

        gateway.server(server).digest = misread_once  # type: ignore[method-assign, assignment] # only here
        before = gateway.server(server).calls["put"]
        outcome = await gateway.round(verify=Verify.ALL)
        assert readings == [name, name]
        assert (outcome.put_bytes, outcome.defects) == (0, set())
        assert gateway.server(server).calls["put"] == before
        assert world.places[server].quarantine == ()


async def test_two_workers_that_repair_the_same_shard_do_no_harm() -> None:
    async with a_world() as world:
        gateway, other = await world.process(), await world.process()
        server, _, _ = await a_bad_shard(gateway)
        gateway.server(server).before("put", other.round)
        await gateway.round()
        await gateway.settle()
        await gateway.assert_whole()


async def test_repair_stops_when_more_is_corrupt_than_disks_can_explain() -> None:
    async with a_world() as world:
        gateway = await world.process()
        server, name, bad = await a_bad_shard(gateway)
        gateway.app.rebalancer.reconciler._repairer._corrupt_per_hour_max = 0
        await gateway.settle()
        assert await gateway.server(server).inner.get(name) == bad
        (reason,) = (await gateway.app.rebalancer.status()).reasons
        assert "repair is stopped" in reason


async def test_a_shard_is_not_repaired_from_bytes_that_are_bad_themselves() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await a_bad_shard(gateway)
        _, (other, name) = await gateway.row(await gateway.chunk())
        await gateway.server(other).truncate(name, 7)
        before = await gateway.shards()
        await gateway.settle()
        assert await gateway.shards() == before
        assert [len(await gateway.server(other).inner.get(name))] == [7]
        assert (await gateway.app.rebalancer.status()).reasons == ("lost: 1 chunk on no server",)
