"""When to try again, and how long to wait before."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

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
    best = progress()

    def count_anew_after_a_gain(state: RetryCallState) -> None:
        nonlocal best
        if progress() > best:
            best = progress()
            state.attempt_number = 1

    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, ReelstoreClientError) and may_pass(error)),
        stop=stop_after_attempt(retries + 1),
        wait=_pause_seconds,
        after=count_anew_after_a_gain,
        reraise=True,
    )(call)


def _pause_seconds(state: RetryCallState) -> float:
    return pause_seconds(state.attempt_number, state.outcome.exception() if state.outcome is not None else None)


def pause_seconds(failures: int, error: BaseException | None) -> float:
    """Return how long to wait after so many failures in a row, the last one being that.

    Doubles from a quarter of a second on, with jitter, and never goes below what the server asks for.
    """
    asked = error.retry_after_seconds if isinstance(error, Problem) else None
    growing = FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 16) + random.uniform(0, FIRST_WAIT_SECONDS)  # noqa: S311 - spreads clients, guards nothing
    return max(min(growing, WAIT_SECONDS_MAX), asked or 0.0)
