"""A process that ends at any moment leaves old bytes or new ones, whole, and nothing else that counts."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from reelstore.domain.chunk import ShardName
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.directory.layout import is_temporary
from tests.integration.directory_child import BODIES, CRASHED, DONE, MARKER, OVERWRITTEN

CHILD = Path(__file__).with_name("directory_child.py")


def leftovers(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if is_temporary(found.name)]


def crash_everywhere(root: Path) -> dict[str, str]:
    command: list[str | Path] = [sys.executable, CHILD, "crash-everywhere", root]
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(line.split() for line in child.stdout.splitlines())


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


async def test_a_crash_before_any_call_of_a_put_leaves_the_old_bytes_or_the_new(tmp_path: Path) -> None:
    endings = crash_everywhere(tmp_path)
    assert list(endings.values()).count(str(DONE)) == 2
    assert set(endings.values()) == {str(DONE), str(CRASHED)}
    seen: dict[str, list[bytes | None]] = {"new": [], "over": []}
    swept = 0
    for name in endings:
        before = leftovers(tmp_path / name)
        server = await attached(tmp_path / name)
        entry = await server.stat(OVERWRITTEN)
        seen[name.partition("-")[0]].append(None if entry is None else await server.get(OVERWRITTEN))
        assert (await server.usage()).used_bytes == (entry.size_bytes if entry else 0)
        await server.close()
        assert leftovers(tmp_path / name) == []
        swept += len(before)
    assert swept > 0, "some crash left a temporary file"
    old, new = BODIES
    for kind, before_rename in (("new", None), ("over", old)):
        turn = seen[kind].index(new)
        assert seen[kind][:turn] == [before_rename] * turn
        assert seen[kind][turn:] == [new] * (len(seen[kind]) - turn)
        assert turn > 3


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
