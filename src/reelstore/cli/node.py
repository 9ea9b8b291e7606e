"""`reelstore node`: a folder of this machine, served to the gateways of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reelstore.cli.failures import CommandFailed
from reelstore.cli.quantities import parse_size

PORT_DEFAULT = 5100


def node(
    data: Annotated[
        Path,
        typer.Option(
            envvar="REELSTORE_NODE_DATA", metavar="DIR", help="The folder that keeps the shards; made when absent."
        ),
    ],
    listen: Annotated[
        str,
        typer.Option(envvar="REELSTORE_NODE_LISTEN", metavar="HOST:PORT", help="Listen here; port 0 is a free one."),
    ] = f"127.0.0.1:{PORT_DEFAULT}",
    secret_file: Annotated[
        Path | None,
        typer.Option(
            envvar="REELSTORE_NODE_SECRET_FILE",
            metavar="FILE",
            help="The cluster's secret: a copy of node.secret in a gateway's data folder. Or the secret itself in the "
            "variable REELSTORE_NODE_SECRET.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(envvar="REELSTORE_NODE_TLS_CERT", metavar="FILE", help="Serve https with this certificate (PEM)."),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(envvar="REELSTORE_NODE_TLS_KEY", metavar="FILE", help="The key of the certificate (PEM)."),
    ] = None,
    reserve: Annotated[
        str | None,
        typer.Option(
            envvar="REELSTORE_NODE_RESERVE", metavar="SIZE", help="Left free on the disk (2 % of it, at most 1GiB)."
        ),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(envvar="REELSTORE_LOG_LEVEL", metavar="LEVEL", help="debug, info, warning or error (stderr)."),
    ] = "warning",
) -> None:
    """Serve a folder of this machine as a storage server.

    Then 'reelstore server add NAME http://HOST:PORT' on a gateway takes it into the ring. It knows no videos and needs
    no database. Ctrl-C or SIGTERM ends it when the requests in progress are answered; a second one at once.
    """
    from reelstore.domain.errors import ConfigurationError, StorageError  # noqa: PLC0415 - not for `--help`

    host, port = _address(listen)
    if (tls_cert is None) != (tls_key is None):
        raise CommandFailed("cannot start: --tls-cert and --tls-key belong together; give both, or none")
    if log_level not in {"debug", "info", "warning", "error"}:
        raise CommandFailed(f"cannot start: --log-level is debug, info, warning or error, not {log_level!r}")
    try:
        reserve_bytes = None if reserve is None else parse_size(reserve)
    except ValueError as error:
        raise CommandFailed(f"cannot start: --reserve: {error}") from None
    from reelstore.cli.node_program import NodeSettings, run  # noqa: PLC0415 - imports the server
    from reelstore.config import node_secret_from_environment  # noqa: PLC0415 - pydantic takes long to import
    from reelstore.node.gate import open_gate  # noqa: PLC0415 - not for `--help`

    try:
        run(
            NodeSettings(
                data=data.absolute(),
                host=host,
                port=port,
                gate=open_gate(file=secret_file, given=node_secret_from_environment()),
                tls_certificate=tls_cert,
                tls_key=tls_key,
                reserve_bytes=reserve_bytes,
                log_level=log_level,
            )
        )
    except (ConfigurationError, StorageError) as error:
        hint = "; trying again can help" if error.retryable else ""
        raise CommandFailed(f"cannot start: {error}{hint}") from error


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port[:6]) <= 65535):
        raise CommandFailed(f"cannot start: --listen is HOST:PORT, such as 0.0.0.0:{PORT_DEFAULT}, not {listen!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(node)
