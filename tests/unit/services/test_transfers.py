"""Videos get another policy in the background, readable all the time, whatever stops it in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from reelstore.chunkstore import writing
from reelstore.domain.errors import InsufficientServers, PolicyNotFound, PreconditionFailed, VideoStateConflict
from reelstore.domain.event import EventKind
from reelstore.domain.file import FileState
from reelstore.domain.policy import Policy
from reelstore.domain.video import Video
from reelstore.services.removal_evidence import contents
from reelstore.services.video_requests import VideoEdit
from tests.cluster import CHUNK, Cluster, content, disk_cluster, memory_cluster
from tests.protocol.world import a_world

CODED = Policy.erasure("coded", 2, 1, chunk_size_bytes=CHUNK)
DATA = content(20 * CHUNK + 7)


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with memory_cluster(cache_bytes=0) as made:
        await made.app.policies.add(CODED)
        yield made


async def ask(cluster: Cluster, video: Video, policy: str = "coded") -> Video:
    return await cluster.app.transfers.request(video.id, policy, expected_version=None)


async def stored_bytes(cluster: Cluster, policy: str) -> int:
    found = [await contents(member, [policy]) for member in cluster.app.fleet]
    return sum(each.size_bytes for each in found if each is not None)


async def assert_under(cluster: Cluster, video: Video, policy: str, data: bytes = DATA) -> None:
    """Prove that all of a video, and nothing else, lies under a policy."""
    await cluster.settle()
    present = await cluster.app.videos.get(video.id)
    assert present.policy == policy
    assert present.file_id == video.file_id
    assert await cluster.read(video.id) == data
    for other in cluster.app.topology.present.policies:
        assert (await stored_bytes(cluster, other) > 0) == (other == policy)
    async with cluster.metadata.snapshot() as view:
        assert await view.transfers.get(video.id) is None
        assert (await view.videos.totals()).open_files == 0


async def break_off(cluster: Cluster) -> None:
    """Let servers take no more after some of it was copied."""
    puts = sum(server.calls["put"] for server in cluster.servers)

    def over() -> bool:
        return sum(server.calls["put"] for server in cluster.servers) > puts + 30

    for server in cluster.servers:
        put = server.put

        async def failing(*given: object, put: object = put) -> None:
            if over():
                raise InsufficientServers("broken off", needed=3, acknowledged=0)
            await put(*given)  # type: ignore[operator] # the server's own

        server.put = failing  # type: ignore[method-assign, assignment] # only here


def go_on(cluster: Cluster) -> None:
    for server in cluster.servers:
        del server.put


async def test_a_video_gets_another_policy_and_its_old_chunks_go(cluster: Cluster) -> None:
    video = await cluster.store(DATA)
    before = await cluster.app.videos.open(video.id)
    assert await ask(cluster, video) == video
    (view,) = await cluster.app.transfers.list()
    assert (view.policy, view.policy_before, view.bytes_copied, view.problem) == ("coded", "default", 0, None)
    assert await cluster.app.transferring.step() == 1
    assert await cluster.app.transfers.list() == ()
    after = await cluster.app.videos.open(video.id)
    assert after.etag == before.etag  # the bytes are the same
    assert after.video.version == video.version + 1  # the description is not
    await assert_under(cluster, video, "coded")
    async with cluster.metadata.snapshot() as view_of:
        (event,) = await view_of.events.latest(limit=1, kinds=[EventKind.VIDEO_TRANSFERRED])
    assert event.message == "video.mp4 is stored under coded now, and was under default"
    await ask(cluster, video, "default")
    assert await cluster.app.transferring.step() == 1
    await assert_under(cluster, video, "default")


async def test_a_reader_that_began_before_goes_on(cluster: Cluster) -> None:
    video = await cluster.store(DATA)
    opened = await cluster.app.videos.open(video.id)
    reader = await cluster.app.videos.read(opened, 0, opened.size_bytes)
    pieces = [bytes(await anext(reader))]
    await ask(cluster, video)
    await cluster.app.transferring.step()
    await cluster.settle()  # the chunks that it knows of are collected
    assert await stored_bytes(cluster, "default") == 0
    assert b"".join([*pieces, *[bytes(piece) async for piece in reader]]) == DATA


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK])
async def test_the_smallest_videos_are_transferred_too(cluster: Cluster, size_bytes: int) -> None:
    video = await cluster.store(content(size_bytes))
    await ask(cluster, video)
    assert await cluster.app.transferring.step() == 1
    await cluster.settle()
    assert (await cluster.app.videos.get(video.id)).policy == "coded"
    assert await cluster.read(video.id) == content(size_bytes)


async def test_chunks_that_other_videos_need_stay(cluster: Cluster) -> None:
    video, twin = await cluster.store(DATA), await cluster.store(DATA)
    await ask(cluster, video)
    await cluster.app.transferring.step()
    await cluster.settle()
    assert await stored_bytes(cluster, "default") == 2 * len(DATA)
    assert await cluster.read(video.id) == await cluster.read(twin.id) == DATA


async def test_what_broke_off_goes_on_where_it_was(cluster: Cluster) -> None:
    video = await cluster.store(DATA)
    await ask(cluster, video)
    await break_off(cluster)
    assert await cluster.app.transferring.step() == 0
    (view,) = await cluster.app.transfers.list()
    assert view.problem == "broken off"
    assert 0 < view.bytes_copied < len(DATA)
    assert await cluster.read(video.id) == DATA
    go_on(cluster)
    cluster.clock.advance(3 * 3600)  # longer than an upload would wait
    await cluster.app.expire()
    await cluster.restart()
    reads = sum(server.calls["get"] for server in cluster.servers)
    assert await cluster.app.transferring.step() == 1
    copied = -(-view.bytes_copied // CHUNK)
    assert sum(server.calls["get"] for server in cluster.servers) - reads == 21 - copied
    await assert_under(cluster, video, "coded")


async def test_an_open_file_that_expired_is_begun_again(cluster: Cluster) -> None:
    video = await cluster.store(DATA)
    await ask(cluster, video)
    await break_off(cluster)
    await cluster.app.transferring.step()
    go_on(cluster)
    cluster.clock.advance(25 * 3600)
    cluster.app.clock_guard.clock = cluster.clock.seconds
    async with cluster.metadata.unit_of_work() as uow:
        transfer = await uow.transfers.get(video.id)
        assert transfer is not None
        assert transfer.file_id is not None
        await uow.files.delete(transfer.file_id)
        await uow.commit()
    assert await cluster.app.transferring.step() == 1
    await assert_under(cluster, video, "coded")


async def test_a_pause_holds_it_and_keeps_what_was_copied(cluster: Cluster) -> None:
    video = await cluster.store(DATA)
    await ask(cluster, video)
    await cluster.app.rebalancer.control.change(paused=True)
    assert await cluster.app.transferring.step() == 0
    assert (await cluster.app.videos.get(video.id)).policy == "default"
    await cluster.app.rebalancer.control.change(paused=False)
    assert await cluster.app.transferring.step() == 1
    await assert_under(cluster, video, "coded")


async def test_asking_for_the_policy_that_it_has_calls_it_off(cluster: Cluster) -> None:
    video = await cluster.store(DATA)
    await ask(cluster, video, "default")
    assert await cluster.app.transfers.list() == ()
    await ask(cluster, video)
    await break_off(cluster)
    await cluster.app.transferring.step()
    go_on(cluster)
    await ask(cluster, video, "default")
    assert await cluster.app.transfers.list() == ()
    assert await cluster.app.transferring.step() == 0
    await cluster.app.rebalancer.step()
    cluster.clock.advance(2 * 3600)
    await assert_under(cluster, video, "default")


async def test_a_transfer_that_is_called_off_at_its_end_leaves_the_video_as_it_was(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = await cluster.store(DATA)
    await ask(cluster, video)
    finish = writing.FileWriter.finish

    async def called_off(self: writing.FileWriter, *given: object) -> object:
        await ask(cluster, video, "default")
        return await finish(self, *given)  # type: ignore[arg-type] # its own

    with monkeypatch.context() as patched:
        patched.setattr(writing.FileWriter, "finish", called_off)
        assert await cluster.app.transferring.step() == 0
    await assert_under(cluster, video, "default")


async def test_a_video_that_is_purged_meanwhile_takes_its_transfer_along(cluster: Cluster) -> None:
    video = await cluster.store(DATA)
    await ask(cluster, video)
    await break_off(cluster)
    await cluster.app.transferring.step()
    go_on(cluster)
    await cluster.app.videos.purge(video.id, expected_version=None)
    assert await cluster.app.transfers.list() == ()
    assert await cluster.app.transferring.step() == 0
    async with cluster.metadata.snapshot() as view:
        assert (await view.videos.totals()).open_files == 0
    cluster.clock.advance(2 * 3600)
    await cluster.settle()
    assert await stored_bytes(cluster, "coded") == await stored_bytes(cluster, "default") == 0


async def test_what_is_edited_and_trashed_meanwhile_stays_so(cluster: Cluster) -> None:
    video = await cluster.store(DATA)
    await ask(cluster, video)
    edited = await cluster.app.videos.edit(video.id, VideoEdit(title="New"), expected_version=video.version)
    await cluster.app.videos.trash(video.id, expected_version=edited.version)
    assert await cluster.app.transferring.step() == 1
    restored = await cluster.app.videos.restore(video.id, expected_version=None)
    assert (restored.title, restored.policy) == ("New", "coded")
    await assert_under(cluster, video, "coded")


async def test_a_video_that_cannot_be_read_does_not_hold_up_the_others(cluster: Cluster) -> None:
    broken, well = await cluster.store(DATA), await cluster.store(content(3 * CHUNK, seed=9))
    async with cluster.metadata.snapshot() as view:
        lost = (await view.files.references(broken.file_id, 0, 1))[0].chunk
    for server in cluster.servers:
        for entry in await server.inner.find("default", lost.digest):
            await server.inner.delete(entry.name)
    await ask(cluster, broken)
    await ask(cluster, well)
    assert await cluster.app.transferring.step() == 1
    (view_of,) = await cluster.app.transfers.list()
    assert (view_of.video_id, view_of.problem) == (broken.id, view_of.problem)
    assert "no server has a good copy" in str(view_of.problem)
    assert (await cluster.app.videos.get(well.id)).policy == "coded"


async def test_what_makes_no_sense_is_refused(cluster: Cluster) -> None:
    video = await cluster.store(b"a")
    with pytest.raises(PolicyNotFound):
        await ask(cluster, video, "never")
    with pytest.raises(PreconditionFailed):
        await cluster.app.transfers.request(video.id, "coded", expected_version=video.version + 1)
    await cluster.app.videos.trash(video.id, expected_version=None)
    with pytest.raises(VideoStateConflict):
        await ask(cluster, video)
    assert await cluster.app.transfers.list() == ()


async def test_two_workers_do_not_do_the_same_and_lose_nothing_when_they_try() -> None:
    async with a_world() as world:
        one, other = await world.process(), await world.process()
        await one.app.policies.add(CODED)
        await other.probe()
        video = await one.store(DATA)
        await one.app.transfers.request(video.id, "coded", expected_version=None)

        async def meanwhile() -> None:
            assert await other.app.transferring.step() == 0  # the lease
            async with other.metadata.unit_of_work() as uow:
                await uow.leases.release(f"transfer:{video.id}", holder=one.app.rebalancer.leases.holder)
                await uow.commit()
            await other.app.transferring.step()  # and without it

        one.servers[0].after("put", meanwhile)
        await one.app.transferring.step()
        await one.app.transferring.step()
        await other.app.transferring.step()
        assert (await one.app.videos.get(video.id)).policy == "coded"
        assert await one.read(video.id) == await other.read(video.id) == DATA
        async with one.metadata.snapshot() as view:
            files = [await view.files.get(video.file_id)]
        assert [file.state for file in files if file] == [FileState.COMPLETE]


async def test_on_disks_and_sqlite_it_is_the_same(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path, cache_bytes=0, partition_bits=2) as cluster:
        await cluster.app.policies.add(CODED)
        video = await cluster.store(DATA)
        await ask(cluster, video)
        assert await cluster.app.transferring.step() == 1
        await assert_under(cluster, video, "coded")
