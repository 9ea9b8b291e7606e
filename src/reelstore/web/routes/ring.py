"""The ring, and plans of what it is to be."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from reelstore.domain.change import Plan
from reelstore.web import schemas, schemas_ring
from reelstore.web.application import Changes, Servers
from reelstore.web.bodies import json_body, json_request_body
from reelstore.web.limits import PLANS_DEFAULT, PLANS_MAX
from reelstore.web.openapi import problems

router = APIRouter(prefix="/api/v1", tags=["cluster"])

PLANNED: dict[int | str, dict[str, Any]] = {201: {"model": schemas_ring.Plan, "description": "Planned, not applied"}}
"""What routes answer that plan with `stage` and otherwise apply at once."""


@router.get(
    "/ring",
    operation_id="describeRing",
    summary="Describe the ring of a policy",
    response_model=schemas.Ring,
    responses=problems(404),
)
async def describe_ring(
    servers: Servers, policy: Annotated[str | None, Query(description="The cluster's default if absent.")] = None
) -> schemas.Ring:
    """Return the newest ring: which part of the partitions each server has."""
    return schemas.Ring.model_validate(await servers.ring(policy))


@router.post(
    "/ring/plans",
    operation_id="planChanges",
    summary="Plan changes of the servers",
    status_code=201,
    response_model=schemas_ring.Plan,
    responses=problems(404, 409, 413, 415),
    openapi_extra=json_request_body(
        schemas_ring.NewPlan,
        {
            "changes": [
                {"action": "add", "name": "disk4", "url": "file:///srv/disk4"},
                {"action": "drain", "name": "disk1"},
            ]
        },
    ),
)
async def plan_changes(
    response: Response, changes: Changes, new: Annotated[schemas_ring.NewPlan, json_body(schemas_ring.NewPlan)]
) -> schemas_ring.Plan:
    """Compute what several changes together would cost. Nothing else happens until the plan is applied."""
    return planned(response, await changes.plan([change.change() for change in new.changes]))


@router.get(
    "/ring/plans",
    operation_id="listPlans",
    summary="List plans",
    response_model=schemas.Listing[schemas_ring.Plan],
    responses=problems(),
)
async def list_plans(
    changes: Changes,
    limit: Annotated[int, Query(ge=1, le=PLANS_MAX, description="At most that many.")] = PLANS_DEFAULT,
) -> schemas.Listing[schemas_ring.Plan]:
    """Return the latest plans, applied or not, the newest first, on one page."""
    found = await changes.latest(limit)
    return schemas.Listing(items=[schemas_ring.Plan.model_validate(plan) for plan in found], next_cursor=None)


@router.get(
    "/ring/plans/{plan_id}",
    operation_id="describePlan",
    summary="Describe a plan",
    response_model=schemas_ring.Plan,
    responses=problems(404),
)
async def describe_plan(changes: Changes, plan_id: str) -> schemas_ring.Plan:
    """Return the plan as it was made, and whether it was applied."""
    return schemas_ring.Plan.model_validate(await changes.get(plan_id))


@router.post(
    "/ring/plans/{plan_id}/apply",
    operation_id="applyPlan",
    summary="Apply a plan",
    response_model=schemas_ring.Plan,
    responses=problems(404, 409, 413, 415, 507),
    openapi_extra=json_request_body(schemas_ring.Acceptance, {"accept_warnings": False}, required=False),
)
async def apply_plan(
    changes: Changes,
    plan_id: str,
    how: Annotated[schemas_ring.Acceptance, json_body(schemas_ring.Acceptance, required=False)],
) -> schemas_ring.Plan:
    """Begin the plan's epoch: new videos use it at once, and what belongs elsewhere moves in the background."""
    return schemas_ring.Plan.model_validate(await changes.apply(plan_id, accept_warnings=how.accept_warnings))


@router.post(
    "/ring/revert",
    operation_id="revertRing",
    summary="Go back to the servers of an earlier epoch",
    response_model=schemas_ring.Plan,
    responses=PLANNED | problems(409, 413, 415),
    openapi_extra=json_request_body(schemas_ring.Reversion, {"epoch": 7, "stage": True}, required=False),
)
async def revert_ring(
    response: Response,
    changes: Changes,
    how: Annotated[schemas_ring.Reversion, json_body(schemas_ring.Reversion, required=False)],
) -> schemas_ring.Plan:
    """Plan the way back and apply it, or with `stage` only plan it (201). What has not moved yet stays where it is."""
    if how.stage:
        return planned(response, await changes.plan_revert(how.epoch))
    return schemas_ring.Plan.model_validate(await changes.revert(how.epoch, accept_warnings=how.accept_warnings))


def planned(response: Response, plan: Plan) -> schemas_ring.Plan:
    """Answer with a plan that was made and not applied: created, and where it is described."""
    response.status_code = 201
    response.headers["location"] = f"/api/v1/ring/plans/{plan.id}"
    return schemas_ring.Plan.model_validate(plan)
