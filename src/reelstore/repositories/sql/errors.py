"""Map the database's errors to ours, once.

Each of SQLite's primary result codes (https://www.sqlite.org/rescode.html) is in the table; `tests/unit/repositories`
proves that none is missing.
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


def translate(error: Exception) -> ReelstoreError | None:
    """Return our error for one that SQLAlchemy or the driver raised; None for what is neither."""
    if isinstance(error, StatementError) and error.orig is not None:
        return translate(error.orig) if isinstance(error.orig, Exception) else None
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return InvalidInput("text that is not Unicode, or a number of more than 64 bits")
    if isinstance(error, sqlite3.Error):
        return _translate_sqlite(error)
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


TRANSLATED: Final = (DBAPIError, StatementError, sqlite3.Error, UnicodeEncodeError, OverflowError)
"""What `translate` knows."""
