"""The use cases around a video: store, describe, list, edit, trash, restore, purge, read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from reelstore.chunkstore.body import Body
from reelstore.chunkstore.reading import RangeReader
from reelstore.chunkstore.store import ChunkStore
from reelstore.chunkstore.writing import FileWriter
from reelstore.domain.counter import Counter
from reelstore.domain.errors import (
    IncompleteBody,
    InvalidInput,
    OffsetConflict,
    PreconditionFailed,
    StoredFileNotFound,
    TooLarge,
    VideoNotFound,
    VideoStateConflict,
)
from reelstore.domain.file import StoredFile
from reelstore.domain.ids import Entropy, uuid7
from reelstore.domain.video import (
    DESCRIPTION_BYTES_MAX,
    NAME_BYTES_MAX,
    TITLE_BYTES_MAX,
    Video,
    VideoState,
    check_tags,
    check_text,
)
from reelstore.repositories.interface import SORTS, Metadata, UnitOfWork, VideoQuery
from reelstore.services.attention import Attention, Need
from reelstore.services.locations import Locations
from reelstore.services.lookup import expected_video, found_video
from reelstore.services.pages import Page, check_limit, decode_cursor, encode_cursor
from reelstore.services.transfers import forget_transfer
from reelstore.services.video_events import video_changed, video_purged, video_stored
from reelstore.services.video_requests import (
    QUERY_BYTES_MAX,
    UPLOAD_SIZE_BYTES_MAX,
    Content,
    Purged,
    Stored,
    StoreRequest,
    VideoEdit,
    VideoList,
)

SCANNED_MAX = 2_000
"""Videos looked at for one page of those on one server; a page may hold fewer than asked for, and still go on."""

log = logging.getLogger(__name__)


class VideoService:
    """Keep videos.

    Args:
        metadata, store: where they are kept.
        locations: which videos are on which server.
        attention: told what a purge left to be collected.
        entropy: draws ids.
    """

    def __init__(
        self,
        metadata: Metadata,
        store: ChunkStore,
        locations: Locations,
        attention: Attention,
        *,
        entropy: Entropy,
    ) -> None:
        self._metadata = metadata
        self._store = store
        self._locations = locations
        self._attention = attention
        self._entropy = entropy

    async def store(self, request: StoreRequest, body: Body) -> Stored:
        """Store a body as a new video: durable on return, and nothing half-stored is ever visible.

        Raises:
            InsufficientServers, Overloaded, MetadataUnavailable, IncompleteBody: a retry of the whole can help.
            InsufficientStorage, TooLarge, PolicyNotFound, VideoStateConflict: it cannot.
        """
        policy = self._store.topology.present.policy(request.policy)
        known = await self._known(request)
        if known is not None:
            return Stored(known, created=False)
        writer = self._store.writer(policy, length_bytes=request.length_bytes)
        made: list[Stored] = []

        async def complete(uow: UnitOfWork, file: StoredFile, now: datetime) -> None:
            made.append(await self._make_video(uow, request, file, now))

        try:
            while await writer.read(body):
                _check_length(writer.size_bytes, request.length_bytes, ended=False)
            _check_length(writer.size_bytes, request.length_bytes, ended=True)
            await writer.finish(complete)
        except _AlreadyMade as already:
            await asyncio.shield(self._abandon(writer))
            return Stored(already.video, created=False)
        except (OffsetConflict, StoredFileNotFound) as error:
            await asyncio.shield(self._abandon(writer))
            raise IncompleteBody("the upload was ended from elsewhere; nothing was kept, send it again") from error
        except BaseException:
            await asyncio.shield(self._give_up(writer))
            raise
        return made[-1]

    async def _abandon(self, writer: FileWriter) -> None:
        """Drop what a write has begun, and have its space freed."""
        self._attention.add(writer.policy.name, await writer.abandon(), Need(collect=True))

    async def _give_up(self, writer: FileWriter) -> None:
        """Abandon a write whose own error matters more than one met in cleaning up: the open file expires anyway."""
        try:
            await self._abandon(writer)
        except Exception:
            log.exception("an abandoned upload was not cleaned up at once; it will expire")

    async def _known(self, request: StoreRequest) -> Video | None:
        """Return the video that this `Idempotency-Key` made before."""
        if request.idempotency_key is None:
            return None
        async with self._metadata.snapshot() as view:
            known = await view.idempotency.get(request.idempotency_key)
            if known is None:
                return None
            fingerprint, video_id = known
            if fingerprint != request.fingerprint:
                raise VideoStateConflict("this Idempotency-Key was used for another request")
            video = await view.videos.get(video_id)
        if video is None:
            raise VideoStateConflict("the video that this Idempotency-Key made was purged; use another key")
        return video

    async def _make_video(self, uow: UnitOfWork, request: StoreRequest, file: StoredFile, now: datetime) -> Stored:
        video = Video(
            id=uuid7(now, self._entropy),
            name=request.name,
            title=request.name if request.title is None else request.title,
            description=request.description,
            tags=check_tags(request.tags),
            state=VideoState.STORED,
            file_id=file.id,
            policy=file.policy,
            size_bytes=file.offset_bytes,
            content_type=request.content_type,
            created_at=now,
            updated_at=now,
        )
        await uow.videos.add(video)
        key = request.idempotency_key
        if key is not None:
            kept = await uow.idempotency.add(key, fingerprint=request.fingerprint, video_id=video.id, at=now)
            if not kept:
                first = await uow.idempotency.get(key)
                winner = await uow.videos.get(first[1]) if first else None
                if winner is None or first is None or first[0] != request.fingerprint:
                    raise VideoStateConflict("this Idempotency-Key was used for another request")
                raise _AlreadyMade(winner)
        await uow.events.add(video_stored(video, now))
        return Stored(video, created=True)

    # ------------------------------------------------------------------ describe and list

    async def get(self, video_id: str) -> Video:
        """Return a video, trashed or not; raise `VideoNotFound` when there is none."""
        async with self._metadata.snapshot() as view:
            return found_video(await view.videos.get(video_id), video_id)

    async def list(self, request: VideoList) -> Page[Video]:
        """List videos, page by page; trashed ones only when asked for by state.

        Raises:
            InvalidInput, InvalidCursor: a retry does not help.
            ServerNotFound: there is no server of that name.
        """
        check_limit(request.limit)
        sort = request.sort.removeprefix("-")
        if sort not in SORTS:
            raise InvalidInput(f"sort must be one of {', '.join(SORTS)}, or one with '-' in front", field="sort")
        check_text(request.query, field="query", bytes_max=QUERY_BYTES_MAX)
        query = VideoQuery(
            words=tuple(request.query.casefold().split()),
            tags=request.tags,
            state=request.state,
            sort=sort,
            descending=request.sort.startswith("-"),
            limit=request.limit,
            after=decode_cursor(request.sort, request.cursor) if request.cursor else None,
        )
        if query.after is not None and not _fits_sort(query.after[0], sort):
            raise InvalidInput("the cursor belongs to another sort order", field="cursor")
        if request.server is None:
            async with self._metadata.snapshot() as view:
                videos = list(await view.videos.list(replace(query, limit=query.limit + 1)))
            return _page(videos[: request.limit], request.sort, more=len(videos) > request.limit)
        return await self._list_on_server(query, request.server, request.sort)

    async def _list_on_server(self, query: VideoQuery, server: str, sort: str) -> Page[Video]:
        found: list[Video] = []
        scanned = 0
        while True:
            async with self._metadata.snapshot() as view:
                number = await self._locations.number_of(view, server)
                batch = list(await view.videos.list(replace(query, limit=200)))
                there = await self._locations.on_server(view, number, batch)
            for video in batch:
                scanned += 1
                if video.id in there:
                    found.append(video)
                last = video
                if len(found) == query.limit or scanned == SCANNED_MAX:
                    cursor = encode_cursor(sort, getattr(last, query.sort), last.id)
                    return Page(tuple(found), cursor)
            if len(batch) < 200:
                return Page(tuple(found), None)
            query = replace(query, after=(getattr(batch[-1], query.sort), batch[-1].id))

    # ------------------------------------------------------------------ change

    async def edit(self, video_id: str, edit: VideoEdit, *, expected_version: int | None) -> Video:
        """Change a video's description.

        Raises:
            PreconditionFailed: its version is not the expected one; read it again.
            InvalidInput, VideoNotFound, VideoStateConflict: a retry does not help.
        """
        changes: dict[str, object] = {}
        if edit.name is not None:
            changes["name"] = check_text(edit.name, field="name", bytes_max=NAME_BYTES_MAX, empty=False)
        if edit.title is not None:
            changes["title"] = check_text(edit.title, field="title", bytes_max=TITLE_BYTES_MAX, empty=False)
        if edit.description is not None:
            changes["description"] = check_text(
                edit.description, field="description", bytes_max=DESCRIPTION_BYTES_MAX, lines=True
            )
        if edit.tags is not None:
            changes["tags"] = check_tags(edit.tags)

        def apply(video: Video, _now: datetime) -> Video:
            if video.state is VideoState.TRASHED:
                raise VideoStateConflict("the video is in the trash; restore it first")
            return replace(video, **changes)  # type: ignore[arg-type] # the names and types are those above

        return await self._change(video_id, expected_version, apply)

    async def trash(self, video_id: str, *, expected_version: int | None) -> Video:
        """Put a video into the trash, from where it can be restored; a trashed one stays as it is."""

        def apply(video: Video, now: datetime) -> Video:
            if video.state is VideoState.TRASHED:
                return video
            return replace(video, state=VideoState.TRASHED, state_before_trash=video.state, deleted_at=now)

        return await self._change(video_id, expected_version, apply)

    async def restore(self, video_id: str, *, expected_version: int | None) -> Video:
        """Take a video out of the trash; raise `VideoStateConflict` when it is not in it."""

        def apply(video: Video, _now: datetime) -> Video:
            if video.state is not VideoState.TRASHED:
                raise VideoStateConflict("the video is not in the trash")
            state = video.state_before_trash or VideoState.STORED
            return replace(video, state=state, state_before_trash=None, deleted_at=None)

        return await self._change(video_id, expected_version, apply)

    async def _change(
        self, video_id: str, expected_version: int | None, apply: Callable[[Video, datetime], Video]
    ) -> Video:
        async with self._metadata.unit_of_work() as uow:
            video = expected_video(await uow.videos.get(video_id), video_id, expected_version)
            now = await uow.now()
            changed = apply(video, now)
            if changed == video:
                return video
            changed = replace(changed, version=video.version + 1, updated_at=now)
            if not await uow.videos.update(changed, expected_version=video.version):
                raise PreconditionFailed("the video was changed at the same moment; read it again")
            await uow.events.add(video_changed(video, changed, now))
            await uow.commit()
        return changed

    async def purge(self, video_id: str, *, expected_version: int | None) -> Purged:
        """Remove a video for ever, trashed or not; its space comes back as the servers are reconciled.

        Raises:
            VideoNotFound, PreconditionFailed: a retry does not help.
        """
        async with self._metadata.unit_of_work(frees=True) as uow:
            video = expected_video(await uow.videos.get(video_id), video_id, expected_version)
            freed = await uow.files.unshared_bytes(video.file_id)
            prefixes = await uow.files.digest_prefixes([video.file_id])
            await forget_transfer(uow, video_id)
            await uow.videos.delete(video_id)
            await uow.files.delete(video.file_id)
            await uow.events.add(video_purged(video, await uow.now(), freed_bytes=freed))
            await uow.counters.add({Counter.VIDEOS_PURGED: 1, Counter.VIDEOS_PURGED_BYTES: freed})
            await uow.commit()
        partitions = self._locations.partitions(video.policy, prefixes.get(video.file_id, frozenset()))
        self._attention.add(video.policy, partitions, Need(collect=True))
        return Purged(video.id, video.size_bytes, freed)

    # ------------------------------------------------------------------ read

    async def open(self, video_id: str) -> Content:
        """Return what is needed to read a video; raise `VideoNotFound` when there is none, or it is trashed."""
        video = await self.get(video_id)
        if video.state is VideoState.TRASHED:
            raise VideoNotFound("the video is in the trash; restore it to read it", key=video_id)
        return Content(video, video.file_id, video.size_bytes, video.file_id)

    async def read(self, content: Content, start: int, stop: int) -> RangeReader:
        """Begin to read bytes `[start, stop)`; the first chunk is verified on return. See `RangeReader.open`."""
        return await self._store.read(content.file_id, start, stop)


class _AlreadyMade(Exception):
    """Say that another request with the same `Idempotency-Key` was first."""

    def __init__(self, video: Video) -> None:
        super().__init__(video.id)
        self.video = video


def _check_length(size_bytes: int, announced: int | None, *, ended: bool) -> None:
    if size_bytes > UPLOAD_SIZE_BYTES_MAX:
        raise TooLarge(f"a video has at most {UPLOAD_SIZE_BYTES_MAX} bytes", limit=UPLOAD_SIZE_BYTES_MAX)
    if announced is None:
        return
    if size_bytes > announced or (ended and size_bytes < announced):
        raise IncompleteBody(f"the body has {size_bytes} bytes where {announced} were announced; nothing was kept")


def _fits_sort(value: object, sort: str) -> bool:
    match sort:
        case "created_at" | "updated_at":
            return isinstance(value, datetime)
        case "size_bytes":
            return isinstance(value, int)
        case _:
            return isinstance(value, str)


def _page(videos: list[Video], sort: str, *, more: bool) -> Page[Video]:
    if not (more and videos):
        return Page(tuple(videos), None)
    last = videos[-1]
    return Page(tuple(videos), encode_cursor(sort, getattr(last, sort.removeprefix("-")), last.id))
