"""`reelstore quarantine`: look at copies of suspect bytes, and drop them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from reelstore.cli import output
from reelstore.cli.asking import check_terminal, confirm
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.output import Column
from reelstore.cli.quantities import count, local_time, size

_AGE = re.compile(r"([0-9]{1,4})([smhdw])")
_AGE_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

quarantine = typer.Typer(help="Look at copies of suspect bytes, and drop them.", no_args_is_help=True)


@quarantine.command("list")
def list_copies(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to list.", metavar="N")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on after a list's next_cursor.", metavar="CURSOR")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """List what was set aside on all servers, the newest first.

    Before good bytes take the place of bad ones, a copy of the bad ones is set aside, for you to look at. No video
    needs it.
    """
    with connect(url, token) as client:
        page = client.quarantine(limit=limit, cursor=cursor)
    if json:
        output.document(page.document)
        return
    if page.items:
        output.table(
            (
                Column("SET ASIDE"), Column("SERVER"), Column("SIZE", "right"), Column("CHUNK", optional=True),
                Column("VIDEOS"),
            ),
            (
                (local_time(copy.set_aside_at), copy.server, size(copy.size_bytes), copy.chunk[:16],
                 ", ".join(copy.videos) or "-")
                for copy in page.items
            ),
        )  # fmt: skip
    else:
        output.say("nothing is in quarantine")
    if page.next_cursor is not None:
        output.say(f"there are more than these {len(page.items)}; --limit lists more of them")
    _say_unreachable(page.unreachable, "what they keep is not listed")


@quarantine.command("empty")
def empty(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", help="Only what was set aside before that: 12h, 30d, 2w.", metavar="AGE"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Drop the copies of suspect bytes on every server that answers.

    No video needs them; by themselves they go after 30 days. What repair put in their place stays.
    """
    before = None if older_than is None else datetime.now(UTC) - _age(older_than)
    if not yes:
        check_terminal("this")
        what = (
            "everything in quarantine" if older_than is None else f"what is in quarantine for longer than {older_than}"
        )
        confirm(f"Drop {what}? This cannot be undone.", otherwise="nothing was dropped")
    with connect(url, token) as client:
        emptied = client.empty_quarantine(before=before)
    if json:
        output.document(emptied.document)
    else:
        copies = f"{emptied.copies:,} copy" if emptied.copies == 1 else f"{emptied.copies:,} copies"
        output.line(f"dropped {copies}, {size(emptied.size_bytes)}")
    if emptied.unreachable:
        _say_unreachable(emptied.unreachable, "what they keep is still there")
        raise typer.Exit(ExitCode.FAILED)


def _say_unreachable(names: tuple[str, ...], meaning: str) -> None:
    if names:
        output.say(f"{count(len(names), 'server')} did not answer ({output.printable(', '.join(names))}): {meaning}")


def _age(text: str) -> timedelta:
    match = _AGE.fullmatch(text)
    if match is None:
        raise CommandFailed(f"{text!r} is not an age; write something like 12h, 30d or 2w", ExitCode.WRONG_USE)
    return timedelta(seconds=int(match[1]) * _AGE_SECONDS[match[2]])


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(quarantine, name="quarantine")
