"""What is not ours is passed over, left alone and reported; no link is followed."""

# ruff: noqa: ASYNC240 - the event loop has nothing else to do while the test looks at the disk

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from reelstore.domain.errors import ServerUnavailable, ShardMissing
from reelstore.storage.directory import DirectoryServer
from tests.contract.storage_suite import MARKER, digest_at, listed_names, shard

NAME = shard(digest=digest_at("abc"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "shards" / "default" / "abc"


@pytest.fixture
async def server(root: Path) -> AsyncIterator[DirectoryServer]:
    server = DirectoryServer("a", root, reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    await server.put(NAME, b"kept")
    yield server
    await server.close()


async def assert_only_the_shard_is_seen(server: DirectoryServer, strays: dict[str, str]) -> None:
    assert await listed_names(server) == {NAME}
    assert [entry.name for entry in await server.find("default", NAME.digest)] == [NAME]
    assert {stray.path: stray.reason for stray in await server.strays(100)} == strays
    await server.close()
    await server.attach(MARKER, claim=False)
    assert (await server.usage()).used_bytes == 4
    assert {stray.path for stray in await server.strays(100)} == set(strays)


async def test_names_of_any_bytes_are_passed_over_and_reported_printably(
    server: DirectoryServer, root: Path, folder: Path
) -> None:
    hostile = [b"new\nline", b"\xff\xfe", b"\x1b[31mred", "\u202eltr".encode(), b"%s{0}", b" ", b"-rf", b"a" * 255]
    for place in (root, folder):
        for name in hostile:
            Path(os.fsdecode(os.fsencode(place) + b"/" + name)).write_bytes(b"?")
    shown = ["new\\nline", "\\xff\\xfe", "\\x1b[31mred", "\\u202eltr", "%s{0}", " ", "-rf", "a" * 255]
    await assert_only_the_shard_is_seen(
        server,
        dict.fromkeys(shown, "it is nothing that a server keeps")
        | {f"shards/default/abc/{name}": "it is not the name of a shard" for name in shown},
    )
    assert len(await server.strays(3)) == 3


async def test_a_file_in_the_wrong_folder_or_of_the_wrong_kind_is_a_stray(
    server: DirectoryServer, root: Path, folder: Path
) -> None:
    elsewhere = shard(digest=digest_at("abd"))
    pipe, linked, directory = (replace(NAME, slot=slot) for slot in (1, 2, 3))
    (folder / elsewhere.leaf).write_bytes(b"x")
    os.mkfifo(folder / pipe.leaf)
    (folder / linked.leaf).symlink_to(folder / NAME.leaf)
    (folder / directory.leaf).mkdir()
    (folder / NAME.leaf.upper()).write_bytes(b"x")
    (root / "shards" / "README").write_bytes(b"x")
    (root / "shards" / "notes").write_bytes(b"x")
    (root / "shards" / "default" / "ABC").mkdir()
    kind = "it is not a regular file"
    await assert_only_the_shard_is_seen(
        server,
        {
            f"shards/default/abc/{elsewhere.leaf}": "it lies in the folder of other digests",
            f"shards/default/abc/{pipe.leaf}": kind,
            f"shards/default/abc/{linked.leaf}": kind,
            f"shards/default/abc/{directory.leaf}": kind,
            f"shards/default/abc/{NAME.leaf.upper()}": "it is not the name of a shard",
            "shards/README": "it is not the name of a policy",
            "shards/notes": "it is in the place of a folder",
            "shards/default/ABC": "it is not a folder of shards",
        },
    )
    for name in (pipe, linked, directory):
        assert await server.stat(name) is None
        assert await server.delete(name) is False
        with pytest.raises(ShardMissing):
            await server.get(name)
        with pytest.raises(ShardMissing):
            await server.digest(name)
    assert (folder / linked.leaf).is_symlink()


async def test_a_put_over_a_link_replaces_the_link_and_not_what_it_leads_to(
    server: DirectoryServer, folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    name = replace(NAME, slot=1)
    (folder / name.leaf).symlink_to(target)
    await server.put(name, b"x")
    assert await server.get(name) == b"x"
    assert target.read_bytes() == b"precious"


async def test_a_huge_file_under_a_shards_name_does_not_fill_the_memory(server: DirectoryServer, folder: Path) -> None:
    name = replace(NAME, slot=1)
    (folder / name.leaf).touch()
    os.truncate(folder / name.leaf, 2**40)
    assert await server.get(name) == bytes(64 * 1024**2)
    assert await server.get(name, 2**40 - 3) == bytes(3)
    assert await server.digest(name) != blake3(bytes(64 * 1024**2)).digest()


@pytest.mark.parametrize("level", ["shards", "shards/default", "shards/default/abc"])
async def test_a_link_in_the_place_of_a_folder_is_never_followed(
    server: DirectoryServer, root: Path, level: str
) -> None:
    (root / level).rename(root.with_name("moved"))
    (root / level).symlink_to(root.with_name("moved"))
    assert await listed_names(server) == set()
    assert await server.stat(NAME) is None
    assert await server.delete(NAME) is False
    with pytest.raises(ShardMissing):
        await server.get(NAME)
    with pytest.raises(ServerUnavailable, match="Not a directory"):
        await server.put(NAME, b"x")
    assert [stray.path for stray in await server.strays(10)] == [level]
    assert [found.read_bytes() for found in root.with_name("moved").rglob("*") if found.is_file()] == [b"kept"]


async def test_a_root_that_is_itself_a_link_is_the_operators_choice(server: DirectoryServer, root: Path) -> None:
    await server.close()
    link = root.with_name("link")
    link.symlink_to(root)
    through = DirectoryServer("a", link)
    await through.attach(MARKER, claim=False)
    assert await through.check() == MARKER
    assert await through.get(NAME) == b"kept"
    await through.close()


class TestQuarantine:
    async def test_what_was_set_aside_keeps_the_suspect_bytes_when_the_shard_is_repaired(
        self, server: DirectoryServer, root: Path
    ) -> None:
        await server.put(NAME, b"suspect")
        await server.set_aside(NAME)
        await server.put(NAME, b"good")
        assert await server.get(NAME) == b"good"
        (copy,) = (root / "quarantine").iterdir()
        assert copy.read_bytes() == b"suspect"
        assert copy.name.startswith(f"default.{NAME.leaf}.")

    async def test_where_links_cannot_be_made_the_bytes_are_copied(
        self, server: DirectoryServer, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
        await server.put(NAME, b"suspect" * 500_000)
        await server.set_aside(NAME)
        (copy,) = (root / "quarantine").iterdir()
        assert copy.read_bytes() == b"suspect" * 500_000

    async def test_the_oldest_copies_go_first_when_their_number_or_share_is_reached(self, root: Path) -> None:
        server = DirectoryServer("a", root, capacity_bytes=100_000, reserve_bytes=0)
        await server.attach(MARKER, claim=True)
        for turn in range(4):
            await server.put(NAME, bytes([turn]) * 2000)
            await server.set_aside(NAME)
        names = [found.name for found in (root / "quarantine").iterdir()]
        assert len(names) == 2  # 5 % of 100,000 bytes take two of 2,000
        await server.put(NAME, bytes([9]) * 2000)
        await server.set_aside(NAME)
        assert min(names) not in {found.name for found in (root / "quarantine").iterdir()}
        for number in range(1100):
            (root / "quarantine" / f"default.{NAME.leaf}.{number:020d}").write_bytes(b"")
        await server.put(NAME, bytes([10]) * 2000)
        await server.set_aside(NAME)
        assert len(list((root / "quarantine").iterdir())) <= 1000
        await server.close()
