"""What changes make of the servers: pure, and the one place where a change is found to make no sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import Conflict, InvalidInput, ServerExists
from reelstore.domain.server import SERVERS_MAX, Server, ServerState, check_server_name, check_zone
from reelstore.placement.ring import RingSet
from reelstore.services.lookup import SHOWN_LENGTH_MAX, found_server

CAPACITY_BYTES_MAX = 2**60
NAMED_MAX = 5
"""Servers that a reason names one by one."""

_VERBS = {ChangeAction.UPDATE: "change"}


def check_changes(changes: Sequence[ServerChange]) -> None:
    """Make sure that changes make sense by themselves, whatever servers there are.

    Raises:
        InvalidInput: which one does not, and why; a retry does not help.
    """
    if not 1 <= len(changes) <= SERVERS_MAX:
        raise InvalidInput(f"a plan has 1 to {SERVERS_MAX} changes", field="changes")
    name, times = Counter(change.name for change in changes).most_common(1)[0]
    if times > 1:
        raise InvalidInput(
            f"the server {name[:SHOWN_LENGTH_MAX]!r} is named {times} times; once is enough", field="name"
        )
    for change in changes:
        _check_change(change)


def _check_change(change: ServerChange) -> None:
    is_add = change.action is ChangeAction.ADD
    if is_add:
        check_server_name(change.name)
        if change.url is None:
            raise InvalidInput(f"to add the server {change.name}, say by its url where it is", field="url")
    elif change.url is not None:
        raise InvalidInput("a server's url never changes: add another server, and drain this one", field="url")
    if change.zone is not None:
        check_zone(change.zone)
    if change.capacity_bytes is not None and not 1 <= change.capacity_bytes <= CAPACITY_BYTES_MAX:
        raise InvalidInput(f"capacity_bytes must be 1 to {CAPACITY_BYTES_MAX}", field="capacity_bytes")
    has_values = change.zone is not None or change.capacity_bytes is not None
    if change.action is ChangeAction.UPDATE and not has_values:
        raise InvalidInput(f"say which zone or capacity_bytes the server {change.name} is to have", field="changes")
    if change.action is ChangeAction.REMOVE and has_values:
        raise InvalidInput(f"the server {change.name} is to go: it needs no zone and no capacity", field="changes")


def changed_servers(
    servers: Sequence[Server], changes: Iterable[ServerChange], *, next_number: int
) -> tuple[Server, ...]:
    """Return all servers, removed ones too, as they are after the changes.

    Args:
        servers: all that there are.
        changes: which `check_changes` has let pass; those that add have zone and capacity.
        next_number: of the first server that is added.

    Raises:
        ServerNotFound, ServerExists, InvalidInput, Conflict: a change does not fit the servers; a retry does not help.
    """
    after = {server.name: server for server in servers}
    for change in changes:
        if change.action is ChangeAction.ADD:
            check_are_new(servers, [change])
            after[change.name] = _added(change, next_number)
            next_number += 1
        else:
            server = found_server(after.get(change.name), change.name)
            changed = _changed(server, change)
            if changed == server:
                raise Conflict(_why_nothing_changes(server, change))
            after[change.name] = changed
    if len(after) > SERVERS_MAX:
        raise InvalidInput(f"a cluster has at most {SERVERS_MAX} servers, counting those removed", field="name")
    if not any(server.state is ServerState.ACTIVE for server in after.values()):
        raise Conflict("no server would be left to keep anything: add or activate one in the same plan")
    return tuple(sorted(after.values(), key=lambda server: server.number))


def check_are_new(servers: Iterable[Server], changes: Iterable[ServerChange]) -> None:
    """Raise `ServerExists` when a server has, or once had, the name of one to be added; a retry does not help."""
    added = {change.name for change in changes if change.action is ChangeAction.ADD}
    for server in servers:
        if server.name in added:
            was = " once, and names are never used again" if server.state is ServerState.REMOVED else ""
            raise ServerExists(f"there is a server {server.name} already{was}")


def _added(change: ServerChange, number: int) -> Server:
    if change.url is None or change.zone is None or change.capacity_bytes is None:
        raise ValueError(f"to add server {change.name}, its url, zone and capacity must be known")
    return Server(change.name, number, change.url, change.zone, change.capacity_bytes)


def _changed(server: Server, change: ServerChange) -> Server:
    server = replace(
        server,
        zone=server.zone if change.zone is None else change.zone,
        capacity_bytes=server.capacity_bytes if change.capacity_bytes is None else change.capacity_bytes,
    )
    match change.action:
        case ChangeAction.DRAIN:
            return replace(server, state=ServerState.DRAINING, remove_when_empty=False)
        case ChangeAction.REMOVE:
            return replace(server, state=ServerState.DRAINING, remove_when_empty=True)
        case ChangeAction.ACTIVATE:
            return replace(server, state=ServerState.ACTIVE, remove_when_empty=False, evicted_at=None)
        case _:
            return server


def _why_nothing_changes(server: Server, change: ServerChange) -> str:
    if change.action is ChangeAction.UPDATE:
        return f"the server {server.name} has this zone and capacity already"
    if change.action is ChangeAction.REMOVE:
        return f"the server {server.name} is being drained already, and is removed when it is empty"
    return f"the server {server.name} is {server.state} already"


def patch(server: Server, *, zone: str | None, capacity_bytes: int | None, state: ServerState | None) -> ServerChange:
    """Return the one change that gives a server these values; what is None stays, and so does an equal state."""
    actions = {ServerState.ACTIVE: ChangeAction.ACTIVATE, ServerState.DRAINING: ChangeAction.DRAIN}
    action = ChangeAction.UPDATE
    if state is not None and (state is not server.state or (zone is None and capacity_bytes is None)):
        action = actions[state]
    return ServerChange(action, server.name, zone=zone, capacity_bytes=capacity_bytes)


def reason_of(changes: Sequence[ServerChange]) -> str:
    """Return the changes in one line for people: `add server disk4, drain server disk2`."""
    named = [f"{_VERBS.get(change.action, change.action.value)} server {change.name}" for change in changes]
    others = len(named) - NAMED_MAX
    return ", ".join(named[:NAMED_MAX]) + (f" and {others} more changes" if others > 0 else "")


def way_back(servers: Iterable[Server], target: RingSet) -> list[ServerChange]:
    """Return the changes that give the servers the state, capacity and zone again that they had at an earlier epoch.

    A server that came later drains: what was stored on it since must move before it can go.

    Raises:
        Conflict: a server that took part in it is removed by now, or the servers are as they were then; a retry does
            not help.
    """
    then = {member.number: member for ring in target.rings.values() for member in ring.members}
    changes = []
    for server in servers:
        member = then.get(server.number)
        weight = member.weight if member is not None else 0
        if server.state is ServerState.REMOVED:
            if weight:
                raise Conflict(
                    f"the server {server.name} has been removed since epoch {target.epoch}, and cannot come back: "
                    "add its place under a new name, then change the other servers one by one"
                )
            continue
        change = ServerChange(
            ChangeAction.ACTIVATE if weight else ChangeAction.DRAIN,
            server.name,
            zone=member.zone if member is not None else None,
            capacity_bytes=weight or None,
        )
        state = ServerState.ACTIVE if weight else ServerState.DRAINING
        changed = _changed(server, change)
        if server.state is not state:
            changes.append(change)
        elif (changed.zone, changed.capacity_bytes) != (server.zone, server.capacity_bytes):
            changes.append(replace(change, action=ChangeAction.UPDATE))
    if not changes:
        raise Conflict(f"there is nothing to revert: the servers are as they were at epoch {target.epoch}")
    return changes
