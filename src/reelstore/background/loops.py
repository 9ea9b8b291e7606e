"""Run steps for ever: reconcile, monitor, expire. They are idempotent, so a crash or an error only repeats work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from reelstore.domain.errors import ReelstoreError
from reelstore.services.rebalancer import Rebalancer

STEPS_AT_ONCE = 3
"""While one of them lists or deletes, others move."""
IDLE_SECONDS = 1.0
BACKOFF_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that is done again and again.

    Args:
        what: names it in the log, as in "probing servers".
        rest_seconds: between two times.
        do: does it once.
    """

    what: str
    rest_seconds: float
    do: Callable[[], Awaitable[object]]


class Background:
    """Hold the running loops.

    Args:
        chores: what is done at intervals.
        rebalancer: reconciles step by step; None leaves that to other processes.
    """

    def __init__(self, chores: Sequence[Chore], *, rebalancer: Rebalancer | None) -> None:
        self._loops: list[Awaitable[None]] = [_repeat(chore) for chore in chores]
        if rebalancer is not None:
            self._loops += [_reconcile(rebalancer) for _ in range(STEPS_AT_ONCE)]
        self._tasks: list[asyncio.Future[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.ensure_future(loop) for loop in self._loops]

    async def stop(self) -> None:
        """Stop at the next point where nothing is half done; what was under way is repeated at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _repeat(chore: Chore) -> None:
    while True:
        await _attempt(chore.what, chore.do)
        await asyncio.sleep(chore.rest_seconds)


async def _reconcile(rebalancer: Rebalancer) -> None:
    while True:
        worked = await _attempt("reconciling", rebalancer.step)
        if worked is None:
            await asyncio.sleep(BACKOFF_SECONDS)
        elif not worked:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await rebalancer.attention.wake.wait()


async def _attempt(what: str, step: Callable[[], Awaitable[object]]) -> object | None:
    """Do one step; return its result, or None when it failed, which is logged and tried again."""
    try:
        return await step()
    except ReelstoreError as error:
        log.warning("%s: %s; trying again", what, error)
    except Exception:
        log.exception("%s failed; trying again", what)
    return None
