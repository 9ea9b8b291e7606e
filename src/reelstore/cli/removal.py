"""`reelstore server remove` and `removal-check`: take a storage server away, and know when that is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.asking import check_can_ask, confirm
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.output import Column
from reelstore.cli.plans import AcceptWarnings, Yes, apply
from reelstore.cli.quantities import count, local_time, size
from reelstore.cli.servers import Name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reelstore.client import Client, Problem, RemovalCheck


def remove_server(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="For one that does not answer: take it out now, if nothing is lost by that.")
    ] = False,
    accept_loss: Annotated[
        str | None,
        typer.Option(
            "--accept-loss",
            metavar="NAME",
            help="With --force: its name once more, to take it out though data is lost.",
        ),
    ] = None,
    accept_warnings: AcceptWarnings = False,
    yes: Yes = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Drain a storage server, and remove it when it is empty.

    Shows what moves where and asks. It takes nothing new from then on, is read until it is empty, and is removed when a
    listing has proved that it is. Its name is never used again.
    """
    if accept_loss is not None and not force:
        raise CommandFailed("--accept-loss is for --force", ExitCode.WRONG_USE)
    if accept_loss not in {None, name}:
        raise CommandFailed(f"--accept-loss must repeat the name of the server: {name}", ExitCode.WRONG_USE)
    check_can_ask(yes=yes, json=json)
    with connect(url, token) as client:
        if force:
            _force(client, name, accept_loss, accept_warnings=accept_warnings, yes=yes, json=json)
            return
        from reelstore.client import Change  # noqa: PLC0415 - see `reelstore.cli.app`

        plan = client.plan_changes([Change("remove", name)])
        apply(client, plan, yes=yes, accept_warnings=accept_warnings, json=json)
        if json:
            return
        output.say(
            f"it is removed by itself when it is empty; 'reelstore server removal-check {name}' says how far it is"
        )
        server = client.server(name)
        if server.health != "up":
            output.say(
                f"it does not answer, so nothing can prove that it is empty: bring it back, or once everything has "
                f"healed, 'reelstore server remove {name} --force'"
            )


def _force(client: Client, name: str, accept_loss: str | None, *, accept_warnings: bool, yes: bool, json: bool) -> None:
    from reelstore.client import Problem  # noqa: PLC0415 - see `reelstore.cli.app`

    if not yes:
        _show_check(client.removal_check(name))
        output.line("")
        confirm(f"Take out {output.printable(name)} for good?", otherwise="nothing was changed")
    try:
        removed = client.force_out_server(name, accept_loss=accept_loss, accept_warnings=accept_warnings)
    except Problem as problem:
        raise _refused(client, problem, name) from problem
    if json:
        output.document(removed.document)
        return
    output.line(f"removed {output.printable(name)}, which did not answer")
    if removed.chunks_at_risk:
        lost = f"{count(removed.chunks_at_risk, 'chunk')}, {size(removed.bytes_at_risk)}"
        output.line(f"may be lost with it: {lost}")
        _show_videos([(video.id, video.name) for video in removed.videos_at_risk])
    output.say("the others make again what it had; 'reelstore rebalance status --watch' follows that")


def _refused(client: Client, problem: Problem, name: str) -> Exception:
    """Return what to end the command with: for a loss that must be accepted, after the list of the videos."""
    if problem.slug == "removal-unsafe":
        _show_videos([(str(video.get("id")), str(video.get("name"))) for video in problem.data.get("videos", ())])
        reasons = "; ".join(map(str, problem.data.get("reasons", ())))
        drained = client.server(name).state == "draining"
        stays = f". It is drained, and takes nothing new until 'reelstore server activate {name}'" if drained else ""
        return CommandFailed(
            f"not removed: {reasons}. Bring {name} back, or add --accept-loss {name} to take it out all the same{stays}"
        )
    if problem.slug == "warnings-not-accepted":
        return CommandFailed(f"not removed: {problem.detail}; add --accept-warnings to do it in spite of that")
    return problem


def removal_check(name: Name, url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Tell whether it is safe to power a storage server off.

    Lists it, and all others if need be. The exit code is 5 when it is not safe.
    """
    with connect(url, token) as client:
        check = client.removal_check(name)
    if json:
        output.document(check.document)
    else:
        _show_check(check)
    if not check.safe:
        raise typer.Exit(ExitCode.PROBLEMS_FOUND)


def _show_check(check: RemovalCheck) -> None:
    at_risk = f"{count(check.chunks_at_risk, 'chunk')}, {size(check.bytes_at_risk)}" if check.chunks_at_risk else ""
    holds = "unknown: it does not answer"
    if check.shards_listed is not None:
        holds = f"{count(check.shards_listed, 'shard')}, {size(check.bytes_listed or 0)}"
        holds += f", listed {local_time(check.listed_at)}"
    output.fields(
        [
            ("server", check.name),
            ("safe", "yes: nothing on it is needed" if check.safe else "\n".join(("no", *check.reasons))),
            ("ring", f"epoch {check.epoch}{', it is in it' if check.in_ring else ', it is not in it'}"),
            ("unsettled", f"{check.partitions_unsettled:,} of {count(check.partitions_total, 'partition')}"),
            ("holds", holds),
            ("only there", at_risk),
            ("silent too", ", ".join(check.other_servers_silent)),
        ]
    )
    _show_videos([(video.id, video.name) for video in check.videos_at_risk])


def _show_videos(videos: Sequence[tuple[str, str]]) -> None:
    if videos:
        output.line("")
        output.table((Column("VIDEO AT RISK"), Column("NAME")), videos)


def register(servers_app: typer.Typer) -> None:
    """Add the commands to those of `reelstore server`."""
    servers_app.command("remove")(remove_server)
    servers_app.command()(removal_check)
