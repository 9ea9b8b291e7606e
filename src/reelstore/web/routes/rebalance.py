"""Moving and mending: how far it is, and how it is paused and limited."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from reelstore.web.application import Rebalancing
from reelstore.web.bodies import json_body, json_request_body
from reelstore.web.openapi import problems
from reelstore.web.schemas_rebalance import Rebalance, RebalanceChange

router = APIRouter(prefix="/api/v1", tags=["cluster"])


@router.get(
    "/rebalance",
    operation_id="describeRebalance",
    summary="How far the data is where the ring wants it",
    response_model=Rebalance,
    responses=problems(),
)
async def describe_rebalance(rebalancing: Rebalancing) -> Rebalance:
    """Return the progress. `idle` means that everything is proved to lie where it should."""
    return Rebalance.model_validate(await rebalancing.status())


@router.patch(
    "/rebalance",
    operation_id="changeRebalance",
    summary="Pause, resume or limit moving and mending",
    response_model=Rebalance,
    responses=problems(413, 415),
    openapi_extra=json_request_body(RebalanceChange, {"paused": True}),
)
async def change_rebalance(
    rebalancing: Rebalancing, given: Annotated[RebalanceChange, json_body(RebalanceChange)]
) -> Rebalance:
    """Change what is given; it holds for all workers within a second, and until it is changed again."""
    await rebalancing.control.change(**given.changes())
    return Rebalance.model_validate(await rebalancing.status())
