"""When to try again, and how long to wait before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from reelstore.client.errors import Problem, ReelstoreClientError

FIRST_WAIT_SECONDS = 0.25
WAIT_SECONDS_MAX = 15.0

T = TypeVar("T")


def persist(
    call: Callable[[], T],
    *,
    retries: int,
    may_pass: Callable[[ReelstoreClientError], bool],
    progress: Callable[[], int] = lambda: 0,
) -> T:
    """Return what `call` returns, calling it again after failures that may pass.

    Args:
        call: is safe to repeat.
        retries: how many failures without progress in between are taken before giving up.
        may_pass: tells whether a failure may pass.
        progress: a number that grows when something was gained all the same; a failure after a gain counts as the
            first.

    Raises:
        ReelstoreClientError: the last failure, as it is.
    """
    failures, best = 0, progress()
    while True:
        try:
            return call()
        except ReelstoreClientError as error:
            gained = progress()
            failures = 1 if gained > best else failures + 1
            best = max(best, gained)
            if failures > retries or not may_pass(error):
                raise
            seconds = _pause_seconds(failures, error)
        time.sleep(seconds)


def _pause_seconds(failures: int, error: ReelstoreClientError) -> float:
    """Double from a quarter of a second on, with jitter, and never go below what the server asks for."""
    growing: float = min(FIRST_WAIT_SECONDS * 2 ** (failures - 1), WAIT_SECONDS_MAX)
    jittered = growing * random.uniform(0.75, 1.25)  # noqa: S311 - spreads clients, and keeps no secret
    asked = error.retry_after_seconds if isinstance(error, Problem) else None
    return max(jittered, asked or 0.0)
