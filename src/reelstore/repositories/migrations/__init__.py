"""Bring a database's tables up to date, with Alembic.

Each revision in `versions` is written out and frozen: it says what the tables were then, not what they are now.
A test compares their sum with `repositories.sql.schema`.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DatabaseError

from reelstore.domain.errors import ConfigurationError, IntegrityViolation
from reelstore.repositories.sql.errors import NOT_OURS, translate
from reelstore.repositories.sql.sqlite import create_file, make_engine

_SCRIPTS = Path(__file__).parent


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
            migrate(connection, where=str(path))
    except DatabaseError as error:
        raise _explain(error, path) from error
    finally:
        engine.dispose()


def migrate(connection: Connection, *, where: str) -> None:
    """Bring the tables up to date within the connection's transaction, which the caller commits."""
    config = script_config()
    scripts = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    if present == scripts.get_current_head():
        return
    if present is None and inspect(connection).get_table_names():
        raise ConfigurationError(f"{where} is a database of something else; name another file")
    if present is not None and present not in {script.revision for script in scripts.walk_revisions()}:
        raise ConfigurationError(f"{where} was written by a newer Reelstore (tables {present}); install that one")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise IntegrityViolation(f"{where}: after the upgrade, a row of {broken[0]} refers to nothing")


def script_config() -> Config:
    """Return Alembic's configuration, which needs no file."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _explain(error: DatabaseError, path: Path) -> Exception:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in NOT_OURS:
        return ConfigurationError(f"the database {path} cannot be used: {NOT_OURS[code]}")
    return translate(error) or error
