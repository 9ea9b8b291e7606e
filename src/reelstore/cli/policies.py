"""`reelstore policy`: add and list policies, and say which one is the default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.batch import Batch
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.output import Column
from reelstore.cli.quantities import parse_size, size

if TYPE_CHECKING:
    from reelstore.client import Policy, Transfer

_ERASURE = re.compile(r"([0-9]{1,3})\+([0-9]{1,3})", re.ASCII)

policies_app = typer.Typer(help="Policies: how videos are made redundant.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")]


@policies_app.command("list")
def list_policies(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """List the policies; '*' marks the one of videos that name none."""
    with connect(url, token) as client:
        policies = client.policies()
    if json:
        output.document({"items": [policy.document for policy in policies], "next_cursor": None})
        return
    columns = (
        Column("NAME"), Column("KIND"), Column("DEFAULT", optional=True), Column("SURVIVES", "right"),
        Column("STORED", "right"), Column("CHUNK", "right", optional=True),
    )  # fmt: skip
    output.table(columns, (_row(policy) for policy in policies))


def _row(policy: Policy) -> tuple[str, ...]:
    return (
        policy.name, policy.description, "*" if policy.default else "", f"{policy.losses_tolerated} of {policy.width}",
        f"{policy.bytes_per_byte:.2f} ×", size(policy.chunk_size_bytes),
    )  # fmt: skip


@policies_app.command("add")
def add_policy(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="New, and never changed: lower-case letters, digits, '_', '-'.")
    ],
    copies: Annotated[int | None, typer.Option(help="Keep so many full copies.", metavar="N")] = None,
    erasure: Annotated[
        str | None, typer.Option(help="Keep K fragments of data and M of parity, such as 4+2.", metavar="K+M")
    ] = None,
    copies_min: Annotated[int | None, typer.Option(help="Servers that must acknowledge a write.", metavar="N")] = None,
    chunk_size: Annotated[
        str | None, typer.Option(help="Cut videos into pieces of that size; 4MiB if absent.", metavar="SIZE")
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="Have it hold for videos that name none.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Create a policy. It is never edited; 'reelstore upload --policy NAME' stores under it."""
    if (copies is None) == (erasure is None):
        raise CommandFailed("say either --copies N or --erasure K+M", ExitCode.WRONG_USE)
    with connect(url, token) as client:
        policy = client.add_policy(
            name,
            copies=copies,
            erasure=None if erasure is None else _parse_erasure(erasure),
            copies_min=copies_min,
            chunk_size_bytes=None if chunk_size is None else _parse_chunk_size(chunk_size),
            default=default,
        )
    _tell(policy, json=json)


@policies_app.command("default")
def make_default(name: Name, url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Have a policy hold for videos that name none, from now on; those that are stored keep theirs."""
    with connect(url, token) as client:
        policy = client.make_policy_default(name)
    _tell(policy, json=json)


@policies_app.command("transfer")
def transfer(
    name: Name,
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Ids or names.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Have videos stored under this policy, in the background; they can be read all the time.

    'reelstore policy transfers' shows how far it is. Naming the policy that a video has calls its transfer off.
    """
    from reelstore.cli.naming import find_video  # noqa: PLC0415 - see `reelstore.cli.app`

    batch = Batch(as_json=json)
    with connect(url, token) as client:
        for reference in batch.each(videos):
            with batch.trying(reference):
                video = client.transfer(find_video(client, reference).id, name)
                batch.done(video.document, f"asked for  {video.id}  {output.printable(video.name)}")
    batch.end()


@policies_app.command("transfers")
def list_transfers(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """List the videos that are on their way to another policy."""
    with connect(url, token) as client:
        transfers = client.transfers()
    if json:
        output.document({"items": [each.document for each in transfers], "next_cursor": None})
        return
    columns = (
        Column("VIDEO"), Column("NAME", optional=True), Column("FROM"), Column("TO"), Column("COPIED", "right"),
        Column("OF", "right"), Column("PROBLEM", optional=True),
    )  # fmt: skip
    output.table(columns, (_transfer_row(each) for each in transfers))


def _transfer_row(each: Transfer) -> tuple[str, ...]:
    return (
        each.video_id, each.name, each.policy_before, each.policy, size(each.bytes_copied), size(each.size_bytes),
        each.problem or "",
    )  # fmt: skip


def _tell(policy: Policy, *, json: bool) -> None:
    if json:
        output.document(policy.document)
        return
    output.line(
        f"{policy.name} = {policy.description}: {policy.losses_tolerated} of {policy.width} servers may be lost, "
        f"{policy.bytes_per_byte:.2f} bytes are stored for each{'; the default' if policy.default else ''}"
    )


def _parse_erasure(text: str) -> tuple[int, int]:
    match = _ERASURE.fullmatch(text.strip())
    if match is None:
        raise CommandFailed(f"--erasure is written like 4+2, not {text!r}", ExitCode.WRONG_USE)
    return int(match[1]), int(match[2])


def _parse_chunk_size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise CommandFailed(f"--chunk-size: {error}", ExitCode.WRONG_USE) from error


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(policies_app, name="policy")
