"""Videos in SQL. The methods promise what `VideoRepository` says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, literal, select, tuple_, update

from reelstore.domain.video import Video, VideoState
from reelstore.repositories.interface import Totals, VideoQuery
from reelstore.repositories.listing import check_query, fold, search_text
from reelstore.repositories.sql.dialects import batches, contains
from reelstore.repositories.sql.schema import chunk_totals, file_chunks, files, video_tags, videos
from reelstore.repositories.sql.session import Session

_COLUMNS = [column for column in videos.c if column is not videos.c.search_text]


class SqlVideos:
    """See `VideoRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, video: Video) -> None:
        """See `VideoRepository.add`."""

        def work(connection: Connection) -> None:
            connection.execute(insert(videos), _values(video))
            _put_tags(connection, video)

        await self._session.write(work)

    async def get(self, video_id: str) -> Video | None:
        """See `VideoRepository.get`."""

        def work(connection: Connection) -> Video | None:
            return next(iter(_read(connection, select(*_COLUMNS).where(videos.c.id == video_id))), None)

        return await self._session.read(work)

    async def update(self, video: Video, *, expected_version: int) -> bool:
        """See `VideoRepository.update`."""

        def work(connection: Connection) -> bool:
            ours = (videos.c.id == video.id) & (videos.c.version == expected_version)
            if connection.execute(update(videos).where(ours), _values(video)).rowcount == 0:
                return False
            connection.execute(delete(video_tags).where(video_tags.c.video == video.id))
            _put_tags(connection, video)
            return True

        return await self._session.write(work)

    async def delete(self, video_id: str) -> bool:
        """See `VideoRepository.delete`."""
        statement = delete(videos).where(videos.c.id == video_id)
        return await self._session.write(lambda connection: connection.execute(statement).rowcount > 0)

    async def list(self, query: VideoQuery) -> Sequence[Video]:
        """See `VideoRepository.list`. Pages by key, so that a late page costs what the first one does."""
        check_query(query)
        return await self._session.read(lambda connection: _read(connection, _page(query)))

    async def of_chunks(self, chunk_ids: Sequence[str], *, limit: int) -> Sequence[Video]:
        """See `VideoRepository.of_chunks`."""
        return await self._session.read(lambda connection: _of_chunks(connection, chunk_ids, limit))

    async def totals(self) -> Totals:
        """See `VideoRepository.totals`. Videos are counted in an index, chunks as they come and go."""
        return await self._session.read(_totals)


def _values(video: Video) -> dict[str, Any]:
    values = {column.name: getattr(video, column.name) for column in _COLUMNS}
    return {**values, "search_text": search_text(video)}


def _put_tags(connection: Connection, video: Video) -> None:
    if video.tags:
        rows = [{"video": video.id, "position": position, "tag": tag} for position, tag in enumerate(video.tags)]
        connection.execute(insert(video_tags), rows)


def _read(connection: Connection, statement: Select[Any]) -> list[Video]:
    rows = connection.execute(statement).all()
    tags: defaultdict[str, list[str]] = defaultdict(list)
    for batch in batches([row.id for row in rows]):
        of_these = select(video_tags.c.video, video_tags.c.tag).where(video_tags.c.video.in_(batch))
        for video_id, tag in connection.execute(of_these.order_by(video_tags.c.video, video_tags.c.position)):
            tags[video_id].append(tag)
    return [_video(row, tuple(tags[row.id])) for row in rows]


def _video(row: Row[Any], tags: tuple[str, ...]) -> Video:
    values = row._asdict()
    before = values.pop("state_before_trash")
    return Video(
        **{**values, "state": VideoState(values["state"])},
        tags=tags,
        state_before_trash=None if before is None else VideoState(before),
    )


def _page(query: VideoQuery) -> Select[Any]:
    column = videos.c[query.sort]
    place = tuple_(column, videos.c.id)
    conditions: list[ColumnElement[bool]] = [
        videos.c.state != VideoState.TRASHED if query.state is None else videos.c.state == query.state,
        *(contains(videos.c.search_text, fold(word)) for word in query.words),
        *(videos.c.id.in_(select(video_tags.c.video).where(video_tags.c.tag == tag)) for tag in query.tags),
    ]
    if query.after is not None:
        value, video_id = query.after
        last = tuple_(literal(value, column.type), literal(video_id, videos.c.id.type))
        conditions.append(place < last if query.descending else place > last)
    order = (column.desc(), videos.c.id.desc()) if query.descending else (column, videos.c.id)
    return select(*_COLUMNS).where(*conditions).order_by(*order).limit(query.limit)


def _of_chunks(connection: Connection, chunk_ids: Sequence[str], limit: int) -> list[Video]:
    found: set[str] = set()
    for batch in batches(sorted(set(chunk_ids))):
        statement = (
            select(videos.c.id)
            .distinct()
            .join(file_chunks, file_chunks.c.file == videos.c.file_id)
            .where(file_chunks.c.chunk.in_(batch))
            .order_by(videos.c.id)
            .limit(limit)
        )
        found.update(connection.execute(statement).scalars())
    return [
        video
        for batch in batches(sorted(found)[:limit])
        for video in _read(connection, select(*_COLUMNS).where(videos.c.id.in_(batch)).order_by(videos.c.id))
    ]


def _totals(connection: Connection) -> Totals:
    trashed = videos.c.state == VideoState.TRASHED
    counted = func.count(), func.coalesce(func.sum(videos.c.size_bytes), 0)
    gone, gone_bytes = connection.execute(select(*counted).where(trashed)).one()
    kept, kept_bytes = connection.execute(select(*counted).select_from(videos).where(~trashed)).one()
    summed = (func.coalesce(func.sum(column), 0) for column in (chunk_totals.c.chunks, chunk_totals.c.chunk_bytes))
    chunks, chunk_bytes = connection.execute(select(*summed)).one()
    open_files = connection.execute(select(func.count()).select_from(files).where(files.c.state == "open")).scalar_one()
    return Totals(
        videos=kept,
        video_bytes=int(kept_bytes),
        trashed=gone,
        trashed_bytes=int(gone_bytes),
        chunks=int(chunks),
        chunk_bytes=int(chunk_bytes),
        open_files=open_files,
    )
