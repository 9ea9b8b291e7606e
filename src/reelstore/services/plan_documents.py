"""Plans as they are kept: to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from reelstore.domain.change import (
    ChangeAction,
    Plan,
    PlannedMove,
    PlannedServer,
    PlannedZone,
    PlanWarning,
    PlanWarningKind,
    ServerChange,
)
from reelstore.repositories.interface import KeptPlan

_FORM = 1
_COLUMNS = ("id", "base_epoch", "created_at", "applied_epoch")
"""Kept beside the document."""


def kept(plan: Plan) -> KeptPlan:
    """Return a plan as it is kept."""
    document: dict[str, object] = {"form": _FORM, **asdict(plan)}
    for column in _COLUMNS:
        del document[column]
    return KeptPlan(
        id=plan.id,
        base_epoch=plan.base_epoch,
        created_at=plan.created_at,
        document=document,
        applied_epoch=plan.applied_epoch,
    )


def plan_of(record: KeptPlan) -> Plan:
    """Return the plan of which this was kept."""
    document = cast("Mapping[str, Any]", record.document)
    if document["form"] != _FORM:
        raise RuntimeError(f"plan {record.id} is of form {document['form']}, not {_FORM}")
    return Plan(
        id=record.id,
        base_epoch=record.base_epoch,
        changes=tuple(
            ServerChange(**{**change, "action": ChangeAction(change["action"])}) for change in document["changes"]
        ),
        reason=document["reason"],
        bytes_total=document["bytes_total"],
        bytes_minimum=document["bytes_minimum"],
        bytes_stored=document["bytes_stored"],
        moves=tuple(PlannedMove(**move) for move in document["moves"]),
        servers=tuple(PlannedServer(**server) for server in document["servers"]),
        zones=tuple(PlannedZone(**zone) for zone in document["zones"]),
        duration_seconds=document["duration_seconds"],
        duration_basis=document["duration_basis"],
        warnings=tuple(
            PlanWarning(
                PlanWarningKind(warning["kind"]),
                warning["message"],
                tuple(warning["servers"]),
                needs_acceptance=warning["needs_acceptance"],
            )
            for warning in document["warnings"]
        ),
        created_at=record.created_at,
        applied_epoch=record.applied_epoch,
    )
