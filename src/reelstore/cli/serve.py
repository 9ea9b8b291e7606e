"""`reelstore serve`: the gateway, and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reelstore.cli.failures import CommandFailed


def serve(
    data: Annotated[
        str | None,
        typer.Option(
            envvar="REELSTORE_DATA",
            metavar="DIR",
            help="The folder that holds the database and the first servers (reelstore-data); made when absent.",
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(envvar="REELSTORE_HOST", metavar="ADDRESS", help="Listen here (127.0.0.1).")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            envvar="REELSTORE_PORT",
            min=0,
            max=65535,
            metavar="PORT",
            help="Listen on this port (5000); 0 takes a free one.",
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="REELSTORE_DATABASE_URL",
            metavar="URL",
            help="The metadata database: postgresql://… (SQLite in the data folder).",
        ),
    ] = None,
    memory: Annotated[
        bool | None,
        typer.Option("--memory", help="Keep everything in memory, gone when this ends.  [env var: REELSTORE_MEMORY]"),
    ] = None,
    no_background: Annotated[
        bool,
        typer.Option(
            "--no-background",
            help="Leave moving, mending and freeing to `reelstore worker`.  [env var: REELSTORE_BACKGROUND=false]",
        ),
    ] = False,
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
    reload: Annotated[bool, typer.Option("--reload", help="For developers: start anew when the code changes.")] = False,
) -> None:
    """Serve the API, and look after the storage servers.

    On a fresh data folder this makes a database and three servers there. Ctrl-C or SIGTERM ends it when the
    requests in progress are answered; a second one at once. Every other setting has a variable REELSTORE_…, and a
    line in the TOML file; docs/settings.md lists them.
    """
    from reelstore.config import load_settings  # noqa: PLC0415 - pydantic takes long to import
    from reelstore.domain.errors import ConfigurationError, ReelstoreError  # noqa: PLC0415 - not for `--help`

    flags = {
        "data": data,
        "host": host,
        "port": port,
        "database_url": database_url,
        "memory": memory,
        "background": False if no_background else None,
        "log_level": log_level,
    }
    try:
        settings = load_settings(None if config is None else Path(config), **flags)
        from reelstore.cli.gateway import run, run_reloading  # noqa: PLC0415 - imports everything

        (run_reloading if reload else run)(settings)
    except ConfigurationError as error:
        raise CommandFailed(f"cannot start: {error}") from error
    except ReelstoreError as error:
        hint = "; trying again can help" if error.retryable else ""
        raise CommandFailed(f"cannot start: {error}{hint}") from error


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)
