"""PostgreSQL: how a connection is set up, and which lock a transaction begins with.

A writer holds the table of the ring head: alone, or together with others that only confirm chunks. Both modes let
everybody read. Unlike a lock on its one row, a table's lock is given in the order of asking, so that no stream of
uploads keeps a change of the topology waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from reelstore.domain.errors import ConfigurationError, MetadataUnavailable
from reelstore.repositories.sql.dialects import POSTGRESQL, SERVER_AND_TIMELINE

CONNECT_TIMEOUT_SECONDS: Final = 5
STATEMENT_TIMEOUT_SECONDS: Final = 60
LOCK_TIMEOUT_SECONDS: Final = 30
IDLE_TIMEOUT_SECONDS: Final = 20
"""After which the database ends a transaction whose process is silent, so that nobody waits for it any longer."""

SESSION: Final[dict[str, str]] = {
    "synchronous_commit": "on",  # a role or a database may have it off; what is acknowledged must be on disk (rule 5)
    "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_SECONDS}s",
    "client_encoding": "utf8",
    "timezone": "UTC",
}

ALONE: Final = "LOCK TABLE ring_head IN EXCLUSIVE MODE"
"""Wait for every other writer, and let none in."""
TOGETHER: Final = "LOCK TABLE ring_head IN ROW SHARE MODE"
"""Wait for who writes alone; the same lock as of `SELECT ... FOR SHARE`."""

KEEPALIVE: Final[dict[str, int]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}
"""A database whose machine is gone is noticed in 25 s, and not in the two hours of the operating system."""


class Home:
    """Which server and timeline a process began with: on another one it would go on as the copy that it then is."""

    def __init__(self) -> None:
        self._first: str | None = None

    def check(self, found: str) -> None:
        """Compare with what was found first.

        Raises:
            MetadataUnavailable: it is another one.
        """
        self._first = self._first or found
        if found != self._first:
            raise MetadataUnavailable(
                f"the metadata database was promoted or replaced while this process ran (it is {found}, and was "
                f"{self._first}): restart it; nothing is deleted until `reelstore db restored`"
            )


def is_postgresql(url: str) -> bool:
    """Return whether a database URL names a PostgreSQL database, readable or not."""
    return url.startswith(("postgresql:", "postgres:", "postgresql+"))


def database_url(url: str) -> URL:
    """Read a URL like `postgresql://user@host:5432/database?sslmode=verify-full`.

    Raises:
        ConfigurationError: it cannot be read, or names no database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "the database URL cannot be read; it looks like postgresql://user:password@host/database"
        ) from None
    if parsed.drivername != POSTGRESQL:
        raise ConfigurationError(f"the database URL begins with {parsed.drivername}://; write postgresql://")
    if not parsed.database:
        raise ConfigurationError("the database URL must name a database: postgresql://user:password@host/database")
    return parsed.set(drivername="postgresql+psycopg")


def shown(url: URL) -> str:
    """Return a URL for people: without password and options."""
    return url.set(drivername=POSTGRESQL, query={}).render_as_string(hide_password=True)


def make_engine(url: URL, *, begin: str | None = None, read_only: bool = False, home: Home | None = None) -> Engine:
    """Return an engine whose transactions begin as we say.

    One that only reads is a snapshot (REPEATABLE READ). One that may write sees what is committed at each statement
    (READ COMMITTED), and so what was committed before it got its locks.

    Args:
        url: see `database_url`.
        begin: a statement that each transaction begins with.
        read_only: for snapshots.
        home: shared by the engines of one process.
    """
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "reelstore", **KEEPALIVE},
        hide_parameters=True,
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
    )
    event.listen(engine, "connect", _set_up(home or Home(), read_only=read_only))

    def first(connection: Connection) -> None:
        if begin is not None:
            connection.exec_driver_sql(begin)

    event.listen(engine, "begin", first)
    return engine


def _set_up(home: Home, *, read_only: bool) -> Callable[[Any, object], None]:
    def set_up(driver: Any, record: object) -> None:  # noqa: ANN401 - psycopg is only imported where it is used
        del record
        driver.autocommit = True
        try:
            # As statements: what stands between us and the database may not pass the options of a connection on.
            driver.execute("; ".join(f"SET {name} = '{value}'" for name, value in SESSION.items()))
            if driver.execute("SELECT pg_is_in_recovery()").fetchone()[0]:
                raise MetadataUnavailable("the metadata database is a standby, which cannot decide; name the primary")
            home.check(driver.execute(SERVER_AND_TIMELINE).fetchone()[0])
        finally:
            driver.autocommit = False
        driver.read_only = read_only

    return set_up
