"""Videos: what a user sees of a stored file. Names are data, and never part of a path on a disk."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reelstore.domain.errors import InvalidInput

NAME_BYTES_MAX = 1024
TITLE_BYTES_MAX = 1024
DESCRIPTION_BYTES_MAX = 16 * 1024
TAGS_MAX = 64
TAG_BYTES_MAX = 128


class VideoState(StrEnum):
    """Where a video is in its life."""

    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    STORED = "stored"
    FAILED = "failed"
    TRASHED = "trashed"


@dataclass(frozen=True, slots=True)
class Video:
    """A video and its original file.

    Args:
        id: a UUIDv7 in its usual form.
        name: the file's name as the user gave it: any Unicode text without control characters.
        title: for people; the name when none was given.
        description: free text.
        tags: unique, in the order given.
        state: `stored` when it is kept and downloadable; `trashed` while it can be restored.
        state_before_trash: the state that a restore brings back.
        file_id: the original file.
        policy: the original file's policy.
        size_bytes: of the original file.
        content_type: a media type for downloads.
        created_at, updated_at, deleted_at: in UTC.
        version: grows with each change; the ETag of the description.
    """

    id: str
    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    state: VideoState
    file_id: str
    policy: str
    size_bytes: int
    content_type: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    state_before_trash: VideoState | None = None
    version: int = 1
    media: dict[str, object] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A video's way to another policy.

    Args:
        video_id: the video's.
        policy: the name of the policy that it is to have.
        requested_at: in UTC.
        file_id: the open file that takes its chunks; None before there is one.
        problem: what went wrong the last time; it is tried again.
    """

    video_id: str
    policy: str
    requested_at: datetime
    file_id: str | None = None
    problem: str | None = None


def check_text(text: str, *, field: str, bytes_max: int, lines: bool = False, empty: bool = True) -> str:
    """Return user text as it is, once checked: UTF-8 length, no control characters, no lone surrogates.

    Args:
        text: what the user gave.
        field: named in the error.
        bytes_max: the limit on its UTF-8 length.
        lines: allow line feeds and tabs.
        empty: allow the empty text (or only blanks).

    Raises:
        InvalidInput: the text breaks one of the rules; a retry does not help.
    """
    allowed = "\n\t\r" if lines else ""
    if any(unicodedata.category(character) in {"Cc", "Cs"} and character not in allowed for character in text):
        raise InvalidInput(f"{field} must not hold control characters", field=field)
    if len(text.encode()) > bytes_max:
        raise InvalidInput(f"{field} is longer than {bytes_max} bytes of UTF-8", field=field)
    if not empty and not text.strip():
        raise InvalidInput(f"{field} must not be empty", field=field)
    return text


def check_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags checked, without repetition, in the order given.

    Raises:
        InvalidInput: too many, or one that is empty, too long or has control characters.
    """
    checked = (check_text(tag.strip(), field="tags", bytes_max=TAG_BYTES_MAX, empty=False) for tag in tags)
    unique = tuple(dict.fromkeys(checked))
    if len(unique) > TAGS_MAX:
        raise InvalidInput(f"a video has at most {TAGS_MAX} tags", field="tags")
    return unique
