"""What SQLite keeps when the process is ended by force."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from reelstore.repositories.sql import SqlMetadata

_CHILD = Path(__file__).with_name("sqlite_child.py")


async def _acknowledged_before_kill(url: str, prefix: str, *, count: int) -> list[str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_CHILD),
        url,
        prefix,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(Path.cwd() / "src")])},
    )
    assert child.stdout is not None
    lines = [await child.stdout.readline() for _ in range(count)]
    child.kill()
    lines += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


@pytest.mark.probe
async def test_every_acknowledged_commit_survives_kill_9_and_no_other_is_half_there(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    url = f"sqlite:///{path}"
    acknowledged: list[str] = []
    for attempt in range(4):
        acknowledged += await _acknowledged_before_kill(url, str(attempt), count=7 * attempt + 1)

    metadata = await SqlMetadata.open(url)
    async with metadata.snapshot() as seen:
        for file_id in acknowledged:
            assert await seen.files.get(file_id) is not None, file_id
        totals = await seen.videos.totals()
        present = len(await seen.chunks.in_range("default", b"", None))
    await metadata.close()
    assert totals.chunks == present

    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
        lengths = plain.execute("SELECT count(*) FROM file_chunks GROUP BY file").fetchall()
        assert set(lengths) == {(8,)}
        assert len(lengths) >= len(acknowledged) > 0
    plain.close()
