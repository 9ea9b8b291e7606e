"""A video's bytes: reading them, where they lie, and whether they are as they should be."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from reelstore.domain.errors import PreconditionFailed
from reelstore.services.video_requests import Content
from reelstore.services.videos import VideoService
from reelstore.web import schemas
from reelstore.web.application import Inspector, Videos
from reelstore.web.conditions import Outcome, evaluate, http_date, range_applies
from reelstore.web.content import StreamedContent, parts, whole
from reelstore.web.disposition import content_disposition
from reelstore.web.etags import content_etag
from reelstore.web.limits import PAGE_SIZE_MAX
from reelstore.web.media_types import UNKNOWN, is_media_type
from reelstore.web.middleware.canonical import HEAD_ONLY
from reelstore.web.openapi import problems
from reelstore.web.ranges import MultipartRanges, Span, parse_range
from reelstore.web.routes.videos import Cursor, PageSize

router = APIRouter(prefix="/api/v1", tags=["content"])

# Uploaded files are strangers' data: a page among them must not run as a page of this site.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; media-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox"
)

_BYTES: dict[str, Any] = {
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        name: {"schema": {"type": "string"}}
        for name in ("Accept-Ranges", "Content-Disposition", "ETag", "Last-Modified")
    },
}


@router.get(
    "/videos/{video_id}/content",
    operation_id="readContent",
    summary="Read a video's bytes",
    response_class=Response,
    responses={
        200: {"description": "The whole content.", **_BYTES},
        206: {"description": "The ranges asked for; several as `multipart/byteranges`.", **_BYTES},
        304: {"description": "The client has it already."},
        **problems(404, 412, 416),
    },
)
async def read_content(
    request: Request,
    videos: Videos,
    video_id: str,
    *,
    download: Annotated[bool, Query(description="Ask the browser to save it instead of showing it.")] = False,
) -> Response:
    """Send the content, or ranges of it, each chunk verified before one of its bytes is sent.

    Understands `Range`, `If-Range`, `If-Match`, `If-None-Match`, `If-Modified-Since` and `If-Unmodified-Since`; HEAD
    answers with the headers alone. If a chunk cannot be had after the first byte, the connection is cut.
    """
    content = await videos.open(video_id)
    etag, modified = content_etag(content.etag), content.video.created_at
    outcome = evaluate(request.headers, etag=etag, last_modified=modified)
    if outcome is Outcome.FAILED:
        raise PreconditionFailed(f"the content is another one: its ETag is {etag}")
    headers = _headers(content, download=download)
    if outcome is Outcome.NOT_MODIFIED:
        return Response(status_code=304, headers=headers)
    headers["content-type"] = content.video.content_type if is_media_type(content.video.content_type) else UNKNOWN
    head_only = HEAD_ONLY in request.scope
    spans = None
    # Ranges are defined for GET only: RFC 9110, section 14.2.
    if not head_only and range_applies(request.headers.get("if-range"), etag=etag, last_modified=modified):
        spans = parse_range(request.headers.get("range", ""), content.size_bytes)
    if spans is not None:
        return await _ranges(videos, content, spans, headers)
    headers["content-length"] = str(content.size_bytes)
    if head_only or content.size_bytes == 0:
        return StreamedContent(whole(()), status_code=200, headers=headers)
    return StreamedContent(await videos.read(content, 0, content.size_bytes), status_code=200, headers=headers)


async def _ranges(
    videos: VideoService, content: Content, spans: tuple[Span, ...], headers: dict[str, str]
) -> StreamedContent:
    """Answer 206 with one or several ranges, the first one read and verified already."""
    first = await videos.read(content, spans[0].start, spans[0].stop)
    if len(spans) == 1:
        headers["content-range"] = spans[0].content_range(content.size_bytes)
        headers["content-length"] = str(spans[0].size_bytes)
        return StreamedContent(first, status_code=206, headers=headers)
    layout = MultipartRanges(spans, content.size_bytes, headers["content-type"], secrets.token_hex(16))
    headers["content-type"] = layout.media_type
    headers["content-length"] = str(layout.length_bytes)
    pieces = parts(lambda span: videos.read(content, span.start, span.stop), layout, first)
    return StreamedContent(pieces, status_code=206, headers=headers)


def _headers(content: Content, *, download: bool) -> dict[str, str]:
    """Return the headers of 200, 206 and 304 alike."""
    return {
        "accept-ranges": "bytes",
        "etag": content_etag(content.etag),
        "last-modified": http_date(content.video.created_at),
        "cache-control": "private, no-cache",  # the bytes never change, but the video may go: ask each time
        "content-disposition": content_disposition("attachment" if download else "inline", content.video.name),
        "content-security-policy": _CONTENT_SECURITY_POLICY,
    }


@router.get(
    "/videos/{video_id}/placement",
    operation_id="locateVideo",
    summary="Which server keeps which chunk",
    response_model=schemas.Listing[schemas.ChunkPlace],
    responses=problems(404),
)
async def locate_video(
    inspector: Inspector, video_id: str, limit: PageSize = PAGE_SIZE_MAX, cursor: Cursor = None
) -> schemas.Listing[schemas.ChunkPlace]:
    """Return the video's chunks in order, with the servers that the ring names for each."""
    page = await inspector.placement(video_id, limit=limit, cursor=cursor)
    places = [schemas.ChunkPlace.model_validate(place) for place in page.items]
    return schemas.Listing(items=places, next_cursor=page.next_cursor)
