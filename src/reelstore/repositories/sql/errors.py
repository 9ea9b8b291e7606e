"""Map the database's errors to ours, once.

Each of SQLite's primary result codes (https://www.sqlite.org/rescode.html) and each class of PostgreSQL's
(https://www.postgresql.org/docs/current/errcodes-appendix.html) is in a table; `tests/unit/repositories` proves that
none is missing.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, StatementError

from reelstore.domain.errors import (
    IntegrityViolation,
    InvalidInput,
    MetadataFull,
    MetadataUnavailable,
    ReelstoreError,
)


class MetadataContended(MetadataUnavailable):
    """Report that a unit of work was ended in favour of another one; the same again can help, at once."""


UNAVAILABLE: Final[dict[int, str]] = {
    sqlite3.SQLITE_PERM: "its permissions do not allow it",
    sqlite3.SQLITE_ABORT: "the operation was aborted",
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
    sqlite3.SQLITE_LOCKED: "another connection keeps it locked",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_READONLY: "it cannot be written; is the file or its volume read-only?",
    sqlite3.SQLITE_INTERRUPT: "the operation was interrupted",
    sqlite3.SQLITE_IOERR: "its volume fails to read or write",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; stop, and restore a backup",
    sqlite3.SQLITE_FULL: "its volume is full",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PROTOCOL: "its locks cannot be had; is it on a network file system?",
    sqlite3.SQLITE_SCHEMA: "its schema changed meanwhile",
    sqlite3.SQLITE_NOLFS: "its file system does not support large files",
    sqlite3.SQLITE_AUTH: "it does not allow the operation",
    sqlite3.SQLITE_NOTADB: "the file is not a database",
}
"""What passes, or an operator can mend."""

NOT_OURS: Final[dict[int, str]] = {
    code: UNAVAILABLE[code]
    for code in (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    )
}
"""What keeps a process from starting: waiting does not help then."""

DEFECTS: Final[frozenset[int]] = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_NOTFOUND,
        sqlite3.SQLITE_EMPTY,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_NOTICE,
        sqlite3.SQLITE_WARNING,
    }
)
"""What only a change of our code can mend."""


STATES_UNAVAILABLE: Final[dict[str, str]] = {
    "08": "the connection was lost",
    "25": "it does not take writes; is it a standby?",
    "28": "it does not let us in; look at the user and the password",
    "3D": "there is no database of that name",
    "40": "it rolled the transaction back",
    "42501": "the user is not allowed to",
    "53": "it has not enough room, memory or connections",
    "55": "something else keeps it locked",
    "57": "it is stopping, or a statement took too long",
    "58": "its volume fails to read or write",
    "F0": "its configuration cannot be read",
    "XX": "it is damaged, or has met a defect of its own",
}
"""By SQLSTATE, or its class: what passes, or an operator can mend."""

CLASS_OF_VALUES: Final = "22"
STATE_FULL: Final = "53100"
STATES_CONTENDED: Final = frozenset({"40001", "40P01"})
"""A unit of work that was ended in favour of another: serialization_failure, deadlock_detected."""


def translate(error: Exception) -> ReelstoreError | None:
    """Return our error for one that SQLAlchemy or the driver raised; None for what is neither."""
    if isinstance(error, StatementError) and error.orig is not None:
        return translate(error.orig) if isinstance(error.orig, Exception) else None
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return InvalidInput("text that is not Unicode, or a number of more than 64 bits")
    if isinstance(error, sqlite3.Error):
        return _translate_sqlite(error)
    if hasattr(error, "sqlstate"):  # psycopg, which is not imported where there is no PostgreSQL
        return _translate_postgresql(error)
    return None


def _translate_sqlite(error: sqlite3.Error) -> ReelstoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by the driver, before SQLite saw anything
        if "closed database" in str(error):
            return MetadataUnavailable("the metadata database is closed")
        return IntegrityViolation(f"the driver refused: {error}")
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return MetadataFull(f"the metadata database: {UNAVAILABLE[primary]}")
    if primary in UNAVAILABLE:
        return MetadataUnavailable(f"the metadata database: {UNAVAILABLE[primary]} ({error})")
    return IntegrityViolation(f"the metadata database refused: {error}")


def _translate_postgresql(error: Exception) -> ReelstoreError:
    state: str | None = getattr(error, "sqlstate", None)
    said = str(error).strip().partition("\n")[0]
    if state is None:
        return _translate_psycopg(error, said)
    if state in STATES_CONTENDED:
        return MetadataContended(f"the metadata database preferred another transaction ({said})")
    if state == STATE_FULL:
        return MetadataFull("the metadata database: its volume is full")
    reason = STATES_UNAVAILABLE.get(state) or STATES_UNAVAILABLE.get(state[:2])
    if reason is not None:
        return MetadataUnavailable(f"the metadata database: {reason} ({said})")
    if state.startswith(CLASS_OF_VALUES):
        return InvalidInput(f"a value that the metadata database cannot hold: {said}")
    return IntegrityViolation(f"the metadata database refused: {said}")


def _translate_psycopg(error: Exception, said: str) -> ReelstoreError:
    """Translate what the driver raised by itself: before the server saw anything, or after it was gone."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "DataError" in kinds:
        return InvalidInput(f"a value that the metadata database cannot hold: {said}")
    if kinds & {"OperationalError", "InterfaceError"}:
        return MetadataUnavailable(f"the metadata database does not answer: {said}")
    return IntegrityViolation(f"the driver refused: {said}")


TRANSLATED: Final = (DBAPIError, StatementError, sqlite3.Error, UnicodeEncodeError, OverflowError)
"""What `translate` knows."""
