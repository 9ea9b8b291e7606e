"""The writer of one file when something goes wrong: it says so, and gives everything back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reelstore.chunkstore.writing import CHUNKS_IN_FLIGHT_MAX
from reelstore.domain.chunk import ChunkRef, ShardName
from reelstore.domain.errors import (
    InsufficientServers,
    MetadataUnavailable,
    OffsetConflict,
    StoredFileNotFound,
)
from reelstore.repositories.interface import NewChunk, UnitOfWork
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster, until
from tests.faults import FaultyServer
from tests.protocol.world import HookedMetadata
from tests.unit.chunkstore.writers import (
    file_of,
    held,
    nothing_more,
    puts,
    used_bytes,
    writer_of,
)

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


async def test_an_upload_outlives_metadata_that_fails_while_it_is_renewed() -> None:
    async with memory_cluster(metadata=HookedMetadata, open_file_seconds=0.03) as cluster:
        writer = writer_of(cluster)
        await writer.write(content(CHUNK))
        await until(lambda: writer._file.confirmed_bytes)
        failed: list[bool] = []

        async def fail() -> None:
            failed.append(True)
            raise MetadataUnavailable("busy")

        assert isinstance(cluster.metadata, HookedMetadata)
        cluster.metadata.before_unit(fail)
        await until(lambda: failed)
        await writer.write(content(CHUNK, seed=1))
        assert (await writer.finish(nothing_more)).offset_bytes == 2 * CHUNK


async def test_an_abandoned_upload_names_the_partitions_of_all_its_chunks_however_many(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelstore.chunkstore.committing.MAP_PAGE_CHUNKS", 3)
    writer = writer_of(cluster)
    await writer.write(content(30 * CHUNK))
    await until(lambda: writer._file.confirmed_bytes >= 20 * CHUNK)
    partitions = {cluster.app.topology.present.ring(POLICY).partition_of(c.digest) for c in await cluster.chunks()}
    assert await writer.abandon() == partitions
