"""Rule 9: whatever is bad, and wherever the last good copy lies, repair finds it, and nothing removes it before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from reelstore.chunkstore.redundancy import digest_of
from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.errors import ChunkLost, ChunkUnavailable, ServerFull, ServerUnavailable
from reelstore.services.rebalance import Verify
from reelstore.storage.interface import ByteString
from reelstore.storage.memory import MemoryServer
from tests.protocol.world import Process, World, a_world, one_chunk


def good_copies(world: World, chunk: Chunk) -> set[tuple[str, ShardName]]:
    """Return the shards with the chunk's true bytes, wherever they are and whatever their name."""
    return {
        (server, name)
        for server, place in world.places.items()
        for name, stored in place._stored.items()
        if name.chunk == chunk.id and digest_of(stored.data) == chunk.digest
    }


def never_less_than(world: World, chunk: Chunk, copies: int) -> None:
    """Have every later put and delete fail the test that leaves fewer good copies than that."""

    def watch(place: MemoryServer) -> None:
        put, delete = place.put, place.delete

        async def put_and_look(name: ShardName, data: ByteString) -> None:
            await put(name, data)
            assert len(good_copies(world, chunk)) >= copies, f"a put on {place.name} took a good copy"

        async def delete_and_look(name: ShardName) -> bool:
            was_there = await delete(name)
            assert len(good_copies(world, chunk)) >= copies, f"a delete on {place.name} took a good copy"
            return was_there

        place.put, place.delete = put_and_look, delete_and_look  # type: ignore[method-assign] # only here

    for place in world.places.values():
        watch(place)


async def spoil(world: World, server: str, name: ShardName) -> None:
    """Flip a bit as a medium does: neither the size nor the time of change tells of it."""
    stored = world.places[server]._stored
    data = bytearray(stored[name].data)
    data[0] ^= 1
    stored[name] = replace(stored[name], data=bytes(data))


async def spoil_all_but(world: World, chunk: Chunk, kept: tuple[str, ShardName]) -> None:
    for server, name in good_copies(world, chunk) - {kept}:
        await spoil(world, server, name)
    assert good_copies(world, chunk) == {kept}


async def test_a_good_copy_on_a_stand_in_alone_heals_the_primaries_before_it_goes() -> None:
    async with a_world(servers=4) as world:
        gateway = await world.process()
        first, second = await gateway.primaries(one_chunk())
        gateway.server(first).down = True
        video = await gateway.store(one_chunk())
        chunk = await gateway.chunk()
        (stand_in,) = [copy for copy in good_copies(world, chunk) if copy[0] != second]
        await spoil_all_but(world, chunk, stand_in)
        never_less_than(world, chunk, 1)
        gateway.server(first).down = False
        await gateway.settle()
        await gateway.assert_whole()
        assert stand_in not in good_copies(world, chunk)
        assert await gateway.read(video.id) == one_chunk()


@pytest.mark.parametrize("verify", [Verify.CHANGED, Verify.ALL])
async def test_a_good_copy_that_an_older_ring_promised_is_copied_before_it_goes(verify: Verify) -> None:
    async with a_world(servers=4) as world:
        gateway, crashed = await world.process(), await world.process()
        video = await gateway.store(one_chunk())
        await gateway.settle()
        chunk = await gateway.chunk()
        was_on = await gateway.primaries(one_chunk())
        await gateway.empty_servers(was_on[0])
        await crashed.catch_up()
        for server in crashed.servers:
            server.fail_next("delete", times=9)
        await crashed.round()  # has copied, and swapped, and dies before it deletes
        left = next(copy for copy in good_copies(world, chunk) if copy[0] == was_on[0])
        await spoil_all_but(world, chunk, left)
        never_less_than(world, chunk, 1)
        await gateway.catch_up()
        await gateway.round(verify=verify)
        await gateway.settle()
        await gateway.assert_whole()
        assert await gateway.read(video.id) == one_chunk()


