"""JSON documents of plans and of what changes servers: what goes out, what comes in."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from reelstore.domain import change as domain
from reelstore.domain.change import ChangeAction, PlanWarningKind, ServerChange
from reelstore.domain.server import SERVERS_MAX
from reelstore.services.servers import ServerView
from reelstore.web.schemas import Document, Server


class Change(Document):
    """What is to be done with one server."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    action: ChangeAction = Field(
        description="`add`; `update` zone or capacity; `drain`; `activate`, which ends a drain; `remove` when empty."
    )
    name: str = Field(description="The server's name.", examples=["disk4"])
    url: str | None = Field(None, description="Where it is; for `add`.", examples=["file:///srv/disk4"])
    zone: str | None = Field(None, description="Servers that may fail together share one.")
    capacity_bytes: int | None = Field(None, strict=True, description="Its weight in the ring.")

    def change(self) -> ServerChange:
        """Return what the service is to plan."""
        return ServerChange(self.action, self.name, self.url, self.zone, self.capacity_bytes)


class NewPlan(BaseModel):
    """Changes to be planned."""

    model_config = ConfigDict(extra="forbid")

    changes: list[Change] = Field(min_length=1, max_length=SERVERS_MAX, description="No server twice.")


class Move(Document):
    """Bytes that go from one server to another."""

    source: str | None = Field(
        serialization_alias="from", description="Null for what is made anew from other copies: nobody has it."
    )
    target: str = Field(serialization_alias="to")
    size_bytes: int = Field(serialization_alias="bytes")


class PlannedServer(Document):
    """What a plan makes of a server."""

    name: str
    zone: str
    state_after: Literal["active", "draining"]
    capacity_bytes: int
    used_bytes_before: int
    used_bytes_peak: int = Field(description="While it has what comes, and not yet given away what goes.")
    used_bytes_after: int
    share_before: float
    share_after: float


class PlannedZone(Document):
    """What a plan makes of a zone."""

    name: str
    shards_before: int = Field(description="Slots of the rings of all policies.")
    shards_after: int
    used_bytes_before: int
    used_bytes_after: int


class PlanWarning(Document):
    """What somebody should know before the plan is applied."""

    kind: PlanWarningKind
    message: str
    servers: list[str]
    needs_acceptance: bool = Field(description="The plan is applied only with `accept_warnings`.")


class Plan(Document):
    """A change of the topology with its price."""

    id: str
    base_epoch: int = Field(description="It can be applied while this is the newest epoch.")
    changes: list[Change]
    reason: str = Field(examples=["add server disk4"])
    bytes_total: int = Field(description="To be moved.")
    bytes_minimum: int = Field(description="Below which no change can reach these loads, zones left aside.")
    bytes_stored: int = Field(description="Of all shards there are.")
    moves: list[Move] = Field(description="By pairs of servers, the largest first.")
    servers: list[PlannedServer]
    zones: list[PlannedZone]
    duration_seconds: float
    duration_basis: Literal["measured", "limit", "assumed"]
    warnings: list[PlanWarning]
    created_at: datetime
    applied_epoch: int | None = Field(description="The epoch that it began; null while it is not applied.")


class Acceptance(BaseModel):
    """How a plan is to be applied."""

    model_config = ConfigDict(extra="forbid", strict=True)

    accept_warnings: bool = Field(False, description="Apply it in spite of warnings that must be accepted.")


class Reversion(BaseModel):
    """Where to go back to, and how."""

    model_config = ConfigDict(extra="forbid", strict=True)

    epoch: int | None = Field(None, description="Whose servers are wanted again; the one before the newest if absent.")
    stage: bool = Field(False, description="Plan the way back, and do not apply it.")
    accept_warnings: bool = Field(False, description="Apply it in spite of warnings that must be accepted.")


class ChangedServer(Server):
    """A storage server after a change that was planned and applied."""

    plan_id: str
    epoch: int = Field(description="That this change began.")
    warnings: list[PlanWarning]

    @classmethod
    def after(cls, view: ServerView, plan: domain.Plan) -> Self:
        """Describe a server as a plan left it."""
        return cls(
            **Server.of(view).model_dump(),
            plan_id=plan.id,
            epoch=plan.applied_epoch or 0,
            warnings=[PlanWarning.model_validate(warning) for warning in plan.warnings],
        )


class ServerPatch(BaseModel):
    """Changes to a server: what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    zone: str | None = Field(None, description="Servers that may fail together share one.")
    capacity_bytes: int | None = Field(None, description="Its weight in the ring.")
    state: Literal["active", "draining"] | None = Field(
        None, description="`draining` moves away all that it has; `active` takes it in again."
    )
