"""Stored files: bytes cut into chunks. An upload is a file that is still open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class FileState(StrEnum):
    """Whether bytes may still be appended."""

    OPEN = "open"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file: `[0, offset_bytes)` is confirmed and durable.

    Args:
        id: random; the ETag of its content follows from it, since a file's bytes never change.
        policy: the policy's name.
        state: `open` while bytes may be appended.
        offset_bytes: how many bytes are confirmed.
        chunk_count: how many places of the chunk map are confirmed.
        length_bytes: the announced or final length, None while it is unknown.
        expires_at: when an open file that nobody renews ends; None once it is complete.
    """

    id: str
    policy: str
    state: FileState
    offset_bytes: int
    chunk_count: int
    length_bytes: int | None
    expires_at: datetime | None
