"""A full disk is noticed before it is full, and does no harm when it is."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from reelstore.domain.errors import ServerFull, ShardCorrupt
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.directory.space import Space
from tests.contract.storage_suite import MARKER, digest_at, listed_names, shard
from tests.integration.disks import small_disk

MIB = 1024**2
NAMES = [shard(digest=digest_at("abc"), tenure=number + 1) for number in range(64)]


async def test_the_reserve_is_kept_free_even_by_puts_at_once(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=16m") as disk:
        server = DirectoryServer("a", disk, reserve_bytes=4 * MIB)
        await server.attach(MARKER, claim=True)
        results = await asyncio.gather(*(server.put(name, bytes(MIB)) for name in NAMES[:24]), return_exceptions=True)
        assert {type(result) for result in results} == {type(None), ServerFull}
        found = os.statvfs(disk)
        assert found.f_bavail * found.f_frsize >= 4 * MIB
        usage = await server.usage()
        assert usage.capacity_bytes == 16 * MIB
        assert usage.used_bytes == len(await listed_names(server)) * MIB
        assert usage.free_bytes == found.f_bavail * found.f_frsize - 4 * MIB
        await server.delete((await listed_names(server)).pop())
        await server.put(NAMES[30], bytes(MIB // 2))
        await server.close()


async def test_a_full_disk_has_room_in_its_reserve_for_the_repair_of_a_shard(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=16m") as disk:
        server = DirectoryServer("a", disk, reserve_bytes=4 * MIB)
        await server.attach(MARKER, claim=True)
        for name in NAMES[:24]:  # one by one: together they may refuse each other and leave room
            with suppress(ServerFull):
                await server.put(name, bytes(MIB))
        name = (await listed_names(server)).pop()
        with pytest.raises(ServerFull):
            await server.put(NAMES[30], b"y" * MIB)
        await server.set_aside(name)  # which keeps the old bytes' room
        await server.put(name, b"x" * MIB)
        assert await server.get(name) == b"x" * MIB
        with pytest.raises(ServerFull):
            await server.put(NAMES[30], b"y" * MIB)
        await server.close()


async def test_the_usual_reserve_is_a_fiftieth_and_free_is_never_below_zero(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=10m") as disk:
        server = DirectoryServer("a", disk)
        await server.attach(MARKER, claim=True)
        found = os.statvfs(disk)
        assert (await server.usage()).free_bytes == found.f_bavail * found.f_frsize - found.f_blocks * 4096 // 50
        (disk / "foreign").write_bytes(bytes(10 * MIB - 64 * 1024))
        usage = await server.usage()
        assert (usage.free_bytes, usage.used_bytes) == (0, 0)
        with pytest.raises(ServerFull):
            await server.put(NAMES[0], b"x")
        await server.close()


async def test_a_disk_that_fills_while_writing_leaves_the_old_bytes_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "size=4m") as disk:
        server = DirectoryServer("a", disk, reserve_bytes=0)
        await server.attach(MARKER, claim=True)
        await server.put(NAMES[0], bytes(MIB))
        monkeypatch.setattr(Space, "_file_system", lambda _, **__: (10**12, 10**12))  # others fill it meanwhile
        for name in NAMES[:2]:
            with pytest.raises(ServerFull, match="No space left"):
                await server.put(name, b"x" * (4 * MIB))
        assert await server.get(NAMES[0]) == bytes(MIB)
        assert [found.name for found in (disk / "shards/default/abc").iterdir()] == [NAMES[0].leaf]
        assert (await server.usage()).used_bytes == MIB
        await server.put(NAMES[1], bytes(MIB))
        await server.close()


async def test_a_disk_without_inodes_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=4m,nr_inodes=8") as disk:
        server = DirectoryServer("a", disk, reserve_bytes=0)
        await server.attach(MARKER, claim=True)
        results = [*await asyncio.gather(*(server.put(name, b"x") for name in NAMES), return_exceptions=True)]
        stored = results.count(None)
        assert 0 < stored < 8
        assert all(result is None or isinstance(result, ServerFull) for result in results)
        assert len(await listed_names(server)) == stored
        await server.close()


async def test_a_thousand_puts_at_once_are_all_stored_and_counted(tmp_path: Path) -> None:
    server = DirectoryServer("a", tmp_path / "place", reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    names = [shard(digest=digest_at(f"{number % 16:03x}"), tenure=number + 1) for number in range(1000)]
    await asyncio.gather(*(server.put(name, b"x" * (number % 50)) for number, name in enumerate(names)))
    assert await listed_names(server) == set(names)
    used_bytes = sum(number % 50 for number in range(1000))
    assert (await server.usage()).used_bytes == used_bytes
    await asyncio.gather(*(server.delete(name) for name in names[:500]))
    await server.close()
    await server.attach(MARKER, claim=False)
    assert (await server.usage()).used_bytes == sum(number % 50 for number in range(500, 1000))
    await server.close()


async def test_what_changes_while_the_first_count_runs_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelstore.storage.directory.server.SURVEY_WAIT_SECONDS", 0)
    server = DirectoryServer("a", tmp_path / "place", reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    names = [shard(digest=digest_at(f"{number % 100:03x}"), tenure=number + 1) for number in range(300)]
    for turn in range(3):
        await asyncio.gather(
            *(server.put(name, bytes(turn + 1)) for name in names),
            *(server.delete(name) for name in names[::7]),
            *(server.put(name, bytes(turn + 5)) for name in names[::5]),
        )
        await server.close()
        await server.attach(MARKER, claim=False)  # counts in the background what the next turn changes
    opened = server._opened
    assert opened is not None
    assert opened.survey is not None
    await opened.survey
    entries = [entry async for entry in server.list("default", b"", None)]
    assert (await server.usage()).used_bytes == sum(entry.size_bytes for entry in entries)
    await server.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EBADMSG])
async def test_bytes_that_the_medium_cannot_give_back_are_corrupt_and_can_be_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    server = DirectoryServer("a", tmp_path / "place", reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    await server.put(NAMES[0], b"x")

    def bad_sector(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", bad_sector)
        with pytest.raises(ShardCorrupt):
            await server.get(NAMES[0])
        with pytest.raises(ShardCorrupt):
            await server.digest(NAMES[0])
    await server.put(NAMES[0], b"x")
    assert await server.get(NAMES[0]) == b"x"
    await server.close()
