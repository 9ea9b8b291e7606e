"""Server-sent events (the HTML standard, section 9.2), as far as the gateway sends them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reelstore.client.documents import Document
from reelstore.client.errors import UnexpectedAnswer

FRAME_BYTES_MAX = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: `id` is None where it says none; a heartbeat has neither a name nor data."""

    id: int | None
    event: str | None
    data: Document | None


def read_frames(pieces: Iterable[bytes]) -> Iterator[Frame]:
    """Yield frames as they arrive; one that is cut off at the end is left out.

    Raises:
        UnexpectedAnswer: it is no stream of events.
    """
    waiting = b""
    for piece in pieces:
        *frames, waiting = (waiting + piece).split(b"\n\n")
        if len(waiting) > FRAME_BYTES_MAX:
            raise UnexpectedAnswer(f"the server sent an event of more than {FRAME_BYTES_MAX} bytes")
        yield from map(_frame, frames)


def _frame(raw: bytes) -> Frame:
    try:
        fields = dict(line.split(": ", 1) for line in raw.decode().split("\n") if line and not line.startswith(":"))
        event_id = int(fields["id"]) if "id" in fields else None
        data = Document.of(json.loads(fields["data"]), "event") if "data" in fields else None
    except ValueError as error:
        raise UnexpectedAnswer("the server sent an event that cannot be read") from error
    return Frame(event_id, fields.get("event"), data)
