"""Servers, policies, rings and partitions in SQL. The methods promise what their ports say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Update, bindparam, delete, func, insert, select, update

from reelstore.domain.errors import Conflict, IntegrityViolation, ServerNotFound
from reelstore.domain.policy import Policy, PolicyKind
from reelstore.domain.server import Server, ServerHealth, ServerState
from reelstore.placement.ring import RingSet
from reelstore.repositories.interface import PartitionState, RingRecord, ScrubTimes
from reelstore.repositories.sql.schema import partitions, policies, ring_head, rings, servers
from reelstore.repositories.sql.session import Session


class SqlServers:
    """See `ServerRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, server: Server) -> None:
        """See `ServerRepository.add`."""
        await self._session.write(lambda connection: connection.execute(insert(servers), _server_values(server)))

    async def get(self, name: str) -> Server | None:
        """See `ServerRepository.get`."""
        statement = select(servers).where(servers.c.name == name)
        row = await self._session.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else _server(row)

    async def list(self) -> Sequence[Server]:
        """See `ServerRepository.list`."""
        statement = select(servers).order_by(servers.c.number)
        return await self._session.read(lambda connection: [_server(row) for row in connection.execute(statement)])

    async def update(self, server: Server) -> None:
        """See `ServerRepository.update`."""
        statement = update(servers).where(servers.c.name == server.name, servers.c.number == server.number)
        values = _server_values(server)
        if not await self._session.write(lambda connection: connection.execute(statement, values).rowcount):
            raise ServerNotFound(f"there is no server {server.name} of number {server.number}", key=server.name)

    async def next_number(self) -> int:
        """See `ServerRepository.next_number`. No row is ever deleted, so the largest number is still there."""
        statement = select(func.coalesce(func.max(servers.c.number), -1) + 1)
        return await self._session.read(lambda connection: connection.execute(statement).scalar_one())


def _server_values(server: Server) -> dict[str, Any]:
    return {column.name: getattr(server, column.name) for column in servers.c}


def _server(row: Row[Any]) -> Server:
    return Server(**{**row._asdict(), "state": ServerState(row.state), "health": ServerHealth(row.health)})


class SqlPolicies:
    """See `PolicyRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, policy: Policy) -> None:
        """See `PolicyRepository.add`."""
        values = asdict(policy)
        values["copies"] = values.pop("width")
        await self._session.write(lambda connection: connection.execute(insert(policies), values))

    async def list(self) -> Sequence[Policy]:
        """See `PolicyRepository.list`."""
        statement = select(policies).order_by(policies.c.name)
        rows = await self._session.read(lambda connection: connection.execute(statement).all())
        return [
            Policy(row.name, PolicyKind(row.kind), row.copies, row.needed, row.copies_min, row.chunk_size_bytes)
            for row in rows
        ]


