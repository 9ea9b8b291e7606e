"""JSON documents of taking servers away."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from reelstore.domain import video as domain_video
from reelstore.services import forced_removal, removal
from reelstore.web.schemas import Document


class VideoAtRisk(Document):
    """A video that needs what only one server may hold."""

    id: str
    name: str

    @classmethod
    def of_all(cls, videos: Iterable[domain_video.Video]) -> list[Self]:
        """Describe videos."""
        return [cls(id=video.id, name=video.name) for video in videos]


class RemovalEvidence(Document):
    """What a removal check looked at."""

    epoch: int
    in_ring: bool = Field(description="Whether the newest ring places a partition on it.")
    partitions_total: int
    partitions_unsettled: int = Field(description="Not proved to lie where the newest ring says.")
    shards_listed: int | None = Field(description="What it has; null when it did not list it.")
    bytes_listed: int | None
    listed_at: datetime | None
    other_servers_silent: list[str] = Field(description="What they have counts as not there.")
    chunks_at_risk: int = Field(description="Chunks of which the other servers have too few good shards.")
    bytes_at_risk: int
    videos_at_risk: list[VideoAtRisk] = Field(description="Up to 100 videos that need one of them.")


class RemovalCheck(Document):
    """Whether a server can be powered off and forgotten."""

    name: str
    safe: bool
    reasons: list[str] = Field(description="What is not yet so; empty when it is safe.")
    evidence: RemovalEvidence

    @classmethod
    def of(cls, check: removal.RemovalCheck) -> Self:
        """Describe a check."""
        standing, listed, risk = check.standing, check.listed, check.risk
        return cls(
            name=standing.server.name,
            safe=check.is_safe,
            reasons=[*check.reasons],
            evidence=RemovalEvidence(
                epoch=standing.epoch,
                in_ring=standing.partitions_on_it > 0,
                partitions_total=standing.partitions_total,
                partitions_unsettled=standing.partitions_unsettled,
                shards_listed=None if listed is None else listed.shards,
                bytes_listed=None if listed is None else listed.size_bytes,
                listed_at=check.listed_at,
                other_servers_silent=[*check.silent],
                chunks_at_risk=0 if risk is None else risk.chunks,
                bytes_at_risk=0 if risk is None else risk.size_bytes,
                videos_at_risk=VideoAtRisk.of_all(check.videos_at_risk),
            ),
        )


class RemovedServer(Document):
    """A server that was forced out, and what was accepted to be lost with it."""

    name: str
    state: Literal["removed"]
    chunks_at_risk: int
    bytes_at_risk: int
    videos_at_risk: list[VideoAtRisk]

    @classmethod
    def of(cls, forced: forced_removal.ForcedOut) -> Self:
        """Describe what was done."""
        return cls(
            name=forced.name,
            state="removed",
            chunks_at_risk=forced.risk.chunks,
            bytes_at_risk=forced.risk.size_bytes,
            videos_at_risk=VideoAtRisk.of_all(forced.risk.videos),
        )
