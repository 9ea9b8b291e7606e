"""A process that ends at any moment leaves old bytes or new ones, whole, and nothing else that counts."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ServerRefused
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.directory.layout import is_temporary
from tests.integration.directory_child import ADOPTED, BODIES, CRASHED, DONE, MARKER, OVERWRITTEN

CHILD = Path(__file__).with_name("directory_child.py")


def leftovers(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if is_temporary(found.name)]


def crash_everywhere(root: Path, kind: str) -> list[Path]:
    """Let a process end at each step of something; return the folders it leaves, in order, the last one finished."""
    command: list[str | Path] = [sys.executable, CHILD, "crash-everywhere", root, kind]
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    endings = dict(line.split() for line in child.stdout.splitlines())
    assert list(endings.values()) == [str(CRASHED)] * (len(endings) - 1) + [str(DONE)]
    assert len(endings) > 3
    return [root / name for name in endings]


def put_until_killed(path: Path, *, after: int) -> set[ShardName]:
    """Kill the child after so many acknowledgements; return all that came."""
    with subprocess.Popen([sys.executable, CHILD, "put-for-ever", path], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after)]
        child.kill()
        lines += child.stdout.readlines()
    return {ShardName.parse(line.strip()) for line in lines if line.endswith("\n")}


async def attached(path: Path) -> DirectoryServer:
    server = DirectoryServer("a", path, reserve_bytes=0)
    await server.attach(MARKER, claim=False)
    return server


@pytest.mark.parametrize(("kind", "before_rename"), [("new", None), ("over", BODIES[0])])
async def test_a_crash_before_any_call_of_a_put_leaves_the_old_bytes_or_the_new(
    tmp_path: Path, kind: str, before_rename: bytes | None
) -> None:
    swept, seen = 0, []
    for path in crash_everywhere(tmp_path, kind):
        before = leftovers(path)
        server = await attached(path)
        entry = await server.stat(OVERWRITTEN)
        seen.append(None if entry is None else await server.get(OVERWRITTEN))
        assert (await server.usage()).used_bytes == (entry.size_bytes if entry else 0)
        await server.close()
        assert leftovers(path) == []
        swept += len(before)
    assert swept > 0, "some crash left a temporary file"
    turn = seen.index(BODIES[1])
    assert seen == [before_rename] * turn + [BODIES[1]] * (len(seen) - turn)
    assert turn > 3


@pytest.mark.parametrize(("kind", "before_rename"), [("adopt", None), ("adopt_over", b"torn")])
async def test_a_crash_before_any_call_of_an_adoption_leaves_the_old_name_and_nothing_torn_under_the_new(
    tmp_path: Path, kind: str, before_rename: bytes | None
) -> None:
    swept, seen = 0, []
    for path in crash_everywhere(tmp_path, kind):
        before = leftovers(path)
        server = await attached(path)
        assert await server.get(OVERWRITTEN) == BODIES[0]
        entry = await server.stat(ADOPTED)
        seen.append(None if entry is None else await server.get(ADOPTED))
        used_bytes = (await server.usage()).used_bytes
        assert used_bytes == len(BODIES[0]) + (entry.size_bytes if entry else 0)
        await server.close()
        assert leftovers(path) == []
        swept += len(before)
    assert swept > 0, "some crash left a temporary link"
    turn = seen.index(BODIES[0])
    assert seen == [before_rename] * turn + [BODIES[0]] * (len(seen) - turn)


async def test_a_crash_before_any_call_of_giving_up_leaves_a_place_that_can_be_given_up_or_claimed(
    tmp_path: Path,
) -> None:
    given_up = 0
    for path in crash_everywhere(tmp_path, "release"):
        server = DirectoryServer("a", path, reserve_bytes=0)
        try:
            await server.attach(MARKER, claim=False)
        except ServerRefused:
            given_up += 1
        else:
            assert given_up == 0
            assert await server.release()
        await server.close()
        another = DirectoryServer("b", path, reserve_bytes=0)
        await another.attach(replace(MARKER, server="b"), claim=True)
        await another.close()
    assert given_up > 0


@pytest.mark.parametrize("seed", range(4))
async def test_killed_at_a_random_moment_everything_acknowledged_is_there_and_nothing_is_torn(
    tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "place"
    acknowledged = put_until_killed(path, after=random.Random(seed).randrange(1, 60))
    server = await attached(path)
    found = {entry.name: entry async for entry in server.list("default", b"", None)}
    assert acknowledged <= set(found)
    for name in found:
        data = await server.get(name)
        assert data in BODIES if name == OVERWRITTEN else blake3(data).digest() == name.digest
    assert (await server.usage()).used_bytes == sum(entry.size_bytes for entry in found.values())
    assert leftovers(path) == []
    assert await server.strays(10) == []
    await server.close()
