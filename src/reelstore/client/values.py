"""What the API answers about videos, as values.

Sizes are bytes, durations are seconds, times are aware datetimes in UTC. Fields that this version does not know are
ignored, and kept in `document`: the JSON as the server sent it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class Video:
    """A stored video.

    Args:
        id: the identifier everywhere.
        name: the file's name as it was given: any Unicode text, never to be used as a path as it is.
        title, description, tags: for people.
        state: `uploading`, `processing`, `ready`, `stored`, `failed` or `trashed`.
        size_bytes: of the original file.
        etag: of this description; for `if_match`.
        content_etag: of the bytes, which never change; None when the server does not say.
        policy: how its chunks are made redundant.
        content_type: a media type.
        created_at, updated_at, deleted_at: None when the server does not say.
        media: what is known of its tracks; None until it is probed.
    """

    id: str
    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    state: str
    size_bytes: int
    etag: str
    content_etag: str | None
    policy: str
    content_type: str
    created_at: datetime | None
    updated_at: datetime | None
    deleted_at: datetime | None
    media: Json | None
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Video:
        """Read a video, or raise `UnexpectedAnswer`."""
        media = document.fields.get("media")
        return cls(
            id=document.text("id"),
            name=document.text("name"),
            title=document.text("title", ""),
            description=document.text("description", ""),
            tags=document.texts("tags"),
            state=document.text("state"),
            size_bytes=document.whole("size_bytes"),
            etag=document.text("etag", ""),
            content_etag=document.optional_text("content_etag"),
            policy=document.text("policy", ""),
            content_type=document.text("content_type", "application/octet-stream"),
            created_at=document.time("created_at"),
            updated_at=document.time("updated_at"),
            deleted_at=document.time("deleted_at"),
            media=None if media is None else Document.of(media, "media description").fields,
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class VideoPage:
    """A page of a list of videos; `next_cursor` is None on the last one."""

    items: tuple[Video, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge gave back.

    Args:
        id: of the video that is no more.
        size_bytes: of its file.
        freed_bytes: bytes of one copy that no other video needs.
    """

    id: str
    size_bytes: int
    freed_bytes: int
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Purged:
        """Read the answer to a purge, or raise `UnexpectedAnswer`."""
        return cls(
            id=document.text("id"),
            size_bytes=document.whole("size_bytes"),
            freed_bytes=document.whole("freed_bytes"),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where one chunk of a video lies.

    Args:
        position: counts from 0.
        offset_bytes, size_bytes: the chunk is the video's bytes `[offset, offset + size)`.
        digest: BLAKE3 of these bytes, hexadecimal.
        partition: of the ring.
        servers: that the newest ring names for it.
        synced_servers: that are proved to hold it.
    """

    position: int
    offset_bytes: int
    size_bytes: int
    digest: str
    partition: int
    servers: tuple[str, ...]
    synced_servers: tuple[str, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> ChunkPlace:
        """Read a chunk's place, or raise `UnexpectedAnswer`."""
        return cls(
            position=document.whole("position"),
            offset_bytes=document.whole("offset_bytes"),
            size_bytes=document.whole("size_bytes"),
            digest=document.text("digest"),
            partition=document.whole("partition", -1),
            servers=document.texts("servers"),
            synced_servers=document.texts("synced_servers"),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that is complete on disk.

    Args:
        path: where it is.
        size_bytes: of the whole file.
        resumed_bytes: that an earlier, interrupted download had kept.
        verified: every byte was checked against the digests of the video's chunks; False when the server gives none.
    """

    path: Path
    size_bytes: int
    resumed_bytes: int
    verified: bool
