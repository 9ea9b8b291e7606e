"""Where SQL databases differ. Statements elsewhere are the same for all; a new database begins here.

Row locks need no function of their own: `with_for_update` is written where it matters, and SQLite, which locks the
whole database for a writer, leaves it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Column, ColumnElement, Connection, Table, func, literal, select
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert


def upsert(table: Table) -> Insert:
    """Return an INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return sqlite_insert(table)


def contains(column: Column[str], word: str) -> ColumnElement[bool]:
    """Compare by code point whether the word occurs; unlike LIKE, nothing in it has a meaning."""
    return func.instr(column, word) > 0


def unindexed(column: Column[str]) -> ColumnElement[str]:
    """Return the same text in a form that no index answers, for a question that looks at most rows of a table.

    SQLite would look each of them up by the index: summing a million chunks takes 2.0 s then, and 1.0 s in the order
    in which they lie.
    """
    return literal("").concat(column)


def present_time(connection: Connection) -> datetime:
    """Return the database's time in UTC, to the millisecond."""
    written = connection.execute(select(func.strftime("%Y-%m-%dT%H:%M:%f", "now"))).scalar_one()
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


PARAMETERS_MAX = 500
"""How many values go into one IN: far below SQLite's 32,766 and PostgreSQL's 65,535, and cheap to prepare."""


def batches(values: Sequence[str] | Sequence[bytes]) -> list[Sequence[str] | Sequence[bytes]]:
    """Cut values into pieces that fit into one IN."""
    return [values[start : start + PARAMETERS_MAX] for start in range(0, len(values), PARAMETERS_MAX)]
