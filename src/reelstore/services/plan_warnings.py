"""What people should know before they apply a plan: pure, from what was computed and what was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reelstore.domain.change import PlannedServer, PlanWarning, PlanWarningKind
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server, ServerState
from reelstore.placement.members import live_members, spread_cap
from reelstore.placement.plan import WarningKind
from reelstore.placement.plan import warnings as placement_warnings
from reelstore.services.planning import Cost, PolicyTables

NEARLY_FULL = 0.85
"""A disk that is fuller is slow, and soon full."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was seen of the servers, by name; those of which nothing was seen are left out.

    Args:
        silent: why a server does not answer.
        free_bytes: what it would still take.
        disks: what it surely fails together with.
    """

    silent: Mapping[str, str] = field(default_factory=dict)
    free_bytes: Mapping[str, int] = field(default_factory=dict)
    disks: Mapping[str, str] = field(default_factory=dict)


def plan_warnings(
    tables: Mapping[str, PolicyTables],
    policies: Mapping[str, Policy],
    cost: Cost,
    before: Sequence[Server],
    after: Sequence[Server],
    seen: Surroundings,
) -> tuple[PlanWarning, ...]:
    """Return what is wrong with a change, what must be accepted first.

    Args:
        tables: by policy.
        policies: by name.
        cost: of the change.
        before: all servers as they are.
        after: all servers as they are to be.
        seen: of the servers.
    """
    found = [
        *(warning for name, table in tables.items() for warning in _of_policy(policies[name], table, after)),
        *_of_fill(cost, before, seen),
        *_of_silence(after, seen),
        *_of_disks(tables.values(), after, seen),
    ]
    return tuple(sorted(found, key=lambda warning: not warning.needs_acceptance))


def _of_policy(policy: Policy, table: PolicyTables, after: Iterable[Server]) -> Iterator[PlanWarning]:
    """Warn of what the servers cannot give to a policy."""
    names = {server.number: server.name for server in after}
    members = table.following.members
    live, live_before = len(live_members(members)), len(live_members(table.newest.members))
    for warning in placement_warnings(members, width=policy.width, losses_tolerated=policy.losses_tolerated):
        message, needs_acceptance = f"policy {policy.name} = {policy}: {warning.message}", False
        if warning.kind is WarningKind.TOO_FEW_SERVERS:
            needs_acceptance = live < live_before
            if live < policy.copies_min:
                message += f"; nothing can be stored until there are {policy.copies_min}"
        yield PlanWarning(
            PlanWarningKind(warning.kind.value),
            message,
            tuple(names[number] for number in warning.servers),
            needs_acceptance=needs_acceptance,
        )


def _of_fill(cost: Cost, before: Iterable[Server], seen: Surroundings) -> Iterator[PlanWarning]:
    """Warn of servers that the change fills, or leaves, too full."""
    was = {server.name: server for server in before}
    nearly = []
    for server in cost.servers:
        if server.state_after != ServerState.ACTIVE:
            continue
        incoming = cost.incoming.get(server.name, 0)
        lacking = incoming - _room_bytes(server, seen)
        shrinks = server.name in was and server.capacity_bytes < was[server.name].capacity_bytes
        if incoming and lacking > 0:
            message = f"{server.name} is to take {incoming:,} bytes and has no room for {lacking:,} of them"
            yield PlanWarning(PlanWarningKind.OVERFULL, message, (server.name,), needs_acceptance=True)
        elif shrinks and server.used_bytes_after > server.capacity_bytes:
            message = f"{server.name} would keep {server.used_bytes_after:,} bytes, more than its capacity"
            yield PlanWarning(PlanWarningKind.OVERFULL, message, (server.name,), needs_acceptance=True)
        elif (server.used_bytes_peak if incoming else server.used_bytes_after) > NEARLY_FULL * server.capacity_bytes:
            nearly.append(server.name)
    if nearly:
        message = f"more than {NEARLY_FULL:.0%} full at the peak: {', '.join(nearly)}"
        yield PlanWarning(PlanWarningKind.NEARLY_FULL, message, tuple(nearly))


def _room_bytes(server: PlannedServer, seen: Surroundings) -> int:
    """Return what a server has room for: what its capacity leaves, and not more than its disk has free."""
    room_bytes = server.capacity_bytes - server.used_bytes_before
    free_bytes = seen.free_bytes.get(server.name)
    return room_bytes if free_bytes is None else min(room_bytes, free_bytes)


def _of_silence(after: Iterable[Server], seen: Surroundings) -> Iterator[PlanWarning]:
    for server in after:
        if server.state is ServerState.ACTIVE and server.name in seen.silent:
            message = f"{server.name} does not answer ({seen.silent[server.name]}): what it is to take waits for it"
            yield PlanWarning(PlanWarningKind.UNREACHABLE, message, (server.name,))


def _of_disks(tables: Iterable[PolicyTables], after: Iterable[Server], seen: Surroundings) -> Iterator[PlanWarning]:
    """Warn of servers that fail together and may nevertheless both be in one row: of other zones, or in a crowded one.

    Zones that were not given are the disks themselves, and keep copies apart where there are enough of them.
    """
    tables = list(tables)
    on_disk: defaultdict[str, list[Server]] = defaultdict(list)
    for server in after:
        if server.state is ServerState.ACTIVE and server.name in seen.disks:
            on_disk[seen.disks[server.name]].append(server)
    crowded = any(spread_cap(table.following.members, table.following.width) > 1 for table in tables)
    redundant = any(table.following.width > 1 for table in tables)
    for disk, servers in sorted(on_disk.items()):
        together = len(servers) > 1 and (crowded or len({server.zone for server in servers}) > 1)
        if redundant and together:
            names = tuple(server.name for server in servers)
            message = f"copies of one chunk may lie on one disk ({disk}): {', '.join(names)}"
            yield PlanWarning(PlanWarningKind.SAME_DISK, message, names)