class SqlRings:
    """See `RingRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def head(self, *, lock: bool = False) -> int:
        """See `RingRepository.head`."""
        statement = select(ring_head.c.epoch)
        if lock:
            self._session.check_writable()
            statement = statement.with_for_update(read=True)
        return await self._session.read(lambda connection: connection.execute(statement).scalar_one())

    async def add(self, rings: RingSet, *, reason: str, at: datetime) -> None:
        """See `RingRepository.add`."""
        rings.validate()
        if not await self._session.write(lambda connection: _add_ring_set(connection, rings, reason, at)):
            raise Conflict(f"epoch {rings.epoch} does not follow on the newest ring's")

    async def get(self, epoch: int) -> RingSet | None:
        """See `RingRepository.get`."""
        statement = select(rings.c.ring_set).where(rings.c.epoch == epoch)
        data = await self._session.read(lambda connection: connection.execute(statement).scalar_one_or_none())
        return None if data is None else RingSet.from_bytes(data)

    async def history(self, *, limit: int) -> Sequence[RingRecord]:
        """See `RingRepository.history`."""
        columns = rings.c.epoch, rings.c.reason, rings.c.created_at
        statement = select(*columns).order_by(rings.c.epoch.desc()).limit(limit)
        return await self._session.read(lambda connection: [RingRecord(*row) for row in connection.execute(statement)])


def _add_ring_set(connection: Connection, ring_set: RingSet, reason: str, at: datetime) -> bool:
    moved = update(ring_head).where(ring_head.c.epoch == ring_set.epoch - 1)
    if connection.execute(moved, {"epoch": ring_set.epoch}).rowcount == 0:
        return False
    values = {"epoch": ring_set.epoch, "ring_set": ring_set.to_bytes(), "reason": reason, "created_at": at}
    connection.execute(insert(rings), values)
    return True


class SqlPartitions:
    """See `PartitionRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, policy: str, count: int, *, epoch: int) -> None:
        """See `PartitionRepository.add`."""
        clean = {"policy": policy, "version": 0, "synced_epoch": epoch, "synced_version": 0, "scrubbed_at": None}
        rows = [{**clean, "partition": index} for index in range(count)]
        if rows:
            await self._session.write(lambda connection: connection.execute(insert(partitions), rows))

    async def get(self, policy: str, index: int) -> PartitionState | None:
        """See `PartitionRepository.get`."""
        statement = select(partitions).where(_this(policy, index))
        row = await self._session.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else PartitionState(*row)

    async def list(self, policy: str, start: int = 0, stop: int | None = None) -> Sequence[PartitionState]:
        """See `PartitionRepository.list`."""
        statement = (
            select(partitions)
            .where(partitions.c.policy == policy, partitions.c.partition >= start)
            .order_by(partitions.c.partition)
        )
        if stop is not None:
            statement = statement.where(partitions.c.partition < stop)
        return await self._session.read(
            lambda connection: [PartitionState(*row) for row in connection.execute(statement)]
        )

    async def unsettled(self, policy: str, *, epoch: int) -> Sequence[int]:
        """See `PartitionRepository.unsettled`."""
        elsewhere = partitions.c.synced_epoch != epoch
        statement = (
            select(partitions.c.partition)
            .where(partitions.c.policy == policy, elsewhere | (partitions.c.synced_version != partitions.c.version))
            .order_by(partitions.c.partition)
        )
        return await self._session.read(lambda connection: connection.execute(statement).scalars().all())

    async def raise_versions(self, policy: str, indexes: Sequence[int]) -> None:
        """See `PartitionRepository.raise_versions`."""
        raised = _EACH.values(version=partitions.c.version + 1)
        await self._session.write(lambda connection: _change_each(connection, raised, policy, indexes))

    async def swap_synced(self, policy: str, versions: Mapping[int, int], *, epoch: int) -> frozenset[int]:
        """See `PartitionRepository.swap_synced`."""
        known = partitions.c
        statement = (
            update(partitions)
            .where(
                known.policy == policy, known.partition == bindparam("index"), known.version == bindparam("at_version")
            )
            .values(synced_epoch=epoch, synced_version=bindparam("at_version"))
        )

        def swap(connection: Connection) -> frozenset[int]:
            values = ({"index": index, "at_version": version} for index, version in versions.items())
            return frozenset(each["index"] for each in values if connection.execute(statement, each).rowcount)

        return await self._session.write(swap)

    async def split(self, policy: str) -> None:
        """See `PartitionRepository.split`."""
        halves = [
            asdict(replace(state, index=half, version=state.version + 1))
            for state in await self.list(policy)
            for half in (2 * state.index, 2 * state.index + 1)
        ]
        rows = [{"partition": row.pop("index"), **row} for row in halves]
        await self._session.write(lambda connection: _replace_all(connection, policy, rows))

    async def set_scrubbed(self, policy: str, indexes: Sequence[int], *, at: datetime | None) -> None:
        """See `PartitionRepository.set_scrubbed`."""
        scrubbed = _EACH.values(scrubbed_at=at)
        await self._session.write(lambda connection: _change_each(connection, scrubbed, policy, indexes))

    async def scrub_times(self, policy: str, *, before: datetime) -> ScrubTimes:
        """See `PartitionRepository.scrub_times`."""
        at = partitions.c.scrubbed_at
        total, ever, recent = func.count(), func.count(at), func.count(at).filter(at >= before)
        statement = select(total, ever, recent, func.min(at)).where(partitions.c.policy == policy)
        count, scrubbed, lately, oldest = await self._session.read(
            lambda connection: connection.execute(statement).one()
        )
        return ScrubTimes(count, count - scrubbed, count - lately, oldest)


_EACH = update(partitions).where(
    partitions.c.policy == bindparam("of_policy"), partitions.c.partition == bindparam("index")
)


def _replace_all(connection: Connection, policy: str, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(delete(partitions).where(partitions.c.policy == policy))
    if rows:
        connection.execute(insert(partitions), rows)


def _change_each(connection: Connection, statement: Update, policy: str, indexes: Sequence[int]) -> None:
    """Change these partitions, in order of index, so that two who do it cannot lock each other out."""
    rows = [{"of_policy": policy, "index": index} for index in sorted(set(indexes))]
    if rows and connection.execute(statement, rows).rowcount != len(rows):
        raise IntegrityViolation(f"policy {policy} has not all of the partitions that are to be changed")


def _this(policy: str, index: int) -> ColumnElement[bool]:
    return (partitions.c.policy == policy) & (partitions.c.partition == index)