async def test_a_bad_copy_stays_while_the_server_of_the_only_good_one_is_away() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        await gateway.settle()
        chunk = await gateway.chunk()
        (bad, name), good = await gateway.row(chunk)
        await spoil(world, bad, name)
        before = await world.places[bad].get(name)
        gateway.server(good[0]).down = True
        with pytest.raises(ChunkUnavailable):
            await gateway.read(video.id)
        for _ in range(3):
            await gateway.settle()
            await gateway.round(verify=Verify.ALL)
        assert await world.places[bad].get(name) == before
        status = await gateway.app.rebalancer.status()
        assert status.state == "blocked"
        assert not any(reason.startswith("lost") for reason in status.reasons)
        gateway.server(good[0]).down = False
        await gateway.settle()
        await gateway.assert_whole()


async def test_a_chunk_that_is_bad_on_all_servers_stays_lost_in_every_later_survey_until_a_good_copy_comes() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        row = await gateway.row(await gateway.chunk())
        for server, name in row:
            await gateway.server(server).flip(name)
        with pytest.raises(ChunkLost):
            await gateway.read(video.id)  # which makes it known
        before = await gateway.shards()
        for _ in range(4):  # sizes are right, and nothing changes: a listing alone shows nothing
            await gateway.settle()
            status = await gateway.app.rebalancer.status()
            assert (status.state, status.reasons) == ("blocked", ("lost: 1 chunk on no server",))
        assert await gateway.shards() == before
        server, name = row[1]
        await gateway.server(server).replace(name, one_chunk())  # an operator has found it on an old disk
        await gateway.settle()
        await gateway.assert_whole()


async def test_a_chunk_that_is_bad_on_all_servers_is_lost_for_the_next_process_too() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        await gateway.settle()
        chunk = await gateway.chunk()
        for server, name in await gateway.row(chunk):
            await spoil(world, server, name)
        await gateway.app.verifier.verify()
        await gateway.settle()
        scrubs = (await gateway.app.scrub_watch.progress()).partitions_never
        assert scrubs == 1, "what is bad does not count as scrubbed"
        following = await world.process()
        await following.settle()
        status = await following.app.rebalancer.status()
        assert (status.state, status.reasons) == ("blocked", ("lost: 1 chunk on no server",))
        assert following.app.attention.lost


async def test_a_lost_chunk_is_healed_by_storing_its_bytes_again_for_every_video_that_shares_it() -> None:
    async with a_world() as world:
        gateway = await world.process()
        lost = await gateway.store(one_chunk(), name="lost")
        chunk = await gateway.chunk()
        for server, name in await gateway.row(chunk):
            await spoil(world, server, name)
        with pytest.raises(ChunkLost):
            await gateway.read(lost.id)
        await gateway.settle()
        again = await gateway.store(one_chunk(), name="again")  # a stat shows the right name and size
        assert len(good_copies(world, chunk)) == 2
        assert await gateway.read(again.id) == await gateway.read(lost.id) == one_chunk()
        await gateway.settle()
        await gateway.assert_whole()


async def test_what_is_left_of_a_lost_chunk_is_kept_through_a_change_of_the_ring() -> None:
    async with a_world(servers=4) as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        await gateway.settle()
        chunk = await gateway.chunk()
        row = await gateway.row(chunk)
        for server, name in row:
            await spoil(world, server, name)
        left = {(server, name): await world.places[server].get(name) for server, name in row}
        await gateway.empty_servers(row[0][0])
        for _ in range(3):
            await gateway.settle()
            await gateway.round(verify=Verify.ALL)
        for (server, name), data in left.items():  # an operator may still make something of it
            assert await world.places[server].get(name) == data


