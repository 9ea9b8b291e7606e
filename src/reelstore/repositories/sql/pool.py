"""A few connections, handed out in the order of asking."""

from __future__ import annotations

import asyncio
from typing import Final

from sqlalchemy import Engine

from reelstore.domain.errors import MetadataUnavailable
from reelstore.repositories.sql.connection import ThreadedConnection

WAIT_SECONDS_MAX: Final = 30.0


class ConnectionPool:
    """Hand out connections, opened when they are first needed and kept open.

    Args:
        engine: where connections come from.
        size: at most that many at a time; who comes later waits, in order.
        interruptible: see `ThreadedConnection`.
    """

    def __init__(self, engine: Engine, *, size: int, interruptible: bool) -> None:
        self._engine = engine
        self._interruptible = interruptible
        self._places = asyncio.Semaphore(size)
        self._idle: list[ThreadedConnection] = []
        self._closed = False

    async def acquire(self) -> ThreadedConnection:
        """Return a connection that is the caller's until `release`.

        Raises:
            MetadataUnavailable: none became free in `WAIT_SECONDS_MAX`, or the pool is closed.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._places.acquire()
        except TimeoutError:
            raise MetadataUnavailable(f"no metadata connection became free in {WAIT_SECONDS_MAX:.0f} s") from None
        if self._closed:
            self._places.release()
            raise MetadataUnavailable("the metadata is closed")
        if self._idle:
            return self._idle.pop()
        return ThreadedConnection(self._engine, interruptible=self._interruptible)

    def release(self, connection: ThreadedConnection) -> None:
        """Take a connection back. It is in no transaction."""
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)
        self._places.release()

    async def close(self) -> None:
        """Close idle connections now and the others when they are released; calling it again is fine."""
        self._closed = True
        idle, self._idle = self._idle, []
        closing = [asyncio.wrap_future(connection.close()) for connection in idle]
        if closing:
            await asyncio.wait(closing)


class Held:
    """A connection that is the caller's already, as a pool of one."""

    def __init__(self, connection: ThreadedConnection) -> None:
        self._connection = connection

    async def acquire(self) -> ThreadedConnection:
        """Return it."""
        return self._connection

    def release(self, connection: ThreadedConnection) -> None:
        """Leave it to the caller."""
