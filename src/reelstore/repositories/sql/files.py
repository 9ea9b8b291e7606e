"""Files and their chunk maps in SQL. The methods promise what `FileRepository` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, ScalarSelect, Select, delete, func, insert, select, update

from reelstore.domain.chunk import ChunkRef
from reelstore.domain.errors import IntegrityViolation
from reelstore.domain.file import FileState, StoredFile
from reelstore.repositories.chunk_maps import misfit
from reelstore.repositories.sql.chunks import chunk_of
from reelstore.repositories.sql.dialects import batches
from reelstore.repositories.sql.schema import chunks, file_chunks, files
from reelstore.repositories.sql.session import Session

_PLACES = (
    select(file_chunks.c.position, file_chunks.c.offset_bytes, *chunks.c)
    .join_from(file_chunks, chunks)
    .order_by(file_chunks.c.position)
)
_STOP = file_chunks.c.offset_bytes + chunks.c.size_bytes
_IS_OPEN = files.c.state == FileState.OPEN


class SqlFiles:
    """See `FileRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, file: StoredFile) -> None:
        """See `FileRepository.add`."""
        values = {column.name: getattr(file, column.name) for column in files.c}
        await self._session.write(lambda connection: connection.execute(insert(files), values))

    async def get(self, file_id: str, *, lock: bool = False) -> StoredFile | None:
        """See `FileRepository.get`."""
        statement = select(files).where(files.c.id == file_id)
        if lock:
            self._session.check_writable()
            statement = statement.with_for_update()
        row = await self._session.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else StoredFile(**{**row._asdict(), "state": FileState(row.state)})

    async def set_references(self, file_id: str, references: Sequence[ChunkRef]) -> None:
        """See `FileRepository.set_references`."""
        if not references:
            self._session.check_writable()
            return
        await self._session.write(lambda connection: _set_references(connection, file_id, references))

    async def references(self, file_id: str, start_position: int, stop_position: int) -> Sequence[ChunkRef]:
        """See `FileRepository.references`."""
        position = file_chunks.c.position
        return await self._places(
            _PLACES.where(file_chunks.c.file == file_id, position >= start_position, position < stop_position)
        )

    async def chunk_map(self, file_id: str, start: int, stop: int, *, limit: int) -> Sequence[ChunkRef]:
        """See `FileRepository.chunk_map`. Both ends are looked up by offset: no other place is read."""
        if start >= stop:
            return []
        position = file_chunks.c.position
        confirmed = select(files.c.chunk_count).where(files.c.id == file_id).scalar_subquery()
        return await self._places(
            _PLACES.where(file_chunks.c.file == file_id, position < confirmed, start < _STOP)
            .where(position >= _position_of_byte(file_id, start), position <= _position_of_byte(file_id, stop - 1))
            .limit(limit)
        )

    async def _places(self, statement: Select[Any]) -> Sequence[ChunkRef]:
        return await self._session.read(lambda connection: [_reference(row) for row in connection.execute(statement)])

    async def advance(
        self, file_id: str, *, from_offset_bytes: int, to_offset_bytes: int, chunk_count: int, expires_at: datetime
    ) -> bool:
        """See `FileRepository.advance`."""
        statement = update(files).where(files.c.id == file_id, _IS_OPEN, files.c.offset_bytes == from_offset_bytes)
        values = {"offset_bytes": to_offset_bytes, "chunk_count": chunk_count, "expires_at": expires_at}
        return await self._session.write(lambda connection: connection.execute(statement, values).rowcount > 0)

    async def complete(self, file_id: str, *, length_bytes: int) -> bool:
        """See `FileRepository.complete`."""
        statement = update(files).where(files.c.id == file_id, _IS_OPEN, files.c.offset_bytes == length_bytes)
        values = {"state": FileState.COMPLETE, "length_bytes": length_bytes, "expires_at": None}
        confirmed = select(files.c.chunk_count).where(files.c.id == file_id).scalar_subquery()
        beyond = delete(file_chunks).where(file_chunks.c.file == file_id, file_chunks.c.position >= confirmed)

        def work(connection: Connection) -> bool:
            if connection.execute(statement, values).rowcount == 0:
                return False
            connection.execute(beyond)
            return True

        return await self._session.write(work)

    async def renew(self, file_id: str, *, expires_at: datetime) -> bool:
        """See `FileRepository.renew`."""
        statement = update(files).where(files.c.id == file_id, _IS_OPEN)
        values = {"expires_at": expires_at}
        return await self._session.write(lambda connection: connection.execute(statement, values).rowcount > 0)

    async def delete(self, file_id: str) -> bool:
        """See `FileRepository.delete`. The chunk map goes with it: its foreign key cascades."""
        statement = delete(files).where(files.c.id == file_id)
        return await self._session.write(lambda connection: connection.execute(statement).rowcount > 0)

    async def take_over(self, file_id: str, other_id: str) -> bool:
        """See `FileRepository.take_over`."""
        return await self._session.write(lambda connection: _take_over(connection, file_id, other_id))

    async def expired(self, now: datetime, *, limit: int) -> Sequence[str]:
        """See `FileRepository.expired`."""
        statement = (
            select(files.c.id)
            .where(_IS_OPEN, files.c.expires_at <= now)
            .order_by(files.c.expires_at, files.c.id)
            .limit(limit)
        )
        return await self._session.read(lambda connection: connection.execute(statement).scalars().all())

    async def digest_prefixes(self, file_ids: Sequence[str]) -> Mapping[str, frozenset[int]]:
        """See `FileRepository.digest_prefixes`."""

        def work(connection: Connection) -> Mapping[str, frozenset[int]]:
            found: dict[str, set[int]] = {file_id: set() for file_id in file_ids}
            first_bytes = func.substr(chunks.c.digest, 1, 2, type_=chunks.c.digest.type)
            statement = (
                select(file_chunks.c.file, first_bytes)
                .select_from(file_chunks.join(chunks).join(files))
                .where(file_chunks.c.position < files.c.chunk_count)
                .distinct()
            )
            for batch in batches(file_ids):
                for file_id, first in connection.execute(statement.where(file_chunks.c.file.in_(batch))):
                    found[file_id].add(int.from_bytes(first, "big"))
            return {file_id: frozenset(prefixes) for file_id, prefixes in found.items()}

        return await self._session.read(work)

    async def unshared_bytes(self, file_id: str) -> int:
        """See `FileRepository.unshared_bytes`."""
        mine, others = file_chunks.alias(), file_chunks.alias()
        statement = select(func.coalesce(func.sum(chunks.c.size_bytes), 0)).where(
            chunks.c.id.in_(select(mine.c.chunk).where(mine.c.file == file_id)),
            ~select(others.c.file).where(others.c.chunk == chunks.c.id, others.c.file != file_id).exists(),
        )
        return await self._session.read(lambda connection: int(connection.execute(statement).scalar_one()))


def _take_over(connection: Connection, file_id: str, other_id: str) -> bool:
    ours = sorted((file_id, other_id))
    complete = select(files).where(files.c.id.in_(ours), files.c.state == FileState.COMPLETE).order_by(files.c.id)
    found = {row.id: row for row in connection.execute(complete.with_for_update())}
    if len(found) < 2 or found[file_id].offset_bytes != found[other_id].offset_bytes:
        return False
    connection.execute(delete(file_chunks).where(file_chunks.c.file == file_id))
    connection.execute(update(file_chunks).where(file_chunks.c.file == other_id).values(file=file_id))
    values = {"policy": found[other_id].policy, "chunk_count": found[other_id].chunk_count}
    connection.execute(update(files).where(files.c.id == file_id), values)
    connection.execute(delete(files).where(files.c.id == other_id))
    return True


def _position_of_byte(file_id: str, offset_bytes: int) -> ScalarSelect[int]:
    """Return the last place that begins at or before a byte."""
    place = file_chunks.alias()
    before = (place.c.file == file_id) & (place.c.offset_bytes <= offset_bytes)
    return select(place.c.position).where(before).order_by(place.c.offset_bytes.desc()).limit(1).scalar_subquery()


def _reference(row: Row[Any]) -> ChunkRef:
    return ChunkRef(row.position, row.offset_bytes, chunk_of(row))


def _set_references(connection: Connection, file_id: str, references: Sequence[ChunkRef]) -> None:
    start = references[0].position
    of_file = file_chunks.c.file == file_id
    before = select(_STOP).join_from(file_chunks, chunks).where(of_file, file_chunks.c.position == start - 1)
    row = connection.execute(
        select(files.c.chunk_count, before.scalar_subquery().label("stop_bytes")).where(files.c.id == file_id)
    ).one_or_none()
    wrong = misfit(
        references,
        chunk_count=None if row is None else row.chunk_count,
        previous_stop_bytes=None if row is None else row.stop_bytes,
    )
    if wrong is not None:
        raise IntegrityViolation(f"file {file_id}: {wrong}")
    connection.execute(delete(file_chunks).where(of_file, file_chunks.c.position >= start))
    connection.execute(
        insert(file_chunks),
        [
            {"file": file_id, "position": each.position, "offset_bytes": each.offset_bytes, "chunk": each.chunk.id}
            for each in references
        ],
    )
