"""What the API answers about taking servers away, as values; see `reelstore.client.values`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class VideoAtRisk:
    """A video that needs what only one server may hold."""

    id: str
    name: str


def _videos(document: Document) -> tuple[VideoAtRisk, ...]:
    videos = document.children("videos_at_risk", "video at risk")
    return tuple(VideoAtRisk(video.text("id"), video.text("name", "")) for video in videos)


@dataclass(frozen=True, slots=True)
class RemovalCheck:
    """Whether a storage server can be powered off and forgotten, and the evidence.

    Args:
        name: of the server.
        safe: whether it can.
        reasons: what is not yet so; none when it is safe.
        epoch: of the newest ring.
        in_ring: whether that ring places anything on it.
        partitions_total, partitions_unsettled: how many there are, and are not proved to lie where the ring says.
        shards_listed, bytes_listed, listed_at: what it has, and when it was asked; None when it did not list it.
        other_servers_silent: names of those whose shards count as not there.
        chunks_at_risk, bytes_at_risk: of which the other servers have too few good shards.
        videos_at_risk: up to 100 videos that need one of these chunks.
    """

    name: str
    safe: bool
    reasons: tuple[str, ...]
    epoch: int
    in_ring: bool
    partitions_total: int
    partitions_unsettled: int
    shards_listed: int | None
    bytes_listed: int | None
    listed_at: datetime | None
    other_servers_silent: tuple[str, ...]
    chunks_at_risk: int
    bytes_at_risk: int
    videos_at_risk: tuple[VideoAtRisk, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> RemovalCheck:
        """Read a check, or raise `UnexpectedAnswer`."""
        evidence = Document.of(document.fields.get("evidence"), "evidence of a removal check")
        listed = evidence.fields.get("shards_listed") is not None
        return cls(
            name=document.text("name"),
            safe=document.flag("safe"),
            reasons=document.texts("reasons"),
            epoch=evidence.whole("epoch"),
            in_ring=evidence.flag("in_ring"),
            partitions_total=evidence.whole("partitions_total"),
            partitions_unsettled=evidence.whole("partitions_unsettled"),
            shards_listed=evidence.whole("shards_listed") if listed else None,
            bytes_listed=evidence.whole("bytes_listed") if listed else None,
            listed_at=evidence.time("listed_at"),
            other_servers_silent=evidence.texts("other_servers_silent"),
            chunks_at_risk=evidence.whole("chunks_at_risk", 0),
            bytes_at_risk=evidence.whole("bytes_at_risk", 0),
            videos_at_risk=_videos(evidence),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class RemovedServer:
    """A storage server that was forced out, and what was accepted to be lost with it."""

    name: str
    chunks_at_risk: int
    bytes_at_risk: int
    videos_at_risk: tuple[VideoAtRisk, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> RemovedServer:
        """Read the answer to a forced removal, or raise `UnexpectedAnswer`."""
        return cls(
            name=document.text("name"),
            chunks_at_risk=document.whole("chunks_at_risk", 0),
            bytes_at_risk=document.whole("bytes_at_risk", 0),
            videos_at_risk=_videos(document),
            document=document.fields,
        )
