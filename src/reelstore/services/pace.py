"""How fast the background may read, and that it gives way to users."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

GIVE_WAY_SECONDS = 0.2
GIVE_WAY_TIMES_MAX = 5
TURN_SECONDS = 0.25
"""What may be read in this time at full speed makes a turn: users are given way to once before each turn.

To give way before each shard would be to read one a second while a single video plays: a busy cluster would never heal.
"""


class Pace:
    """Spread background reading over time.

    Args:
        bytes_per_second: the most that is read on average.
        foreground_idle_seconds: tells how long ago a user's bytes last moved.
    """

    def __init__(self, bytes_per_second: int, foreground_idle_seconds: Callable[[], float]) -> None:
        self._bytes_per_second = bytes_per_second
        self._foreground_idle_seconds = foreground_idle_seconds
        self._free_at = 0.0
        self._turn_bytes = 0.0

    async def wait(self, size_bytes: int) -> None:
        """Wait until that many bytes may be read: users go first, for a bounded time, once in each turn."""
        if self._turn_bytes <= 0:
            await self._give_way()
            self._turn_bytes = self._bytes_per_second * TURN_SECONDS
        self._turn_bytes -= size_bytes
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + size_bytes / self._bytes_per_second
        if self._free_at - now > GIVE_WAY_SECONDS:
            await asyncio.sleep(self._free_at - now)

    async def _give_way(self) -> None:
        for _ in range(GIVE_WAY_TIMES_MAX):
            if self._foreground_idle_seconds() >= GIVE_WAY_SECONDS:
                break
            await asyncio.sleep(GIVE_WAY_SECONDS)
