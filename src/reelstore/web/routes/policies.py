"""Policies: created, never edited."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from reelstore.web import schemas_policies
from reelstore.web.application import PolicyKeeping
from reelstore.web.bodies import json_body, json_request_body
from reelstore.web.openapi import problems
from reelstore.web.schemas import Listing

router = APIRouter(prefix="/api/v1", tags=["cluster"])


@router.get(
    "/policies",
    operation_id="listPolicies",
    summary="List the policies",
    response_model=Listing[schemas_policies.Policy],
    responses=problems(),
)
async def list_policies(policies: PolicyKeeping) -> Listing[schemas_policies.Policy]:
    """Return all policies in order of name, on one page."""
    found = [schemas_policies.Policy.of(view) for view in await policies.list()]
    return Listing(items=found, next_cursor=None)


@router.post(
    "/policies",
    operation_id="addPolicy",
    summary="Create a policy",
    status_code=201,
    response_model=schemas_policies.Policy,
    responses=problems(409, 413, 415),
    openapi_extra=json_request_body(schemas_policies.NewPolicy, {"name": "archive", "kind": "erasure", "k": 4, "m": 2}),
)
async def add_policy(
    response: Response,
    policies: PolicyKeeping,
    new: Annotated[schemas_policies.NewPolicy, json_body(schemas_policies.NewPolicy)],
) -> schemas_policies.Policy:
    """Create a policy, with a ring of its own. It is never edited; videos are stored under it by name."""
    view = await policies.add(new.policy(), default=new.default)
    response.headers["location"] = f"/api/v1/policies/{view.policy.name}"
    return schemas_policies.Policy.of(view)


@router.get(
    "/policies/{name}",
    operation_id="describePolicy",
    summary="Describe a policy",
    response_model=schemas_policies.Policy,
    responses=problems(404),
)
async def describe_policy(policies: PolicyKeeping, name: str) -> schemas_policies.Policy:
    """Return the policy."""
    return schemas_policies.Policy.of(await policies.get(name))


@router.patch(
    "/policies/{name}",
    operation_id="makePolicyDefault",
    summary="Make a policy the default",
    response_model=schemas_policies.Policy,
    responses=problems(404, 413, 415),
    openapi_extra=json_request_body(schemas_policies.PolicyPatch, {"default": True}),
)
async def make_policy_default(
    policies: PolicyKeeping,
    name: str,
    patch: Annotated[schemas_policies.PolicyPatch, json_body(schemas_policies.PolicyPatch)],  # noqa: ARG001 - it says one thing only
) -> schemas_policies.Policy:
    """Have it hold for videos that name none, from now on; those that are stored keep theirs."""
    return schemas_policies.Policy.of(await policies.make_default(name))
