"""The writer of one file: what it commits and when, what it waits for, and that it gives everything back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from reelstore.chunkstore import writing
from reelstore.chunkstore.writing import CHUNKS_IN_FLIGHT_MAX
from reelstore.domain.chunk import ChunkState
from reelstore.domain.errors import (
    InsufficientServers,
    OffsetConflict,
    Overloaded,
)
from reelstore.domain.file import FileState, StoredFile
from reelstore.repositories.interface import UnitOfWork
from tests.cluster import CHUNK, POLICY, Cluster, content, until
from tests.unit.chunkstore.writers import (
    file_of,
    held,
    limit_memory,
    nothing_more,
    puts,
    references_of,
    used_bytes,
    writer_of,
)

# ---------------------------------------------------------------------- what is committed, and when


async def test_a_writer_that_was_given_nothing_has_committed_nothing(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    await writer.write(b"")
    assert await file_of(cluster, writer) is None
    assert await writer.abandon() == frozenset()


async def test_rows_and_references_are_committed_before_a_byte_is_sent(cluster: Cluster) -> None:
    async with held(cluster):
        writer = writer_of(cluster, length_bytes=5 * CHUNK)
        await writer.write(content(3 * CHUNK))
        await until(lambda: puts(cluster))
        file = await file_of(cluster, writer)
        assert file is not None
        assert (file.state, file.offset_bytes, file.length_bytes) == (FileState.OPEN, 0, 5 * CHUNK)
        sent = {name.chunk for server in cluster.servers for kind, name in server.log if kind == "put"}  # type: ignore[attr-defined] # a put's argument is a name
        referred = {reference.chunk.id for reference in await references_of(cluster, writer)}
        assert sent
        assert sent <= referred
        assert {chunk.state for chunk in await cluster.chunks()} == {ChunkState.WRITING}
    await writer.abandon()


async def test_the_file_is_complete_and_its_chunks_live_when_finish_returns(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    await writer.write(content(3 * CHUNK + 1))
    seen = []

    async def complete(uow: UnitOfWork, file: StoredFile, now: datetime) -> None:
        seen.append((file, now, await uow.files.get(file.id)))

    file = await writer.finish(complete)
    assert (file.state, file.offset_bytes, file.chunk_count) == (FileState.COMPLETE, 3 * CHUNK + 1, 4)
    assert (file.length_bytes, file.expires_at) == (3 * CHUNK + 1, None)
    assert seen == [(file, cluster.clock.now, file)]
    assert {chunk.state for chunk in await cluster.chunks()} == {ChunkState.LIVE}
    assert used_bytes(cluster) == 0
    assert await writer.abandon() == frozenset()  # a complete file is left alone
    assert await file_of(cluster, writer) == file


async def test_nothing_is_visible_when_the_completion_fails(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    await writer.write(content(CHUNK + 1))

    async def refuse(_uow: UnitOfWork, _file: StoredFile, _now: datetime) -> None:
        raise OffsetConflict("no")

    with pytest.raises(OffsetConflict, match="no"):
        await writer.finish(refuse)
    file = await file_of(cluster, writer)
    assert file is None or file.state is FileState.OPEN
    await writer.abandon()
    assert await file_of(cluster, writer) is None
    assert used_bytes(cluster) == 0


async def test_chunks_that_all_first_choices_took_leave_their_partition_settled(cluster: Cluster) -> None:
    await cluster.store(content(5 * CHUNK))
    async with cluster.metadata.snapshot() as view:
        assert await view.partitions.unsettled(POLICY, epoch=1) == []


async def test_a_chunk_that_a_handoff_took_unsettles_its_partition(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    await cluster.store(content(20 * CHUNK))
    ring = cluster.app.topology.present.ring(POLICY)
    number = cluster.member("disk1").server.number
    touched = {ring.partition_of(chunk.digest) for chunk in await cluster.chunks()}
    expected = sorted(index for index in touched if number in {seat.server for seat in ring.row(index)})
    async with cluster.metadata.snapshot() as view:
        assert await view.partitions.unsettled(POLICY, epoch=1) == expected


async def test_many_chunks_share_a_transaction(cluster: Cluster) -> None:
    commits = 0
    begin = cluster.metadata.unit_of_work

    def counted(*, frees: bool = False) -> UnitOfWork:
        nonlocal commits
        commits += 1
        return begin(frees=frees)

    cluster.metadata.unit_of_work = counted  # type: ignore[method-assign] # counts
    await cluster.store(content(64 * CHUNK))
    assert commits <= 40


# ---------------------------------------------------------------------- back pressure


async def test_a_writer_never_has_more_than_its_bound_under_way(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    highest = 0
    async with held(cluster):
        writing_all = asyncio.create_task(writer.write(content(40 * CHUNK)))
        for _ in range(200):
            await asyncio.sleep(0)
            highest = max(highest, used_bytes(cluster))
        assert not writing_all.done()
        assert len(writer._pieces) <= CHUNKS_IN_FLIGHT_MAX
    await writing_all
    await writer.finish(nothing_more)
    assert highest <= (CHUNKS_IN_FLIGHT_MAX + 1) * CHUNK
    assert used_bytes(cluster) == 0


async def test_all_writers_together_keep_within_the_memory_they_are_given(cluster: Cluster) -> None:
    limit_memory(cluster, 6 * CHUNK)
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, used_bytes(cluster))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    bodies = [content(12 * CHUNK + 1, seed=seed) for seed in range(5)]
    videos = await asyncio.gather(*(cluster.store(body) for body in bodies))
    watching.cancel()
    assert 0 < highest <= 6 * CHUNK
    assert used_bytes(cluster) == 0
    for video, body in zip(videos, bodies, strict=True):
        assert await cluster.read(video.id) == body


async def test_one_chunk_of_memory_is_enough(cluster: Cluster) -> None:
    limit_memory(cluster, CHUNK)
    body = content(9 * CHUNK + 1)
    assert await cluster.read((await cluster.store(body)).id) == body


async def test_a_writer_that_gets_no_memory_is_refused_and_disturbs_nobody(cluster: Cluster) -> None:
    limit_memory(cluster, 2 * CHUNK, patience_seconds=0.02)
    first = writer_of(cluster)
    async with held(cluster):
        await first.write(content(2 * CHUNK))
        with pytest.raises(Overloaded):
            await cluster.store(content(CHUNK, seed=1))
        assert used_bytes(cluster) == 2 * CHUNK
    await first.finish(nothing_more)
    assert used_bytes(cluster) == 0


# ---------------------------------------------------------------------- the ring changes


async def test_chunks_placed_by_an_old_ring_are_placed_again(cluster: Cluster) -> None:
    body = content(12 * CHUNK + 5)
    async with held(cluster):
        storing = asyncio.create_task(cluster.store(body))
        await until(lambda: puts(cluster))
        await cluster.add_server("disk4")
    video = await storing
    assert await cluster.read(video.id) == body
    fresh = cluster.app.topology.present.ring(POLICY)
    assert fresh.epoch == 2
    promised = await cluster.promised()
    assert promised["disk4"]
    held_now = await cluster.shards()
    assert all(promised[name] <= held_now[name] for name in promised)  # under the names of the newest ring
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_ring_that_changes_again_and_again_is_followed(cluster: Cluster) -> None:
    body = content(40 * CHUNK)

    async def arriving() -> AsyncIterator[bytes]:
        for index in range(0, 40, 8):
            yield body[index * CHUNK : (index + 8) * CHUNK]
            await cluster.add_server(f"more{index}")

    stored = await cluster.send(arriving())
    assert await cluster.read(stored.video.id) == body
    await cluster.settle()
    await cluster.assert_whole()


async def test_one_change_of_the_ring_counts_once_however_many_chunks_were_under_way(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "RING_CHANGES_MAX", 1)
    body = content(CHUNKS_IN_FLIGHT_MAX * CHUNK)
    async with held(cluster):
        storing = asyncio.create_task(cluster.store(body))
        await until(lambda: puts(cluster))
        await cluster.add_server("disk4")
    assert await cluster.read((await storing).id) == body


async def test_a_ring_that_never_rests_ends_the_upload(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RING_CHANGES_MAX", 0)
    async with held(cluster):
        storing = asyncio.create_task(cluster.store(content(CHUNK)))
        await until(lambda: puts(cluster))
        await cluster.add_server("disk4")
    with pytest.raises(InsufficientServers, match="the ring changed"):
        await storing
    assert used_bytes(cluster) == 0
