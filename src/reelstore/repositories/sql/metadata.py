"""Units of work over SQL: one connection that writes alone, a few that write together, and a few that read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from types import TracebackType
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, select

from reelstore.repositories.interface import UnitOfWork
from reelstore.repositories.sql import postgresql, sqlite
from reelstore.repositories.sql.chunks import SqlChunks
from reelstore.repositories.sql.cluster import SqlCluster, SqlIdempotency
from reelstore.repositories.sql.connection import ThreadedConnection
from reelstore.repositories.sql.dialects import present_time
from reelstore.repositories.sql.errors import MetadataContended
from reelstore.repositories.sql.files import SqlFiles
from reelstore.repositories.sql.history import SqlEvents, SqlPlans
from reelstore.repositories.sql.operations import SqlControl, SqlCounters, SqlLeases, SqlNeeds, SqlUsage
from reelstore.repositories.sql.pool import ConnectionPool, Held
from reelstore.repositories.sql.reserve import RESERVE_BYTES, ReserveFile, Room
from reelstore.repositories.sql.schema import ring_head
from reelstore.repositories.sql.session import Session
from reelstore.repositories.sql.topology import SqlPartitions, SqlPolicies, SqlRings, SqlServers
from reelstore.repositories.sql.transfers import SqlTransfers
from reelstore.repositories.sql.upgrade import prepare_postgresql, upgrade_sqlite
from reelstore.repositories.sql.videos import SqlVideos

READERS_MAX: Final = 8
TOGETHER_MAX: Final = 8
"""Connections for what is transacted, where the database lets several write side by side."""
TRIES_MAX: Final = 10
PAUSE_SECONDS: Final = 0.02
"""The longest rest before the second try; twice that before the third, and so on."""

T = TypeVar("T")


class SqlMetadata:
    """Keep everything in an SQLite or a PostgreSQL database. See `Metadata`.

    A commit is durable when it returns. Writers of this process wait for each other in the order of asking, at most
    `pool.WAIT_SECONDS_MAX`; those of other processes as long as the database's own time-out. A snapshot waits for no
    writer, but there are at most `READERS_MAX` at a time: do not begin one inside another.
    A database that goes away and returns is used again as soon as it answers.

    Args:
        alone: connections whose transactions write alone.
        together: those of what is transacted; on SQLite the same ones.
        readers: those of snapshots.
        reserve: room that is kept on the database's own volume, where it is a file.
    """

    def __init__(
        self,
        alone: ConnectionPool,
        together: ConnectionPool,
        readers: ConnectionPool,
        reserve: ReserveFile | None = None,
    ) -> None:
        self._alone = alone
        self._together = together
        self._readers = readers
        self._reserve = reserve

    @classmethod
    async def open(cls, url: str, *, reserve_bytes: int = RESERVE_BYTES) -> SqlMetadata:
        """Open a database; make its tables if it is empty.

        Args:
            url: `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user:password@host/database`.
            reserve_bytes: room kept beside an SQLite database for a purge on a full volume.

        Raises:
            ConfigurationError: the URL or the path cannot be used, the database is not ours, or it was written by a
                newer Reelstore; or PostgreSQL's tables are older ones, which `reelstore db upgrade` brings up to date.
            MetadataUnavailable: the database does not answer, is locked, or its volume is full or fails; a retry can
                help.
        """
        if postgresql.is_postgresql(url):
            return await cls._open_postgresql(url)
        path = sqlite.database_path(url)
        reserve = ReserveFile(path, size_bytes=reserve_bytes)
        await asyncio.to_thread(reserve.release_when_short)  # opening makes the log and its index
        await asyncio.to_thread(upgrade_sqlite, path)
        writer = ConnectionPool(sqlite.make_engine(path, read_only=False), size=1, interruptible=False)
        readers = ConnectionPool(sqlite.make_engine(path, read_only=True), size=READERS_MAX, interruptible=True)
        return cls(writer, writer, readers, reserve)

    @classmethod
    async def _open_postgresql(cls, url: str) -> SqlMetadata:
        parsed = postgresql.database_url(url)
        await asyncio.to_thread(prepare_postgresql, parsed)
        home = postgresql.Home()

        def pool(size: int, begin: str | None, *, read_only: bool = False) -> ConnectionPool:
            engine = postgresql.make_engine(parsed, begin=begin, read_only=read_only, home=home)
            return ConnectionPool(engine, size=size, interruptible=False)

        return cls(
            pool(1, postgresql.ALONE),
            pool(TOGETHER_MAX, postgresql.TOGETHER),
            pool(READERS_MAX, None, read_only=True),
        )

    def unit_of_work(self, *, frees: bool = False) -> SqlUnit:
        """See `Metadata.unit_of_work`."""
        return SqlUnit(self._alone, writable=True, room=self._room(frees=frees))

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]], *, frees: bool = False) -> T:
        """See `Metadata.transact`. All of it is one hop to a writing connection's thread."""
        for tried in range(1, TRIES_MAX):
            try:
                return await self._try(work, frees=frees)
            except MetadataContended:
                await asyncio.sleep(random.uniform(0, PAUSE_SECONDS * tried))  # noqa: S311 - keeps two apart, guards nothing
        return await self._try(work, frees=frees)

    async def _try(self, work: Callable[[UnitOfWork], Awaitable[T]], *, frees: bool) -> T:
        connection = await self._together.acquire()

        async def whole() -> T:
            async with SqlUnit(Held(connection), writable=True, room=self._room(frees=frees)) as unit:
                result = await work(unit)
                await unit.commit()
            return result

        try:
            return await connection.drive(whole())
        finally:
            self._together.release(connection)

    def _room(self, *, frees: bool) -> Room | None:
        return None if self._reserve is None else Room(self._reserve, frees=frees)

    def snapshot(self) -> SqlUnit:
        """See `Metadata.snapshot`."""
        return SqlUnit(self._readers, writable=False)

    async def close(self) -> None:
        """See `Metadata.close`. A unit of work that is going on keeps its connection until it ends."""
        for pool in (self._readers, self._together, self._alone):
            await pool.close()


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
    needs: SqlNeeds
    control: SqlControl
    events: SqlEvents
    plans: SqlPlans
    counters: SqlCounters
    usage: SqlUsage

    def __init__(self, pool: ConnectionPool | Held, *, writable: bool, room: Room | None = None) -> None:
        self._pool = pool
        self._writable = writable
        self._room = room
        self._connection: ThreadedConnection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await self._pool.acquire()
        session = self._session = Session(self._connection, writable=self._writable)
        try:
            await self._connection.begin(self._begin)
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
        self.needs = SqlNeeds(session)
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
