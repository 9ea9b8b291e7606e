"""Make a database, or bring its tables up to date, before it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from reelstore.domain.errors import ConfigurationError
from reelstore.repositories.sql import postgresql, sqlite
from reelstore.repositories.sql.dialects import POSTGRESQL
from reelstore.repositories.sql.errors import NOT_OURS, translate

REVISION = "0004"
"""The newest revision in `repositories/migrations/versions`."""

UPGRADE_LOCK = 0x7265656C73746F72
"""The key of PostgreSQL's advisory lock that one upgrade at a time holds: "reelstor"."""


def upgrade(url: str) -> str | None:
    """Make a database's tables, or bring them up to date, in one transaction; a crash leaves them as they were.

    Returns:
        the revision that they had before; None if there were none.

    Raises:
        ConfigurationError: the URL cannot be used, the database is not ours, or was written by a newer Reelstore.
        MetadataUnavailable: it does not answer, is locked, or its volume is full or fails; a retry can help.
    """
    if postgresql.is_postgresql(url):
        return _upgrade_postgresql(postgresql.database_url(url))
    return upgrade_sqlite(sqlite.database_path(url))


def upgrade_sqlite(path: Path) -> str | None:
    """Do it in a file, which is made when it is not there; see `upgrade`. One that is up to date is not written to."""
    sqlite.create_file(path)
    engine = sqlite.make_engine(path, read_only=False, foreign_keys=False)
    try:
        with engine.begin() as connection:
            return _bring_up_to_date(connection, str(path))
    except DatabaseError as error:
        raise _explain(error, path) from error
    finally:
        engine.dispose()


def _upgrade_postgresql(url: URL) -> str | None:
    engine = postgresql.make_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # a large table takes its time
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
            return _bring_up_to_date(connection, postgresql.shown(url))
    except SQLAlchemyError as error:
        raise translate(error) or error from error
    finally:
        engine.dispose()


def prepare_postgresql(url: URL) -> None:
    """Make sure that a PostgreSQL database can be used: an empty one gets its tables, an older one is refused.

    Tables that other processes use are changed by nobody but an operator: `reelstore db upgrade`.

    Raises:
        ConfigurationError: it is not ours, not in UTF-8, or of another Reelstore; the message says what to do.
        MetadataUnavailable: it does not answer; a retry can help.
    """
    where = postgresql.shown(url)
    engine = postgresql.make_engine(url)
    try:
        present, encoding = _look(engine)
    except SQLAlchemyError as error:
        raise translate(error) or error from error
    finally:
        engine.dispose()
    if encoding != "UTF8":
        raise ConfigurationError(f"the database {where} has the encoding {encoding}; make one with ENCODING 'UTF8'")
    if present is None:
        _upgrade_postgresql(url)
    elif present < REVISION:
        raise ConfigurationError(
            f"the tables of {where} are of an older Reelstore ({present}, and this one needs {REVISION}): back the "
            "database up, then run `reelstore db upgrade`"
        )
    elif present > REVISION:
        raise ConfigurationError(f"{where} was written by a newer Reelstore (tables {present}); install that one")


@contextmanager
def opened(url: str, *, writes: bool) -> Iterator[Connection]:
    """Give a transaction over a whole database that is up to date: of one moment, or one that writes alone.

    It is committed at the end of the block, and rolled back when an error leaves it.

    Raises:
        ConfigurationError: the URL cannot be used, there is no database, or its tables are of another Reelstore.
        MetadataUnavailable: it does not answer, is locked, or its volume is full or fails; a retry can help.
    """
    if postgresql.is_postgresql(url):
        parsed = postgresql.database_url(url)
        where, begin = postgresql.shown(parsed), postgresql.ALONE if writes else None
        prepare_postgresql(parsed)
        engine = postgresql.make_engine(parsed, begin=begin, read_only=not writes)
    else:
        path = sqlite.database_path(url)
        where = str(path)
        if not path.exists():
            raise ConfigurationError(f"there is no database {where}")
        engine = sqlite.make_engine(path, read_only=not writes)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == POSTGRESQL:  # it may wait for whoever reads or writes the file
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            if (present := _present_revision(connection)) != REVISION:
                raise ConfigurationError(
                    f"the tables of {where} are {present}, not {REVISION}: run `reelstore db upgrade`"
                )
            yield connection
    except SQLAlchemyError as error:
        raise translate(error) or error from error
    finally:
        engine.dispose()


def _look(engine: Engine) -> tuple[str | None, str]:
    with engine.begin() as connection:
        encoding: str = connection.execute(text("SHOW server_encoding")).scalar_one()
        return _present_revision(connection), encoding


def _bring_up_to_date(connection: Connection, where: str) -> str | None:
    present = _present_revision(connection)
    if present != REVISION:
        # Alembic takes longer to import than everything else here; most starts have no use for it.
        from reelstore.repositories.migrations import migrate  # noqa: PLC0415 - see above

        migrate(connection, where=where)
    return present


def _present_revision(connection: Connection) -> str | None:
    """Return the revision of the tables as Alembic noted it, None in a database that it has not seen."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _explain(error: DatabaseError, path: Path) -> Exception:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in NOT_OURS:
        return ConfigurationError(f"the database {path} cannot be used: {NOT_OURS[code]}")
    return translate(error) or error
