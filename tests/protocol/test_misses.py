"""Rule 8, and promise 2: a miss is final only when nothing moved and all answered; what is read is what was written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from reelstore.domain.errors import ChunkLost, ChunkUnavailable
from reelstore.storage.interface import ShardEntry
from tests.cluster import CHUNK
from tests.protocol.world import a_world, many_chunks, one_chunk


async def test_a_shard_that_moves_while_it_is_searched_for_is_found_at_the_next_pass() -> None:
    async with a_world(servers=2, copies=1) as world:
        admin, reader = await world.process(), await world.process()
        video = await admin.store(one_chunk())
        (home,) = await admin.holders()
        (away,) = set(admin.names) - {home}
        await admin.empty_servers(home)
        await admin.settle()
        assert await admin.holders() == {away}

        async def move_back() -> None:
            await admin.empty_servers(away)
            await admin.settle()
            assert await admin.holders() == {home}

        # The reader has an old ring: it looks at home in vain, and then everywhere. Home answers, again in vain; only
        # then, before the other one answers, the shard goes home.
        find = reader.server(away).find
        moved = asyncio.Event()

        async def find_late(policy: str, digest: bytes) -> Sequence[ShardEntry]:
            if not moved.is_set():
                moved.set()
                await move_back()
            return await find(policy, digest)

        reader.server(away).find = find_late  # type: ignore[method-assign] # only here
        assert await reader.read(video.id) == one_chunk()
        assert moved.is_set()


async def test_a_chunk_is_not_lost_that_is_on_a_server_of_which_this_process_does_not_know_yet() -> None:
    async with a_world(servers=1, copies=1) as world:
        admin, reader = await world.process(), await world.process()
        video = await admin.store(one_chunk())
        await admin.add_server("added")
        await admin.empty_servers("disk1")
        await admin.settle()
        assert await admin.holders() == {"added"}
        with pytest.raises(ChunkUnavailable) as missed:
            await reader.read(video.id)
        assert missed.value.unreachable == ("added",)
        await reader.catch_up()
        assert await reader.read(video.id) == one_chunk()


async def test_a_chunk_is_not_lost_while_a_server_does_not_answer() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        (first, name), (second, _) = await gateway.row(await gateway.chunk())
        await gateway.server(first).inner.delete(name)
        gateway.server(second).down = True
        with pytest.raises(ChunkUnavailable) as missed:
            await gateway.read(video.id)
        assert missed.value.unreachable == (second,)
        gateway.server(second).down = False
        await gateway.probe()
        assert await gateway.read(video.id) == one_chunk()


async def test_a_chunk_is_not_lost_when_a_server_that_failed_is_up_again_before_the_search_ends() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        (first, name), (second, _) = await gateway.row(await gateway.chunk())
        await gateway.server(first).inner.delete(name)
        gateway.server(second).fail_next("get", times=2)  # before the search, and in it
        version = gateway.app.store._fetcher._version
        asked = []

        async def version_after_a_probe(policy: str, partition: int) -> tuple[int, int]:
            asked.append(partition)
            if len(asked) == 2:  # the search has read everything, and failed
                await gateway.probe()
            return await version(policy, partition)

        gateway.app.store._fetcher._version = version_after_a_probe  # type: ignore[method-assign] # only here
        with pytest.raises(ChunkUnavailable) as missed:
            await gateway.read(video.id)
        assert missed.value.unreachable == (second,)
        assert await gateway.read(video.id) == one_chunk()


async def test_a_chunk_that_no_server_has_is_lost_when_all_of_them_answered() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        for server, name in await gateway.row(await gateway.chunk()):
            await gateway.server(server).inner.delete(name)
        with pytest.raises(ChunkLost):
            await gateway.read(video.id)


async def test_a_shard_under_any_name_of_the_digest_is_found_before_the_chunk_is_called_lost() -> None:
    async with a_world() as world:
        gateway = await world.process()
        primary, failing = await gateway.primaries(one_chunk())
        gateway.server(failing).down = True
        video = await gateway.store(one_chunk())
        (entry,) = await gateway.listing(primary)
        await gateway.server(primary).inner.delete(entry.name)
        assert await gateway.read(video.id) == one_chunk()  # only the handoff has it, which no ring names


async def test_nothing_but_what_was_written_is_sent_whatever_lies_on_the_servers() -> None:
    async with a_world(cache_bytes=0) as world:
        gateway = await world.process()
        data = many_chunks()
        video = await gateway.store(data)
        chunks = await gateway.chunks()
        for number, chunk in enumerate(chunks):
            server, name = (await gateway.row(chunk))[number % 2]
            match number % 4:
                case 0 | 1:
                    await gateway.server(server).flip(name, number)
                case 2:
                    await gateway.server(server).truncate(name, number)
                case 3:
                    await gateway.server(server).replace(name, one_chunk())
        assert await gateway.read(video.id) == data
        for start, stop in [
            (0, 1),
            (CHUNK - 1, CHUNK + 1),
            (CHUNK, 2 * CHUNK),
            (5, 3 * CHUNK + 7),
            (len(data) - 1, None),
        ]:
            assert await gateway.read(video.id, start, stop) == data[start:stop]


async def test_two_chunks_are_never_taken_for_each_other_by_the_cache() -> None:
    async with a_world() as world:
        gateway = await world.process()
        bodies = {(await gateway.store(many_chunks(64, seed))).id: many_chunks(64, seed) for seed in range(4)}
        for _ in range(2):
            for video, body in bodies.items():
                assert await gateway.read(video) == body


async def test_a_reader_who_is_sent_good_bytes_has_the_bad_ones_repaired() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        await gateway.settle()
        (first, name), (second, _) = await gateway.row(await gateway.chunk())
        await gateway.server(first).flip(name)
        gateway.member(second).latency_seconds = 9.0  # so that the bad one is asked first
        gateway.member(first).latency_seconds = 0.1
        assert await gateway.read(video.id) == one_chunk()
        assert len(gateway.app.attention) == 1
        assert await gateway.app.rebalancer._needs()
        assert await gateway.app.store.is_good_shard(gateway.server(first), name)
