"""The writer of one file: what it commits and when, what it waits for, and that it gives everything back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from reelstore.chunkstore import writing
from reelstore.chunkstore.budget import MemoryBudget
from reelstore.chunkstore.buffers import BufferPool
from reelstore.chunkstore.writing import CHUNKS_IN_FLIGHT_MAX, FileWriter
from reelstore.domain.chunk import ChunkRef, ChunkState, ShardName
from reelstore.domain.errors import (
    InsufficientServers,
    MetadataUnavailable,
    OffsetConflict,
    Overloaded,
    StoredFileNotFound,
)
from reelstore.domain.file import FileState, StoredFile
from reelstore.repositories.interface import NewChunk, UnitOfWork
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster, until
from tests.faults import FaultyServer


def writer_of(cluster: Cluster, **more: Any) -> FileWriter:
    return cluster.app.store.writer(cluster.app.topology.present.policy(None), **more)


def used_bytes(cluster: Cluster) -> int:
    return cluster.app.store._writing.buffers._budget.used_bytes


def limit_memory(cluster: Cluster, limit_bytes: int, **more: float) -> None:
    """Give all writers together that much."""
    store = cluster.app.store
    tools = {name: getattr(store._writing, name) for name in writing.WritingTools.__slots__}
    store._writing = writing.WritingTools(**tools | {"buffers": BufferPool(MemoryBudget(limit_bytes, **more))})


async def nothing_more(_uow: UnitOfWork, _file: StoredFile, _now: datetime) -> None:
    """Complete a file without a video."""


@asynccontextmanager
async def held(cluster: Cluster, operation: str = "put") -> AsyncIterator[None]:
    """Let no server finish that operation before the block ends; begin the block when one has begun it."""
    gates = [(server, server.hold(operation)) for server in cluster.servers]
    try:
        yield
    finally:
        for server, gate in gates:
            gate.set()
            server._held.pop(operation, None)


def puts(cluster: Cluster) -> int:
    return sum(server.calls["put"] for server in cluster.servers)


async def file_of(cluster: Cluster, writer: FileWriter) -> StoredFile | None:
    async with cluster.metadata.snapshot() as view:
        return await view.files.get(writer._file.id)


async def references_of(cluster: Cluster, writer: FileWriter) -> list[ChunkRef]:
    async with cluster.metadata.snapshot() as view:
        return list(await view.files.references(writer._file.id, 0, 1000))


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


# ---------------------------------------------------------------------- servers that hang


class Hanging(FaultyServer):
    """Take data, answer never, and look at it much later."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.kept: list[tuple[ShardName, Any]] = []

    async def put(self, name: ShardName, data: Any) -> None:
        self.kept.append((name, data))
        await asyncio.Event().wait()


async def test_what_a_late_put_may_still_read_is_never_written_over() -> None:
    async with memory_cluster(put_timeout_seconds=0.02) as cluster:
        hanging = Hanging(cluster.server("disk1").inner)
        cluster.member("disk1").driver = hanging
        bodies = [content(12 * CHUNK, seed=seed) for seed in range(4)]
        for body in bodies:
            cluster.member("disk1").problem = None  # asked again each time
            await cluster.store(body)
        assert hanging.kept
        for name, data in hanging.kept:
            assert await cluster.app.store.is_good_shard(Keeping(data), name)  # type: ignore[arg-type] # only gets


class Keeping:
    """Give back what a late put would read now."""

    def __init__(self, data: Any) -> None:
        self.data = bytes(data)

    async def get(self, _name: ShardName) -> bytes:
        return self.data


# ---------------------------------------------------------------------- expiry


async def test_an_open_file_is_renewed_while_its_writer_lives() -> None:
    async with memory_cluster(open_file_seconds=0.06) as cluster:
        writer = writer_of(cluster)
        await writer.write(content(CHUNK))
        await until(lambda: writer._file.confirmed_bytes)
        for _ in range(3):
            cluster.clock.advance(0.05)
            now = cluster.clock.now
            while True:
                file = await file_of(cluster, writer)
                assert file is not None
                assert file.expires_at is not None
                if (file.expires_at - now).total_seconds() >= 0.059:
                    break
                await asyncio.sleep(0.005)
            assert await cluster.app.expire() == 0
        await writer.finish(nothing_more)


