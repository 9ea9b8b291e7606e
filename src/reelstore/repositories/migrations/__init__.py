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

from reelstore.domain.errors import ConfigurationError, IntegrityViolation

_SCRIPTS = Path(__file__).parent


def migrate(connection: Connection, *, where: str) -> None:
    """Bring the tables up to date within the connection's transaction, which the caller commits.

    Args:
        connection: in a transaction, not enforcing foreign keys: SQLite changes a table by making it anew.
        where: names the database in errors.

    Raises:
        ConfigurationError: the database is not ours, or was written by a newer Reelstore; a retry does not help.
        IntegrityViolation: a migration of ours left a reference to nothing; nothing is committed.
    """
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
    if connection.dialect.name != "sqlite":
        return  # it has checked every reference itself
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise IntegrityViolation(f"{where}: after the upgrade, a row of {broken[0]} refers to nothing")


def script_config() -> Config:
    """Return Alembic's configuration, which needs no file."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
