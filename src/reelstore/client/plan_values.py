"""Changes of the topology and what they cost, as values; see `reelstore.client.values`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to be done with one server.

    Args:
        action: `add`, `update` (another capacity or zone), `drain`, `activate` (end a drain) or `remove`.
        name: which server.
        url: where it is; for `add`.
        zone: servers that may fail together share one; None for what its place tells, or for as it is.
        capacity_bytes: its weight; likewise.
    """

    action: str
    name: str
    url: str | None = None
    zone: str | None = None
    capacity_bytes: int | None = None

    @property
    def document(self) -> dict[str, Any]:
        """As the API takes it."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Move:
    """Bytes that go from one server to another; `source` is None for what is made anew from other copies."""

    source: str | None
    target: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """What a plan makes of a server: its fill before, at most during, and after; its share of the ring, 0 to 1."""

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
    """What a plan makes of a zone: slots of the rings, and bytes of its servers, before and after."""

    name: str
    shards_before: int
    shards_after: int
    used_bytes_before: int
    used_bytes_after: int


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """What somebody should know before a plan is applied, and whether somebody must say that it is accepted."""

    kind: str
    message: str
    servers: tuple[str, ...]
    needs_acceptance: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of the topology with its price.

    Args:
        id: names it.
        base_epoch: of the ring that it starts from; it can be applied to no other.
        reason: what it does, for people.
        bytes_total: to be moved, and `bytes_minimum`, below which no change can reach the same loads.
        moves: by pairs of servers, the largest first.
        servers, zones: in order of name.
        duration_seconds: an estimate; `duration_basis` is `measured`, `limit` or `assumed`.
        warnings: those that must be accepted first.
        created_at: when it was made.
        applied_epoch: the epoch that it began; None while it is not applied.
    """

    id: str
    base_epoch: int
    reason: str
    bytes_total: int
    bytes_minimum: int
    moves: tuple[Move, ...]
    servers: tuple[PlannedServer, ...]
    zones: tuple[PlannedZone, ...]
    duration_seconds: float
    duration_basis: str
    warnings: tuple[PlanWarning, ...]
    created_at: datetime | None
    applied_epoch: int | None
    document: Json = field(repr=False, compare=False)

    @property
    def unaccepted(self) -> tuple[PlanWarning, ...]:
        """The warnings that must be accepted."""
        return tuple(warning for warning in self.warnings if warning.needs_acceptance)

    @classmethod
    def parse(cls, document: Document) -> Plan:
        """Read a plan, or raise `UnexpectedAnswer`."""
        return cls(
            id=document.text("id"),
            base_epoch=document.whole("base_epoch"),
            reason=document.text("reason", ""),
            bytes_total=document.whole("bytes_total"),
            bytes_minimum=document.whole("bytes_minimum", 0),
            moves=tuple(
                Move(move.optional_text("from"), move.text("to"), move.whole("bytes"))
                for move in document.children("moves", "move")
            ),
            servers=tuple(_server(server) for server in document.children("servers", "server of a plan")),
            zones=tuple(_zone(zone) for zone in document.children("zones", "zone of a plan")),
            duration_seconds=document.number("duration_seconds"),
            duration_basis=document.text("duration_basis", ""),
            warnings=planned_warnings(document),
            created_at=document.time("created_at"),
            applied_epoch=None if document.fields.get("applied_epoch") is None else document.whole("applied_epoch"),
            document=document.fields,
        )


def planned_warnings(document: Document) -> tuple[PlanWarning, ...]:
    """Read the field `warnings`, or raise `UnexpectedAnswer`."""
    return tuple(
        PlanWarning(
            warning.text("kind", ""),
            warning.text("message"),
            warning.texts("servers"),
            needs_acceptance=warning.flag("needs_acceptance", default=False),
        )
        for warning in document.children("warnings", "warning of a plan")
    )


def _server(server: Document) -> PlannedServer:
    return PlannedServer(
        name=server.text("name"),
        zone=server.text("zone", ""),
        state_after=server.text("state_after", ""),
        capacity_bytes=server.whole("capacity_bytes", 0),
        used_bytes_before=server.whole("used_bytes_before"),
        used_bytes_peak=server.whole("used_bytes_peak"),
        used_bytes_after=server.whole("used_bytes_after"),
        share_before=server.number("share_before", 0.0),
        share_after=server.number("share_after", 0.0),
    )


def _zone(zone: Document) -> PlannedZone:
    return PlannedZone(
        name=zone.text("name"),
        shards_before=zone.whole("shards_before", 0),
        shards_after=zone.whole("shards_after", 0),
        used_bytes_before=zone.whole("used_bytes_before", 0),
        used_bytes_after=zone.whole("used_bytes_after", 0),
    )
