"""A circuit breaker: who does not answer is left alone for a while, so that nobody waits for it again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from reelstore.domain.errors import ServerUnavailable

FAILURES_MAX = 5
REST_SECONDS_MIN = 0.5
REST_SECONDS_MAX = 8.0
"""Below what an operator waits for who has just started a node again."""


class Breaker:
    """Count failures in a row; from the fifth on, rest for a time that doubles, and then let one request through.

    Args:
        server: the server's name, for errors.
        clock: tells seconds that only grow.
    """

    def __init__(self, server: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0
        self._last = ""

    def admit(self) -> None:
        """Let a request pass, or not.

        Raises:
            ServerUnavailable: not before a time that the message says; a retry can help.
        """
        if self._failures < FAILURES_MAX:
            return
        now = self._clock()
        if now < self._closed_until:
            raise ServerUnavailable(
                f"not asked for another {self._closed_until - now:.1f} s, as {self._failures} requests in a row "
                f"failed; the last one: {self._last}",
                server=self._server,
            )
        self._rest(now)  # whoever comes while this one tries is turned away

    def succeeded(self) -> None:
        """Note an answer, whatever it says."""
        self._failures = 0

    def failed(self, error: ServerUnavailable) -> None:
        """Note that there was none."""
        self._failures += 1
        self._last = str(error)
        if self._failures >= FAILURES_MAX:
            self._rest(self._clock())

    def _rest(self, now: float) -> None:
        doublings = min(self._failures - FAILURES_MAX, 10)
        seconds = min(REST_SECONDS_MAX, REST_SECONDS_MIN * 2**doublings)
        self._closed_until = now + seconds * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
