"""`reelstore server`: add, list, show and change storage servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.asking import check_can_ask
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.output import Column
from reelstore.cli.plans import AcceptWarnings, Yes, apply
from reelstore.cli.quantities import local_time, parse_size, percent, size

if TYPE_CHECKING:
    from reelstore.client import Change, Server

servers_app = typer.Typer(
    help="Storage servers: add, list, show, change, drain, remove.", no_args_is_help=True, rich_markup_mode=None
)
_EVENTS_SHOWN = 5
Name = Annotated[str, typer.Argument(metavar="NAME", help="The server's name.")]


@servers_app.command("add")
def add_server(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Unique, and never changed: lower-case letters, digits, '.', '_', '-'."),
    ],
    server_url: Annotated[str, typer.Argument(metavar="SERVER_URL", help="Where it is, such as file:///srv/disk4.")],
    zone: Annotated[str | None, typer.Option(help="Servers that may fail together share one.", metavar="ZONE")] = None,
    capacity: Annotated[
        str | None, typer.Option(help="Its weight in the ring, such as 2TiB; else what the disk has.", metavar="SIZE")
    ] = None,
    accept_warnings: AcceptWarnings = False,
    yes: Yes = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Add a storage server to the ring.

    Shows what moves there and asks. New videos use it from then on.
    """
    values = _change("add", name, url=server_url, zone=zone, capacity=capacity)
    _plan_and_apply(values, url=url, token=token, yes=yes, accept_warnings=accept_warnings, json=json)


@servers_app.command("list")
def list_servers(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """List the storage servers."""
    with connect(url, token) as client:
        servers = client.servers()
    if json:
        output.document({"items": [server.document for server in servers], "next_cursor": None})
        return
    columns = (
        Column("NAME"), Column("ZONE", optional=True), Column("STATE", optional=True), Column("HEALTH"),
        Column("USED", "right"), Column("CAPACITY", "right"), Column("SHARE", "right"), Column("URL"),
    )  # fmt: skip
    output.table(columns, (_row(server) for server in servers))


def _row(server: Server) -> tuple[str, ...]:
    return (
        server.name, server.zone, server.state, server.health, size(server.used_bytes), size(server.capacity_bytes),
        percent(server.share), server.url,
    )  # fmt: skip


@servers_app.command("show")
def show_server(
    name: Name,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show what is known of a storage server, and what happened to it last.

    'reelstore ls --server NAME' lists its videos.
    """
    with connect(url, token) as client:
        server = client.server(name)
        history = [] if json else list(client.server_history(name, limit=_EVENTS_SHOWN))
    if json:
        output.document(server.document)
        return
    output.fields(
        [
            ("name", server.name),
            ("url", server.url),
            ("zone", server.zone),
            ("state", _state(server)),
            ("waiting for", "\n".join(server.waiting_for)),
            ("health", server.health + (f": {server.health_reason}" if server.health_reason else "")),
            ("last seen", local_time(server.last_seen_at)),
            ("used", f"{size(server.used_bytes)} of {size(server.capacity_bytes)}"),
            ("share", f"{percent(server.share)} of the ring"),
            ("history", "\n".join(f"{local_time(event.at)}  {event.message}" for event in history)),
        ]
    )


def _state(server: Server) -> str:
    notes = []
    if server.remove_when_empty:
        notes.append("removed when it is empty")
    if server.empty:
        notes.append("empty: nothing on it is needed")
    if server.evicted_at is not None:
        notes.append(
            f"taken out on {local_time(server.evicted_at)} because it did not answer; "
            f"'reelstore server activate {server.name}' takes it in again"
        )
    return ": ".join((server.state, *notes))


@servers_app.command("set")
def set_server(
    name: Name,
    zone: Annotated[str | None, typer.Option(help="Servers that may fail together share one.", metavar="ZONE")] = None,
    capacity: Annotated[str | None, typer.Option(help="Its weight in the ring, such as 2TiB.", metavar="SIZE")] = None,
    accept_warnings: AcceptWarnings = False,
    yes: Yes = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Give a storage server another capacity or zone.

    Shows what moves and asks.
    """
    if zone is None and capacity is None:
        raise CommandFailed("say what to set: --capacity, --zone", ExitCode.WRONG_USE)
    values = _change("update", name, zone=zone, capacity=capacity)
    _plan_and_apply(values, url=url, token=token, yes=yes, accept_warnings=accept_warnings, json=json)


@servers_app.command("drain")
def drain_server(
    name: Name,
    accept_warnings: AcceptWarnings = False,
    yes: Yes = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Move away all that a storage server has.

    Shows what moves where and asks. It takes nothing new from then on, and is read until it is empty.
    """
    values = _change("drain", name)
    _plan_and_apply(values, url=url, token=token, yes=yes, accept_warnings=accept_warnings, json=json)


@servers_app.command("activate")
def activate_server(
    name: Name,
    accept_warnings: AcceptWarnings = False,
    yes: Yes = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Have a storage server take part again that was drained, or taken out because it did not answer.

    Shows what moves and asks.
    """
    values = _change("activate", name)
    _plan_and_apply(values, url=url, token=token, yes=yes, accept_warnings=accept_warnings, json=json)


def _change(action: str, name: str, *, capacity: str | None = None, **values: str | None) -> Change:
    from reelstore.client import Change  # noqa: PLC0415 - see `reelstore.cli.app`

    try:
        capacity_bytes = None if capacity is None else parse_size(capacity)
    except ValueError as error:
        raise CommandFailed(f"--capacity: {error}", ExitCode.WRONG_USE) from error
    return Change(action, name, capacity_bytes=capacity_bytes, **values)


def _plan_and_apply(
    change: Change, *, url: str, token: str | None, yes: bool, accept_warnings: bool, json: bool
) -> None:
    check_can_ask(yes=yes, json=json)
    with connect(url, token) as client:
        apply(client, client.plan_changes([change]), yes=yes, accept_warnings=accept_warnings, json=json)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(servers_app, name="server")
