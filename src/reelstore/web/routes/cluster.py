"""The cluster as a whole: its health, its fill."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from reelstore.web import schemas_capacity, schemas_health
from reelstore.web.application import ClusterCondition, Fill, Rebalancing, Scrubbing
from reelstore.web.openapi import problems

router = APIRouter(prefix="/api/v1", tags=["cluster"])


@router.get(
    "/health",
    operation_id="describeHealth",
    summary="How the cluster is",
    response_model=schemas_health.Health,
    responses=problems(),
)
async def describe_health(
    condition: ClusterCondition, scrubbing: Scrubbing, fill: Fill, rebalancing: Rebalancing
) -> schemas_health.Health:
    """Return the cluster's health, with reasons when it is not `ok`, how much it keeps, and for how long that fits."""
    return schemas_health.Health.of(
        await condition.status(),
        await scrubbing.progress(),
        await fill.report(),
        garbage_bytes=rebalancing.progress.garbage_bytes,
    )


@router.get(
    "/capacity",
    operation_id="describeCapacity",
    summary="How full it is, and for how long it lasts",
    response_model=schemas_capacity.Capacity,
    responses=problems(404),
)
async def describe_capacity(
    fill: Fill, server: Annotated[str | None, Query(description="Only this server, with its own samples.")] = None
) -> schemas_capacity.Capacity:
    """Return the fill of each server and of all, the trend of the last 14 days, and in how many days it is full."""
    return schemas_capacity.Capacity.model_validate(await fill.report(server=server))
