"""Chunks' rows in SQL. The methods promise what `ChunkRepository` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, select, update

from reelstore.domain.chunk import Chunk, ChunkState
from reelstore.repositories.interface import NewChunk
from reelstore.repositories.sql.dialects import batches, unindexed, upsert
from reelstore.repositories.sql.schema import chunk_totals, chunks, file_chunks
from reelstore.repositories.sql.session import Session

_UNREFERENCED = ~exists().where(file_chunks.c.chunk == chunks.c.id)


class SqlChunks:
    """See `ChunkRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def obtain(self, policy: str, chunks: Sequence[NewChunk]) -> Sequence[Chunk]:
        """See `ChunkRepository.obtain`."""
        if not chunks:
            self._session.check_writable()
            return []
        return await self._session.write(lambda connection: _obtain(connection, policy, chunks))

    async def get_many(self, chunk_ids: Sequence[str]) -> Mapping[str, Chunk]:
        """See `ChunkRepository.get_many`."""

        def work(connection: Connection) -> Mapping[str, Chunk]:
            rows = (
                row
                for batch in batches(chunk_ids)
                for row in connection.execute(select(chunks).where(chunks.c.id.in_(batch)))
            )
            return {row.id: chunk_of(row) for row in rows}

        return await self._session.read(work)

    async def make_live(self, chunk_ids: Sequence[str]) -> None:
        """See `ChunkRepository.make_live`."""

        def work(connection: Connection) -> None:
            for batch in batches(sorted(set(chunk_ids))):
                written = chunks.c.id.in_(batch) & (chunks.c.state == ChunkState.WRITING)
                # An UPDATE locks rows as it meets them: two of them could lock each other out.
                in_order = select(chunks.c.id).where(written).order_by(chunks.c.id).with_for_update(key_share=True)
                connection.execute(in_order).all()
                connection.execute(update(chunks).where(written), {"state": ChunkState.LIVE})

        await self._session.write(work)

    async def in_range(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[Chunk]:
        """See `ChunkRepository.in_range`."""
        statement = select(chunks).where(*_range(policy, start, stop)).order_by(chunks.c.digest)
        return await self._session.read(lambda connection: [chunk_of(row) for row in connection.execute(statement)])

    async def is_empty(self, policy: str) -> bool:
        """See `ChunkRepository.is_empty`."""
        statement = select(chunks.c.id).where(chunks.c.policy == policy).limit(1)
        return await self._session.read(lambda connection: connection.execute(statement).first() is None)

    async def bytes_by_partition(self, policy: str, partition_bits: int) -> Sequence[int]:
        """See `ChunkRepository.bytes_by_partition`."""
        return await self._session.read(lambda connection: _bytes_by_partition(connection, policy, partition_bits))

    async def delete_unreferenced(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[Chunk]:
        """See `ChunkRepository.delete_unreferenced`. The index of the foreign key answers what is referenced."""
        gone = await self._delete(*_range(policy, start, stop))
        return sorted(gone, key=lambda chunk: chunk.digest)

    async def delete(self, chunk_id: str) -> bool:
        """See `ChunkRepository.delete`."""
        return bool(await self._delete(chunks.c.id == chunk_id))

    async def _delete(self, *conditions: ColumnElement[bool]) -> Sequence[Chunk]:
        statement = delete(chunks).where(*conditions, _UNREFERENCED).returning(*chunks.c)

        def work(connection: Connection) -> Sequence[Chunk]:
            gone = [chunk_of(row) for row in connection.execute(statement)]
            _count(connection, gone, sign=-1)
            return gone

        return await self._session.write(work)


def chunk_of(row: Row[Any]) -> Chunk:
    """Read a chunk from a row that has its columns."""
    return Chunk(row.id, row.policy, row.digest, row.size_bytes, ChunkState(row.state))


def _range(policy: str, start: bytes, stop: bytes | None) -> list[ColumnElement[bool]]:
    above = [chunks.c.policy == policy, chunks.c.digest >= start]
    return above if stop is None else [*above, chunks.c.digest < stop]


def _bytes_by_partition(connection: Connection, policy: str, partition_bits: int) -> list[int]:
    """Sum in groups of whole bytes of the digest, as SQL knows no bits of it, and put those groups together."""
    prefix_bytes = -(-partition_bits // 8)
    prefix = func.substr(chunks.c.digest, 1, prefix_bytes)
    summed = select(prefix, func.sum(chunks.c.size_bytes)).group_by(prefix)
    statement = summed.where(unindexed(chunks.c.policy) == policy, chunks.c.state == ChunkState.LIVE)
    sums = [0] * (1 << partition_bits)
    for first, size_bytes in connection.execute(statement):
        sums[int.from_bytes(first) >> (8 * prefix_bytes - partition_bits)] += int(size_bytes)
    return sums


def _obtain(connection: Connection, policy: str, new: Sequence[NewChunk]) -> Sequence[Chunk]:
    wanted = {chunk.digest: chunk for chunk in reversed(new)}
    made = connection.execute(
        upsert(chunks).on_conflict_do_nothing(index_elements=["policy", "digest"]).returning(*chunks.c),
        [
            {
                "id": wanted[digest].id,
                "policy": policy,
                "digest": digest,
                "size_bytes": wanted[digest].size_bytes,
                "state": ChunkState.WRITING,
            }
            for digest in sorted(wanted)
        ],
    )
    found = {row.digest: chunk_of(row) for row in made}
    new_rows = list(found.values())
    for batch in batches(sorted(wanted.keys() - found.keys())):
        mine = (chunks.c.policy == policy) & chunks.c.digest.in_(batch)
        # The lock keeps a row from being deleted between here and the reference to it, and nobody else from using it.
        locked = select(chunks).where(mine).order_by(chunks.c.digest).with_for_update(read=True, key_share=True)
        found.update((row.digest, chunk_of(row)) for row in connection.execute(locked))
    _count(connection, new_rows, sign=1)  # the last: every other upload waits for this row from here on
    return [found[chunk.digest] for chunk in new]


def _count(connection: Connection, changed: Iterable[Chunk], *, sign: int) -> None:
    rows, sizes = Counter[str](), Counter[str]()
    for chunk in changed:
        rows[chunk.policy] += sign
        sizes[chunk.policy] += sign * chunk.size_bytes
    if not rows:
        return
    statement = upsert(chunk_totals)
    statement = statement.on_conflict_do_update(
        index_elements=["policy"],
        set_={
            "chunks": chunk_totals.c.chunks + statement.excluded.chunks,
            "chunk_bytes": chunk_totals.c.chunk_bytes + statement.excluded.chunk_bytes,
        },
    )
    connection.execute(
        statement,
        [{"policy": policy, "chunks": rows[policy], "chunk_bytes": sizes[policy]} for policy in sorted(rows)],
    )
