"""`reelstore worker`: moves, mends, verifies and frees, beside gateways that only serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reelstore.cli.failures import CommandFailed


def worker(
    data: Annotated[
        str | None,
        typer.Option(envvar="REELSTORE_DATA", metavar="DIR", help="The folder with the node secret (reelstore-data)."),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="REELSTORE_DATABASE_URL", metavar="URL", help="The gateways' metadata database: postgresql://…"
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            envvar="REELSTORE_CONFIG", metavar="FILE", help="A TOML file with settings; flags and variables go first."
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            envvar="REELSTORE_LOG_LEVEL", metavar="LEVEL", help="debug, info, warning or error (info); on stderr."
        ),
    ] = None,
) -> None:
    """Look after the storage servers of a cluster whose metadata is in PostgreSQL; serve nothing.

    Start as many as are useful: they share the work, and what one of them leaves undone the others take over. Ctrl-C
    or SIGTERM ends one at once; what it was doing is repeated elsewhere, and nothing is lost.
    """
    from reelstore.config import load_settings  # noqa: PLC0415 - pydantic takes long to import
    from reelstore.domain.errors import ConfigurationError, ReelstoreError  # noqa: PLC0415 - not for `--help`

    flags = {"data": data, "database_url": database_url, "log_level": log_level, "background": True}
    try:
        settings = load_settings(None if config is None else Path(config), **flags)
        from reelstore.cli.worker_program import run  # noqa: PLC0415 - imports everything

        run(settings)
    except ConfigurationError as error:
        raise CommandFailed(f"cannot start: {error}") from error
    except ReelstoreError as error:
        hint = "; trying again can help" if error.retryable else ""
        raise CommandFailed(f"cannot start: {error}{hint}") from error


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(worker)
