"""Rule 2: a name is used once, so that a request that arrives late hits nothing that was written since."""

from __future__ import annotations

import numpy as np

from tests.cluster import POLICY
from tests.protocol.world import Process, World, a_world, many_chunks, one_chunk


async def deliver_late(process: Process) -> int:
    """Have every postponed request of a process arrive; return how many there were."""
    late = [request for server in process.servers for request in server.late]
    for request in late:
        await request()
    return len(late)


async def worker_whose_deletes_are_late(world: World) -> Process:
    worker = await world.process()
    for server in worker.servers:
        server.postpone_deletes = True
    return worker


async def test_a_late_delete_of_a_collected_chunk_spares_the_same_bytes_stored_anew() -> None:
    async with a_world() as world:
        gateway = await world.process()
        first = await gateway.store(one_chunk())
        await gateway.app.videos.purge(first.id, expected_version=None)
        dying = await worker_whose_deletes_are_late(world)
        await dying.round(collect=True)

        again = await gateway.store(one_chunk())
        assert await deliver_late(dying) == 2

        assert await gateway.holders() == set(await gateway.primaries(one_chunk()))
        assert await gateway.read(again.id) == one_chunk()


async def test_a_late_delete_after_a_move_spares_the_shard_that_was_moved_back() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        leaving, staying = await gateway.primaries(one_chunk())
        (entering,) = set(gateway.names) - {leaving, staying}
        dying = await worker_whose_deletes_are_late(world)
        await dying.empty_servers(leaving)
        await dying.round()
        await gateway.empty_servers(entering)
        await gateway.settle()
        assert await gateway.holders() == {leaving, staying}

        assert await deliver_late(dying) > 0

        assert await gateway.holders() == {leaving, staying}
        assert await gateway.read(video.id) == one_chunk()


async def test_a_late_delete_of_a_handoff_spares_the_next_handoff_of_the_same_chunk() -> None:
    async with a_world() as world:
        gateway = await world.process()
        alive, failing = await gateway.primaries(one_chunk())
        gateway.server(failing).down = True
        await gateway.store(one_chunk(), name="first")
        gateway.server(failing).down = False
        dying = await worker_whose_deletes_are_late(world)
        await dying.round()

        gateway.server(failing).down = True
        second = await gateway.store(one_chunk(), name="second")
        assert await deliver_late(dying) > 0

        gateway.server(alive).down = True
        assert await gateway.read(second.id) == one_chunk()


async def test_a_server_keeps_its_tenure_while_it_stays_and_gets_a_new_one_when_it_enters() -> None:
    async with a_world() as world:
        gateway = await world.process()
        before = gateway.app.topology.present.ring(POLICY)
        await gateway.add_server("disk4")
        after = gateway.app.topology.present.ring(POLICY)
        stayed = after.slots == before.slots
        assert np.array_equal(after.tenures[stayed], before.tenures[stayed])
        entered = after.tenures[~stayed]
        assert len(entered)
        assert not set(entered.tolist()) & set(before.tenures.ravel().tolist())
        assert len(set(after.tenures.ravel().tolist())) == after.tenures.size


async def test_a_shard_is_named_by_its_chunk_row_and_its_servers_tenure() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(many_chunks())
        rows = {chunk.digest: chunk for chunk in await gateway.chunks()}
        ring = gateway.app.topology.present.ring(POLICY)
        for shards in (await gateway.shards()).values():
            for name in shards:
                seat = ring.row(ring.partition_of(name.digest))[name.slot]
                assert (name.chunk, name.tenure) == (rows[name.digest].id, seat.tenure)