async def test_a_writer_whose_file_expired_learns_of_it_without_writing() -> None:
    async with memory_cluster(open_file_seconds=0.03) as cluster:
        writer = writer_of(cluster)
        await writer.write(content(CHUNK))
        await until(lambda: writer._file.confirmed_bytes)
        async with cluster.metadata.unit_of_work() as uow:
            await uow.files.delete(writer._file.id)
            await uow.commit()
        await until(lambda: writer._failure)
        with pytest.raises(StoredFileNotFound, match="expired"):
            await writer.write(b"x")
        await writer.abandon()
        assert used_bytes(cluster) == 0


# ---------------------------------------------------------------------- another writer


async def test_a_writer_does_not_confirm_what_another_one_refers_to(cluster: Cluster) -> None:
    async with held(cluster):
        writer = writer_of(cluster)
        await writer.write(content(2 * CHUNK))
        await until(lambda: puts(cluster))
        async with cluster.metadata.unit_of_work() as uow:
            (other,) = await uow.chunks.obtain(POLICY, [NewChunk("d" * 32, bytes(32), CHUNK)])
            await uow.files.set_references(writer._file.id, [ChunkRef(0, 0, other)])
            await uow.commit()
    with pytest.raises(OffsetConflict):
        await writer.finish(nothing_more)
    await writer.abandon()
    assert used_bytes(cluster) == 0


async def test_a_writer_does_not_go_on_where_another_one_has_been(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    await writer.write(content(CHUNK))
    await until(lambda: writer._file.confirmed_bytes)
    async with cluster.metadata.unit_of_work() as uow:
        (other,) = await uow.chunks.obtain(POLICY, [NewChunk("d" * 32, bytes(32), CHUNK)])
        await uow.files.set_references(writer._file.id, [ChunkRef(1, CHUNK, other)])
        assert await uow.files.advance(
            writer._file.id,
            from_offset_bytes=CHUNK,
            to_offset_bytes=2 * CHUNK,
            chunk_count=2,
            expires_at=cluster.clock.now,
        )
        await uow.commit()
    await writer.write(content(CHUNK, seed=1))
    with pytest.raises(OffsetConflict) as caught:
        await writer.finish(nothing_more)
    assert caught.value.offset_bytes == 2 * CHUNK
    await writer.abandon()


# ---------------------------------------------------------------------- failures


async def test_a_failure_reaches_the_sender_at_the_next_write_and_not_only_at_the_end(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.down = True
    writer = writer_of(cluster)
    await writer.write(content(CHUNK))
    await until(lambda: writer._failure)
    for _ in range(2):
        with pytest.raises(InsufficientServers):
            await writer.write(b"x")
    with pytest.raises(InsufficientServers):
        await writer.finish(nothing_more)
    await writer.abandon()
    assert used_bytes(cluster) == 0


async def test_a_failure_wakes_a_sender_that_waits_for_room(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    async with held(cluster):
        waiting = asyncio.create_task(writer.write(content(40 * CHUNK)))
        await until(lambda: len(writer._pieces) == CHUNKS_IN_FLIGHT_MAX)
        for server in cluster.servers:
            server.down = True
    with pytest.raises(InsufficientServers):
        await waiting
    await writer.abandon()
    assert used_bytes(cluster) == 0


async def test_metadata_that_does_not_answer_ends_the_upload_and_gives_memory_back(cluster: Cluster) -> None:
    begin = cluster.metadata.unit_of_work

    def fail(*, frees: bool = False) -> UnitOfWork:
        raise MetadataUnavailable("locked")

    cluster.metadata.unit_of_work = fail  # type: ignore[method-assign] # fails
    with pytest.raises(MetadataUnavailable):
        await cluster.store(content(3 * CHUNK))
    cluster.metadata.unit_of_work = begin  # type: ignore[method-assign] # as it was
    assert used_bytes(cluster) == 0
    assert await cluster.chunks() == []


async def test_abandoning_twice_is_fine(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    await writer.write(content(2 * CHUNK + 1))
    await until(lambda: writer._file.confirmed_bytes)
    assert await writer.abandon()
    assert await writer.abandon() == frozenset()
    assert used_bytes(cluster) == 0


async def test_abandoning_names_the_partitions_that_are_to_be_collected(cluster: Cluster) -> None:
    writer = writer_of(cluster)
    await writer.write(content(5 * CHUNK))
    await until(lambda: writer._file.confirmed_bytes == 5 * CHUNK)
    ring = cluster.app.topology.present.ring(POLICY)
    assert await writer.abandon() == {ring.partition_of(chunk.digest) for chunk in await cluster.chunks()}
