"""A database of an earlier revision is brought up to date in place, keeps all that it holds, and survives a crash.

`tests/golden/metadata-<revision>.sql` is what a gateway of that revision left behind: it stored four videos, put one
in the trash, added a server, lost another's folder, and was killed during an upload. Those of 0002 and 0003 were
brought there from 0001, and then nothing was done with them.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import event

from reelstore.domain.event import Event, EventKind
from reelstore.domain.file import FileState
from reelstore.domain.server import ServerHealth, ServerState
from reelstore.domain.video import VideoState
from reelstore.repositories.interface import VideoQuery
from reelstore.repositories.migrations import script_config
from reelstore.repositories.sql import SqlMetadata, sqlite
from reelstore.repositories.sql.upgrade import REVISION, upgrade_sqlite
from tests.contract.metadata_values import NOW

GOLDEN = Path(__file__).parents[1] / "golden"
REVISIONS = sorted(path.stem.removeprefix("metadata-") for path in GOLDEN.glob("metadata-*.sql"))
POLICY = "default"
NOT_YET_USED = {"video_tags", "control", "leases", "events", "plans", "counters", "usage_samples", "transfers"}
KEPT_ON_DISK = ("", "-wal")  # SQLite makes the index of its log anew


def restore(revision: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as plain:
        plain.executescript((GOLDEN / f"metadata-{revision}.sql").read_text(encoding="utf-8"))
        plain.execute("PRAGMA journal_mode = wal")


def contents(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of all tables, by column."""
    with closing(sqlite3.connect(path)) as plain:
        plain.row_factory = sqlite3.Row
        names = plain.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        return {name: [dict(row) for row in plain.execute(f"SELECT * FROM {name}")] for (name,) in names}


@pytest.fixture(params=REVISIONS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "metadata.sqlite"
    restore(request.param, path)
    return path


def test_every_earlier_revision_has_a_database_to_prove_it() -> None:
    revisions = [script.revision for script in ScriptDirectory.from_config(script_config()).walk_revisions()]
    assert revisions[0] == REVISION
    assert sorted(revisions[1:]) == REVISIONS


def test_each_row_keeps_each_value(database: Path) -> None:
    before = contents(database)
    upgrade_sqlite(database)
    after = contents(database)
    assert before.pop("alembic_version") != after.pop("alembic_version") == [{"version_num": REVISION}]
    for table, rows in before.items():
        assert rows or table in NOT_YET_USED
        kept = [
            {column: row[column] for column in before_row} for row, before_row in zip(after[table], rows, strict=True)
        ]
        assert kept == rows, table


async def test_what_was_stored_is_read_as_before_and_what_is_new_begins_empty(database: Path) -> None:
    metadata = await SqlMetadata.open(f"sqlite:///{database}", reserve_bytes=0)
    async with metadata.snapshot() as seen:
        listed = await seen.videos.list(VideoQuery(sort="name", descending=False))
        assert [video.name for video in listed] == ["copy of the first.mp4", "first lesson.mp4", "straße 🎬.mov"]
        assert (listed[2].title, listed[2].tags) == ("Straße bei Nacht", ("b", "a"))
        (trashed,) = await seen.videos.list(VideoQuery(state=VideoState.TRASHED))
        assert (trashed.name, trashed.state_before_trash) == ("empty.mkv", VideoState.STORED)
        assert len(await seen.files.chunk_map(listed[0].file_id, 0, 2**40, limit=99)) == 3
        file = await seen.files.get(listed[0].file_id)
        assert file is not None
        assert file.state is FileState.COMPLETE

        servers = await seen.servers.list()
        assert [server.name for server in servers] == ["disk1", "disk2", "disk3", "disk4"]
        assert {server.state for server in servers} == {ServerState.ACTIVE}
        assert [server.name for server in servers if server.health is not ServerHealth.UP] == ["disk2"]
        assert {(server.unreachable_since, server.evicted_at, server.remove_when_empty) for server in servers} == {
            (None, None, False)
        }
        assert [record.epoch for record in await seen.rings.history(limit=9)] == [2, 1]
        rings = await seen.rings.get(await seen.rings.head())
        assert rings is not None
        rings.validate()
        assert await seen.partitions.unsettled(POLICY, epoch=2) == [3, 4, 6, 7, 15]

        assert await seen.events.last_id() == 0
        assert await seen.leases.in_force("", now=NOW) == []
        assert await seen.plans.latest(limit=9) == []
        assert not any((await seen.counters.get()).values())
    async with metadata.unit_of_work() as uow:
        assert await uow.events.add(Event(EventKind.VIDEO_STORED, listed[0].id, "stored", NOW)) == 1
        await uow.commit()
    await metadata.close()


def test_a_crash_at_any_statement_of_the_upgrade_leaves_all_as_it_was(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(database)
    statements: list[str] = []

    make_engine = sqlite.make_engine

    def watched(*args: Any, **options: Any) -> Any:
        engine = make_engine(*args, **options)

        def keep_what_a_crash_would_leave(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            for suffix in KEPT_ON_DISK:
                if Path(f"{database}{suffix}").exists():
                    shutil.copy(f"{database}{suffix}", tmp_path / f"{len(statements)}{suffix}")
            statements.append(statement)

        event.listen(engine, "before_cursor_execute", keep_what_a_crash_would_leave)
        return engine

    monkeypatch.setattr(sqlite, "make_engine", watched)
    upgrade_sqlite(database)
    assert any(statement.startswith("UPDATE alembic_version") for statement in statements)
    for number, statement in enumerate(statements):
        assert contents(tmp_path / str(number)) == before, statement
    monkeypatch.undo()
    crashed = tmp_path / str(len(statements) - 1)
    upgrade_sqlite(crashed)
    assert contents(crashed) == contents(database)