async def test_a_full_disk_keeps_the_bad_bytes_and_one_copy_of_them_however_often_repair_is_tried() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        await gateway.settle()
        (server, name), _ = await gateway.row(await gateway.chunk())
        await spoil(world, server, name)
        bad = await world.places[server].get(name)
        gateway.server(server).full = True
        for _ in range(4):
            await gateway.round(verify=Verify.ALL)
            await gateway.settle()
        assert await world.places[server].get(name) == bad
        assert world.places[server].quarantine == ((name, bad),)
        (reason,) = (await gateway.app.rebalancer.status()).reasons
        assert reason.startswith(f"full: server {server}")
        assert await gateway.read(video.id) == one_chunk()
        gateway.server(server).full = False
        await gateway.settle()
        await gateway.assert_whole()


@pytest.mark.parametrize("error", [ServerFull, ServerUnavailable])
async def test_a_quarantine_that_has_no_room_does_not_keep_the_good_bytes_out(
    error: type[ServerFull | ServerUnavailable],
) -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        await gateway.settle()
        (server, name), _ = await gateway.row(await gateway.chunk())
        await spoil(world, server, name)
        gateway.server(server).fail_next("set_aside", error=lambda: error("says the test", server=server))
        await gateway.round(verify=Verify.ALL)
        await gateway.settle()
        await gateway.assert_whole()
        assert world.places[server].quarantine == ()


async def test_a_server_that_acknowledges_and_keeps_nothing_is_never_believed() -> None:
    async with a_world(servers=4) as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        await gateway.settle()
        chunk = await gateway.chunk()
        never_less_than(world, chunk, 2)
        leaving, staying = await gateway.primaries(one_chunk())
        for liar in set(gateway.names) - {leaving, staying}:
            gateway.server(liar).lose_puts = 5
        await gateway.empty_servers(leaving)
        for _ in range(4):
            await gateway.round()
            assert leaving in await gateway.holders()
            assert await gateway.unsettled() != []
        await gateway.settle()
        for server in gateway.servers:
            server.lose_puts = 0
        await gateway.settle()
        await gateway.assert_whole()
        assert await gateway.read(video.id) == one_chunk()


async def test_a_server_that_gives_back_other_bytes_than_it_was_sent_is_never_believed() -> None:
    async with a_world(servers=4) as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        await gateway.settle()
        chunk = await gateway.chunk()
        never_less_than(world, chunk, 2)
        leaving, staying = await gateway.primaries(one_chunk())
        liars = set(gateway.names) - {leaving, staying}

        def garble(process: Process, server: str) -> Callable[[], Awaitable[None]]:
            async def act() -> None:
                for name in list(world.places[server]._stored):
                    if (server, name) in good_copies(world, chunk):
                        await MemoryServer.put(world.places[server], name, b"x" * chunk.size_bytes)
                process.server(server).after("put", act)

            return act

        for liar in liars:
            gateway.server(liar).after("put", garble(gateway, liar))
        await gateway.empty_servers(leaving)
        for _ in range(4):
            await gateway.round()
            assert leaving in {server for server, _ in good_copies(world, chunk)}
            assert await gateway.unsettled() != []
        for liar in liars:
            gateway.server(liar)._acts._waiting.clear()
        await gateway.settle()
        await gateway.round(verify=Verify.ALL)
        await gateway.settle()
        await gateway.assert_whole()
        assert await gateway.read(video.id) == one_chunk()


async def test_bytes_of_an_older_stay_that_went_bad_are_not_taken_for_good() -> None:
    async with a_world(servers=4) as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        await gateway.settle()
        chunk = await gateway.chunk()
        leaving, _ = await gateway.primaries(one_chunk())
        old = dict(await gateway.row(chunk))[leaving]
        await gateway.empty_servers(leaving)
        gateway.server(leaving).postpone_deletes = True  # it keeps its old shard
        await gateway.settle()
        await spoil(world, leaving, old)
        gateway.server(leaving).postpone_deletes = False
        never_less_than(world, chunk, 2)
        await gateway.empty_servers()  # it may come back into the row
        await gateway.settle()
        await gateway.assert_whole()
        assert await gateway.read(video.id) == one_chunk()
