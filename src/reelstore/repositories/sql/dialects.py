"""Where SQL databases differ. Statements elsewhere are the same for all; a new database begins here.

Row locks need no function of their own: `with_for_update` is written where it matters, and SQLite, which locks the
whole database for a writer, leaves it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, false, func, literal, select
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Integer

POSTGRESQL = "postgresql"
"""The dialect's name, as SQLAlchemy knows it."""

SERVER_AND_TIMELINE = (
    "SELECT system_identifier || ' timeline ' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) "
    "FROM pg_control_system()"
)
"""What a primary answers with at once after its promotion; the control file tells the timeline only some time later."""


def upsert(table: Table) -> Insert:
    """Return an INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`; SQLite reads it the same way."""
    return postgresql_insert(table).execution_options(preserve_rowcount=True)


def contains(column: Column[str], word: str) -> ColumnElement[bool]:
    """Compare by code point whether the word occurs; unlike LIKE, nothing in it has a meaning."""
    # PostgreSQL keeps no text with a NUL, and cannot even be asked for one.
    return false() if "\0" in word else _Place(column, word) > 0


class _Place(GenericFunction[int]):
    """Where a word begins in a text, counted from 1; 0 where it does not occur."""

    type = Integer()
    name = "instr"
    inherit_cache = True


@compiles(_Place, POSTGRESQL)
def _place_in_postgresql(element: _Place, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    return f"strpos({compiler.process(element.clauses, **options)})"


def unindexed(column: Column[str]) -> ColumnElement[str]:
    """Return the same text in a form that no index answers, for a question that looks at most rows of a table.

    SQLite would look each of them up by the index: summing a million chunks takes 2.0 s then, and 1.0 s in the order
    in which they lie.
    """
    return literal("").concat(column)


def present_time(connection: Connection) -> datetime:
    """Return the database's time in UTC, to the millisecond: of now, not of the transaction's beginning."""
    if connection.dialect.name == POSTGRESQL:
        present: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return present.astimezone(UTC)
    written = connection.execute(select(func.strftime("%Y-%m-%dT%H:%M:%f", "now"))).scalar_one()
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


def whereabouts(connection: Connection) -> str:
    """Return what tells this database from a copy of it; see `ClusterRepository.whereabouts`.

    SQLite: the file, by its inode. PostgreSQL: the server's system identifier, its timeline, which a promotion and a
    recovery to a point in time begin anew, and the database.
    """
    if connection.dialect.name == POSTGRESQL:
        server = connection.exec_driver_sql(SERVER_AND_TIMELINE).scalar_one()
        found = "SELECT oid FROM pg_database WHERE datname = current_database()"
        database = connection.exec_driver_sql(found).scalar_one()
        return f"postgresql {server} database {database}"
    path = connection.exec_driver_sql("PRAGMA database_list").one()[2]
    return f"sqlite inode {Path(path).stat().st_ino}"


PARAMETERS_MAX = 500
"""How many values go into one IN: far below SQLite's 32,766 and PostgreSQL's 65,535, and cheap to prepare."""


def batches(values: Sequence[str] | Sequence[bytes]) -> list[Sequence[str] | Sequence[bytes]]:
    """Cut values into pieces that fit into one IN."""
    return [values[start : start + PARAMETERS_MAX] for start in range(0, len(values), PARAMETERS_MAX)]
