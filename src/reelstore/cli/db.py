"""`reelstore db`: upgrade, check, export, import and accept the metadata database itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.asking import check_can_ask, confirm
from reelstore.cli.connection import Json
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed

if TYPE_CHECKING:
    from reelstore.config import Settings

PROBLEMS_SHOWN_MAX = 1000

db_app = typer.Typer(
    help="The metadata database itself: upgrade, check, back up, move, accept.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Data = Annotated[
    str | None,
    typer.Option(envvar="REELSTORE_DATA", metavar="DIR", help="The data folder, in which an SQLite database is."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(envvar="REELSTORE_DATABASE_URL", metavar="URL", help="The database (SQLite in the data folder)."),
]
Config = Annotated[
    str | None, typer.Option(envvar="REELSTORE_CONFIG", metavar="FILE", help="A TOML file with settings.")
]


@contextmanager
def _settings(data: str | None, database_url: str | None, config: str | None) -> Iterator[Settings]:
    """Read the settings, and turn what goes wrong with the database into one line.

    Raises:
        CommandFailed: a setting or the database cannot be used.
    """
    from reelstore.config import load_settings  # noqa: PLC0415 - pydantic takes long to import
    from reelstore.domain.errors import ReelstoreError  # noqa: PLC0415 - not for `--help`

    try:
        yield load_settings(None if config is None else Path(config), data=data, database_url=database_url)
    except ReelstoreError as error:
        hint = "; trying again can help" if error.retryable else ""
        raise CommandFailed(f"{error}{hint}") from error


@db_app.command("upgrade")
def upgrade(data: Data = None, database_url: DatabaseUrl = None, config: Config = None, json: Json = False) -> None:
    """Make the tables, or bring them up to date; on PostgreSQL nothing else does.

    Stop gateways and workers of the older version first, and back the database up. All is done in one transaction.
    """
    with _settings(data, database_url, config) as settings:
        from reelstore.bootstrap.database import upgrade_database  # noqa: PLC0415 - imports everything

        done = upgrade_database(settings)
    if json:
        output.document({"database": done.where, "before": done.before, "after": done.after})
    elif done.before == done.after:
        output.line(f"{done.where}: up to date ({done.after})")
    else:
        output.line(f"{done.where}: upgraded from {done.before or 'nothing'} to {done.after}")


@db_app.command("check")
def check(data: Data = None, database_url: DatabaseUrl = None, config: Config = None, json: Json = False) -> None:
    """Look through the whole database for what cannot be; beside running gateways too.

    Shards are not looked at: `reelstore verify --all` does that.
    """
    with _settings(data, database_url, config) as settings:
        from reelstore.bootstrap.database import check_database  # noqa: PLC0415 - imports everything

        found: list[str] = []
        for problem in check_database(settings):
            found.append(problem)
            if len(found) == PROBLEMS_SHOWN_MAX:
                break
    if json:
        output.document({"problems": found})
    else:
        for problem in found:
            output.line(output.printable(problem))
        if not found:
            output.line("nothing is wrong")
    if found:
        raise typer.Exit(ExitCode.PROBLEMS_FOUND)


@db_app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; - for standard output.")],
    data: Data = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Write all metadata into one portable file, as of one moment; beside running gateways too.

    It holds no bytes of videos. It is a backup, and the way from SQLite to PostgreSQL and back.
    """
    with _settings(data, database_url, config) as settings, _new_file(file) as target:
        from reelstore.bootstrap.database import export_database  # noqa: PLC0415 - imports everything

        rows = export_database(settings, target.write)
    output.say(f"exported {rows:,} rows")


@db_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db export` wrote; - for standard input.")],
    data: Data = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Read an export into a database that was never used: all of it, or nothing.

    The new database is a copy until you accept it: run `reelstore db restored` when the old one will never run again.
    """
    with _settings(data, database_url, config) as settings, _opened(file) as source:
        from reelstore.bootstrap.database import import_database  # noqa: PLC0415 - imports everything

        rows = import_database(settings, source)
    output.say(f"imported {rows:,} rows; run `reelstore db restored` when the old database will never run again")


@db_app.command("restored")
def restored(
    data: Data = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Accept this metadata database as the one that owns the servers, after a restore, a move or a failover.

    Until then no shard is deleted, so that two databases cannot delete each other's. Stop all gateways and workers
    first, and make sure that no other copy of this database ever runs again: what was stored through it after the copy
    was made is not known here, and is freed.
    """
    check_can_ask(yes=yes, json=json)
    if not yes:
        output.line("What another copy of this database has stored since, and this one does not know, will be deleted.")
        confirm("Is this the only copy that will run from now on?", otherwise="nothing was changed")
    with _settings(data, database_url, config) as settings:
        from reelstore.bootstrap.database import accept_database  # noqa: PLC0415 - imports everything

        accepted = asyncio.run(accept_database(settings))
    if json:
        silent = [{"server": name, "reason": reason} for name, reason in accepted.silent]
        output.document({"generation": accepted.generation, "servers": list(accepted.servers), "silent": silent})
        return
    output.line(f"accepted; it owns {len(accepted.servers)} servers: {output.printable(', '.join(accepted.servers))}")
    for name, reason in accepted.silent:
        output.line(output.printable(f"server {name} did not answer: {reason}"))
    if accepted.silent:
        output.line("when one of these returns, it stops deletes again: run this once more then, or force it out")


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that is whole or not there; only its owner may read it."""
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    import os  # noqa: PLC0415 - not for `--help`

    if path.exists():
        raise CommandFailed(f"{path} is there already; name a new file")
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(db_app, name="db")
