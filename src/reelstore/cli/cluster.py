"""`reelstore server`, `ring` and `status`: the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.output import Column
from reelstore.cli.quantities import count, duration, local_time, parse_size, percent, size

if TYPE_CHECKING:
    from reelstore.client import Rebalance, Ring, Server

servers_app = typer.Typer(help="Storage servers: add, list, show.", no_args_is_help=True, rich_markup_mode=None)
ring_app = typer.Typer(help="The ring: which server has which part.", no_args_is_help=True, rich_markup_mode=None)


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
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Add a storage server to the ring.

    New videos use it from now on.
    """
    try:
        capacity_bytes = None if capacity is None else parse_size(capacity)
    except ValueError as error:
        raise CommandFailed(f"--capacity: {error}", ExitCode.WRONG_USE) from error
    with connect(url, token) as client:
        server = client.add_server(name, server_url, zone=zone, capacity_bytes=capacity_bytes)
    if json:
        output.document(server.document)
    else:
        output.line(
            f"added {output.printable(server.name)}: {size(server.capacity_bytes)} in zone "
            f"{output.printable(server.zone)}, {percent(server.share)} of the ring"
        )


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
    name: Annotated[str, typer.Argument(metavar="NAME", help="The server's name.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show what is known of a storage server.

    'reelstore ls --server NAME' lists its videos.
    """
    with connect(url, token) as client:
        server = client.server(name)
    if json:
        output.document(server.document)
        return
    output.fields(
        [
            ("name", server.name),
            ("url", server.url),
            ("zone", server.zone),
            ("state", server.state),
            ("health", server.health + (f": {server.health_reason}" if server.health_reason else "")),
            ("last seen", local_time(server.last_seen_at)),
            ("used", f"{size(server.used_bytes)} of {size(server.capacity_bytes)}"),
            ("share", f"{percent(server.share)} of the ring"),
        ]
    )


@ring_app.command("show")
def show_ring(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Show each policy's ring, and how even it is."""
    with connect(url, token) as client:
        rings = client.rings()
    if json:
        output.document({"items": [ring.document for ring in rings], "next_cursor": None})
        return
    for index, ring in enumerate(rings):
        if index:
            output.line("")
        _show_ring(ring)


def _show_ring(ring: Ring) -> None:
    output.fields(
        [
            ("policy", f"{ring.policy} = {ring.kind}" if ring.kind else ring.policy),
            ("epoch", str(ring.epoch)),
            ("partitions", f"{2 ** min(ring.partition_bits, 63):,}"),
            ("balance", f"{ring.balance:.4f} (largest load over the fair one)"),
        ]
    )
    output.line("")
    columns = (Column("SERVER"), Column("SHARE", "right"), Column("SLOTS", "right"), Column("ZONE"))
    output.table(
        columns,
        (
            (server.name, percent(server.share), "-" if server.slots is None else f"{server.slots:,}", server.zone)
            for server in ring.servers
        ),
    )
    for warning in ring.warnings:
        output.line("")
        output.line(f"note: {warning}")


def status(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Tell how the cluster is.

    Its health with reasons, its servers, how full it is, and what is being moved or mended.
    """
    with connect(url, token) as client:
        health, rebalance, servers = client.health(), client.rebalance(), client.servers()
    if json:
        output.document({"health": health.document, "rebalance": rebalance.document})
        return
    fill = f" ({percent(health.used_bytes / health.capacity_bytes)})" if health.capacity_bytes else ""
    output.fields(
        [
            ("health", "\n".join((health.health, *health.reasons))),
            ("servers", f"{health.servers_up} of {health.servers_total} up"),
            ("not up", "\n".join(_complaint(server) for server in servers if server.health != "up")),
            ("disks", f"{size(health.used_bytes)} of {size(health.capacity_bytes)} used{fill}"),
            ("videos", f"{health.totals.videos:,}, {size(health.totals.video_bytes)}"),
            (
                "trash",
                f"{health.totals.trashed:,}, {size(health.totals.trashed_bytes)}" if health.totals.trashed else "",
            ),
            ("epoch", str(health.epoch)),
            ("rebalance", _progress(rebalance)),
            ("server", client.url),
        ]
    )


def _complaint(server: Server) -> str:
    since = f", last seen {local_time(server.last_seen_at)}" if server.last_seen_at else ""
    return f"{server.name}: {server.health_reason or server.health}{since}"


def _progress(rebalance: Rebalance) -> str:
    lines = [rebalance.state]
    if rebalance.state != "idle":
        lines.append(f"{rebalance.partitions_done:,} of {count(rebalance.partitions_total, 'partition')} settled")
    if rebalance.bytes_total:
        moved = f"{size(rebalance.bytes_moved)} of {size(rebalance.bytes_total)} moved"
        rate = f", {size(rebalance.rate_bytes_per_second)}/s" if rebalance.rate_bytes_per_second else ""
        eta = f", {duration(rebalance.eta_seconds)} left" if rebalance.eta_seconds is not None else ""
        lines.append(moved + rate + eta)
    return "\n".join((*lines, *rebalance.reasons))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(servers_app, name="server")
    app.add_typer(ring_app, name="ring")
    app.command()(status)
