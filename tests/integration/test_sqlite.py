"""What holds for the metadata in SQLite beyond the contract: settings, failures of the volume, other processes."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from reelstore.domain.errors import ConfigurationError, MetadataFull, MetadataUnavailable
from reelstore.repositories.interface import UnitOfWork
from reelstore.repositories.sql import SqlMetadata, pool, sqlite
from reelstore.repositories.sql.metadata import READERS_MAX
from tests.contract.metadata_values import POLICY, add_file, new_chunk, open_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metadata.sqlite"


@pytest.fixture
async def metadata(path: Path) -> AsyncIterator[SqlMetadata]:
    opened = await SqlMetadata.open(f"sqlite:///{path}", reserve_bytes=0)
    yield opened
    await opened.close()


def _pragmas(connection: Connection) -> dict[str, object]:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only", "trusted_schema")
    return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


async def test_every_connection_has_its_settings_also_after_one_was_replaced(metadata: SqlMetadata) -> None:
    settings = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000, "trusted_schema": 0}
    for _ in range(2):
        async with metadata.unit_of_work() as uow:
            assert await uow._session.read(_pragmas) == {**settings, "query_only": 0}
        metadata._alone._idle[0]._discard()
    snapshots = [metadata.snapshot() for _ in range(READERS_MAX)]
    for snapshot in snapshots:
        await snapshot.__aenter__()
        assert await snapshot._session.read(_pragmas) == {**settings, "query_only": 1}
    for snapshot in snapshots:
        await snapshot.__aexit__(None, None, None)


async def test_a_unit_takes_the_write_lock_at_once_and_a_snapshot_none(metadata: SqlMetadata, path: Path) -> None:
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    async with metadata.snapshot():
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    async with metadata.unit_of_work():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()


async def test_a_lock_held_by_another_process_is_waited_for_and_then_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sqlite.PRAGMAS, "busy_timeout", 100)
    metadata = await SqlMetadata.open(f"sqlite:///{path}", reserve_bytes=0)
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(MetadataUnavailable, match="locked"):
        async with metadata.unit_of_work():
            pass
    async with metadata.snapshot() as seen:
        assert await seen.files.get("f") is None
    other.execute("ROLLBACK")
    other.close()
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        await uow.commit()
    await metadata.close()


async def test_waiting_for_a_connection_has_an_end(metadata: SqlMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS_MAX", 0.05)
    async with metadata.unit_of_work() as uow:
        with pytest.raises(MetadataUnavailable):
            async with metadata.unit_of_work():
                pass
        await uow.files.add(open_file("f"))
        await uow.commit()
    async with metadata.unit_of_work() as uow:
        assert await uow.files.get("f") is not None


async def test_a_full_volume_rolls_back_and_the_next_unit_can_free(metadata: SqlMetadata) -> None:
    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", range(500))
        await uow.commit()
    async with metadata.unit_of_work() as uow:
        await uow._session.read(lambda connection: limit(connection, 1))  # at least what there is already

    async def fill() -> None:
        async with metadata.unit_of_work() as uow:
            await add_file(uow, "g", range(1000, 3000))
            await uow.commit()

    with pytest.raises(MetadataFull):
        await fill()
    async with metadata.unit_of_work() as uow:
        assert await uow.files.get("g") is None
        assert await uow.files.delete("f")
        assert len(await uow.chunks.delete_unreferenced(POLICY, b"", None)) == 500
        await uow.commit()
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "g", range(1000, 1100))
        await uow.commit()


async def test_nothing_runs_outside_the_transaction_after_sqlite_rolled_back_by_itself(metadata: SqlMetadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        with pytest.raises(MetadataUnavailable):
            await uow._session.write(_fail_and_roll_back)
        with pytest.raises(Exception, match="failed"):
            await uow.files.add(open_file("g"))
        with pytest.raises(Exception, match="failed"):
            await uow.commit()
    async with metadata.snapshot() as seen:
        assert await seen.files.get("f") is None
        assert await seen.files.get("g") is None


def _fail_and_roll_back(connection: Connection) -> None:
    connection.exec_driver_sql("ROLLBACK")
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    raise error


async def test_a_commit_that_fails_leaves_no_transaction_open(metadata: SqlMetadata) -> None:
    engine = metadata._alone._engine

    def refuse(connection: Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    event.listen(engine, "commit", refuse)
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        with pytest.raises(Exception, match="disk I/O"):
            await uow.commit()
    event.remove(engine, "commit", refuse)
    async with metadata.unit_of_work() as uow:
        assert await uow.files.get("f") is None
        await uow.files.add(open_file("f"))
        await uow.commit()


async def test_cancelled_tasks_leave_whole_transactions_and_free_connections(metadata: SqlMetadata, path: Path) -> None:
    acknowledged: set[str] = set()
    chance = random.Random(5)

    async def write(file_id: str, first: int) -> None:
        async with metadata.unit_of_work() as uow:
            await add_file(uow, file_id, range(first, first + 8))
            await uow.chunks.make_live([f"c{first}"])
            await uow.commit()
        acknowledged.add(file_id)

    async def read() -> None:
        async with metadata.snapshot() as seen:
            chunks = await seen.chunks.in_range(POLICY, b"", None)
            totals = await seen.videos.totals()
            assert totals.chunks == len(chunks)

    for turn in range(60):
        tasks = [asyncio.create_task(write(f"{turn}-{i}", (turn * 5 + i) * 4)) for i in range(5)]
        tasks += [asyncio.create_task(read()) for _ in range(4)]
        await asyncio.sleep(chance.random() * 0.015)
        for task in tasks:
            if chance.random() < 0.8:
                task.cancel()
                if chance.random() < 0.3:
                    await asyncio.sleep(0)
                    task.cancel()  # once more, while it cleans up
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)

    assert len(metadata._alone._idle) == 1
    assert not metadata._alone._places.locked()
    assert metadata._readers._places._value == READERS_MAX
    async with metadata.snapshot() as seen:
        totals = await seen.videos.totals()
        for file_id in acknowledged:
            assert len(await seen.files.references(file_id, 0, 99)) == 8
    plain = sqlite3.connect(path)
    lengths = plain.execute("SELECT count(*) FROM file_chunks GROUP BY file").fetchall()
    assert set(lengths) <= {(8,)}
    assert totals.open_files == len(lengths) >= len(acknowledged)
    assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plain.close()


async def test_a_cancelled_commit_has_happened_when_the_cancellation_comes_out(metadata: SqlMetadata) -> None:
    async def write() -> None:
        async with metadata.unit_of_work() as uow:
            await uow.files.add(open_file("f"))
            await uow.commit()

    committed = 0
    for steps in range(30):
        task = asyncio.create_task(write())
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with metadata.unit_of_work() as uow:
            committed += await uow.files.delete("f")
            await uow.commit()
    assert committed > 0


async def test_a_cancelled_read_is_interrupted(metadata: SqlMetadata) -> None:
    def endless(connection: Connection) -> None:
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        ).scalar()

    async def read() -> None:
        async with metadata.snapshot() as seen:
            await seen._session.read(endless)

    task = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with metadata.snapshot() as seen:
        assert await seen.files.get("f") is None


async def test_closing_waits_for_no_one_and_hands_out_nothing_more(metadata: SqlMetadata, path: Path) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        await metadata.close()
        await uow.commit()
    with pytest.raises(MetadataUnavailable):
        async with metadata.snapshot():
            pass
    with pytest.raises(MetadataUnavailable):
        async with metadata.unit_of_work():
            pass
    again = await SqlMetadata.open(f"sqlite:///{path}", reserve_bytes=0)
    async with again.snapshot() as seen:
        assert await seen.files.get("f") is not None
    await again.close()


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "sqlite:////tmp/x?mode=ro"])
async def test_a_url_that_names_no_sqlite_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        await SqlMetadata.open(url)


async def test_a_path_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for unusable in (tmp_path / "file" / "metadata.sqlite", tmp_path / "folder", Path("/proc/none/metadata.sqlite")):
        with pytest.raises(ConfigurationError, match=unusable.name):
            await SqlMetadata.open(f"sqlite:///{unusable}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    path.touch(mode=0o400)
    with pytest.raises(ConfigurationError):
        await SqlMetadata.open(f"sqlite:///{path}", reserve_bytes=0)


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    content = b"this is a letter to my grandmother" * 1000
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a database"):
        asyncio.run(SqlMetadata.open(f"sqlite:///{path}", reserve_bytes=0))
    assert path.read_bytes() == content


async def test_folders_with_any_name_are_made_and_new_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "100% ü'\"#" / "metadata.sqlite"
    metadata = await SqlMetadata.open(f"sqlite:///{path}", reserve_bytes=0)
    async with metadata.unit_of_work() as uow:
        await uow.chunks.obtain(POLICY, [new_chunk(1)])
        await uow.commit()
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    await metadata.close()


async def test_what_is_transacted_runs_in_the_connections_own_thread(metadata: SqlMetadata) -> None:
    async def work(uow: UnitOfWork) -> int:
        await uow.files.add(open_file("f"))
        return threading.get_ident()

    assert await metadata.transact(work) != threading.get_ident()


async def test_what_is_transacted_may_wait_for_nothing_else_and_is_rolled_back(metadata: SqlMetadata) -> None:
    class Pause:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def work(uow: UnitOfWork) -> None:
        await uow.files.add(open_file("f"))
        await Pause()

    with pytest.raises(RuntimeError, match="waits for nothing"):
        await metadata.transact(work)
    async with metadata.unit_of_work() as uow:  # the writer is free, and called as ever
        assert await uow.files.get("f") is None
        await uow.files.add(open_file("f"))
        await uow.commit()
