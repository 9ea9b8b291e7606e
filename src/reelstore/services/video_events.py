"""The events of videos and uploads, each made inside the transaction that makes it true."""

from __future__ import annotations

from datetime import datetime

from reelstore.domain.event import Event, EventKind
from reelstore.domain.file import StoredFile
from reelstore.domain.video import Video, VideoState
from reelstore.domain.wording import count

_WORDS = {
    EventKind.VIDEO_STORED: "stored",
    EventKind.VIDEO_CHANGED: "changed",
    EventKind.VIDEO_TRASHED: "put into the trash:",
    EventKind.VIDEO_RESTORED: "taken out of the trash:",
    EventKind.VIDEO_PURGED: "purged",
}


def video_stored(video: Video, at: datetime) -> Event:
    """Say that a video is there."""
    return _of(EventKind.VIDEO_STORED, video, at)


def video_changed(before: Video, after: Video, at: datetime) -> Event:
    """Say what became of a video's description or state."""
    was_trashed, is_trashed = before.state is VideoState.TRASHED, after.state is VideoState.TRASHED
    if was_trashed == is_trashed:
        return _of(EventKind.VIDEO_CHANGED, after, at)
    return _of(EventKind.VIDEO_TRASHED if is_trashed else EventKind.VIDEO_RESTORED, after, at)


def video_purged(video: Video, at: datetime, *, freed_bytes: int) -> Event:
    """Say that a video is gone, and how many bytes of one copy no other video needs."""
    return _of(EventKind.VIDEO_PURGED, video, at, freed_bytes=freed_bytes)


def video_transferred(video: Video, at: datetime, *, before: str) -> Event:
    """Say that a video has another policy than before."""
    data = {"name": video.name, "policy": video.policy, "policy_before": before, "size_bytes": video.size_bytes}
    message = f"{video.name} is stored under {video.policy} now, and was under {before}"
    return Event(EventKind.VIDEO_TRANSFERRED, video.id, message, at=at, data=data)


def upload_expired(file: StoredFile, at: datetime) -> Event:
    """Say that an upload that nobody continued was dropped."""
    return Event(
        EventKind.UPLOAD_EXPIRED,
        file.id,
        f"dropped an upload that nobody continued, after {count(file.offset_bytes, 'byte')}",
        at=at,
        data={"size_bytes": file.offset_bytes, "policy": file.policy},
    )


def _of(kind: EventKind, video: Video, at: datetime, **data: int) -> Event:
    described = {"name": video.name, "state": video.state, "size_bytes": video.size_bytes, "version": video.version}
    return Event(kind, video.id, f"{_WORDS[kind]} {video.name}", at=at, data=described | data)
