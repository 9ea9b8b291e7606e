"""The cluster as a whole: its ring, its rebalancing, its health."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from reelstore.domain.errors import PolicyNotFound
from reelstore.web import schemas
from reelstore.web.application import Rebalancing, Servers
from reelstore.web.openapi import problems

router = APIRouter(prefix="/api/v1", tags=["cluster"])


@router.get(
    "/ring",
    operation_id="describeRing",
    summary="Describe the ring of a policy",
    response_model=schemas.Ring,
    responses=problems(404),
)
async def describe_ring(
    servers: Servers, policy: Annotated[str | None, Query(description="The first policy if absent.")] = None
) -> schemas.Ring:
    """Return the newest ring: which part of the partitions each server has."""
    for ring in await servers.rings():
        if policy in {None, ring.policy}:
            return schemas.Ring.model_validate(ring)
    raise PolicyNotFound(f"there is no ring for the policy {policy!r}", key=policy or "")


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
async def describe_health(servers: Servers) -> schemas.Health:
    """Return the cluster's health, with reasons when it is not `ok`, and how much it keeps."""
    return schemas.Health.model_validate(await servers.status())
