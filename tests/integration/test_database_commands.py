"""`reelstore db`: what is exported is imported whole, into either kind of database, and what cannot be is found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reelstore.cli.app import app
from reelstore.cli.exit_codes import ExitCode
from reelstore.domain.errors import Conflict, InvalidInput, ReelstoreError
from reelstore.repositories.sql import portable
from reelstore.repositories.sql.upgrade import opened, upgrade, upgrade_sqlite
from tests.integration.test_sqlite_upgrades import restore
from tests.postgres import Postgres


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """Make the folder of a gateway that was used: its database holds some of everything."""
    path = tmp_path / "used" / "metadata.sqlite"
    path.parent.mkdir()
    restore("0001", path)
    upgrade_sqlite(path)
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("INSERT INTO needs VALUES ('default', 3, 1, 0, 1)")
        plain.execute("INSERT INTO control VALUES (1, 1, 5000, NULL)")
        plain.execute("UPDATE event_head SET last_id = 7")
        plain.execute("INSERT INTO events VALUES (7, 'video.stored', 'é', 'a ☃ message', 1, '{\"a\": [1, null]}')")
    return path.parent


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.drop(name)


def run(*words: str, folder: Path | None = None, url: str | None = None, ask: str | None = None) -> Result:
    place = ["--data", str(folder)] if folder is not None else []
    place += ["--database-url", url] if url is not None else []
    return CliRunner().invoke(app, ["db", *words, *place], input=ask)


def test_metadata_moves_from_sqlite_to_postgresql_and_back_whole(used: Path, empty: str, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert run("export", str(first), folder=used).exit_code == 0
    assert first.stat().st_mode & 0o077 == 0
    imported = run("import", str(first), folder=tmp_path / "pg", url=empty)
    assert imported.exit_code == 0
    assert "db restored" in imported.output
    assert run("check", folder=tmp_path / "pg", url=empty).output == "nothing is wrong\n"
    assert run("export", str(second), folder=tmp_path / "pg", url=empty).exit_code == 0
    assert run("import", str(second), folder=tmp_path / "back").exit_code == 0
    assert run("check", folder=tmp_path / "back").output == "nothing is wrong\n"
    assert run("export", str(third), folder=tmp_path / "back").exit_code == 0
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()
    tables = {json.loads(line).get("table") for line in first.read_bytes().splitlines()}
    assert {"videos", "video_tags", "file_chunks", "rings", "needs", "control", "events", "cluster"} <= tables


def test_an_export_never_replaces_a_file_and_an_import_never_a_cluster(used: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"mine")
    assert run("export", str(kept), folder=used).exit_code == ExitCode.FAILED
    assert kept.read_bytes() == b"mine"
    assert run("export", str(tmp_path / "file"), folder=used).exit_code == 0
    refused = run("import", str(tmp_path / "file"), folder=used)
    assert refused.exit_code == ExitCode.FAILED
    assert "holds a cluster already" in refused.output


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda lines: lines[:-1], "cut off"),
        (lambda lines: lines[:40], "cut off"),
        (lambda lines: [*lines[:-1], lines[-1][:20]], "no JSON"),
        (lambda lines: [*lines[:20], *lines[21:]], "do not fit|checksum does not match"),
        (lambda lines: [lines[0], *(line.replace(b"first lesson", b"worst lesson") for line in lines[1:])], "checksum"),
        (lambda lines: [*lines, lines[5]], "follows on the end"),
        (lambda lines: [lines[0].replace(b":1,", b":2,"), *lines[1:]], "format 1"),
        (lambda lines: [lines[0].replace(b'"0004"', b'"0009"'), *lines[1:]], "of tables '0009'"),
        (lambda lines: [lines[0], b'{"table":"secrets","row":{}}\n', *lines[1:]], "not a row"),
        (lambda lines: [lines[0], b'{"table":"rings","row":{"epoch":1}}\n', *lines[1:]], "not a row"),
        (lambda lines: [b"\xff\x00", *lines], "no JSON"),
        (lambda lines: [b"[]\n", *lines], "no export"),
        (lambda lines: [], "cut off"),
    ],
)
def test_an_export_that_was_cut_or_altered_is_refused_and_nothing_of_it_is_kept(
    used: Path, tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]], says: str
) -> None:
    written: list[bytes] = []
    with opened(f"sqlite:///{used}/metadata.sqlite", writes=False) as connection:
        portable.export(connection, written.append)
    url = f"sqlite:///{tmp_path}/new.sqlite"
    upgrade(url)
    with pytest.raises(ReelstoreError, match=says) as refused, opened(url, writes=True) as connection:
        portable.import_into(connection, damage(written))
    assert isinstance(refused.value, InvalidInput | Conflict)
    with opened(url, writes=True) as connection:
        assert portable.import_into(connection, written) == len(written) - 2


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("UPDATE ring_head SET epoch = 9", "the ring head is 9"),
        ("UPDATE event_head SET last_id = 3", "the last event is 3"),
        ("DELETE FROM cluster", "no cluster"),
        ("UPDATE rings SET ring_set = x'00' WHERE epoch = 2", "epoch 2 cannot be read"),
        ("UPDATE servers SET number = 9 WHERE number = 0", "names servers that there are not"),
        ("UPDATE policies SET name = 'other'", "there are ['other']"),
        ("DELETE FROM partitions WHERE partition = 3", "15 partitions, and its ring has 16"),
        ("UPDATE partitions SET synced_epoch = 8 WHERE partition = 1", "synced to epochs without a ring: [8]"),
        ("UPDATE chunk_totals SET chunks = chunks + 1", "are noted"),
        ("UPDATE file_chunks SET position = position + 1000 WHERE position = 1", "not place 1 at"),
        ("UPDATE file_chunks SET offset_bytes = offset_bytes + 1 WHERE position = 1", "not place 1 at"),
        ("DELETE FROM file_chunks WHERE position = 2", "its chunk map has"),
        ("UPDATE files SET offset_bytes = offset_bytes + 1 WHERE state = 'open'", "bytes are confirmed"),
        ("UPDATE chunks SET state = 'writing'", "its chunk is not live"),
        ("UPDATE files SET state = 'open', expires_at = 1", "its file is not complete"),
        ("UPDATE files SET length_bytes = length_bytes + 1 WHERE state = 'complete'", "it is complete, and not all"),
        ("UPDATE videos SET size_bytes = size_bytes + 1", "bytes, and its file"),
        ("DELETE FROM chunks WHERE id IN (SELECT chunk FROM file_chunks LIMIT 1)", "refers to nothing in chunks"),
    ],
)
def test_what_cannot_be_is_found(used: Path, harm: str, says: str) -> None:
    with closing(sqlite3.connect(used / "metadata.sqlite")) as plain, plain:
        plain.execute(harm)
    found = run("check", folder=used)
    assert found.exit_code == ExitCode.PROBLEMS_FOUND
    assert says in found.output
    document = json.loads(run("check", "--json", folder=used).output)
    assert "\n".join(document["problems"]) + "\n" == found.output


def test_tables_are_made_upgraded_and_left_alone_by_upgrade(tmp_path: Path, empty: str) -> None:
    for place in ({"folder": tmp_path / "new"}, {"folder": tmp_path / "pg", "url": empty}):
        made = run("upgrade", **place)
        assert "from nothing to" in made.output
        assert run("upgrade", **place).output.endswith("up to date (0004)\n")
        document = json.loads(run("upgrade", "--json", **place).output)
        assert document["before"] == document["after"] == "0004"
    assert not (tmp_path / "pg").exists()  # PostgreSQL needs no folder


def test_what_cannot_be_opened_is_one_line(tmp_path: Path, used: Path) -> None:
    gone = "postgresql://user:secret@127.0.0.1:1/reelstore"
    for words, place, says in (
        (("check",), {"folder": tmp_path / "nothing"}, "there is no database"),
        (("check",), {"url": gone, "folder": tmp_path}, "trying again can help"),
        (("upgrade",), {"url": "mysql://x/y", "folder": tmp_path}, "postgresql:// are supported"),
        (("import", str(tmp_path / "absent")), {"folder": tmp_path / "new"}, "No such file"),
        (("restored", "--yes"), {"folder": tmp_path / "new"}, "there is no cluster"),
        (("restored",), {"folder": used}, "no terminal"),
    ):
        ended = run(*words, **place)
        assert ended.exit_code in {ExitCode.FAILED, ExitCode.WRONG_USE}, ended.output
        assert says in ended.output
        assert "secret" not in ended.output
        assert ended.exception is None or isinstance(ended.exception, SystemExit)
