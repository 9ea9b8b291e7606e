"""What the tests of the writer share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from reelstore.chunkstore import writing
from reelstore.chunkstore.budget import MemoryBudget
from reelstore.chunkstore.buffers import BufferPool
from reelstore.chunkstore.writing import FileWriter
from reelstore.domain.chunk import ChunkRef
from reelstore.domain.file import StoredFile
from reelstore.repositories.interface import UnitOfWork
from tests.cluster import Cluster


def writer_of(cluster: Cluster, **more: Any) -> FileWriter:
    return cluster.app.store.writer(cluster.app.topology.present.policy(None), **more)


def used_bytes(cluster: Cluster) -> int:
    return cluster.app.store._writing.buffers._budget.used_bytes


def limit_memory(cluster: Cluster, limit_bytes: int, **more: float) -> None:
    """Give all writers together that much."""
    store = cluster.app.store
    tools = {name: getattr(store._writing, name) for name in writing.WritingTools.__slots__}
    store._writing = writing.WritingTools(**tools | {"buffers": BufferPool(MemoryBudget(limit_bytes, **more))})


async def nothing_more(_uow: UnitOfWork, _file: StoredFile, _now: datetime) -> None:
    """Complete a file without a video."""


@asynccontextmanager
async def held(cluster: Cluster, operation: str = "put") -> AsyncIterator[None]:
    """Let no server finish that operation before the block ends; begin the block when one has begun it."""
    gates = [(server, server.hold(operation)) for server in cluster.servers]
    try:
        yield
    finally:
        for server, gate in gates:
            gate.set()
            server._held.pop(operation, None)


def puts(cluster: Cluster) -> int:
    return sum(server.calls["put"] for server in cluster.servers)


async def file_of(cluster: Cluster, writer: FileWriter) -> StoredFile | None:
    async with cluster.metadata.snapshot() as view:
        return await view.files.get(writer._file.id)


async def references_of(cluster: Cluster, writer: FileWriter) -> list[ChunkRef]:
    async with cluster.metadata.snapshot() as view:
        return list(await view.files.references(writer._file.id, 0, 1000))
