"""Units of work over SQL: one connection that writes, a few that read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, select

from reelstore.repositories.interface import UnitOfWork
from reelstore.repositories.sql.chunks import SqlChunks
from reelstore.repositories.sql.cluster import SqlCluster, SqlIdempotency
from reelstore.repositories.sql.connection import ThreadedConnection
from reelstore.repositories.sql.dialects import present_time
from reelstore.repositories.sql.files import SqlFiles
from reelstore.repositories.sql.history import SqlEvents, SqlPlans
from reelstore.repositories.sql.operations import SqlControl, SqlCounters, SqlLeases, SqlUsage
from reelstore.repositories.sql.pool import ConnectionPool, Held
from reelstore.repositories.sql.reserve import RESERVE_BYTES, ReserveFile, Room
from reelstore.repositories.sql.schema import ring_head
from reelstore.repositories.sql.session import Session
from reelstore.repositories.sql.sqlite import database_path, make_engine
from reelstore.repositories.sql.topology import SqlPartitions, SqlPolicies, SqlRings, SqlServers
from reelstore.repositories.sql.transfers import SqlTransfers
from reelstore.repositories.sql.upgrade import upgrade
from reelstore.repositories.sql.videos import SqlVideos

READERS_MAX: Final = 8

T = TypeVar("T")


class SqlMetadata:
    """Keep everything in an SQLite database. See `Metadata`.

    A commit is durable when it returns. Writers of this process wait for each other in the order of asking, at most
    `pool.WAIT_SECONDS_MAX`; those of other processes as long as SQLite's busy time-out. A snapshot waits for no
    writer, but there are at most `READERS_MAX` at a time: do not begin one inside another.
    """

    def __init__(self, path: Path, reserve: ReserveFile) -> None:
        self._writers = ConnectionPool(make_engine(path, read_only=False), size=1, interruptible=False)
        self._readers = ConnectionPool(make_engine(path, read_only=True), size=READERS_MAX, interruptible=True)
        self._reserve = reserve

    @classmethod
    async def open(cls, url: str, *, reserve_bytes: int = RESERVE_BYTES) -> SqlMetadata:
        """Make the database if there is none, bring its tables up to date, and open it.

        Args:
            url: `sqlite:///relative/path` or `sqlite:////absolute/path`.
            reserve_bytes: room kept beside the database for a purge on a full volume.

        Raises:
            ConfigurationError: the URL or the path cannot be used, the file is no database of ours, or it was
                written by a newer Reelstore.
            MetadataUnavailable: the database is locked, or its volume is full or fails; a retry can help.
        """
        path = database_path(url)
        reserve = ReserveFile(path, size_bytes=reserve_bytes)
        await asyncio.to_thread(reserve.release_when_short)  # opening makes the log and its index
        await asyncio.to_thread(upgrade, path)
        return cls(path, reserve)

    def unit_of_work(self, *, frees: bool = False) -> SqlUnit:
        """See `Metadata.unit_of_work`."""
        return SqlUnit(self._writers, room=Room(self._reserve, frees=frees))

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]], *, frees: bool = False) -> T:
        """See `Metadata.transact`. All of it is one hop to the writing connection's thread."""
        connection = await self._writers.acquire()

        async def whole() -> T:
            async with SqlUnit(Held(connection), room=Room(self._reserve, frees=frees)) as unit:
                result = await work(unit)
                await unit.commit()
            return result

        try:
            return await connection.drive(whole())
        finally:
            self._writers.release(connection)

    def snapshot(self) -> SqlUnit:
        """See `Metadata.snapshot`."""
        return SqlUnit(self._readers)

    async def close(self) -> None:
        """See `Metadata.close`. A unit of work that is going on keeps its connection until it ends."""
        await self._readers.close()
        await self._writers.close()


class SqlUnit:
    """One transaction. See `UnitOfWork`.

    A call that is cancelled still ends its statement, so that the transaction is either committed or rolled back, and
    the connection free, when the `async with` is left.
    """

    videos: SqlVideos
    files: SqlFiles
    chunks: SqlChunks
    servers: SqlServers
    policies: SqlPolicies
    rings: SqlRings
    partitions: SqlPartitions
    cluster: SqlCluster
    idempotency: SqlIdempotency
    transfers: SqlTransfers
    leases: SqlLeases
    control: SqlControl
    events: SqlEvents
    plans: SqlPlans
    counters: SqlCounters
    usage: SqlUsage

    def __init__(self, pool: ConnectionPool | Held, *, room: Room | None = None) -> None:
        self._pool = pool
        self._room = room
        self._connection: ThreadedConnection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await self._pool.acquire()
        session = self._session = Session(self._connection, writable=self._room is not None)
        try:
            await self._connection.run(self._begin)
        except BaseException:
            await self._end()
            raise
        self.videos = SqlVideos(session)
        self.files = SqlFiles(session)
        self.chunks = SqlChunks(session)
        self.servers = SqlServers(session)
        self.policies = SqlPolicies(session)
        self.rings = SqlRings(session)
        self.partitions = SqlPartitions(session)
        self.cluster = SqlCluster(session)
        self.idempotency = SqlIdempotency(session)
        self.transfers = SqlTransfers(session)
        self.leases = SqlLeases(session)
        self.control = SqlControl(session)
        self.events = SqlEvents(session)
        self.plans = SqlPlans(session)
        self.counters = SqlCounters(session)
        self.usage = SqlUsage(session)
        return self

    def _begin(self, connection: Connection) -> None:
        if self._room is not None:
            self._room.prepare(connection)
        # The first read pins what a snapshot sees; without it, that would be the state at some later read.
        connection.execute(select(ring_head.c.epoch))

    async def now(self) -> datetime:
        """See `UnitOfWork.now`."""
        return await self._session.read(present_time)

    async def commit(self) -> None:
        """See `UnitOfWork.commit`. A cancelled commit has happened, or failed, when `CancelledError` is raised."""
        self._session.check_writable()
        if self._connection is not None:
            try:
                await self._connection.commit()
            finally:
                self._release()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._end()

    async def _end(self) -> None:
        try:
            if self._connection is not None:
                await self._connection.roll_back()
        finally:
            self._release()

    def _release(self) -> None:
        self._session.end()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)
