"""Which videos a chunk is a part of, for people who ask what a bad shard means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reelstore.repositories.interface import UnitOfWork

VIDEOS_MAX = 10


@dataclass(frozen=True, slots=True)
class ConcernedVideo:
    """A video that has the chunk in question."""

    id: str
    name: str


async def concerned_videos(view: UnitOfWork, chunk_ids: Iterable[str]) -> Mapping[str, tuple[ConcernedVideo, ...]]:
    """Return, by chunk, the first `VIDEOS_MAX` videos with it, trashed ones too.

    None has it when it belongs to an upload that is not finished, or is about to be collected. One query for each
    chunk: keep them few.
    """
    return {
        chunk_id: tuple(
            ConcernedVideo(video.id, video.name) for video in await view.videos.of_chunks([chunk_id], limit=VIDEOS_MAX)
        )
        for chunk_id in dict.fromkeys(chunk_ids)
    }
