"""Files and their chunk maps in memory. The methods promise what `FileRepository` says."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from reelstore.domain.chunk import ChunkRef
from reelstore.domain.file import FileState, StoredFile
from reelstore.repositories.chunk_maps import misfit
from reelstore.repositories.memory.tables import Tables, prefix


class InMemoryFiles:
    """See `FileRepository`."""

    def __init__(self, tables: Tables, *, writable: bool) -> None:
        self._tables = tables
        self._writable = writable

    async def add(self, file: StoredFile) -> None:
        """See `FileRepository.add`."""
        if file.id in self._tables.files:
            raise self._tables.violation(f"there is a file {file.id} already")
        self._put(file)

    def _put(self, file: StoredFile) -> None:
        self._tables.files.put(file.id, file)
        if file.state is FileState.OPEN:
            self._tables.open_files.put(file.id, None)
        else:
            self._tables.open_files.drop(file.id)

    async def get(self, file_id: str, *, lock: bool = False) -> StoredFile | None:
        """See `FileRepository.get`. A unit of work that writes is alone, so there is nothing to lock."""
        if lock and not self._writable:
            raise RuntimeError("a snapshot only reads")
        return self._tables.files.get(file_id)

    async def set_references(self, file_id: str, references: Sequence[ChunkRef]) -> None:
        """See `FileRepository.set_references`."""
        if not references:
            return
        file, start = self._tables.files.get(file_id), references[0].position
        before = self._tables.places.get((file_id, start - 1))
        wrong = misfit(
            references,
            chunk_count=None if file is None else file.chunk_count,
            previous_stop_bytes=None if before is None else before.stop_bytes,
        )
        if wrong is not None:
            raise self._tables.violation(f"file {file_id}: {wrong}")
        self._tables.drop_places(file_id, start)
        for reference in references:
            if reference.chunk.id not in self._tables.chunks:
                raise self._tables.violation(f"file {file_id}: there is no chunk {reference.chunk.id}")
            self._tables.put_place(file_id, reference)

    async def references(self, file_id: str, start_position: int, stop_position: int) -> Sequence[ChunkRef]:
        """See `FileRepository.references`."""
        stop = min(stop_position, self._tables.place_counts.get(file_id) or 0)
        return [self._reference(file_id, position) for position in range(max(0, start_position), stop)]

    def _reference(self, file_id: str, position: int) -> ChunkRef:
        place = self._tables.places[file_id, position]
        return ChunkRef(position, place.offset_bytes, self._tables.chunks[place.chunk_id])

    async def chunk_map(self, file_id: str, start: int, stop: int, *, limit: int) -> Sequence[ChunkRef]:
        """See `FileRepository.chunk_map`."""
        places, confirmed = self._tables.places, self._confirmed(file_id)
        first = bisect.bisect_right(confirmed, start, key=lambda position: places[file_id, position].stop_bytes)
        found: list[ChunkRef] = []
        for position in confirmed[first : first + limit]:
            if max(start, places[file_id, position].offset_bytes) >= stop:
                break
            found.append(self._reference(file_id, position))
        return found

    def _confirmed(self, file_id: str) -> range:
        file = self._tables.files.get(file_id)
        return range(0 if file is None else min(file.chunk_count, self._tables.place_counts.get(file_id) or 0))

    async def advance(
        self, file_id: str, *, from_offset_bytes: int, to_offset_bytes: int, chunk_count: int, expires_at: datetime
    ) -> bool:
        """See `FileRepository.advance`."""
        file = self._open(file_id)
        if file is None or file.offset_bytes != from_offset_bytes:
            return False
        self._put(replace(file, offset_bytes=to_offset_bytes, chunk_count=chunk_count, expires_at=expires_at))
        return True

    def _open(self, file_id: str) -> StoredFile | None:
        file = self._tables.files.get(file_id)
        return file if file is not None and file.state is FileState.OPEN else None

    async def complete(self, file_id: str, *, length_bytes: int) -> bool:
        """See `FileRepository.complete`."""
        file = self._open(file_id)
        if file is None or file.offset_bytes != length_bytes:
            return False
        self._tables.drop_places(file_id, file.chunk_count)
        self._put(replace(file, state=FileState.COMPLETE, length_bytes=length_bytes, expires_at=None))
        return True

    async def renew(self, file_id: str, *, expires_at: datetime) -> bool:
        """See `FileRepository.renew`."""
        file = self._open(file_id)
        if file is None:
            return False
        self._put(replace(file, expires_at=expires_at))
        return True

    async def delete(self, file_id: str) -> bool:
        """See `FileRepository.delete`."""
        if file_id not in self._tables.files:
            return False
        if file_id in self._tables.file_videos:
            raise self._tables.violation(f"a video has the file {file_id}")
        self._tables.drop_places(file_id, 0)
        self._tables.place_counts.drop(file_id)
        self._tables.files.drop(file_id)
        self._tables.open_files.drop(file_id)
        return True

    async def take_over(self, file_id: str, other_id: str) -> bool:
        """See `FileRepository.take_over`."""
        file, other = self._tables.files.get(file_id), self._tables.files.get(other_id)
        if file is None or other is None or file_id == other_id:
            return False
        complete = file.state is FileState.COMPLETE and other.state is FileState.COMPLETE
        if not complete or file.offset_bytes != other.offset_bytes:
            return False
        references = [self._reference(other_id, position) for position in range(other.chunk_count)]
        self._tables.drop_places(file_id, 0)
        for reference in references:
            self._tables.put_place(file_id, reference)
        self._put(replace(file, policy=other.policy, chunk_count=other.chunk_count))
        return await self.delete(other_id)

    async def expired(self, now: datetime, *, limit: int) -> Sequence[str]:
        """See `FileRepository.expired`."""
        ended = []
        for file_id in self._tables.open_files:
            expires_at = self._tables.files[file_id].expires_at
            if expires_at is not None and expires_at <= now:
                ended.append((expires_at, file_id))
        return [file_id for _, file_id in sorted(ended)[:limit]]

    async def digest_prefixes(self, file_ids: Sequence[str]) -> Mapping[str, frozenset[int]]:
        """See `FileRepository.digest_prefixes`."""
        return {
            file_id: frozenset(
                prefix(self._reference(file_id, position).chunk.digest) for position in self._confirmed(file_id)
            )
            for file_id in file_ids
        }

    async def unshared_bytes(self, file_id: str) -> int:
        """See `FileRepository.unshared_bytes`."""
        positions = range(self._tables.place_counts.get(file_id) or 0)
        chunk_ids = {self._tables.places[file_id, position].chunk_id for position in positions}
        return sum(
            self._tables.chunks[chunk_id].size_bytes
            for chunk_id in chunk_ids
            if self._tables.references[chunk_id] == self._tables.file_references[chunk_id, file_id]
        )
