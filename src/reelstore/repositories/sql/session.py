"""One transaction, as the repositories see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from reelstore.domain.errors import IntegrityViolation
from reelstore.repositories.sql.connection import ThreadedConnection

T = TypeVar("T")


class Session:
    """Run the repositories' work in one transaction, until something fails.

    After a failure the database may have rolled back by itself (SQLite does when its volume is full), and what
    follows would not be in the transaction: nothing follows.
    """

    def __init__(self, connection: ThreadedConnection, *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable
        self._failed = False
        self._ended = False

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns; it only reads. See `ThreadedConnection.run` for the errors."""
        self.check()
        try:
            return await self._connection.run(work)
        except Exception:
            self._failed = True
            raise

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns. See `ThreadedConnection.run` for the errors."""
        self.check_writable()
        return await self.read(work)

    def check_writable(self) -> None:
        """Refuse to write or to lock in a snapshot, after the end, or after a failure."""
        self.check()
        if not self._writable:
            raise RuntimeError("a snapshot only reads")

    def check(self) -> None:
        """Refuse to go on after the end or after a failure."""
        if self._ended:
            raise RuntimeError("this unit of work has not begun, or has ended")
        if self._failed:
            raise IntegrityViolation("this unit of work has failed and can only be rolled back")

    def end(self) -> None:
        """Refuse everything from now on."""
        self._ended = True
