"""Rule 2: bytes that a server has under another name are given the new one, verified, and lose the old one at last."""

from __future__ import annotations

from collections import Counter as Counts

import pytest

from reelstore.domain.counter import Counter
from reelstore.domain.errors import ServerFull, ServerUnavailable
from tests.cluster import CHUNK
from tests.protocol.world import Process, World, a_world, many_chunks, one_chunk


async def a_server_that_comes_back(world: World, data: bytes) -> tuple[Process, str, str]:
    """Have a server enter the rows again from which it was emptied, while it still has what it had.

    Returns:
        a process, the video and the server.
    """
    process = await world.process()
    video = await process.store(data)
    await process.settle()
    dying = await world.process()
    for server in dying.servers:
        server.postpone_deletes = True  # it believes that they are gone
    await dying.empty_servers("disk1")
    await dying.round()
    await process.empty_servers()
    return process, video.id, "disk1"


async def counters(world: World) -> Counts[Counter]:
    async with world.metadata.snapshot() as view:
        return Counts(await view.counters.get())


async def has_older_names_of(process: Process, server: str) -> tuple[int, int]:
    """Return how many shards a server should have, and for how many of them it has the bytes under another name."""
    promised = (await process.promised())[server]
    chunks = {name.chunk for name in (await process.shards())[server]}
    return len(promised), sum(name.chunk in chunks for name in promised)


async def test_a_server_that_enters_again_adopts_what_it_still_has_and_is_sent_only_the_rest() -> None:
    async with a_world() as world:
        process, video, back = await a_server_that_comes_back(world, many_chunks())
        assert not (await process.shards())[back] & (await process.promised())[back]
        expected, older = await has_older_names_of(process, back)
        assert 0 < older < expected
        server = process.server(back)
        before, counted = server.calls.copy(), await counters(world)
        await process.settle()
        done = server.calls - before
        assert (done["adopt"], done["put"]) == (older, expected - older)
        await process.assert_whole()  # and the old names are gone
        assert await process.read(video) == many_chunks()
        counts = await counters(world) - counted
        assert (counts[Counter.SHARDS_ADOPTED], counts[Counter.SHARDS_MOVED]) == (older, expected - older)
        assert (await process.app.rebalancer.status()).bytes_moved == expected * CHUNK


async def test_an_older_name_goes_only_when_synced_says_that_the_new_one_is_there() -> None:
    async with a_world() as world:
        process, video, back = await a_server_that_comes_back(world, many_chunks())
        old = (await process.shards())[back]
        present = []

        async def look() -> None:
            present.append(old <= (await process.shards())[back])
            assert await process.read(video) == many_chunks()

        async def look_until_the_swap() -> None:
            await look()
            if await process.unsettled():
                process.hooks.before_commit(look_until_the_swap)

        process.server(back).before_each("adopt", look)
        process.hooks.before_commit(look_until_the_swap)
        await process.round()
        assert len(present) > 1
        assert all(present)


async def test_older_bytes_that_are_bad_are_not_adopted() -> None:
    async with a_world() as world:
        process, video, back = await a_server_that_comes_back(world, many_chunks())
        for name in (await process.shards())[back]:
            await process.server(back).flip(name)
        await process.settle()
        assert process.server(back).calls["adopt"] == 0
        await process.assert_whole()
        assert await process.read(video) == many_chunks()


@pytest.mark.parametrize("error", [ServerFull, ServerUnavailable])
async def test_a_server_that_cannot_adopt_is_sent_the_bytes(error: type[ServerFull | ServerUnavailable]) -> None:
    async with a_world() as world:
        process, _, back = await a_server_that_comes_back(world, many_chunks())
        expected, older = await has_older_names_of(process, back)
        assert older
        server = process.server(back)
        server.fail_next("adopt", times=older, error=lambda: error("says the test", server=back))
        before = server.calls["put"]
        await process.settle()
        assert server.calls["put"] - before == expected
        await process.settle()  # a server that did not answer is asked to delete when it has answered again
        await process.assert_whole()


async def test_a_stand_in_that_enters_the_row_adopts_what_it_stood_in_with() -> None:
    async with a_world() as world:
        process = await world.process()
        staying, failing = await process.primaries(one_chunk())
        (stand_in,) = set(process.names) - {staying, failing}
        process.server(failing).down = True
        video = await process.store(one_chunk())
        assert await process.holders() == {staying, stand_in}
        await process.empty_servers(failing)
        before = process.server(stand_in).calls["put"]
        await process.settle()
        assert process.server(stand_in).calls["put"] == before
        assert process.server(stand_in).calls["adopt"] == 1
        assert await process.read(video.id) == one_chunk()
        process.server(failing).down = False
        await process.settle()
        await process.assert_whole()


async def test_a_crash_at_any_adoption_or_after_any_commit_is_repeated_without_harm() -> None:
    for crash_at in range(1, 40):
        async with a_world() as world:
            process, video, back = await a_server_that_comes_back(world, many_chunks(6))
            worker = await world.process()
            if not await crashes(worker, back, crash_at):
                break
            assert await process.read(video) == many_chunks(6)
            await process.settle()
            await process.assert_whole()
            assert await process.read(video) == many_chunks(6)
    assert crash_at > 3


async def crashes(worker: Process, adopting: str, crash_at: int) -> bool:
    """Have a worker do a round and die at such an adoption or commit; return whether there were so many."""
    left = crash_at

    async def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise _Crash

    worker.hooks.after_each_commit(count)
    worker.server(adopting).before_each("adopt", count)
    try:
        await worker.round(collect=True)
    except _Crash:
        return True
    return False


class _Crash(Exception):
    pass
