"""Run steps for ever: reconcile, monitor, expire. They are idempotent, so a crash or an error only repeats work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from reelstore.domain.errors import ReelstoreError
from reelstore.services.rebalancer import Rebalancer

IDLE_SECONDS = 1.0
BACKOFF_SECONDS = 2.0
FORGET_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Background:
    """Hold the running loops.

    Args:
        monitor: probes all servers once.
        rebalancer: reconciles step by step; None leaves that to other processes.
        expire: drops ended uploads once.
        forget: drops what is remembered for a while only, once.
        probe_seconds, expiry_seconds: the rests between two calls.
    """

    def __init__(
        self,
        *,
        monitor: Callable[[], Awaitable[None]],
        rebalancer: Rebalancer | None,
        expire: Callable[[], Awaitable[object]],
        forget: Callable[[], Awaitable[object]],
        probe_seconds: float,
        expiry_seconds: float,
    ) -> None:
        self._loops: list[Awaitable[None]] = [_every(probe_seconds, "probing servers", monitor)]
        if rebalancer is not None:
            self._loops += [
                _every(expiry_seconds, "ending uploads", expire),
                _every(FORGET_SECONDS, "forgetting old keys", forget),
                _reconcile(rebalancer),
            ]
        self._tasks: list[asyncio.Future[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.ensure_future(loop) for loop in self._loops]

    async def stop(self) -> None:
        """Stop at the next point where nothing is half done; what was under way is repeated at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _every(seconds: float, what: str, step: Callable[[], Awaitable[object]]) -> None:
    while True:
        await _attempt(what, step)
        await asyncio.sleep(seconds)


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
