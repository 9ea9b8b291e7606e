"""Plans as people see them: tables, a question, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.asking import confirm
from reelstore.cli.failures import CommandFailed
from reelstore.cli.output import Column
from reelstore.cli.quantities import count, duration, percent, size

if TYPE_CHECKING:
    from reelstore.client import Client, Plan, PlannedServer

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal to ask on.")]
AcceptWarnings = Annotated[
    bool, typer.Option("--accept-warnings", help="Apply it in spite of warnings that must be accepted.")
]
_MOVES_SHOWN_MAX = 20
_BASES = {
    "measured": "at the rate measured so far",
    "limit": "at the limit that is set",
    "assumed": "at an assumed 50 MB/s",
}


def show_plan(plan: Plan) -> None:
    """Print what a plan does and what it costs."""
    least = "" if plan.bytes_total == plan.bytes_minimum else f", at least {size(plan.bytes_minimum)}"
    takes = f"about {duration(plan.duration_seconds)} {_BASES.get(plan.duration_basis, '')}".rstrip()
    output.fields(
        [
            ("plan", plan.id),
            ("does", plan.reason),
            ("moves", f"{size(plan.bytes_total)}{least}" if plan.bytes_total else "nothing"),
            ("takes", takes if plan.bytes_total else ""),
            ("state", f"applied: epoch {plan.applied_epoch}" if plan.applied_epoch else f"for epoch {plan.base_epoch}"),
        ]
    )
    if plan.moves:
        output.line("")
        output.table(
            (Column("FROM"), Column("TO"), Column("BYTES", "right")),
            (
                (move.source or "(made anew)", move.target, size(move.size_bytes))
                for move in plan.moves[:_MOVES_SHOWN_MAX]
            ),
        )
        if len(plan.moves) > _MOVES_SHOWN_MAX:
            output.line(f"and {count(len(plan.moves) - _MOVES_SHOWN_MAX, 'pair')} more; --json lists all")
    output.line("")
    columns = (
        Column("SERVER"), Column("STATE", optional=True), Column("BEFORE", "right"), Column("PEAK", "right"),
        Column("AFTER", "right"), Column("OF", "right"), Column("SHARE", "right"), Column("ZONE"),
    )  # fmt: skip
    output.table(columns, (_server_row(server) for server in plan.servers))
    output.line("")
    output.table(
        (Column("ZONE"), Column("SHARDS BEFORE", "right"), Column("AFTER", "right"), Column("USED AFTER", "right")),
        (
            (zone.name, f"{zone.shards_before:,}", f"{zone.shards_after:,}", size(zone.used_bytes_after))
            for zone in plan.zones
        ),
    )
    for warning in plan.warnings:
        output.line("")
        label = "must be accepted" if warning.needs_acceptance else "warning"
        output.line(f"{label}: {output.printable(warning.message)}")


def _server_row(server: PlannedServer) -> tuple[str, ...]:
    fills = (server.used_bytes_before, server.used_bytes_peak, server.used_bytes_after)
    return (
        server.name,
        server.state_after,
        *(_fill(used_bytes, server.capacity_bytes) for used_bytes in fills),
        size(server.capacity_bytes),
        f"{percent(server.share_before)} > {percent(server.share_after)}",
        server.zone,
    )


def _fill(used_bytes: int, capacity_bytes: int) -> str:
    return size(used_bytes) + (f" ({used_bytes / capacity_bytes:.0%})" if capacity_bytes else "")


def apply(client: Client, plan: Plan, *, yes: bool, accept_warnings: bool, json: bool) -> None:
    """Show a plan, ask, apply it, and say what comes next.

    Args:
        client: to apply it with.
        plan: what was computed.
        yes: do not ask.
        accept_warnings: apply it in spite of warnings that must be accepted.
        json: print the applied plan as JSON, and nothing else.

    Raises:
        CommandFailed: the answer is no, or a warning is not accepted; nothing was applied.
    """
    if not json:
        show_plan(plan)
        output.line("")
    unaccepted = () if accept_warnings else plan.unaccepted
    if unaccepted and yes:
        reasons = "; ".join(warning.message for warning in unaccepted)
        raise CommandFailed(
            f"not applied: {reasons}; 'reelstore ring apply {plan.id} --accept-warnings' applies it in spite of that"
        )
    if not yes:
        question = "Apply it in spite of what must be accepted?" if unaccepted else "Apply it?"
        confirm(question, otherwise=f"nothing was changed; 'reelstore ring apply {plan.id}' applies it later")
    applied = client.apply_plan(plan.id, accept_warnings=accept_warnings or bool(unaccepted))
    if json:
        output.document(applied.document)
        return
    output.line(f"applied: epoch {applied.applied_epoch}, {output.printable(applied.reason)}")
    if applied.bytes_total:
        output.say("'reelstore rebalance status --watch' follows the moves; 'reelstore ring revert' goes back")
    else:
        output.say("nothing has to move; 'reelstore ring revert' goes back")
