"""JSON documents of how full the cluster is, and of what was freed and lost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import Field

from reelstore.domain.counter import Counter
from reelstore.domain.server import ServerHealth, ServerState
from reelstore.services.status import ClusterStatus
from reelstore.web.schemas import Document


class FillSample(Document):
    """How full it was at a time."""

    at: datetime
    used_bytes: int
    capacity_bytes: int


class ServerCapacity(Document):
    """How full a server is."""

    name: str
    zone: str
    state: ServerState
    health: ServerHealth
    capacity_bytes: int
    used_bytes: int
    free_bytes: int = Field(description="What it still takes: less than its capacity leaves where its disk is fuller.")
    headroom_bytes: int = Field(description="What it takes until it is 85 % full.")
    trend_bytes_per_day: float | None = Field(description="Null while there is too little to tell.")
    days_to_full: float | None = Field(description="Null when it is not growing.")


class Forecast(Document):
    """How much still fits, and for how long."""

    usable_bytes: int = Field(description="Bytes of video that still fit, each stored as often as the policy asks.")
    trend_bytes_per_day: float | None = Field(description="Of all copies; null while there is too little to tell.")
    days_to_full: float | None = Field(description="Until the first server is full; null when it is not growing.")
    first_full: str | None = Field(description="The server that is full first.")


class Capacity(Forecast):
    """How full the cluster is; sums are of all copies, over the servers that take part in the ring."""

    capacity_bytes: int
    used_bytes: int = Field(description="Over all servers.")
    free_bytes: int
    headroom_bytes: int = Field(description="Until each server is 85 % full.")
    days_to_full_by_sum: float | None = Field(description="If all servers were filled evenly, to the last byte.")
    servers: list[ServerCapacity]
    samples: list[FillSample] = Field(description="For a chart: at most 200, the oldest first.")


class Garbage(Document):
    """Shards that nothing needs: those that are there, and what was freed since the cluster was founded."""

    present_bytes: int = Field(description="As last listed, and not deleted yet.")
    freed_shards: int
    freed_bytes: int
    moved_away_shards: int = Field(description="Copies that were deleted because they had been moved elsewhere.")
    moved_away_bytes: int
    expired_uploads: int
    expired_uploads_bytes: int
    purged_videos: int
    purged_videos_bytes: int = Field(description="Of one copy, and only what no other video needed.")

    @classmethod
    def of(cls, counts: Mapping[Counter, int], *, present_bytes: int) -> Self:
        """Describe what was freed."""
        return cls(
            present_bytes=present_bytes,
            freed_shards=counts[Counter.GARBAGE_SHARDS_FREED],
            freed_bytes=counts[Counter.GARBAGE_FREED_BYTES],
            moved_away_shards=counts[Counter.MISPLACED_SHARDS_FREED],
            moved_away_bytes=counts[Counter.MISPLACED_FREED_BYTES],
            expired_uploads=counts[Counter.UPLOADS_EXPIRED],
            expired_uploads_bytes=counts[Counter.UPLOADS_EXPIRED_BYTES],
            purged_videos=counts[Counter.VIDEOS_PURGED],
            purged_videos_bytes=counts[Counter.VIDEOS_PURGED_BYTES],
        )


class LostVideo(Document):
    """A video parts of which cannot be read."""

    id: str
    name: str


class Lost(Document):
    """Chunks that are on no server, and the first ten videos that have one of them."""

    chunks: int
    videos: list[LostVideo]

    @classmethod
    def of(cls, status: ClusterStatus) -> Self:
        """Describe what is lost."""
        return cls(chunks=status.lost_chunks, videos=[LostVideo.model_validate(each) for each in status.lost_videos])
