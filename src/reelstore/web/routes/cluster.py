"""The cluster as a whole: its rebalancing, its health."""

from __future__ import annotations

from fastapi import APIRouter

from reelstore.web import schemas
from reelstore.web.application import Rebalancing, Scrubbing, Servers
from reelstore.web.openapi import problems

router = APIRouter(prefix="/api/v1", tags=["cluster"])


@router.get(
    "/rebalance",
    operation_id="describeRebalance",
    summary="How far the data is where the ring wants it",
    response_model=schemas.Rebalance,
    responses=problems(),
)
async def describe_rebalance(rebalancing: Rebalancing) -> schemas.Rebalance:
    """Return the progress. `idle` means that everything is proved to lie where it should."""
    return schemas.Rebalance.model_validate(await rebalancing.status())


@router.get(
    "/health",
    operation_id="describeHealth",
    summary="How the cluster is",
    response_model=schemas.Health,
    responses=problems(),
)
async def describe_health(servers: Servers, scrubbing: Scrubbing) -> schemas.Health:
    """Return the cluster's health, with reasons when it is not `ok`, and how much it keeps."""
    return schemas.Health.of(await servers.status(), await scrubbing.progress())
