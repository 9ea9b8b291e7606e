"""One database connection with a thread of its own, which no cancelled task can leave half-way.

A statement that runs in a thread cannot be abandoned: it goes on. So a cancelled call ends when its statement has
ended, at the latest after the busy time-out, and only then raises: a commit has then happened or failed. What comes
after it, the rollback too, waits its turn in the same thread.
One call is one hop to the thread, whatever number of statements it makes: 0.05 ms, where an asynchronous driver
takes four hops for each statement. While many threads hash and write a hop takes 1 to 4 ms, so a whole transaction can
be one too: a coroutine driven in the thread, whose own calls are no hops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from threading import get_ident
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from reelstore.domain.errors import MetadataUnavailable
from reelstore.repositories.sql.errors import TRANSLATED, translate

T = TypeVar("T")


class ThreadedConnection:
    """Run functions over one connection, one after the other, in one thread.

    Args:
        engine: where the connection comes from; opened at the first call, and anew after `discard`.
        interruptible: a cancelled call interrupts its statement. For reading only: an interrupted COMMIT would leave
            open whether it happened.
    """

    def __init__(self, engine: Engine, *, interruptible: bool) -> None:
        self._engine = engine
        self._interruptible = interruptible
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reelstore-metadata")
        self._connection: Connection | None = None
        self._driving: int | None = None  # the thread, while it drives a coroutine

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, run in the connection's thread; at once where the caller is in it already.

        A cancelled call still waits for the work to end, and raises `CancelledError` after it.

        Raises:
            MetadataUnavailable: the database does not answer, is locked, or its volume is full; a retry can help.
            IntegrityViolation: a constraint refused; a retry does not help.
            InvalidInput: a value that no database can hold; a retry does not help.
        """
        if self._driving == get_ident():
            return self._run(work)
        return await self._hop(lambda: self._run(work))

    async def begin(self, work: Callable[[Connection], T]) -> T:
        """Run the first work of a transaction; see `run`.

        A connection that has been idle may be lost since: nothing has happened yet, so it is tried on a new one.
        """
        if self._driving == get_ident():
            return self._run_first(work)
        return await self._hop(lambda: self._run_first(work))

    def _run_first(self, work: Callable[[Connection], T]) -> T:
        was_open = self._connection is not None
        try:
            return self._run(work)
        except MetadataUnavailable:
            if not (was_open and self._connection is not None and self._connection.invalidated):
                raise
        self._discard()
        return self._run(work)

    async def drive(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the connection's thread and return what it returns: one hop for all its calls of `run`.

        A cancelled call still waits for it to end, and raises `CancelledError` after it.

        Raises:
            RuntimeError: the coroutine waits for something else than `run`.
        """
        return await self._hop(lambda: self._drive(coroutine))

    def _drive(self, coroutine: Coroutine[Any, Any, T]) -> T:
        self._driving = get_ident()
        try:
            coroutine.send(None)
        except StopIteration as ended:
            result: T = ended.value
            return result
        else:
            coroutine.close()
            raise RuntimeError("what runs in a connection's thread waits for nothing but the connection")
        finally:
            self._driving = None

    async def _hop(self, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError as error:
                cancelled = error
                self._interrupt()
        failure = future.exception()
        if cancelled is not None:
            raise cancelled
        if failure is not None:
            raise failure
        return future.result()

    def _run(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return work(self._connection)
        except TRANSLATED as error:
            ours = translate(error)
            if ours is None:
                raise
            raise ours from error

    def _interrupt(self) -> None:
        if self._interruptible and self._connection is not None:
            driver = self._connection.connection.dbapi_connection
            if driver is not None:
                driver.interrupt()

    async def commit(self) -> None:
        """Commit. Whatever happens, no transaction is left open. See `run` for the errors."""
        await self.run(self._commit)

    def _commit(self, connection: Connection) -> None:
        try:
            connection.commit()
        except BaseException:
            self._discard()  # SQLAlchemy takes the transaction for ended, which the database need not
            raise

    async def roll_back(self) -> None:
        """End whatever transaction there is; a connection that cannot is replaced at the next call."""
        await self.run(self._roll_back)

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.rollback()
        except TRANSLATED:
            self._discard()
        if connection.invalidated:
            self._discard()

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def close(self) -> Future[None]:
        """Close the connection, once what runs has ended, and end the thread. To be called once.

        Returns:
            done when the connection is closed.
        """
        closed = self._thread.submit(self._discard)
        self._thread.shutdown(wait=False)
        return closed
