"""The contract of a storage server: every driver and every stand-in keeps each promise of the port."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from reelstore.domain.errors import InvalidInput, ServerRefused, ServerUnavailable, ShardMissing
from reelstore.storage.interface import StorageServer
from tests.contract.storage_suite import MARKER, Build, digest_at, listed, listed_names, shard

MIB = 1024**2


class TestAttach:
    async def test_a_place_without_a_marker_is_refused_unless_claimed(
        self, storage_build: Build, tmp_path: Path
    ) -> None:
        server = storage_build(tmp_path, None)
        with pytest.raises(ServerUnavailable):
            await server.attach(MARKER, claim=False)
        assert await server.attach(MARKER, claim=True) == MARKER
        await server.close()

    async def test_a_claim_can_be_repeated(self, storage_server: StorageServer) -> None:
        assert await storage_server.attach(MARKER, claim=True) == MARKER

    @pytest.mark.parametrize("claim", [True, False])
    @pytest.mark.parametrize("change", [{"cluster": "other"}, {"server": "b"}])
    async def test_anothers_place_is_refused(
        self, storage_server: StorageServer, change: dict[str, str], claim: bool
    ) -> None:
        await storage_server.close()
        with pytest.raises(ServerRefused) as refusal:
            await storage_server.attach(replace(MARKER, **change), claim=claim)  # type: ignore[arg-type]  # both are texts
        assert not refusal.value.retryable
        assert refusal.value.server == "a"

    async def test_the_marker_found_is_returned_not_the_one_expected(self, storage_server: StorageServer) -> None:
        await storage_server.record_delete_rounds(7)
        await storage_server.close()
        expected = replace(MARKER, generation="g2", delete_rounds=1)
        assert await storage_server.attach(expected, claim=True) == replace(MARKER, delete_rounds=7)

    async def test_check_returns_the_marker_as_it_is_now(self, storage_server: StorageServer) -> None:
        assert await storage_server.check() == MARKER
        await storage_server.record_delete_rounds(3)
        assert await storage_server.check() == replace(MARKER, delete_rounds=3)

    async def test_the_generation_of_an_accepted_metadata_is_kept(self, storage_server: StorageServer) -> None:
        await storage_server.record_delete_rounds(5)
        await storage_server.record_delete_rounds(4, generation="g2")
        assert await storage_server.check() == replace(MARKER, generation="g2", delete_rounds=5)
        await storage_server.record_delete_rounds(6)
        assert await storage_server.check() == replace(MARKER, generation="g2", delete_rounds=6)

    async def test_delete_rounds_are_never_lowered(self, storage_server: StorageServer) -> None:
        await storage_server.record_delete_rounds(5)
        await storage_server.record_delete_rounds(4)
        assert (await storage_server.check()).delete_rounds == 5

    async def test_shards_survive_a_close_and_an_attach(self, storage_server: StorageServer) -> None:
        await storage_server.put(shard(b"x"), b"x")
        await storage_server.close()
        await storage_server.attach(MARKER, claim=False)
        assert await storage_server.get(shard(b"x")) == b"x"
        assert (await storage_server.usage()).used_bytes == 1


class TestClosed:
    @pytest.mark.parametrize("closed", [True, False], ids=["closed", "never-attached"])
    async def test_every_call_is_unavailable(self, storage_build: Build, tmp_path: Path, closed: bool) -> None:
        server = storage_build(tmp_path, None)
        if closed:
            await server.attach(MARKER, claim=True)
            await server.close()
        name = shard(b"x")
        calls = (
            server.check(),
            server.record_delete_rounds(1),
            server.put(name, b"x"),
            server.get(name),
            server.stat(name),
            server.delete(name),
            listed(server),
            server.find("default", name.digest),
            server.usage(),
        )
        for call in calls:
            with pytest.raises(ServerUnavailable):
                await call

    async def test_closing_again_is_fine(self, storage_server: StorageServer) -> None:
        await storage_server.close()
        await storage_server.close()

    async def test_closing_before_attaching_is_fine(self, storage_build: Build, tmp_path: Path) -> None:
        await storage_build(tmp_path, None).close()


class TestPutAndGet:
    @pytest.mark.parametrize("size_bytes", [0, 1, 4096, 4 * MIB, 4 * MIB + 1])
    async def test_what_is_stored_is_what_is_read(self, storage_server: StorageServer, size_bytes: int) -> None:
        data = os.urandom(size_bytes)
        await storage_server.put(shard(data), data)
        assert await storage_server.get(shard(data)) == data

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(data)[::1].cast("B")])
    async def test_any_buffer_is_taken(self, storage_server: StorageServer, kind: type[bytes]) -> None:
        await storage_server.put(shard(), kind(b"abc"))
        assert await storage_server.get(shard()) == b"abc"

    async def test_the_bytes_are_the_servers_own_once_stored(self, storage_server: StorageServer) -> None:
        data = bytearray(b"abc")
        await storage_server.put(shard(), data)
        data[:] = b"xyz"
        assert await storage_server.get(shard()) == b"abc"

    @pytest.mark.parametrize(
        ("start", "stop"), [(0, 0), (0, 1), (3, 7), (9, 10), (9, 99), (10, 10), (10, None), (99, None), (99, 100)]
    )
    async def test_a_range_is_half_open_and_ends_with_the_shard(
        self, storage_server: StorageServer, start: int, stop: int | None
    ) -> None:
        await storage_server.put(shard(), b"0123456789")
        assert await storage_server.get(shard(), start, stop) == b"0123456789"[start:stop]

    @pytest.mark.parametrize(("start", "stop"), [(-1, None), (0, -1), (2, 1)])
    async def test_a_range_that_is_none_is_invalid(
        self, storage_server: StorageServer, start: int, stop: int | None
    ) -> None:
        await storage_server.put(shard(), b"0123456789")
        with pytest.raises(InvalidInput):
            await storage_server.get(shard(), start, stop)

    async def test_a_put_of_the_same_name_replaces_the_bytes(self, storage_server: StorageServer) -> None:
        await storage_server.put(shard(), b"longer than before")
        await storage_server.put(shard(), b"short")
        assert await storage_server.get(shard()) == b"short"
        assert [entry.size_bytes for entry in await listed(storage_server)] == [5]

    async def test_a_shard_beyond_64_mib_is_invalid(self, storage_server: StorageServer) -> None:
        with pytest.raises(InvalidInput):
            await storage_server.put(shard(), bytes(64 * MIB + 1))
        assert await storage_server.stat(shard()) is None

    async def test_names_that_differ_in_one_part_are_different_shards(self, storage_server: StorageServer) -> None:
        base = shard(b"x")
        names = [
            base,
            replace(base, policy="other"),
            replace(base, digest=digest_at("f")),
            replace(base, chunk="0" * 32),
            replace(base, slot=1),
            replace(base, tenure=2**64 - 1),
        ]
        for number, name in enumerate(names):
            await storage_server.put(name, bytes([number]))
        assert [await storage_server.get(name) for name in names] == [bytes([number]) for number in range(len(names))]

    async def test_a_missing_shard_is_missing(self, storage_server: StorageServer) -> None:
        with pytest.raises(ShardMissing) as error:
            await storage_server.get(shard())
        assert error.value.server == "a"
        assert await storage_server.stat(shard()) is None

    async def test_puts_of_one_name_at_once_leave_one_of_them_whole(self, storage_server: StorageServer) -> None:
        bodies = [bytes([number]) * (100_000 + number) for number in range(16)]
        await asyncio.gather(*(storage_server.put(shard(), body) for body in bodies))
        assert await storage_server.get(shard()) in bodies
        assert (await storage_server.usage()).used_bytes == len(await storage_server.get(shard()))

    async def test_reads_during_overwrites_see_one_or_the_other_whole(self, storage_server: StorageServer) -> None:
        bodies = [b"a" * 300_000, b"b" * 200_000]
        await storage_server.put(shard(), bodies[0])

        async def write() -> None:
            for turn in range(10):
                await storage_server.put(shard(), bodies[turn % 2])

        async def read() -> None:
            for _ in range(30):
                assert await storage_server.get(shard()) in bodies

        await asyncio.gather(write(), read(), read())

    async def test_a_cancelled_put_leaves_nothing_or_all(self, storage_server: StorageServer) -> None:
        data = bytearray(os.urandom(MIB))
        whole = bytes(data)
        for turns in range(6):
            name = shard(tenure=turns + 1)
            put = asyncio.ensure_future(storage_server.put(name, data))
            for _ in range(turns):
                await asyncio.sleep(0)
            put.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await put
            data[:] = bytes(len(data))  # whoever gave up may use the buffer for something else
            await storage_server.close()  # waits for what is still at work
            await storage_server.attach(MARKER, claim=False)
            entry = await storage_server.stat(name)
            assert entry is None or await storage_server.get(name) == whole
            data[:] = whole


class TestStatAndDelete:
    async def test_stat_tells_name_and_size(self, storage_server: StorageServer) -> None:
        await storage_server.put(shard(b"abc"), b"abc")
        entry = await storage_server.stat(shard(b"abc"))
        assert entry is not None
        assert (entry.name, entry.size_bytes) == (shard(b"abc"), 3)

    async def test_the_time_of_change_does_not_go_back_when_bytes_are_replaced(
        self, storage_server: StorageServer
    ) -> None:
        await storage_server.put(shard(), b"old")
        old = await storage_server.stat(shard())
        await storage_server.put(shard(), b"new")
        new = await storage_server.stat(shard())
        assert old is not None
        assert new is not None
        if old.changed_ns is not None and new.changed_ns is not None:
            assert old.changed_ns <= new.changed_ns

    async def test_a_deleted_shard_is_gone(self, storage_server: StorageServer) -> None:
        await storage_server.put(shard(), b"x")
        assert await storage_server.delete(shard()) is True
        assert await storage_server.stat(shard()) is None
        assert await listed_names(storage_server) == set()
        assert (await storage_server.usage()).used_bytes == 0

    async def test_deleting_what_is_not_there_is_fine(self, storage_server: StorageServer) -> None:
        assert await storage_server.delete(shard()) is False

    async def test_of_deletes_at_once_one_says_that_it_was_there(self, storage_server: StorageServer) -> None:
        await storage_server.put(shard(), b"x")
        assert sorted(await asyncio.gather(*(storage_server.delete(shard()) for _ in range(8)))) == [False] * 7 + [True]
