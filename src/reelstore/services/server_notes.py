"""What is going on with a server, in one line for people: why it leaves, and what it waits for."""

from __future__ import annotations

from reelstore.chunkstore.fleet import FleetMember
from reelstore.domain.server import Server, ServerHealth, ServerState


def server_note(server: Server, member: FleetMember | None) -> str | None:
    """Return what is going on with a server that somebody may wait for, or should see to."""
    if member is not None and member.not_evicted is not None:
        return f"server {server.name} is silent for long and not taken out of the ring: {member.not_evicted}"
    if server.state is not ServerState.DRAINING:
        return None
    if server.evicted_at is not None:
        doing = f"was taken out of the ring at {server.evicted_at:%Y-%m-%d %H:%M:%S} UTC because it was silent"
        if server.health is ServerHealth.UP:
            return f"server {server.name} {doing}; it answers again: 'reelstore server activate {server.name}'"
    elif server.remove_when_empty:
        doing = "is being drained, to be removed when it is empty"
    else:
        doing = "is being drained"
    if member is not None and member.is_empty:
        return f"server {server.name} {doing}; nothing that it has is needed any more"
    waiting = "; ".join(member.obstacles or ()) if member is not None else ""
    return f"server {server.name} {doing}{f': {waiting}' if waiting else ''}"
