"""What happens, as it happens: one watch for the process, and any number of followers at their own pace."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from reelstore.domain.errors import Overloaded, ReelstoreError, Unavailable
from reelstore.domain.event import Event
from reelstore.services.events import ALL_EVENTS, EventFilter, EventLog
from reelstore.services.rebalancer import RebalanceStatus

FOLLOWERS_MAX = 256
WATCH_SECONDS = 0.5
STATUS_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
PAGE_EVENTS = 100
RECENT_EVENTS_MAX = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Position:
    """Say after which event a follower goes on.

    Args:
        id: of that event.
        missed: events that the follower asked for are no longer kept, or never were: what it knows may be old.
    """

    id: int
    missed: bool = False


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Say that nothing happened for a while."""


News = Position | Event | RebalanceStatus | Heartbeat


class LiveFeed:
    """Hand out events in order, none twice and none left out, and the rebalancing whenever it changes.

    The database is asked once for all followers, and only while there are any. A follower that is slow costs no
    memory: what it has not taken yet is read again from the database.

    Args:
        events: those that are kept.
        rebalance: tells how far the rebalancing is.
        followers_max: at the same time.
        watch_seconds: how often the database is asked.
        heartbeat_seconds: after how long without news a follower gets a heartbeat.
    """

    def __init__(
        self,
        events: EventLog,
        rebalance: Callable[[], Awaitable[RebalanceStatus]],
        *,
        followers_max: int = FOLLOWERS_MAX,
        watch_seconds: float = WATCH_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._events = events
        self._rebalance = rebalance
        self._followers_max = followers_max
        self._watch_seconds = watch_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._followers = 0
        self._watching: asyncio.Task[None] | None = None
        self._turned = asyncio.Event()  # set, and replaced, whenever there is something new
        self._recent: deque[Event] = deque()
        self._recent_after: int | None = None  # all events after this one that the watch has seen are in `_recent`
        self._status: RebalanceStatus | None = None
        self._closed = False

    @property
    def followers(self) -> int:
        """How many follow at present."""
        return self._followers

    async def follow(self, after_id: int | None, wanted: EventFilter = ALL_EVENTS) -> AsyncIterator[News]:
        """Yield first the position, then news for ever, or until the feed closes; close the iterator to leave.

        Args:
            after_id: the last event that the follower knows; None begins with the next one that happens.
            wanted: of the events; the rebalancing is told to those who want all.

        Raises:
            Overloaded: there are too many followers; a retry can help.
            Unavailable: the feed is closed; another gateway can help.
            MetadataUnavailable: a retry can help.
        """
        if self._closed:
            raise Unavailable("the gateway is ending")
        if self._followers >= self._followers_max:
            raise Overloaded(f"more than {self._followers_max} clients follow the events")
        self._followers += 1
        try:
            if self._watching is None:
                self._watching = asyncio.create_task(self._watch())
            position = await self._position(after_id)
            yield position
            async for news in self._news(position.id, wanted):
                yield news
        finally:
            self._followers -= 1
            if self._followers == 0:
                self._rest()

    def close(self) -> None:
        """End every follower's iteration, and take no new ones."""
        self._closed = True
        self._turn()

    async def _news(self, at: int, wanted: EventFilter) -> AsyncIterator[News]:
        told: RebalanceStatus | None = None
        told_at = time.monotonic()
        while not self._closed:
            turned = self._turned
            events = await self._after(at)
            for event in events:
                at = event.id
                if wanted.wants(event):
                    yield event
                    told_at = time.monotonic()
            if wanted == ALL_EVENTS and self._status is not None and self._status != told:
                told = self._status
                yield told
                told_at = time.monotonic()
            if events:
                continue
            quiet_seconds = time.monotonic() - told_at
            if quiet_seconds >= self._heartbeat_seconds:
                yield Heartbeat()
                told_at = time.monotonic()
            else:
                await _wait(turned, self._heartbeat_seconds - quiet_seconds)

    async def _position(self, after_id: int | None) -> Position:
        """Find where a follower goes on; ids have no gaps, so one means that something was forgotten."""
        last_id = await self._events.last_id()
        if after_id is None:
            return Position(last_id)
        if after_id > last_id:  # of another database, or of one that was restored
            return Position(last_id, missed=True)
        following = await self._events.after(after_id, limit=1)
        first_id = following[0].id if following else last_id + 1
        missed = after_id > 0 and first_id > after_id + 1
        return Position(first_id - 1 if missed else after_id, missed=missed)

    async def _after(self, at: int) -> Sequence[Event]:
        """Return the next events: from memory, or from the database for a follower that is further behind."""
        if self._recent_after is None:
            return ()
        if at >= self._recent_after:
            return [event for event in self._recent if event.id > at]
        return await self._events.after(at, limit=PAGE_EVENTS)

    async def _watch(self) -> None:
        """Look for news again and again."""
        status_at = 0.0
        while True:
            try:
                await self._look_for_events()
                if time.monotonic() >= status_at:
                    await self._look_at_rebalancing()
                    status_at = time.monotonic() + STATUS_SECONDS
            except ReelstoreError as error:
                log.warning("looking for events: %s; trying again", error)
            except Exception:
                log.exception("looking for events failed; trying again")
            await asyncio.sleep(self._watch_seconds)

    async def _look_for_events(self) -> None:
        if self._recent_after is None:
            self._recent_after = await self._events.last_id()
            self._turn()
        last = self._recent[-1].id if self._recent else self._recent_after
        while events := await self._events.after(last, limit=PAGE_EVENTS):
            for event in events:
                if len(self._recent) == RECENT_EVENTS_MAX:
                    self._recent_after = self._recent.popleft().id
                self._recent.append(event)
            last = events[-1].id
            self._turn()

    async def _look_at_rebalancing(self) -> None:
        status = await self._rebalance()
        if status != self._status:
            self._status = status
            self._turn()

    def _turn(self) -> None:
        self._turned.set()
        self._turned = asyncio.Event()

    def _rest(self) -> None:
        """Stop watching, and forget what would be old when somebody follows again."""
        if self._watching is not None:
            self._watching.cancel()
        self._watching, self._recent_after, self._status = None, None, None
        self._recent.clear()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
