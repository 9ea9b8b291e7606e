"""How many shards are moved or mended at once, and how fast; pausing holds here, between any two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from reelstore.services.control import Control

AT_ONCE = 8
"""Shards under way unless somebody says otherwise: as many as a directory server has threads."""
AT_ONCE_BESIDE_USERS = 2
USERS_SECONDS = 0.5
"""So long after a user's bytes last moved, users go first."""
LOOK_SECONDS = 0.25
"""How often those who wait look whether it is paused, or a limit is another."""
NAP_SECONDS = 0.001
BURST_SECONDS = 0.1
"""What was not used for so long may be caught up, so that waking late does not slow down."""


class Moves:
    """Let shards be moved or mended one by one.

    Args:
        control: what is set.
        foreground_idle_seconds: tells how long ago a user's bytes last moved.
    """

    def __init__(self, control: Control, foreground_idle_seconds: Callable[[], float]) -> None:
        self._control = control
        self._foreground_idle_seconds = foreground_idle_seconds
        self._under_way = 0
        self._left = asyncio.Event()
        self._paying = asyncio.Lock()
        self._credit_bytes = 0.0
        self._credited_at = 0.0

    async def enter(self) -> None:
        """Wait until work on another chunk may begin: no more than are allowed at once, and fewer beside users.

        Whoever entered calls `leave`.

        Raises:
            Paused: nothing may be moved now.
            MetadataUnavailable: a retry can help.
        """
        while self._under_way >= await self._at_once():
            self._left.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._left.wait()
        self._under_way += 1

    def leave(self) -> None:
        """Work on a chunk has ended."""
        self._under_way -= 1
        self._left.set()

    async def _at_once(self) -> int:
        share = await self._control.check()
        at_once = AT_ONCE if share.concurrency is None else share.concurrency
        return min(at_once, AT_ONCE_BESIDE_USERS) if self._foreground_idle_seconds() < USERS_SECONDS else at_once

    async def begin(self, size_bytes: int = 0) -> None:
        """Wait until so many bytes may be put; to be called right before, and also where nothing is sent.

        Raises:
            Paused: nothing may be moved now.
            MetadataUnavailable: a retry can help.
        """
        async with self._paying:
            while True:
                share = await self._control.check()
                self._earn(share.bytes_per_second)
                if share.bytes_per_second is None or self._credit_bytes >= 0:
                    break
                seconds = -self._credit_bytes / share.bytes_per_second
                await asyncio.sleep(min(max(seconds, NAP_SECONDS), LOOK_SECONDS))
            self._credit_bytes -= size_bytes

    def _earn(self, bytes_per_second: float | None) -> None:
        now = asyncio.get_running_loop().time()
        elapsed_seconds, self._credited_at = now - self._credited_at, now
        if bytes_per_second is None:
            self._credit_bytes = 0.0
        else:
            self._credit_bytes += elapsed_seconds * bytes_per_second
            self._credit_bytes = min(self._credit_bytes, BURST_SECONDS * bytes_per_second)
