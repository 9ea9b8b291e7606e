"""Videos as things with a description: list, describe, edit, trash, restore, purge."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from reelstore.domain.video import Video, VideoState
from reelstore.repositories.interface import SORTS
from reelstore.services.video_requests import VideoList
from reelstore.web import schemas
from reelstore.web.application import Transferals, Videos
from reelstore.web.bodies import json_body, json_request_body
from reelstore.web.conditions import tag_matches
from reelstore.web.etags import description_etag, expected_version
from reelstore.web.limits import CURSOR_LENGTH_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from reelstore.web.openapi import problems

router = APIRouter(prefix="/api/v1", tags=["videos"])

_SORTS = [sign + name for name in SORTS for sign in ("", "-")]

PageSize = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="At most that many items.")]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_LENGTH_MAX, description="`next_cursor` of the page before, with the same query."),
]
IfMatch = Annotated[
    str | None, Header(description="Act only on this version: the `etag` that was read. Else the answer is 412.")
]


@router.get(
    "/videos",
    operation_id="listVideos",
    summary="List and search videos",
    response_model=schemas.Listing[schemas.Video],
    responses=problems(404),
)
async def list_videos(
    videos: Videos,
    *,
    query: Annotated[
        str, Query(description="Words that must all occur in name, title, description or tags, whatever their case.")
    ] = "",
    tag: Annotated[
        list[str] | None, Query(description="Only videos with this tag; may be given several times.")
    ] = None,
    state: Annotated[VideoState | None, Query(description="Only this state; all but `trashed` if absent.")] = None,
    server: Annotated[str | None, Query(description="Only videos with chunks on this server.")] = None,
    sort: Annotated[
        str, Query(description="A field, largest first with `-` before it.", json_schema_extra={"enum": [*_SORTS]})
    ] = "-created_at",
    limit: PageSize = PAGE_SIZE_DEFAULT,
    cursor: Cursor = None,
) -> schemas.Listing[schemas.Video]:
    """Return one page of the videos that match."""
    page = await videos.list(
        VideoList(query=query, tags=tuple(tag or ()), state=state, server=server, sort=sort, limit=limit, cursor=cursor)
    )
    return schemas.Listing(items=[schemas.Video.of(video) for video in page.items], next_cursor=page.next_cursor)


@router.get(
    "/videos/{video_id}",
    operation_id="describeVideo",
    summary="Describe a video",
    response_model=schemas.Video,
    responses={304: {"description": "`If-None-Match` names the present version."}, **problems(404)},
)
async def describe_video(
    request: Request, response: Response, videos: Videos, video_id: str
) -> schemas.Video | Response:
    """Return the description, also of a video in the trash."""
    video = await videos.get(video_id)
    if_none_match = request.headers.get("if-none-match")
    if if_none_match is not None and tag_matches(if_none_match, description_etag(video)):
        return Response(status_code=304, headers=_cache_headers(video))
    return _described(response, video)


@router.patch(
    "/videos/{video_id}",
    operation_id="editVideo",
    summary="Edit a video's description",
    response_model=schemas.Video,
    responses=problems(404, 409, 412, 413, 415),
    openapi_extra=json_request_body(schemas.VideoPatch, {"title": "Holiday", "tags": ["sea", "2026"]}),
)
async def edit_video(
    response: Response,
    videos: Videos,
    transfers: Transferals,
    video_id: str,
    patch: Annotated[schemas.VideoPatch, json_body(schemas.VideoPatch)],
    if_match: IfMatch = None,
) -> schemas.Video:
    """Change name, title, description or tags; what is absent stays. The content never changes.

    With `policy` alone, the video is stored under another one, in the background.
    """
    version = await expected_version(videos, video_id, if_match)
    policy = patch.other_policy()
    if policy is not None:
        return _described(response, await transfers.request(video_id, policy, expected_version=version))
    return _described(response, await videos.edit(video_id, patch.edit(), expected_version=version))


@router.get(
    "/transfers",
    operation_id="listTransfers",
    summary="Which videos are on their way to another policy",
    response_model=schemas.Listing[schemas.Transfer],
    responses=problems(),
)
async def list_transfers(transfers: Transferals) -> schemas.Listing[schemas.Transfer]:
    """Return up to 1,000 of them, on one page."""
    found = [schemas.Transfer.model_validate(each) for each in await transfers.list()]
    return schemas.Listing(items=found, next_cursor=None)


@router.delete(
    "/videos/{video_id}",
    operation_id="deleteVideo",
    summary="Put a video into the trash, or purge it",
    response_model=schemas.Video | schemas.Purged,
    responses=problems(404, 409, 412),
)
async def delete_video(
    response: Response,
    videos: Videos,
    video_id: str,
    *,
    purge: Annotated[bool, Query(description="Free the space, for good, instead of keeping it in the trash.")] = False,
    if_match: IfMatch = None,
) -> schemas.Video | schemas.Purged:
    """Put the video into the trash, from where it can be restored; with `purge=true` remove it for good.

    A purge answers with the bytes that no other video still needs.
    """
    version = await expected_version(videos, video_id, if_match)
    if purge:
        return schemas.Purged.of(await videos.purge(video_id, expected_version=version))
    return _described(response, await videos.trash(video_id, expected_version=version))


@router.post(
    "/videos/{video_id}/restore",
    operation_id="restoreVideo",
    summary="Take a video out of the trash",
    response_model=schemas.Video,
    responses=problems(404, 409, 412),
)
async def restore_video(response: Response, videos: Videos, video_id: str, if_match: IfMatch = None) -> schemas.Video:
    """Bring the video back as it was."""
    version = await expected_version(videos, video_id, if_match)
    return _described(response, await videos.restore(video_id, expected_version=version))


def _described(response: Response, video: Video) -> schemas.Video:
    response.headers.update(_cache_headers(video))
    return schemas.Video.of(video)


def _cache_headers(video: Video) -> dict[str, str]:
    return {"etag": description_etag(video), "cache-control": "private, no-cache"}
