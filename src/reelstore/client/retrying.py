"""When to try again, and how long to wait before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

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
    """Double from a quarter of a second on, with jitter, and never go below what the server asks for."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after_seconds if isinstance(error, Problem) else None
    growing = wait_exponential_jitter(multiplier=FIRST_WAIT_SECONDS, max=WAIT_SECONDS_MAX, jitter=FIRST_WAIT_SECONDS)
    return max(growing(state), asked or 0.0)
