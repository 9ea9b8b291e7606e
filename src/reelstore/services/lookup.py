"""What a user named is there, or the error that says it is not."""

from __future__ import annotations

from reelstore.domain.errors import PreconditionFailed, ServerNotFound, VideoNotFound
from reelstore.domain.server import Server, ServerState
from reelstore.domain.video import Video

SHOWN_LENGTH_MAX = 64


def found_video(video: Video | None, video_id: str) -> Video:
    """Return the video, trashed or not; raise `VideoNotFound` when there is none."""
    if video is None:
        shown = video_id[:SHOWN_LENGTH_MAX]
        raise VideoNotFound(f"there is no video {shown!r}", key=shown)
    return video


def expected_video(video: Video | None, video_id: str, version: int | None) -> Video:
    """Return the video if its version is the expected one, or any is; raise `PreconditionFailed` when it is not."""
    found = found_video(video, video_id)
    if version is not None and found.version != version:
        raise PreconditionFailed(f"the video is at version {found.version}, not {version}; read it again")
    return found


def found_server(server: Server | None, name: str) -> Server:
    """Return the server; raise `ServerNotFound` when there is none, or it is removed."""
    if server is None or server.state is ServerState.REMOVED:
        shown = name[:SHOWN_LENGTH_MAX]
        raise ServerNotFound(f"there is no server {shown!r}", key=shown)
    return server
