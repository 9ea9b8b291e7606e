"""When users' bytes last moved, so that background work can give way."""

from __future__ import annotations

import time


class Activity:
    """Remember the last foreground read or write of this process."""

    def __init__(self) -> None:
        self._last = 0.0

    def touch(self) -> None:
        """Note that a user's bytes move now."""
        self._last = time.monotonic()

    def idle_seconds(self) -> float:
        """Return how long ago they last did."""
        return time.monotonic() - self._last
