"""SQLite: where the database is, how a connection is set up, and which lock a transaction begins with."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from reelstore.domain.errors import ConfigurationError

BUSY_TIMEOUT_SECONDS: Final = 5.0
WAL_BYTES_MAX: Final = 64 * 1024 * 1024
CACHE_KIB: Final = 16 * 1024

PRAGMAS: Final[dict[str, str | int]] = {
    "busy_timeout": int(BUSY_TIMEOUT_SECONDS * 1000),
    "journal_mode": "wal",
    "synchronous": "FULL",  # in WAL mode NORMAL may lose the last commits when the power fails
    "foreign_keys": "ON",  # rule 5 stands on it
    "trusted_schema": "OFF",
    "cache_size": -CACHE_KIB,
    "journal_size_limit": WAL_BYTES_MAX,
}


def database_path(url: str) -> Path:
    """Return the path of the database file in a URL like `sqlite:////var/lib/reelstore/metadata.sqlite`.

    Raises:
        ConfigurationError: the URL is not one of an SQLite file.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("the database URL cannot be read; it looks like sqlite:////folder/file") from None
    if parsed.drivername != "sqlite":
        raise ConfigurationError(
            f"the database URL begins with {parsed.drivername}://, and only sqlite:// and postgresql:// are supported"
        )
    if not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise ConfigurationError("the database URL must name a file and nothing else: sqlite:////folder/file")
    return Path(parsed.database)


def create_file(path: Path) -> None:
    """Make sure that the file is there, with folders, and can be written; only its owner may read what is new.

    Raises:
        ConfigurationError: the path cannot be used; the message says why.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(f"the database {path} cannot be used: {error.strerror}") from error


def make_engine(path: Path, *, read_only: bool, foreign_keys: bool = True) -> Engine:
    """Return an engine whose transactions begin as we say.

    A transaction that may write takes the write lock at once (`BEGIN IMMEDIATE`): a lock taken later, after a read,
    fails at once where this waits. One that only reads is a snapshot (plain `BEGIN`), and cannot write.

    Args:
        path: the database file, which is there.
        read_only: for snapshots.
        foreign_keys: enforce them; only a migration, which makes tables anew, does without and checks at its end.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        # The driver begins nothing by itself. A connection is interrupted from another thread, and used in one.
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )

    def set_pragmas(driver: sqlite3.Connection, record: object) -> None:
        del record
        for name, value in PRAGMAS.items():
            driver.execute(f"PRAGMA {name} = {value}")
        if not foreign_keys:
            driver.execute("PRAGMA foreign_keys = OFF")
        if read_only:
            driver.execute("PRAGMA query_only = ON")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", set_pragmas)
    event.listen(engine, "begin", begin)
    return engine
