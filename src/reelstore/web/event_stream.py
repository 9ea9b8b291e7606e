"""Server-sent events (the HTML standard, section 9.2): news as frames of text that browsers' `EventSource` reads."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from reelstore.domain.errors import InvalidInput
from reelstore.domain.event import Event
from reelstore.services.live_feed import Heartbeat, News, Position
from reelstore.web import schemas_events
from reelstore.web.schemas_rebalance import Rebalance

MEDIA_TYPE = "text/event-stream"
RETRY_MILLISECONDS = 2_000
"""After which a client whose stream has ended begins another."""

_EVENT_ID = re.compile(r"[0-9]{1,18}")
_QUALITY = re.compile(r"q=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def parse_event_id(text: str, *, field: str) -> int:
    """Read the id of an event; raise `InvalidInput` when it is none (a retry does not help)."""
    if not _EVENT_ID.fullmatch(text):
        raise InvalidInput("the id of an event is a number of at most 18 digits", field=field)
    return int(text)


def prefers_json(accept: str) -> bool:
    """Return whether a client wants JSON rather than a stream: it names it, and the stream not before it."""
    qualities = {"application/json": 0.0, MEDIA_TYPE: 0.0}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name in qualities:
            told = [float(part[2:]) for part in parameters if _QUALITY.fullmatch(part)]
            qualities[name] = told[0] if told else 1.0
    return qualities["application/json"] > qualities[MEDIA_TYPE]


async def frames(news: AsyncIterator[News]) -> AsyncGenerator[bytes, None]:
    """Turn news into frames, one for each."""
    async for each in news:
        yield frame(each)


async def resumed(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Give what was taken from the beginning, then the rest."""
    async with aclosing(rest) as left:
        yield first
        async for each in left:
            yield each


def frame(news: News) -> bytes:
    """Return one frame.

    Only what is kept has an id: a client that reconnects says the last one, and goes on after it. A frame with an id
    and no data sets it without being an event for anybody.
    """
    match news:
        case Position(id=event_id, missed=False):
            return f"retry: {RETRY_MILLISECONDS}\nid: {event_id}\n\n".encode()
        case Position(id=event_id):
            data = json.dumps({"id": event_id, "message": "earlier events are not kept: read the present state anew"})
            return f"retry: {RETRY_MILLISECONDS}\nid: {event_id}\nevent: reset\ndata: {data}\n\n".encode()
        case Event():
            data = schemas_events.Event.model_validate(news).model_dump_json()
            return f"id: {news.id}\nevent: {news.kind}\ndata: {data}\n\n".encode()
        case Heartbeat():
            return b":\n\n"
        case _:
            return f"event: rebalance\ndata: {Rebalance.model_validate(news).model_dump_json()}\n\n".encode()
