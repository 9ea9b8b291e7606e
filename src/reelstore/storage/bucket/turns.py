"""Whose turn it is: one change of a name at a time, and none while the place is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from reelstore.domain.chunk import ShardName


class Turns:
    """Order the changes of one process, so that what they add to the used bytes is known.

    Another gateway's changes are not ordered with them: names are used once, and what both write is the same.
    """

    def __init__(self) -> None:
        self._of_names: WeakValueDictionary[ShardName, asyncio.Lock] = WeakValueDictionary()
        self._changed = asyncio.Condition()
        self._changes = 0
        self._is_alone = False

    @asynccontextmanager
    async def of(self, name: ShardName) -> AsyncIterator[None]:
        """Wait for a name's turn, and for a place that is not held alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_alone)
            self._changes += 1
        try:
            async with self._of_names.setdefault(name, asyncio.Lock()):
                yield
        finally:
            self._changes -= 1
            await self._wake()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Wait until no name is changed, and keep all names from being changed meanwhile."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_alone)
            self._is_alone = True
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._changes == 0)
            yield
        finally:
            self._is_alone = False
            await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
