"""`reelstore ring`: show it, and plan, apply and revert what changes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.asking import check_can_ask
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.output import Column
from reelstore.cli.plans import AcceptWarnings, Yes, apply, show_plan
from reelstore.cli.quantities import local_time, parse_size, percent, size

if TYPE_CHECKING:
    from reelstore.client import Change, Ring

ring_app = typer.Typer(
    help="The ring: which server has which part, and plans to change it.", no_args_is_help=True, rich_markup_mode=None
)


@ring_app.command("show")
def show_ring(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Show each policy's ring, and how even it is."""
    with connect(url, token) as client:
        rings = [client.ring(policy.name) for policy in client.policies()]
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


@ring_app.command("plan")
def plan_ring(
    add: Annotated[
        list[str] | None, typer.Option(metavar="NAME=URL", help="Add a server, such as disk4=file:///srv/disk4.")
    ] = None,
    drain: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Move away all that a server has.")] = None,
    activate: Annotated[list[str] | None, typer.Option(metavar="NAME", help="End a server's drain.")] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Drain a server, and remove it when it is empty.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME:KEY=VALUE",
            help="Give a server, also one that is added here, another capacity or zone: disk1:capacity=2TiB.",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Compute what changes of the servers would cost.

    Every option may be given several times: all changes together are one plan, and are moved once. Nothing happens
    until 'reelstore ring apply' applies it.
    """
    changes = _changes(add or [], drain or [], activate or [], remove or [], values or [])
    with connect(url, token) as client:
        plan = client.plan_changes(changes)
    if json:
        output.document(plan.document)
        return
    show_plan(plan)
    output.say(f"nothing is changed yet; 'reelstore ring apply {plan.id}' applies it")


def _changes(
    add: list[str], drain: list[str], activate: list[str], remove: list[str], values: list[str]
) -> list[Change]:
    """Read the options as one change for each server."""
    from reelstore.client import Change  # noqa: PLC0415 - see `reelstore.cli.app`

    named = [("drain", name) for name in drain] + [("activate", name) for name in activate]
    changes = [Change(action, name) for action, name in [*named, *(("remove", name) for name in remove)]]
    for text in add:
        name, sign, server_url = text.partition("=")
        if not (name and sign and server_url):
            raise CommandFailed(f"--add {text}: write NAME=URL, such as disk4=file:///srv/disk4", ExitCode.WRONG_USE)
        changes.append(Change("add", name, url=server_url))
    by_name = {change.name: change for change in changes}
    if len(by_name) < len(changes):
        raise CommandFailed("a server is named twice; once in a plan is enough", ExitCode.WRONG_USE)
    for text in values:
        name, _, pair = text.partition(":")
        by_name[name] = _with_value(by_name.get(name) or Change("update", name), text, pair)
    if not by_name:
        raise CommandFailed("say what to plan: --add, --drain, --activate, --remove, --set", ExitCode.WRONG_USE)
    return list(by_name.values())


def _with_value(change: Change, text: str, pair: str) -> Change:
    key, _, value = pair.partition("=")
    if not change.name or key not in {"capacity", "zone"} or not value:
        raise CommandFailed(f"--set {text}: write NAME:capacity=SIZE or NAME:zone=ZONE", ExitCode.WRONG_USE)
    if key == "zone":
        return replace(change, zone=value)
    try:
        return replace(change, capacity_bytes=parse_size(value))
    except ValueError as error:
        raise CommandFailed(f"--set {text}: {error}", ExitCode.WRONG_USE) from error


@ring_app.command("plans")
def list_plans(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many to list.", metavar="N")] = 20,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """List plans, applied or not, the newest first."""
    with connect(url, token) as client:
        plans = client.plans(limit=limit)
    if json:
        output.document({"items": [plan.document for plan in plans], "next_cursor": None})
        return
    if not plans:
        output.say("no plans yet; 'reelstore ring plan' makes one")
        return
    columns = (
        Column("PLAN"), Column("CREATED", optional=True), Column("BASE", "right", optional=True),
        Column("EPOCH", "right"), Column("MOVES", "right"), Column("DOES"),
    )  # fmt: skip
    output.table(
        columns,
        (
            (plan.id, local_time(plan.created_at), str(plan.base_epoch), str(plan.applied_epoch or "-"),
             size(plan.bytes_total), plan.reason)
            for plan in plans
        ),
    )  # fmt: skip


@ring_app.command("apply")
def apply_plan(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id.")],
    accept_warnings: AcceptWarnings = False,
    yes: Yes = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Apply a plan.

    Shows it and asks. New videos use the new ring at once; what belongs elsewhere moves in the background, and stays
    readable all the time.
    """
    check_can_ask(yes=yes, json=json)
    with connect(url, token) as client:
        plan = client.plan(plan_id)
        if plan.applied_epoch is not None:
            raise CommandFailed(f"the plan was applied already: it began epoch {plan.applied_epoch}")
        apply(client, plan, yes=yes, accept_warnings=accept_warnings, json=json)


@ring_app.command("revert")
def revert_ring(
    epoch: Annotated[
        int | None, typer.Option("--to", metavar="EPOCH", help="Whose servers are wanted again; else the last one's.")
    ] = None,
    accept_warnings: AcceptWarnings = False,
    yes: Yes = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Go back to the servers as they were before the last change.

    Shows the plan of the way back and asks. A server that was added since is drained, one that was drained takes part
    again. What has not moved yet stays where it is.
    """
    check_can_ask(yes=yes, json=json)
    with connect(url, token) as client:
        plan = client.plan_revert(epoch=epoch)
        apply(client, plan, yes=yes, accept_warnings=accept_warnings, json=json)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(ring_app, name="ring")
