"""Rule 13: deciding times are the database's; when that clock has jumped, nothing is dropped for its age."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from reelstore.domain.event import Event, EventKind
from reelstore.repositories.interface import Metadata

JUMP_SECONDS = 3600.0

log = logging.getLogger(__name__)


def _elapsed_seconds() -> float:
    """Return a clock that nobody sets; one that goes on while the machine sleeps, where there is one."""
    sleepless = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if sleepless is None else time.clock_gettime(sleepless)


class ClockGuard:
    """Compare the database's time with the time that really passed in this process.

    When they come to differ by more than an hour from one look to the next, whatever is dropped for its age must
    stay: expired uploads, trash, events, samples, quarantine, servers that are silent for long. It holds until the
    database's clock agrees with what was expected again, or until the process is started anew: then somebody has
    seen to it. Slow drift and small corrections never hold anything.

    Args:
        metadata: whose clock is watched.
        clock: seconds that pass evenly.
    """

    def __init__(self, metadata: Metadata, *, clock: Callable[[], float] = _elapsed_seconds) -> None:
        self.clock = clock
        self._metadata = metadata
        self._agreed: tuple[datetime, float] | None = None
        self._reason: str | None = None
        self._told = False

    def holds(self) -> str | None:
        """Return why nothing may be dropped for its age, for people; None while all is well."""
        return self._reason

    def check(self, now: datetime) -> str | None:
        """Look at the database's time, as the transaction read it that is about to decide by it; return `holds()`."""
        elapsed = self.clock()
        if self._agreed is None:
            self._agreed = now, elapsed
            return None
        agreed_at, agreed_elapsed = self._agreed
        jump = (now - agreed_at - timedelta(seconds=elapsed - agreed_elapsed)).total_seconds()
        if abs(jump) <= JUMP_SECONDS:
            if self._reason is not None:
                log.warning("the database's clock agrees again: what is too old is dropped again")
            self._agreed, self._reason, self._told = (now, elapsed), None, False
        elif self._reason is None:
            self._reason = (
                f"the database's clock jumped {'forward' if jump > 0 else 'back'} by {abs(jump) / 3600:.1f} h: nothing "
                "is dropped for its age until it agrees again; if it is right now, restart this process"
            )
            log.error("%s", self._reason)
        return self._reason

    async def tick(self) -> str | None:
        """Look at the database's time now, and keep an event of a jump; return `holds()`.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        async with self._metadata.snapshot() as view:
            reason = self.check(await view.now())
        if reason is not None and not self._told:
            async with self._metadata.unit_of_work() as uow:
                await uow.events.add(Event(EventKind.CLOCK_JUMPED, "", reason, at=await uow.now()))
                await uow.commit()
            self._told = True
        return reason
