"""What happened in the cluster: the latest events, page by page. `live_feed` has them as they happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reelstore.domain.errors import InvalidCursor
from reelstore.domain.event import Event, EventKind
from reelstore.repositories.interface import Metadata
from reelstore.services.pages import Page, check_limit, decode_cursor, encode_cursor

LISTING = "events"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events somebody wants.

    Args:
        kinds: only these; all if empty.
        subject: only events of this video, server or whatever else is a subject; of all if None.
    """

    kinds: tuple[EventKind, ...] = ()
    subject: str | None = None

    def wants(self, event: Event) -> bool:
        """Return whether an event is one of them."""
        return (not self.kinds or event.kind in self.kinds) and self.subject in {None, event.subject}


ALL_EVENTS = EventFilter()


class EventLog:
    """Read the events that are kept."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def latest(self, *, limit: int, cursor: str | None = None, wanted: EventFilter = ALL_EVENTS) -> Page[Event]:
        """Return a page of events, the newest first.

        Raises:
            InvalidInput, InvalidCursor: a retry does not help.
        """
        check_limit(limit)
        before = None if cursor is None else _position(cursor)
        async with self._metadata.snapshot() as view:
            events = await view.events.latest(
                limit=limit + 1, before=before, subject=wanted.subject, kinds=wanted.kinds
            )
        more = len(events) > limit
        page = tuple(events[:limit])
        return Page(page, encode_cursor(LISTING, page[-1].id, "") if more else None)

    async def after(self, event_id: int, *, limit: int) -> Sequence[Event]:
        """Return up to `limit` events with a larger id, in order."""
        async with self._metadata.snapshot() as view:
            return await view.events.after(event_id, limit=limit)

    async def last_id(self) -> int:
        """Return the id of the newest event; 0 if there never was one."""
        async with self._metadata.snapshot() as view:
            return await view.events.last_id()


def _position(cursor: str) -> int:
    value, _ = decode_cursor(LISTING, cursor)
    if not isinstance(value, int):
        raise InvalidCursor("the cursor is not one of this listing", field="cursor")
    return value
