"""Make an SQLite database, or bring its tables up to date, before it is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DatabaseError

from reelstore.domain.errors import ConfigurationError
from reelstore.repositories.sql.errors import NOT_OURS, translate
from reelstore.repositories.sql.sqlite import create_file, make_engine

REVISION = "0003"
"""The newest revision in `repositories/migrations/versions`."""


def upgrade(path: Path) -> None:
    """Make the database if there is none, and bring its tables up to date, in one transaction.

    A crash leaves the tables as they were. A database that is up to date is not written to.

    Raises:
        ConfigurationError: the path cannot be used, the file is no database of ours, or it was written by a newer
            Reelstore.
        MetadataUnavailable: the database is locked, or its volume is full or fails; a retry can help.
    """
    create_file(path)
    engine = make_engine(path, read_only=False, foreign_keys=False)
    try:
        with engine.begin() as connection:
            if _present_revision(connection) != REVISION:
                # Alembic takes longer to import than everything else here; most starts have no use for it.
                from reelstore.repositories.migrations import migrate  # noqa: PLC0415 - see above

                migrate(connection, where=str(path))
    except DatabaseError as error:
        raise _explain(error, path) from error
    finally:
        engine.dispose()


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
