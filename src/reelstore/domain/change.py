"""Changes of the topology: what an operator asks for, and what it would cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ChangeAction(StrEnum):
    """What is to be done with a server."""

    ADD = "add"
    """Take in a new server."""
    UPDATE = "update"
    """Give it another capacity or zone."""
    DRAIN = "drain"
    """Give it nothing new, and move away what it has."""
    ACTIVATE = "activate"
    """End a drain: it takes part in the ring again."""
    REMOVE = "remove"
    """Drain it, and remove it when a listing has proved that it is empty."""


@dataclass(frozen=True, slots=True)
class ServerChange:
    """One step of a change.

    Args:
        action: what.
        name: which server.
        url: where it is; for `add` alone.
        zone: for `add` None stands for what its place tells, otherwise for as it is; not for `remove`.
        capacity_bytes: likewise.
    """

    action: ChangeAction
    name: str
    url: str | None = None
    zone: str | None = None
    capacity_bytes: int | None = None


class PlanWarningKind(StrEnum):
    """What can be wrong with a topology or with the way to it."""

    TOO_FEW_SERVERS = "too-few-servers"
    ZONE_LOSS_LOSES_DATA = "zone-loss-loses-data"
    UNUSABLE_CAPACITY = "unusable-capacity"
    NEARLY_FULL = "nearly-full"
    OVERFULL = "overfull"
    UNREACHABLE = "unreachable"
    SAME_DISK = "same-disk"


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """Warn of something before it is applied.

    Args:
        kind: for programs.
        message: for people.
        servers: names of those that it is about; none when it is about all.
        needs_acceptance: the plan is applied only by somebody who says that this is accepted.
    """

    kind: PlanWarningKind
    message: str
    servers: tuple[str, ...] = ()
    needs_acceptance: bool = False


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """Say how many bytes go from one server to another.

    `source` is None for shards that are made from the others of their chunk because nobody holds them.
    """

    source: str | None
    target: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """Say what a plan makes of one server: bytes of shards before, at most during, and after it; shares of the ring.

    `state_after` is what the server is once the plan is applied: `active` or `draining`.
    """

    name: str
    zone: str
    state_after: str
    capacity_bytes: int
    used_bytes_before: int
    used_bytes_peak: int
    used_bytes_after: int
    share_before: float
    share_after: float


@dataclass(frozen=True, slots=True)
class PlannedZone:
    """Say how many slots of all rings, and how many bytes, a zone has before and after a plan."""

    name: str
    shards_before: int
    shards_after: int
    used_bytes_before: int
    used_bytes_after: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A change with its price.

    Args:
        id: random.
        base_epoch: of the ring that it starts from.
        changes: what is asked for, in order.
        reason: one line for people: `add server disk4`.
        bytes_total: what is moved, shards of all servers together.
        bytes_stored: of all shards when it was made.
        bytes_minimum: below which no change can reach the new loads.
        moves: the same by pairs of servers, the largest first.
        servers: in order of name.
        zones: in order of name.
        duration_seconds: an estimate; `duration_basis` says from what: a `measured` rate, the `limit` that was set, or
            an `assumed` rate.
        warnings: for people to read before they apply it.
        created_at: in UTC.
        applied_epoch: the epoch that it began, None while it is not applied.
    """

    id: str
    base_epoch: int
    changes: tuple[ServerChange, ...]
    reason: str
    bytes_total: int
    bytes_minimum: int
    bytes_stored: int
    moves: tuple[PlannedMove, ...]
    servers: tuple[PlannedServer, ...]
    zones: tuple[PlannedZone, ...]
    duration_seconds: float
    duration_basis: str
    warnings: tuple[PlanWarning, ...]
    created_at: datetime
    applied_epoch: int | None = None
