"""Adoption on real file systems: shared bytes, file systems without links, full ones; and giving a folder up."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reelstore.domain.errors import ServerFull, ServerRefused, ServerUnavailable
from reelstore.storage.directory import DirectoryServer
from tests.contract.storage_suite import MARKER, digest_at, listed_names, shard
from tests.integration.disks import small_disk

OLD = shard(digest=digest_at("abc"))
NEW = shard(digest=digest_at("abc"), tenure=2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture
async def server(root: Path) -> AsyncIterator[DirectoryServer]:
    server = DirectoryServer("a", root, reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    yield server
    await server.close()


def file_of(root: Path, leaf: str) -> Path:
    return root / "shards" / "default" / "abc" / leaf


def without_links(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)


async def test_both_names_are_one_file(server: DirectoryServer, root: Path) -> None:
    await server.put(OLD, b"x" * 5000)
    await server.adopt(OLD, NEW)
    assert file_of(root, OLD.leaf).samefile(file_of(root, NEW.leaf))
    assert len(list(file_of(root, "").iterdir())) == 2


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP])
async def test_where_links_cannot_be_made_the_bytes_are_copied(
    server: DirectoryServer, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    without_links(monkeypatch, number)
    await server.put(OLD, b"x" * 5000)
    assert await server.adopt(OLD, NEW)
    assert not file_of(root, OLD.leaf).samefile(file_of(root, NEW.leaf))
    assert await server.get(NEW) == b"x" * 5000
    assert (await server.usage()).used_bytes == 10_000


async def test_another_failure_of_linking_is_an_error_and_changes_nothing(
    server: DirectoryServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.put(OLD, b"x")
    without_links(monkeypatch, errno.EIO)
    with pytest.raises(ServerUnavailable, match="cannot adopt a shard"):
        await server.adopt(OLD, NEW)
    assert [found.name for found in file_of(root, "").iterdir()] == [OLD.leaf]


async def test_a_link_in_the_place_of_the_old_shard_is_not_followed(server: DirectoryServer, root: Path) -> None:
    await server.put(OLD, b"x")
    secret = root.parent / "secret"
    secret.write_bytes(b"secret")
    file_of(root, OLD.leaf).unlink()
    file_of(root, OLD.leaf).symlink_to(secret)
    assert await server.adopt(OLD, NEW) is False
    assert not file_of(root, NEW.leaf).exists()


async def test_a_place_without_its_marker_adopts_nothing(server: DirectoryServer, root: Path) -> None:
    (root / "reelstore.json").unlink()
    with pytest.raises(ServerRefused):
        await server.adopt(OLD, NEW)


async def test_a_full_disk_adopts_by_linking_and_refuses_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        server = DirectoryServer("a", disk / "place", reserve_bytes=0)
        await server.attach(MARKER, claim=True)
        await server.put(OLD, os.urandom(700_000))
        assert await server.adopt(OLD, NEW)
        assert await server.delete(NEW)
        without_links(monkeypatch, errno.EPERM)
        with pytest.raises(ServerFull):
            await server.adopt(OLD, NEW)
        assert await listed_names(server) == {OLD}
        await server.close()


async def test_what_is_not_ours_keeps_the_place_from_being_given_up_and_is_left_alone(
    server: DirectoryServer, root: Path
) -> None:
    await server.put(OLD, b"x")
    await server.delete(OLD)
    note = root / "shards" / "default" / "note.txt"
    note.write_text("mine")
    assert await server.release() is False
    assert note.read_text() == "mine"
    assert await server.check() == MARKER
    note.unlink()
    assert await server.release() is True
    assert not (root / "shards").exists()
