"""Videos in memory. The methods promise what `VideoRepository` says."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from reelstore.domain.chunk import Chunk
from reelstore.domain.video import Video, VideoState
from reelstore.repositories.interface import Totals, VideoQuery
from reelstore.repositories.listing import check_query, fold, search_text, sort_key
from reelstore.repositories.memory.table import Table
from reelstore.repositories.memory.tables import Tables, adjust


class InMemoryVideos:
    """See `VideoRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, video: Video) -> None:
        """See `VideoRepository.add`."""
        if video.id in self._tables.videos:
            raise self._tables.violation(f"there is a video {video.id} already")
        self._put(video)

    async def get(self, video_id: str) -> Video | None:
        """See `VideoRepository.get`."""
        return self._tables.videos.get(video_id)

    async def update(self, video: Video, *, expected_version: int) -> bool:
        """See `VideoRepository.update`."""
        present = self._tables.videos.get(video.id)
        if present is None or present.version != expected_version:
            return False
        adjust(self._tables.file_videos, present.file_id, -1)
        self._put(video)
        return True

    def _put(self, video: Video) -> None:
        if video.file_id not in self._tables.files:
            raise self._tables.violation(f"there is no file {video.file_id}")
        self._tables.videos.put(video.id, video)
        self._tables.search_texts.put(video.id, search_text(video))
        adjust(self._tables.file_videos, video.file_id, 1)

    async def delete(self, video_id: str) -> bool:
        """See `VideoRepository.delete`."""
        present = self._tables.videos.get(video_id)
        if present is None:
            return False
        self._tables.videos.drop(video_id)
        self._tables.search_texts.drop(video_id)
        if video_id in self._tables.transfers:
            self._tables.transfers.drop(video_id)
        adjust(self._tables.file_videos, present.file_id, -1)
        return True

    async def list(self, query: VideoQuery) -> Sequence[Video]:
        """See `VideoRepository.list`."""
        check_query(query)
        choose = heapq.nlargest if query.descending else heapq.nsmallest
        return choose(query.limit, self._matching(query), key=lambda video: sort_key(video, query.sort))

    def _matching(self, query: VideoQuery) -> Iterator[Video]:
        words = tuple(map(fold, query.words))
        for video in self._tables.videos.values():
            if video.state is VideoState.TRASHED if query.state is None else video.state is not query.state:
                continue
            if query.after is not None:
                place = sort_key(video, query.sort)
                if place >= query.after if query.descending else place <= query.after:
                    continue
            if not all(tag in video.tags for tag in query.tags):
                continue
            text = self._tables.search_texts[video.id]
            if all(word in text for word in words):
                yield video

    async def of_chunks(self, chunk_ids: Sequence[str], *, limit: int) -> Sequence[Video]:
        """See `VideoRepository.of_chunks`. Looks at each reference and each video."""
        wanted = frozenset(chunk_ids)
        files = {file_id for chunk_id, file_id in self._tables.file_references if chunk_id in wanted}
        found = (video for video in self._tables.videos.values() if video.file_id in files)
        return heapq.nsmallest(limit, found, key=lambda video: video.id)

    async def totals(self) -> Totals:
        """See `VideoRepository.totals`. Looks at each video and each chunk."""
        kept = [video.size_bytes for video in self._tables.videos.values() if video.state is not VideoState.TRASHED]
        trashed = [video.size_bytes for video in self._tables.videos.values() if video.state is VideoState.TRASHED]
        chunks: Table[str, Chunk] = self._tables.chunks
        return Totals(
            videos=len(kept),
            video_bytes=sum(kept),
            trashed=len(trashed),
            trashed_bytes=sum(trashed),
            chunks=len(chunks),
            chunk_bytes=sum(chunk.size_bytes for chunk in chunks.values()),
            open_files=len(self._tables.open_files),
        )
