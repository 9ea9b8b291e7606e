"""The quarantine of the cluster: copies of suspect bytes on all servers, listed, and emptied by hand or by age.

Repair sets a copy aside before it puts good bytes in the place of bad ones (rule 9). It is evidence, for an operator
who wants to know what a disk does, and no part of the data: dropping it loses nothing that any video needs. Each server
bounds what it keeps; here it ends by age.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet, FleetMember
from reelstore.domain.counter import Counter
from reelstore.domain.errors import InvalidCursor, InvalidInput, ServerUnavailable
from reelstore.repositories.interface import Metadata
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.concerned import ConcernedVideo, concerned_videos
from reelstore.services.pages import check_limit, decode_cursor, encode_cursor
from reelstore.storage.interface import QuarantinedCopy, Quarantining

LISTING = "quarantine"
COPIES_MAX = 1000
"""More than that no server of ours keeps."""

_ALL = datetime.max.replace(tzinfo=UTC)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QuarantinedShard:
    """A copy that is set aside.

    Args:
        id: the copy's name on its server; a directory keeps it as a file of that name in its folder `quarantine`.
        server: by name.
        chunk: digest, in hexadecimal, of what the bytes should have been.
        size_bytes: of the copy.
        set_aside_at: by the server's clock, in UTC.
        videos: those with that chunk, at most `concerned.VIDEOS_MAX`.
    """

    id: str
    server: str
    chunk: str
    size_bytes: int
    set_aside_at: datetime
    videos: tuple[ConcernedVideo, ...]


@dataclass(frozen=True, slots=True)
class QuarantinePage:
    """Some copies, the newest first.

    Args:
        items: the copies.
        next_cursor: where the next ones begin; None at the end.
        unreachable: names of servers that did not answer: what they keep is not in the list.
    """

    items: tuple[QuarantinedShard, ...]
    next_cursor: str | None
    unreachable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Emptied:
    """What was dropped: how many copies, their bytes, and the names of servers that did not answer."""

    copies: int
    size_bytes: int
    unreachable: tuple[str, ...]


class Quarantine:
    """Look after the quarantine of all servers.

    Args:
        metadata: knows the videos, and the time.
        fleet: keeps the copies.
        guard: while it holds, nothing is dropped for its age.
        keep_seconds: how long a copy is kept.
    """

    def __init__(self, metadata: Metadata, fleet: Fleet, guard: ClockGuard, *, keep_seconds: float) -> None:
        self._metadata = metadata
        self._fleet = fleet
        self._guard = guard
        self._keep = timedelta(seconds=keep_seconds)

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> QuarantinePage:
        """List what is set aside on all servers that answer, the newest first.

        Raises:
            InvalidInput, InvalidCursor: a retry does not help.
            MetadataUnavailable: a retry can help.
        """
        check_limit(limit)
        begin = None if cursor is None else _read(cursor)
        found, unreachable = await self._ask_all(lambda driver: driver.quarantined(COPIES_MAX))
        copies = sorted(((server, copy) for server, copies in found for copy in copies), key=_newest_first)
        if begin is not None:
            copies = [each for each in copies if _newest_first(each) > begin]
        shown = copies[:limit]
        async with self._metadata.snapshot() as view:
            videos = await concerned_videos(view, (copy.name.chunk for _, copy in shown))
        items = tuple(
            QuarantinedShard(
                id=copy.id,
                server=server,
                chunk=copy.name.digest.hex(),
                size_bytes=copy.size_bytes,
                set_aside_at=copy.set_aside_at,
                videos=videos[copy.name.chunk],
            )
            for server, copy in shown
        )
        return QuarantinePage(items, _cursor(shown[-1]) if len(copies) > limit else None, unreachable)

    async def empty(self, *, before: datetime | None = None) -> Emptied:
        """Drop what was set aside before a time, or all of it, on all servers that answer.

        Raises:
            InvalidInput: a time without its zone; a retry does not help.
            MetadataUnavailable: the copies are dropped, and not counted.
        """
        if before is not None and before.tzinfo is None:
            raise InvalidInput("the time must tell its zone, such as 2026-03-01T12:00:00Z", field="before")
        dropped, unreachable = await self._ask_all(lambda driver: driver.drop_quarantined(before or _ALL))
        copies = [copy for _, copies in dropped for copy in copies]
        emptied = Emptied(len(copies), sum(copy.size_bytes for copy in copies), unreachable)
        if copies:
            async with self._metadata.unit_of_work(frees=True) as uow:
                await uow.counters.add(
                    {Counter.QUARANTINE_DROPPED: emptied.copies, Counter.QUARANTINE_DROPPED_BYTES: emptied.size_bytes}
                )
                await uow.commit()
            log.info("dropped %d copies from quarantine, %d bytes", emptied.copies, emptied.size_bytes)
        return emptied

    async def expire(self) -> int:
        """Drop what has been set aside for longer than it is kept; return how many copies went.

        Nothing goes while the clock guard holds. A server that is away is emptied when it is back.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        async with self._metadata.snapshot() as view:
            now = await view.now()
        if self._guard.check(now) is not None:
            return 0
        return (await self.empty(before=now - self._keep)).copies

    async def _ask_all(
        self, ask: Callable[[Quarantining], Awaitable[Sequence[QuarantinedCopy]]]
    ) -> tuple[Sequence[tuple[str, Sequence[QuarantinedCopy]]], tuple[str, ...]]:
        """Ask each server that has a quarantine; return the answers by name, and who gave none."""

        async def answer(member: FleetMember, driver: Quarantining) -> Sequence[QuarantinedCopy] | None:
            if not member.is_up:
                return None
            try:
                async with member.answering(ANSWER_SECONDS, "a look into its quarantine"):
                    return await ask(driver)
            except ServerUnavailable as error:
                member.failed(error)
                return None

        asked = [(member, member.driver) for member in self._fleet if isinstance(member.driver, Quarantining)]
        answers = await asyncio.gather(*(answer(member, driver) for member, driver in asked))
        names = [member.server.name for member, _ in asked]
        found = [(name, copies) for name, copies in zip(names, answers, strict=True) if copies is not None]
        silent = tuple(sorted(name for name, copies in zip(names, answers, strict=True) if copies is None))
        return found, silent


def _newest_first(each: tuple[str, QuarantinedCopy]) -> tuple[float, str]:
    server, copy = each
    return -copy.set_aside_at.timestamp(), f"{server}/{copy.id}"


def _cursor(each: tuple[str, QuarantinedCopy]) -> str:
    return encode_cursor(LISTING, each[1].set_aside_at, _newest_first(each)[1])


def _read(cursor: str) -> tuple[float, str]:
    value, key = decode_cursor(LISTING, cursor)
    if not isinstance(value, datetime):
        raise InvalidCursor("the cursor is not one of the quarantine", field="cursor")
    return -value.timestamp(), key
