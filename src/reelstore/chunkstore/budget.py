"""A bound on memory that many share."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from reelstore.domain.errors import Overloaded


class MemoryBudget:
    """Count bytes in use up to a limit; who wants more waits, first come, first served.

    Args:
        limit_bytes: the most that is in use at once. One request larger than that is let through when nothing else is.
        patience_seconds: how long a request waits before it is refused.
    """

    def __init__(self, limit_bytes: int, *, patience_seconds: float = 30.0) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._patience_seconds = patience_seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def try_acquire(self, size_bytes: int, *, leaving_bytes: int = 0) -> bool:
        """Take the bytes if that leaves so many free and nobody waits; return whether they were taken."""
        if self._waiting or not self._fits(size_bytes + leaving_bytes):
            return False
        self.used_bytes += size_bytes
        return True

    async def acquire(self, size_bytes: int) -> None:
        """Take the bytes, waiting for them if need be.

        Raises:
            Overloaded: they did not become free in time; a retry can help.
        """
        if self.try_acquire(size_bytes):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size_bytes, turn)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(self._patience_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.release(size_bytes)  # the turn came in the same moment
            else:
                with suppress(ValueError):  # a release may have passed over it already
                    self._waiting.remove(entry)
                self._serve()
            if isinstance(error, TimeoutError):
                raise Overloaded(
                    f"all of the {self.limit_bytes} bytes of memory for this kind of work were in use "
                    f"for {self._patience_seconds:g} s; try again"
                ) from None
            raise

    def release(self, size_bytes: int) -> None:
        """Give bytes back."""
        self.used_bytes -= size_bytes
        self._serve()

    def _fits(self, size_bytes: int) -> bool:
        return self.used_bytes == 0 or self.used_bytes + size_bytes <= self.limit_bytes

    def _serve(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size_bytes, turn = self._waiting.popleft()
            if not turn.done():
                self.used_bytes += size_bytes
                turn.set_result(None)
