"""What happens: the latest events, or all of them as they happen."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from reelstore.domain.errors import InvalidInput
from reelstore.domain.event import EventKind
from reelstore.services.events import EventFilter
from reelstore.web import schemas, schemas_events
from reelstore.web.application import Events, Feed
from reelstore.web.content import StreamedContent
from reelstore.web.event_stream import MEDIA_TYPE, frames, parse_event_id, prefers_json, resumed
from reelstore.web.limits import CURSOR_LENGTH_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from reelstore.web.middleware.canonical import HEAD_ONLY
from reelstore.web.middleware.envelope import ENDING
from reelstore.web.openapi import problems

router = APIRouter(prefix="/api/v1", tags=["cluster"])

_HEADERS = {
    "content-type": MEDIA_TYPE,
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would keep events back until there are enough of them
}
_STREAM: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}


@router.get(
    "/events",
    operation_id="followEvents",
    summary="Follow events as they happen, or list the latest",
    response_model=schemas.Listing[schemas_events.Event],
    responses={200: {"description": "A stream without an end, or one page of a list.", **_STREAM}, **problems()},
)
async def follow_events(
    request: Request,
    events: Events,
    feed: Feed,
    *,
    kind: Annotated[list[EventKind] | None, Query(description="Only such events; may be given several times.")] = None,
    subject: Annotated[str | None, Query(description="Only events of this video or server.")] = None,
    after: Annotated[str | None, Query(description="For streams: begin after this event; 0 for all kept.")] = None,
    last_event_id: Annotated[str | None, Header(description="The same, as browsers say it when they resume.")] = None,
    limit: Annotated[int | None, Query(ge=1, le=PAGE_SIZE_MAX, description="For lists: at most so many.")] = None,
    cursor: Annotated[
        str | None, Query(max_length=CURSOR_LENGTH_MAX, description="For lists: `next_cursor` of the page before.")
    ] = None,
) -> schemas.Listing[schemas_events.Event] | Response:
    """Send server-sent events, or with `Accept: application/json`, `limit` or `cursor` a list, the newest first."""
    accept = request.headers.get("accept", "")
    wanted = EventFilter(tuple(kind or ()), subject)
    paged = limit is not None or cursor is not None
    if prefers_json(accept) or (paged and MEDIA_TYPE not in accept.lower()):
        if after is not None:
            raise InvalidInput("after is for streams; a list goes back from the newest, by cursor", field="after")
        page = await events.latest(limit=limit or PAGE_SIZE_DEFAULT, cursor=cursor, wanted=wanted)
        items = [schemas_events.Event.model_validate(event) for event in page.items]
        return schemas.Listing(items=items, next_cursor=page.next_cursor)
    # A browser that resumes repeats its first URL, so what it says of itself counts more.
    told = ("Last-Event-ID", last_event_id) if last_event_id else ("after", after)
    after_id = None if told[1] is None else parse_event_id(told[1], field=told[0])
    if HEAD_ONLY in request.scope:
        return Response(headers=_HEADERS)
    at_the_end = request.scope.get("extensions", {}).get(ENDING)
    if at_the_end is not None:
        at_the_end(feed.close)
    stream = frames(feed.follow(after_id, wanted))
    opening = await anext(stream)  # what is wrong is said while an answer can still say it
    return StreamedContent(resumed(opening, stream), status_code=200, headers=_HEADERS)
