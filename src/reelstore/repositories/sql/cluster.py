"""The cluster's row and known idempotency keys in SQL. The methods promise what their ports say."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from reelstore.domain.errors import IntegrityViolation
from reelstore.repositories.interface import Cluster
from reelstore.repositories.sql.dialects import upsert, whereabouts
from reelstore.repositories.sql.schema import cluster, idempotency_keys
from reelstore.repositories.sql.session import Session

_COLUMNS = [column for column in cluster.c if column is not cluster.c.the_row]


class SqlCluster:
    """See `ClusterRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self) -> Cluster | None:
        """See `ClusterRepository.get`."""
        row = await self._session.read(lambda connection: connection.execute(select(*_COLUMNS)).one_or_none())
        return None if row is None else Cluster(**row._asdict())

    async def add(self, cluster: Cluster) -> None:
        """See `ClusterRepository.add`."""
        await self._session.write(lambda connection: _add_cluster(connection, cluster))

    async def raise_delete_rounds(self) -> int:
        """See `ClusterRepository.raise_delete_rounds`."""
        statement = update(cluster).values(delete_rounds=cluster.c.delete_rounds + 1).returning(cluster.c.delete_rounds)

        def work(connection: Connection) -> int:
            rounds: int | None = connection.execute(statement).scalar_one_or_none()
            if rounds is None:
                raise IntegrityViolation("the cluster's row is not there yet")
            return rounds

        return await self._session.write(work)

    async def update(self, cluster: Cluster) -> None:
        """See `ClusterRepository.update`."""
        changed = {
            "generation": cluster.generation,
            "delete_rounds": cluster.delete_rounds,
            "default_policy": cluster.default_policy,
            "home": cluster.home,
            "deletes_stopped": cluster.deletes_stopped,
        }
        if not await self._session.write(lambda connection: connection.execute(update(_TABLE), changed).rowcount):
            raise IntegrityViolation("the cluster's row is not there yet")

    async def whereabouts(self) -> str:
        """See `ClusterRepository.whereabouts`."""
        return await self._session.read(whereabouts)

    async def set_default_policy(self, name: str) -> None:
        """See `ClusterRepository.set_default_policy`."""
        statement = update(cluster).values(default_policy=name)
        if not await self._session.write(lambda connection: connection.execute(statement).rowcount):
            raise IntegrityViolation("the cluster's row is not there yet")


_TABLE = cluster


def _add_cluster(connection: Connection, new: Cluster) -> None:
    values = {column.name: getattr(new, column.name) for column in _COLUMNS}
    connection.execute(insert(cluster), {"the_row": 1, **values})


class SqlIdempotency:
    """See `IdempotencyRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, key: str) -> tuple[str, str] | None:
        """See `IdempotencyRepository.get`."""
        known = idempotency_keys.c
        statement = select(known.fingerprint, known.video_id).where(known.key == key)
        row = await self._session.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else (row.fingerprint, row.video_id)

    async def add(self, key: str, *, fingerprint: str, video_id: str, at: datetime) -> bool:
        """See `IdempotencyRepository.add`."""
        statement = upsert(idempotency_keys).on_conflict_do_nothing()
        values = {"key": key, "fingerprint": fingerprint, "video_id": video_id, "created_at": at}
        return await self._session.write(lambda connection: connection.execute(statement, values).rowcount > 0)

    async def drop_before(self, at: datetime) -> int:
        """See `IdempotencyRepository.drop_before`."""
        statement = delete(idempotency_keys).where(idempotency_keys.c.created_at < at)
        return await self._session.write(lambda connection: connection.execute(statement).rowcount)
