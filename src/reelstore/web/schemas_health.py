"""The JSON document of the cluster's health."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from reelstore.services.capacity import Capacity
from reelstore.services.scrub_progress import ScrubProgress
from reelstore.services.status import ClusterStatus
from reelstore.web.schemas import Document
from reelstore.web.schemas_capacity import Forecast, Garbage, Lost


class Totals(Document):
    """How much there is."""

    videos: int
    video_bytes: int
    trashed: int
    trashed_bytes: int
    chunks: int
    chunk_bytes: int
    open_files: int


class Redundancy(Document):
    """What has fewer shards than it should, as servers do not answer; each number counts in those before it."""

    partitions_total: int
    partitions_short: int = Field(description="Fewer shards than the policy asks for are on servers that answer.")
    partitions_without_spare: int = Field(description="And no further one may be lost.")
    partitions_unreadable: int = Field(description="And they are too few to read what is there.")


class Scrub(Document):
    """How far the scrub is, which reads and hashes every shard within `scrub_seconds`."""

    partitions_total: int
    partitions_never: int = Field(description="Never scrubbed so far.")
    partitions_due: int = Field(description="Not scrubbed within `scrub_seconds`: they are next.")
    oldest_scrub_at: datetime | None = Field(description="Since then all but `partitions_never` were scrubbed.")
    shards_verified: int = Field(description="Read and hashed since the cluster was founded.")
    shards_verified_bytes: int


class Health(Document):
    """How the cluster is."""

    id: str
    health: Literal["ok", "degraded", "critical"]
    reasons: list[str]
    notes: list[str] = Field(description="What is under way or waits for somebody, and is no fault by itself.")
    servers_up: int
    servers_total: int
    capacity_bytes: int
    used_bytes: int
    epoch: int
    totals: Totals
    redundancy: Redundancy
    scrub: Scrub
    lost: Lost
    garbage: Garbage
    forecast: Forecast

    @classmethod
    def of(cls, status: ClusterStatus, scrub: ScrubProgress, capacity: Capacity, *, garbage_bytes: int) -> Self:
        """Describe the cluster's health."""
        return cls(
            id=status.id,
            health=status.health,
            reasons=list(status.reasons),
            notes=list(status.notes),
            servers_up=status.servers_up,
            servers_total=status.servers_total,
            capacity_bytes=status.capacity_bytes,
            used_bytes=status.used_bytes,
            epoch=status.epoch,
            totals=Totals.model_validate(status.totals),
            redundancy=Redundancy.model_validate(status.shortfall),
            scrub=Scrub.model_validate(scrub),
            lost=Lost.of(status),
            garbage=Garbage.of(status.counts, present_bytes=garbage_bytes),
            forecast=Forecast.model_validate(capacity),
        )
