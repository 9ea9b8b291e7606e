"""What the API answers about how full the cluster is, as values; see `reelstore.client.values`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class FillSample:
    """How full it was at a time."""

    at: datetime | None
    used_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True)
class ServerCapacity:
    """How full a server is.

    Args:
        name, zone, state, health: of the server.
        capacity_bytes, used_bytes: its weight in the ring, and what it holds.
        free_bytes: what it still takes, as its disk tells where that is less.
        headroom_bytes: what it takes until it is 85 % full.
        trend_bytes_per_day: how fast it fills; None while there is too little to tell.
        days_to_full: at that rate; None when it is not growing.
    """

    name: str
    zone: str
    state: str
    health: str
    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    headroom_bytes: int
    trend_bytes_per_day: float | None
    days_to_full: float | None

    @classmethod
    def parse(cls, document: Document) -> ServerCapacity:
        """Read a server's fill, or raise `UnexpectedAnswer`."""
        return cls(
            name=document.text("name"),
            zone=document.text("zone", ""),
            state=document.text("state", ""),
            health=document.text("health", ""),
            capacity_bytes=document.whole("capacity_bytes"),
            used_bytes=document.whole("used_bytes"),
            free_bytes=document.whole("free_bytes"),
            headroom_bytes=document.whole("headroom_bytes", 0),
            trend_bytes_per_day=document.optional_number("trend_bytes_per_day"),
            days_to_full=document.optional_number("days_to_full"),
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """How much still fits, and for how long.

    Args:
        usable_bytes: bytes of video that still fit, each stored as often as the policy asks; None if it is not told.
        trend_bytes_per_day: how fast all servers together fill; None while there is too little to tell.
        days_to_full: until the first server is full; None when nothing grows.
        first_full: its name.
    """

    usable_bytes: int | None
    trend_bytes_per_day: float | None
    days_to_full: float | None
    first_full: str | None

    @classmethod
    def parse(cls, document: Document) -> Forecast:
        """Read a forecast, or raise `UnexpectedAnswer`."""
        return cls(
            usable_bytes=None if document.fields.get("usable_bytes") is None else document.whole("usable_bytes"),
            trend_bytes_per_day=document.optional_number("trend_bytes_per_day"),
            days_to_full=document.optional_number("days_to_full"),
            first_full=document.optional_text("first_full"),
        )


@dataclass(frozen=True, slots=True)
class Capacity:
    """How full the cluster is; sums are of all copies, over the servers that take part in the ring.

    Args:
        capacity_bytes, used_bytes, free_bytes, headroom_bytes: see `ServerCapacity`.
        forecast: what still fits.
        days_to_full_by_sum: if all servers were filled evenly to the last byte.
        servers: in order of name.
        samples: for a chart, the oldest first.
    """

    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    headroom_bytes: int
    forecast: Forecast
    days_to_full_by_sum: float | None
    servers: tuple[ServerCapacity, ...]
    samples: tuple[FillSample, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Capacity:
        """Read the cluster's fill, or raise `UnexpectedAnswer`."""
        return cls(
            capacity_bytes=document.whole("capacity_bytes"),
            used_bytes=document.whole("used_bytes"),
            free_bytes=document.whole("free_bytes"),
            headroom_bytes=document.whole("headroom_bytes", 0),
            forecast=Forecast.parse(document),
            days_to_full_by_sum=document.optional_number("days_to_full_by_sum"),
            servers=tuple(ServerCapacity.parse(each) for each in document.children("servers", "server's fill")),
            samples=tuple(
                FillSample(each.time("at"), each.whole("used_bytes"), each.whole("capacity_bytes"))
                for each in document.children("samples", "sample of fill")
            ),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Garbage:
    """What nothing needs: bytes that are there, and what was freed since the cluster was founded."""

    present_bytes: int
    freed_shards: int
    freed_bytes: int
    moved_away_shards: int
    moved_away_bytes: int
    expired_uploads: int
    expired_uploads_bytes: int
    purged_videos: int
    purged_videos_bytes: int

    @classmethod
    def parse(cls, document: Document) -> Garbage:
        """Read it, or raise `UnexpectedAnswer`; what is not told counts as 0."""
        return cls(**{name: document.whole(name, 0) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Lost:
    """Chunks that are on no server, and the names of the first videos that have one of them, by id."""

    chunks: int
    videos: dict[str, str]

    @classmethod
    def parse(cls, document: Document) -> Lost:
        """Read it, or raise `UnexpectedAnswer`; what is not told counts as 0."""
        videos = document.children("videos", "video that lost something")
        return cls(document.whole("chunks", 0), {video.text("id"): video.text("name", "") for video in videos})
