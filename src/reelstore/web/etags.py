"""Entity tags of a video's description and of its content, and the versions that they stand for."""

from __future__ import annotations

from reelstore.domain.errors import PreconditionFailed
from reelstore.domain.video import Video
from reelstore.services.videos import VideoService
from reelstore.web.conditions import tag_matches


def description_etag(video: Video) -> str:
    """Return the tag of the description: another one after each change."""
    return f'"v{video.version}"'


def content_etag(file_id: str) -> str:
    """Return the tag of a file's bytes, which never change."""
    return f'"{file_id}"'


async def expected_version(videos: VideoService, video_id: str, if_match: str | None) -> int | None:
    """Return the version that `If-Match` asks for, to be compared again in the transaction; None for any.

    Raises:
        PreconditionFailed: the present version is another; read it again, then a retry can help.
        VideoNotFound: there is no such video; a retry does not help.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    video = await videos.get(video_id)
    etag = description_etag(video)
    if not tag_matches(if_match, etag):
        raise PreconditionFailed(f"the video has changed since it was read: its ETag is {etag}, not {if_match}")
    return video.version
