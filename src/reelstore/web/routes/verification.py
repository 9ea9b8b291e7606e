"""Prove that shards are what they should be, and look at those that were not."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from reelstore.web import schemas, schemas_verification
from reelstore.web.application import Inspector, Quarantined, Verifier
from reelstore.web.bodies import json_body, json_request_body
from reelstore.web.leaving import while_client_stays
from reelstore.web.limits import PAGE_SIZE_DEFAULT
from reelstore.web.openapi import problems
from reelstore.web.routes.videos import Cursor, PageSize

router = APIRouter(prefix="/api/v1")


@router.post(
    "/videos/{video_id}/verify",
    operation_id="verifyVideo",
    summary="Check every shard of a video",
    tags=["content"],
    response_model=schemas.Verification,
    responses=problems(404),
)
async def verify_video(request: Request, inspector: Inspector, video_id: str) -> schemas.Verification:
    """Read and hash every shard that should be there. What is not as it should be is queued for repair.

    The answer comes at the end, after as long as the servers' disks take; it ends early when the client leaves.
    """
    return schemas.Verification.model_validate(await while_client_stays(request, inspector.verify(video_id)))


@router.post(
    "/verify",
    operation_id="verifyCluster",
    summary="Check the next shards of the cluster",
    tags=["cluster"],
    response_model=schemas_verification.VerifiedSlice,
    responses=problems(413, 415),
    openapi_extra=json_request_body(schemas_verification.VerifyRequest, {"seconds": 5}, required=False),
)
async def verify_cluster(
    verifier: Verifier,
    asked: Annotated[schemas_verification.VerifyRequest, json_body(schemas_verification.VerifyRequest, required=False)],
) -> schemas_verification.VerifiedSlice:
    """Read and hash the next shards for some seconds; with `next_cursor` any gateway goes on from there.

    Each chunk is seen once however many videos share it. A shard that the newest ring wants elsewhere and that was
    not moved yet is read where it is, and is no problem. What is wrong is queued for repair.
    """
    return schemas_verification.VerifiedSlice.model_validate(await verifier.verify(asked.cursor, asked.seconds))


@router.get(
    "/quarantine",
    operation_id="listQuarantine",
    summary="List copies of suspect bytes",
    tags=["cluster"],
    response_model=schemas_verification.Quarantine,
    responses=problems(),
)
async def list_quarantine(
    quarantine: Quarantined, limit: PageSize = PAGE_SIZE_DEFAULT, cursor: Cursor = None
) -> schemas_verification.Quarantine:
    """Return what repair set aside on all servers before it put good bytes in the place of bad ones, newest first."""
    page = await quarantine.list(limit=limit, cursor=cursor)
    return schemas_verification.Quarantine.model_validate(page)


@router.delete(
    "/quarantine",
    operation_id="emptyQuarantine",
    summary="Drop copies of suspect bytes",
    tags=["cluster"],
    response_model=schemas_verification.Emptied,
    responses=problems(),
)
async def empty_quarantine(
    quarantine: Quarantined,
    before: Annotated[
        datetime | None, Query(description="Only what was set aside before then; everything if absent.")
    ] = None,
) -> schemas_verification.Emptied:
    """Drop them now, on every server that answers. No video needs them; by themselves they go after 30 days."""
    return schemas_verification.Emptied.model_validate(await quarantine.empty(before=before))
