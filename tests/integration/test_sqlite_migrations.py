"""What the migrations promise: they make what the code expects, at once or not at all, and never go back."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event

from reelstore.domain.errors import ConfigurationError
from reelstore.repositories.migrations import script_config
from reelstore.repositories.sql import SqlMetadata, schema, sqlite
from reelstore.repositories.sql import upgrade as upgrade_module
from reelstore.repositories.sql.upgrade import upgrade_sqlite
from tests.contract.metadata_values import open_file


def _schema(path: Path) -> dict[str, str]:
    plain = sqlite3.connect(path)
    found = {
        name: " ".join(str(statement).split())
        for name, statement in plain.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    }
    plain.close()
    return {name: statement for name, statement in found.items() if not name.startswith("alembic")}


def test_the_migrations_make_exactly_what_the_code_expects(tmp_path: Path) -> None:
    migrated, made = tmp_path / "migrated.sqlite", tmp_path / "made.sqlite"
    upgrade_sqlite(migrated)
    engine = create_engine(f"sqlite:///{made}")
    schema.metadata.create_all(engine)
    engine.dispose()

    def columns(path: Path) -> dict[str, list[Any]]:
        plain = sqlite3.connect(path)
        names = [name for name in _schema(path) if not name.startswith("ix_")]
        found = {
            name: [
                plain.execute(f"PRAGMA {question}({name})").fetchall()
                for question in ("table_info", "foreign_key_list", "index_list")
            ]
            for name in names
        }
        plain.close()
        return found

    assert columns(migrated).keys() == columns(made).keys()
    for name, found in columns(made).items():
        for left, right in zip(columns(migrated)[name], found, strict=True):
            assert sorted(map(_without_order, left)) == sorted(map(_without_order, right)), name
    ours, theirs = _schema(migrated), _schema(made)
    assert {name: sql for name, sql in ours.items() if name.startswith("ix_")} == {
        name: sql for name, sql in theirs.items() if name.startswith("ix_")
    }
    for name, statement in theirs.items():
        assert statement.count("CHECK") == ours[name].count("CHECK"), name
        assert ("WITHOUT ROWID" in statement) == ("WITHOUT ROWID" in ours[name]), name


def _without_order(row: tuple[Any, ...]) -> str:
    return repr(row[1:])


def test_alembic_finds_nothing_to_add(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    upgrade_sqlite(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_an_up_to_date_database_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    upgrade_sqlite(path)
    before = path.read_bytes()
    upgrade_sqlite(path)
    assert path.read_bytes() == before


async def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    for attempt in range(3):
        metadata = await SqlMetadata.open(f"sqlite:///{tmp_path}/metadata.sqlite")
        async with metadata.unit_of_work() as uow:
            for known in range(attempt):
                assert await uow.files.get(str(known)) is not None
            await uow.files.add(open_file(str(attempt)))
            await uow.commit()
        await metadata.close()


async def test_a_database_of_a_newer_reelstore_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    upgrade_sqlite(path)
    plain = sqlite3.connect(path)
    plain.execute("UPDATE alembic_version SET version_num = '9999'")
    plain.commit()
    plain.close()
    with pytest.raises(ConfigurationError, match="newer"):
        await SqlMetadata.open(f"sqlite:///{path}")


async def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    plain = sqlite3.connect(path)
    plain.execute("CREATE TABLE recipes (name TEXT)")
    plain.commit()
    plain.close()
    with pytest.raises(ConfigurationError, match="something else"):
        await SqlMetadata.open(f"sqlite:///{path}")
    assert set(_schema(path)) == {"recipes"}


def test_an_upgrade_that_breaks_off_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metadata.sqlite"

    make_engine = sqlite.make_engine

    def failing(*args: Any, **options: Any) -> Any:
        engine = make_engine(*args, **options)

        def refuse(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            if "CREATE TABLE videos" in statement:
                raise KeyboardInterrupt

        event.listen(engine, "before_cursor_execute", refuse)
        return engine

    monkeypatch.setattr(sqlite, "make_engine", failing)
    with pytest.raises(KeyboardInterrupt):
        upgrade_sqlite(path)
    assert _schema(path) == {}
    monkeypatch.undo()
    upgrade_sqlite(path)
    assert "videos" in _schema(path)


def test_revisions_form_one_line() -> None:
    scripts = ScriptDirectory.from_config(script_config())
    assert len(scripts.get_heads()) == 1


def test_the_revision_that_needs_no_migration_is_the_newest_one() -> None:
    assert ScriptDirectory.from_config(script_config()).get_current_head() == upgrade_module.REVISION
