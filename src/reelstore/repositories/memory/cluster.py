"""The cluster's row and known idempotency keys in memory. The methods promise what their ports say."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reelstore.repositories.interface import Cluster
from reelstore.repositories.memory.tables import THE_ROW, RememberedKey, Tables


class InMemoryCluster:
    """See `ClusterRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self) -> Cluster | None:
        """See `ClusterRepository.get`."""
        return self._tables.cluster.get(THE_ROW)

    async def add(self, cluster: Cluster) -> None:
        """See `ClusterRepository.add`."""
        if THE_ROW in self._tables.cluster:
            raise self._tables.violation("the cluster's row is there already")
        self._tables.cluster.put(THE_ROW, cluster)

    async def raise_delete_rounds(self) -> int:
        """See `ClusterRepository.raise_delete_rounds`."""
        cluster = await self.get()
        if cluster is None:
            raise self._tables.violation("the cluster's row is not there yet")
        self._tables.cluster.put(THE_ROW, replace(cluster, delete_rounds=cluster.delete_rounds + 1))
        return cluster.delete_rounds + 1

    async def update(self, cluster: Cluster) -> None:
        """See `ClusterRepository.update`."""
        known = await self.get()
        if known is None:
            raise self._tables.violation("the cluster's row is not there yet")
        self._tables.cluster.put(THE_ROW, replace(cluster, id=known.id, created_at=known.created_at))

    async def whereabouts(self) -> str:
        """See `ClusterRepository.whereabouts`. A dictionary is gone with its process, and never a copy."""
        return "memory"

    async def set_default_policy(self, name: str) -> None:
        """See `ClusterRepository.set_default_policy`."""
        cluster = await self.get()
        if cluster is None:
            raise self._tables.violation("the cluster's row is not there yet")
        self._tables.cluster.put(THE_ROW, replace(cluster, default_policy=name))


class InMemoryIdempotency:
    """See `IdempotencyRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, key: str) -> tuple[str, str] | None:
        """See `IdempotencyRepository.get`."""
        known = self._tables.idempotency.get(key)
        return None if known is None else (known.fingerprint, known.video_id)

    async def add(self, key: str, *, fingerprint: str, video_id: str, at: datetime) -> bool:
        """See `IdempotencyRepository.add`."""
        if key in self._tables.idempotency:
            return False
        self._tables.idempotency.put(key, RememberedKey(fingerprint, video_id, at))
        return True

    async def drop_before(self, at: datetime) -> int:
        """See `IdempotencyRepository.drop_before`."""
        old = [key for key, known in self._tables.idempotency.items() if known.at < at]
        for key in old:
            self._tables.idempotency.drop(key)
        return len(old)
