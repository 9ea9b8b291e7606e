"""Rules 1, 3 and 4: what an upload commits before it sends, and what must be true before it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from reelstore.chunkstore.redundancy import digest_of
from reelstore.domain.chunk import ChunkState
from reelstore.domain.errors import IncompleteBody, InsufficientServers, InsufficientStorage, ServerUnavailable
from tests.cluster import CHUNK
from tests.protocol.world import Process, a_world, many_chunks, one_chunk

# ---------------------------------------------------------------------- rule 1: reference before bytes


async def test_no_byte_is_sent_before_the_chunks_row_and_the_files_reference_are_committed() -> None:
    async with a_world() as world:
        gateway = await world.process()
        sent = []

        async def look() -> None:
            async with world.metadata.snapshot() as view:
                rows = await view.chunks.in_range("default", bytes(32), None)
                files = await view.files.expired(world.clock.utc().replace(year=2099), limit=10)
                references = [ref.chunk.id for file in files for ref in await view.files.references(file, 0, 100)]
            sent.append({row.id for row in rows} & set(references))

        for server in gateway.servers:
            server.before("put", look)
        await gateway.store(one_chunk())
        (chunk,) = await gateway.chunks()
        assert sent == [{chunk.id}] * 2


async def test_a_worker_that_comes_between_the_bytes_and_their_confirmation_removes_nothing() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()
        for name in gateway.names:
            gateway.server(name).after("put", lambda: worker.round(collect=True))
        video = await gateway.store(one_chunk())
        assert await gateway.holders() == set(await gateway.primaries(one_chunk()))
        assert await gateway.read(video.id) == one_chunk()


async def test_a_handoff_that_is_not_confirmed_yet_is_left_alone() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()
        primary, failing = await gateway.primaries(one_chunk())
        (handoff,) = set(gateway.names) - {primary, failing}
        gateway.server(failing).fail_next("put")
        gateway.server(handoff).after("put", worker.round)
        video = await gateway.store(one_chunk())
        gateway.server(primary).down = True
        assert await gateway.read(video.id) == one_chunk()


# ---------------------------------------------------------------------- rule 3: confirm under the newest ring


async def test_what_was_placed_under_an_older_ring_is_placed_again_before_it_is_confirmed() -> None:
    async with a_world() as world:
        gateway, admin = await world.process(), await world.process()
        data = many_chunks()

        async def add_a_server() -> None:
            await admin.add_server("disk4")
            await admin.settle()

        gateway.server("disk1").before("put", add_a_server)
        video = await gateway.store(data)

        assert gateway.app.topology.present.epoch == 2
        await admin.round()
        assert await admin.unsettled() == []
        assert await admin.shards() == await admin.promised()
        assert await admin.read(video.id) == data


async def test_a_chunk_that_took_a_handoff_raises_its_partitions_version() -> None:
    async with a_world() as world:
        gateway = await world.process()
        failing = (await gateway.primaries(one_chunk()))[1]
        gateway.server(failing).fail_next("put")
        await gateway.store(one_chunk())
        chunk = await gateway.chunk()
        ring = gateway.app.topology.present.ring(chunk.policy)
        assert await gateway.unsettled() == [ring.partition_of(chunk.digest)]
        await gateway.probe()
        await gateway.round()
        assert await gateway.holders() == set(await gateway.primaries(one_chunk()))


async def test_an_upload_that_expired_cannot_be_confirmed_and_shows_nothing() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()

        async def expire_and_collect() -> None:
            world.clock.advance(3600)
            assert await worker.app.expire() == 1
            await worker.round(collect=True)

        gateway.server((await gateway.primaries(one_chunk()))[0]).after("put", expire_and_collect)
        with pytest.raises(IncompleteBody):
            await gateway.store(one_chunk())
        assert await gateway.videos() == []


async def test_a_crash_before_any_commit_of_an_upload_shows_nothing_and_its_space_comes_back() -> None:
    async with a_world() as world:
        seen = []
        for crash_at in range(100):
            gateway, worker = await world.process(), await world.process()
            gateway.hooks.commits = 0

            async def crash(gateway: Process = gateway, crash_at: int = crash_at) -> None:
                if gateway.hooks.commits == crash_at:
                    raise _Crash
                gateway.hooks.before_commit(crash)

            gateway.hooks.before_commit(crash)
            writer = gateway.app.store.writer(gateway.app.topology.present.policy(None))
            try:
                await writer.write(many_chunks())
                await writer.finish(_no_video)
            except _Crash:
                await writer._stop()  # what the end of the process does
            else:
                seen.append(crash_at)
                break
            world.clock.advance(3600)
            await worker.app.expire()
            await worker.settle()
            assert await worker.chunks() == []
            assert await worker.shards() == {name: set() for name in worker.names}
        assert seen
        assert seen[0] > 1


async def test_a_crash_after_any_commit_of_an_upload_leaves_a_whole_video_or_nothing() -> None:
    async with a_world() as world:
        for crash_after in range(1, 100):
            gateway, worker = await world.process(), await world.process()
            gateway.hooks.commits = 0

            async def crash(gateway: Process = gateway, crash_after: int = crash_after) -> None:
                if gateway.hooks.commits >= crash_after:
                    raise _Crash
                gateway.hooks.after_commit(crash)

            gateway.hooks.after_commit(crash)
            try:
                await gateway.store(one_chunk(crash_after))  # one, so that each run has the same commits
            except _Crash:
                crashed = True
            else:
                crashed = False
            world.clock.advance(3600)
            await worker.app.expire()
            await worker.settle()
            videos = await worker.videos()
            for video in videos:
                assert await worker.read(video.id) == one_chunk(crash_after)
                await worker.app.videos.purge(video.id, expected_version=None)
            await worker.settle()
            assert await worker.chunks() == []  # so no file is left that no video has
            assert await worker.shards() == {name: set() for name in worker.names}
            if not crashed:
                break
        assert crash_after == 3


class _Crash(Exception):
    pass


async def _no_video(*_: object) -> None:
    pass


async def test_chunks_become_live_only_when_they_are_confirmed() -> None:
    async with a_world() as world:
        gateway = await world.process()
        states = []

        async def look() -> None:
            states.extend([chunk.state for chunk in await gateway.chunks()])

        for server in gateway.servers:
            server.after("put", look)
        await gateway.store(one_chunk())
        assert states == [ChunkState.WRITING] * 2
        assert (await gateway.chunk()).state is ChunkState.LIVE


# ---------------------------------------------------------------------- rule 4: presence is counted


async def test_a_deduplicated_upload_writes_what_a_primary_lost() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(one_chunk(), name="first")
        kept, lost = await gateway.row(await gateway.chunk())
        await gateway.server(lost[0]).inner.delete(lost[1])
        second = await gateway.store(one_chunk(), name="second")
        assert await gateway.holders() == {kept[0], lost[0]}
        gateway.server(kept[0]).down = True
        assert await gateway.read(second.id) == one_chunk()


async def test_a_deduplicated_upload_is_refused_when_too_few_servers_have_the_bytes() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(one_chunk(), name="first")
        for server in gateway.servers[1:]:
            server.down = True
        with pytest.raises(InsufficientServers):
            await gateway.store(one_chunk(), name="second")
        assert [video.name for video in await gateway.videos()] == ["first"]


async def test_one_server_that_stands_in_for_two_counts_once() -> None:
    async with a_world(servers=4, copies=3) as world:
        gateway = await world.process()
        for name in await gateway.primaries(one_chunk()):
            gateway.server(name).down = True
        with pytest.raises(InsufficientServers) as refused:
            await gateway.store(one_chunk())
        assert (refused.value.needed, refused.value.acknowledged) == (2, 1)
        assert await gateway.videos() == []


async def test_a_put_whose_answer_was_lost_does_not_count_although_it_arrived() -> None:
    async with a_world() as world:
        gateway = await world.process()
        primary, other = await gateway.primaries(one_chunk())
        (handoff,) = set(gateway.names) - {primary, other}
        gateway.server(handoff).down = True

        async def lose_every_answer() -> None:
            gateway.server(other).after("put", lose_every_answer)
            raise ServerUnavailable("the answer was lost", server=other)

        gateway.server(other).after("put", lose_every_answer)
        with pytest.raises(InsufficientServers):
            await gateway.store(one_chunk())
        assert await gateway.videos() == []


async def test_a_buffer_that_a_late_put_may_still_read_is_never_used_again() -> None:
    async with a_world(put_timeout_seconds=0.01) as world:
        gateway = await world.process()
        slow = gateway.server((await gateway.primaries(one_chunk()))[0])
        never = slow.hold("put")
        await gateway.store(one_chunk())
        late = list(slow.puts)
        never.set()
        for seed in range(1, 9):
            await gateway.store(one_chunk(seed))
        assert [digest_of(data) for _, data in late] == [digest_of(one_chunk())]


async def test_an_upload_acknowledges_no_fewer_servers_than_copies_min_says() -> None:
    async with a_world(servers=3, copies=3) as world:
        gateway = await world.process()
        for server in gateway.servers[1:]:
            server.full = True
        with pytest.raises(InsufficientStorage):
            await gateway.store(one_chunk())
        gateway.servers[1].full = False
        video = await gateway.store(one_chunk())
        gateway.servers[0].down = True
        assert await gateway.read(video.id) == one_chunk()


async def test_two_uploads_of_the_same_bytes_at_once_share_their_chunks_and_outlive_each_other() -> None:
    async with a_world() as world:
        one, other = await world.process(), await world.process()
        data = many_chunks()
        first, second = await asyncio.gather(one.store(data, name="first"), other.store(data, name="second"))
        assert len(await one.chunks()) == len(data) // CHUNK
        purged = await one.app.videos.purge(first.id, expected_version=None)
        assert purged.freed_bytes == 0
        await one.settle()
        assert await other.read(second.id) == data
        assert (await other.app.videos.purge(second.id, expected_version=None)).freed_bytes == len(data)


async def test_an_upload_that_gives_up_takes_nothing_from_another_of_the_same_bytes() -> None:
    async with a_world() as world:
        gateway, other = await world.process(), await world.process()

        async def be_overtaken_and_fail() -> None:
            await other.store(one_chunk(), name="other")
            for server in gateway.servers:
                server.full = True

        gateway.server((await gateway.primaries(one_chunk()))[0]).before("put", be_overtaken_and_fail)
        with pytest.raises(InsufficientStorage):
            await gateway.store(one_chunk(), name="gives up")
        assert [server.calls["delete"] for server in gateway.servers] == [0, 0, 0]
        (video,) = await other.videos()
        assert await other.holders() == set(await other.primaries(one_chunk()))
        await other.settle()
        assert await other.read(video.id) == one_chunk()


async def test_the_space_of_an_upload_that_broke_off_comes_back_without_waiting_for_a_scrub() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.settle()  # everything has been seen, and nothing is due for days
        sent = asyncio.Event()

        async def note() -> None:
            sent.set()

        for server in gateway.servers:
            server.after("put", note)

        async def body() -> AsyncIterator[bytes]:
            yield many_chunks()
            await sent.wait()

        with pytest.raises(IncompleteBody):
            await gateway.send(body(), length_bytes=CHUNK * 17)
        assert await gateway.chunks()
        assert await gateway.videos() == []
        while await gateway.app.rebalancer.step():
            pass  # no time goes by in which everything would be collected
        assert await gateway.chunks() == []
        assert await gateway.shards() == {name: set() for name in gateway.names}
