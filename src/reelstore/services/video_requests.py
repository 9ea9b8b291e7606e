"""What users ask of videos, and what they get: checked values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from reelstore.domain.errors import InvalidInput, TooLarge
from reelstore.domain.video import (
    DESCRIPTION_BYTES_MAX,
    NAME_BYTES_MAX,
    TITLE_BYTES_MAX,
    Video,
    VideoState,
    check_tags,
    check_text,
)

UPLOAD_SIZE_BYTES_MAX = 16 * 1024**4
QUERY_BYTES_MAX = 1024
IDEMPOTENCY_KEY_LENGTH_MAX = 255
CONTENT_TYPE_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What a user says of a video to be stored; checked on construction.

    Args:
        name: the file's name.
        title: the name, when None.
        description, tags: for people and for finding it again.
        policy: how redundant; None is the cluster's default.
        content_type: the media type for downloads.
        length_bytes: the announced length; a body of another length is refused.
        idempotency_key: storing again with the same key returns the first video.

    Raises:
        InvalidInput: a field breaks its rule; a retry does not help.
        TooLarge: the announced length is beyond the limit.
    """

    name: str
    title: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    policy: str | None = None
    content_type: str = "application/octet-stream"
    length_bytes: int | None = None
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        check_text(self.name, field="name", bytes_max=NAME_BYTES_MAX, empty=False)
        if self.title is not None:
            check_text(self.title, field="title", bytes_max=TITLE_BYTES_MAX, empty=False)
        check_text(self.description, field="description", bytes_max=DESCRIPTION_BYTES_MAX, lines=True)
        check_tags(self.tags)
        content_type = self.content_type
        if len(content_type) > CONTENT_TYPE_LENGTH_MAX or not (content_type.isascii() and content_type.isprintable()):
            raise InvalidInput("the content type is not a media type", field="content_type")
        key = self.idempotency_key
        if key is not None and (not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX or not key.isprintable()):
            raise InvalidInput("the Idempotency-Key has 1 to 255 printable characters", field="Idempotency-Key")
        if self.length_bytes is not None and self.length_bytes > UPLOAD_SIZE_BYTES_MAX:
            raise TooLarge(f"a video has at most {UPLOAD_SIZE_BYTES_MAX} bytes", limit=UPLOAD_SIZE_BYTES_MAX)

    @property
    def fingerprint(self) -> str:
        """Return what two requests with one `Idempotency-Key` must share."""
        parts = (self.name, self.title, self.description, self.tags, self.policy, self.length_bytes)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored video; `created` is False when the `Idempotency-Key` was known and this is the video it made."""

    video: Video
    created: bool


@dataclass(frozen=True, slots=True)
class VideoEdit:
    """Changes to a video's description; None leaves a field as it is."""

    name: str | None = None
    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class VideoList:
    """Which videos to list. `sort` is one of `SORTS`, with a `-` in front for the largest first."""

    query: str = ""
    tags: tuple[str, ...] = ()
    state: VideoState | None = None
    server: str | None = None
    sort: str = "-created_at"
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge freed: `freed_bytes` counts one copy of the chunks that no other file needs."""

    video_id: str
    size_bytes: int
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class Content:
    """A video whose bytes can be read; `etag` names the bytes, which never change."""

    video: Video
    file_id: str
    size_bytes: int
    etag: str
