"""`reelstore events`: what happened, and what happens."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.output import printable
from reelstore.cli.quantities import local_time

if TYPE_CHECKING:
    from reelstore.client import Client, Event


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C; through restarts too.")
    ] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Only such events, as server.returned; can be given several times."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="ID_OR_NAME", help="Only events of this video or server.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="How many of the latest to show.")] = 20,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show what happened in the cluster, the latest event last.

    With --follow and --json, each event is one line of JSON.
    """
    with connect(url, token) as client:
        latest = list(client.events(kinds=kind or (), subject=subject, limit=limit)) if limit else []
        if not follow:
            _show(latest, json=json)
            return
        _follow(client, deque(reversed(latest)), kind or [], subject, json=json)


def _show(latest: list[Event], *, json: bool) -> None:
    if json:
        output.document({"items": [event.document for event in latest], "next_cursor": None})
        return
    for event in reversed(latest):
        output.line(_line(event))
    if not latest:
        output.say("nothing happened so far, or nothing of that kind")


def _follow(client: Client, known: deque[Event], kinds: list[str], subject: str | None, *, json: bool) -> None:
    """Print what is known, then what happens after the last of it."""
    after = known[-1].id if known else None
    while known:
        _print(known.popleft(), json=json)
    for event in client.follow_events(after=after, kinds=kinds, subject=subject):
        _print(event, json=json)


def _print(event: Event, *, json: bool) -> None:
    if json:
        output.json_line(event.document)
    elif event.at is None:
        output.say(printable(event.message))
    else:
        output.line(_line(event))


def _line(event: Event) -> str:
    return f"{local_time(event.at)}  {printable(event.kind):<20}  {printable(event.message)}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(events)
