"""`reelstore rebalance`: how far moving and mending are; pause, resume and limit them."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.quantities import count, duration, parse_size, size

if TYPE_CHECKING:
    from reelstore.client import Client, Rebalance
    from reelstore.client.cluster import RebalanceChange

WATCH_SECONDS = 1.0

rebalance_app = typer.Typer(
    help="Moving and mending shards: how far it is; pause, resume, limit.", no_args_is_help=True, rich_markup_mode=None
)


@rebalance_app.command("status")
def rebalance_status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until nothing moves any more: a bar on a terminal, else lines.")
    ] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Tell how far the data is where the newest ring wants it.

    The exit code is 7 while something keeps it from getting there, or it is paused.
    """
    with connect(url, token) as client:
        if not watch:
            rebalance = client.rebalance()
            if json:
                output.document(rebalance.document)
            else:
                _show(rebalance)
        else:
            rebalance = _watch(client, json=json)
    if rebalance.state in {"blocked", "paused"}:
        raise typer.Exit(ExitCode.HELD_UP)


def _show(rebalance: Rebalance) -> None:
    rate = "no limit" if rebalance.bytes_per_second is None else f"{size(rebalance.bytes_per_second)}/s"
    at_once = "no limit" if rebalance.concurrency is None else count(rebalance.concurrency, "shard")
    output.fields(
        [
            ("state", rebalance.state),
            ("reasons", "\n".join(rebalance.reasons)),
            ("settled", f"{rebalance.partitions_done:,} of {count(rebalance.partitions_total, 'partition')}"),
            ("moved", moved(rebalance)),
            ("to be freed", size(rebalance.garbage_bytes) if rebalance.garbage_bytes else ""),
            ("epoch", str(rebalance.epoch)),
            ("bandwidth", rate),
            ("at once", at_once),
            ("workers", str(rebalance.workers)),
        ]
    )


def moved(rebalance: Rebalance) -> str:
    """Return how many bytes were moved of how many, how fast, and how long it takes; empty when there is nothing."""
    if not rebalance.bytes_total:
        return ""
    rate = f", {size(rebalance.rate_bytes_per_second)}/s" if rebalance.rate_bytes_per_second else ""
    eta = f", {duration(rebalance.eta_seconds)} left" if rebalance.eta_seconds is not None else ""
    return f"{size(rebalance.bytes_moved)} of {size(rebalance.bytes_total)}{rate}{eta}"


def _watch(client: Client, *, json: bool) -> Rebalance:
    """Follow the progress, and return the last of it."""
    from reelstore.cli.progress import rebalance_bar  # noqa: PLC0415 - only here are bars drawn

    last = ""
    with rebalance_bar() as bar:
        for rebalance in _progress(client):
            line = json_module.dumps(rebalance.document) if json else _line(rebalance)
            if json or not bar.is_drawn:
                if line != last:
                    output.line(line)
                last = line
            bar.show(rebalance.bytes_moved, rebalance.bytes_total, _line(rebalance))
    if not json and bar.is_drawn:
        output.line(_line(rebalance))
    return rebalance


def _progress(client: Client) -> Iterator[Rebalance]:
    """Yield the progress again and again, until nothing moves any more."""
    while True:
        rebalance = client.rebalance()
        yield rebalance
        if rebalance.state != "running":
            return
        time.sleep(WATCH_SECONDS)


def _line(rebalance: Rebalance) -> str:
    settled = f"{rebalance.partitions_done:,} of {count(rebalance.partitions_total, 'partition')} settled"
    parts = [rebalance.state, moved(rebalance), settled, *rebalance.reasons]
    return output.printable("; ".join(part for part in parts if part))


@rebalance_app.command("pause")
def pause(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Stop moving, mending and freeing, everywhere and until 'reelstore rebalance resume'.

    Videos are stored, read and deleted as before. What is being written ends; nothing new begins.
    """
    with connect(url, token) as client:
        _tell(client.set_rebalance(paused=True), json=json)


@rebalance_app.command("resume")
def resume(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Go on where it was paused."""
    with connect(url, token) as client:
        _tell(client.set_rebalance(paused=False), json=json)


@rebalance_app.command("limit")
def limit(
    bandwidth: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The most that is moved per second, such as 50MiB.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, metavar="N", help="Shards that are moved at once.")] = None,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Take away the limits that are not given.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Limit moving and mending, for all workers together.

    It holds within a second, and until it is changed again.
    """
    try:
        bytes_per_second = None if bandwidth is None else parse_size(bandwidth.strip().removesuffix("/s"))
    except ValueError as error:
        raise CommandFailed(f"--bandwidth: {error}", ExitCode.WRONG_USE) from error
    changes: RebalanceChange = {}
    if bytes_per_second is not None or no_limit:
        changes["bytes_per_second"] = bytes_per_second
    if concurrency is not None or no_limit:
        changes["concurrency"] = concurrency
    from reelstore.client import Problem  # noqa: PLC0415 - see `reelstore.cli.app`

    if not changes:
        raise CommandFailed("give --bandwidth, --concurrency or --no-limit", ExitCode.WRONG_USE)
    with connect(url, token) as client:
        try:
            rebalance = client.set_rebalance(**changes)
        except Problem as problem:
            if problem.slug != "invalid-input":
                raise
            raise CommandFailed(problem.detail or problem.title, ExitCode.WRONG_USE) from problem
    _tell(rebalance, json=json)


def _tell(rebalance: Rebalance, *, json: bool) -> None:
    if json:
        output.document(rebalance.document)
    else:
        _show(rebalance)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(rebalance_app, name="rebalance")
