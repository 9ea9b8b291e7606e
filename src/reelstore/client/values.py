"""What the API answers, as values.

Sizes are bytes, durations are seconds, times are aware datetimes in UTC. Fields that this version does not know are
ignored, and kept in `document`: the JSON as the server sent it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class Video:
    """A stored video.

    Args:
        id: the identifier everywhere.
        name: the file's name as it was given: any Unicode text, never to be used as a path as it is.
        title, description, tags: for people.
        state: `uploading`, `processing`, `ready`, `stored`, `failed` or `trashed`.
        size_bytes: of the original file.
        etag: of this description; for `if_match`.
        content_etag: of the bytes, which never change; None when the server does not say.
        policy: how its chunks are made redundant.
        content_type: a media type.
        created_at, updated_at, deleted_at: None when the server does not say.
        media: what is known of its tracks; None until it is probed.
    """

    id: str
    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    state: str
    size_bytes: int
    etag: str
    content_etag: str | None
    policy: str
    content_type: str
    created_at: datetime | None
    updated_at: datetime | None
    deleted_at: datetime | None
    media: Json | None
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Video:
        """Read a video, or raise `UnexpectedAnswer`."""
        media = document.fields.get("media")
        return cls(
            id=document.text("id"),
            name=document.text("name"),
            title=document.text("title", ""),
            description=document.text("description", ""),
            tags=document.texts("tags"),
            state=document.text("state"),
            size_bytes=document.whole("size_bytes"),
            etag=document.text("etag", ""),
            content_etag=document.optional_text("content_etag"),
            policy=document.text("policy", ""),
            content_type=document.text("content_type", "application/octet-stream"),
            created_at=document.time("created_at"),
            updated_at=document.time("updated_at"),
            deleted_at=document.time("deleted_at"),
            media=None if media is None else Document.of(media, "media description").fields,
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class VideoPage:
    """A page of a list of videos; `next_cursor` is None on the last one."""

    items: tuple[Video, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge gave back.

    Args:
        id: of the video that is no more.
        size_bytes: of its file.
        freed_bytes: bytes of one copy that no other video needs.
    """

    id: str
    size_bytes: int
    freed_bytes: int
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Purged:
        """Read the answer to a purge, or raise `UnexpectedAnswer`."""
        return cls(
            id=document.text("id"),
            size_bytes=document.whole("size_bytes"),
            freed_bytes=document.whole("freed_bytes"),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where one chunk of a video lies.

    Args:
        position: counts from 0.
        offset_bytes, size_bytes: the chunk is the video's bytes `[offset, offset + size)`.
        digest: BLAKE3 of these bytes, hexadecimal.
        partition: of the ring.
        servers: that the newest ring names for it.
        synced_servers: that are proved to hold it.
    """

    position: int
    offset_bytes: int
    size_bytes: int
    digest: str
    partition: int
    servers: tuple[str, ...]
    synced_servers: tuple[str, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> ChunkPlace:
        """Read a chunk's place, or raise `UnexpectedAnswer`."""
        return cls(
            position=document.whole("position"),
            offset_bytes=document.whole("offset_bytes"),
            size_bytes=document.whole("size_bytes"),
            digest=document.text("digest"),
            partition=document.whole("partition", -1),
            servers=document.texts("servers"),
            synced_servers=document.texts("synced_servers"),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class ShardProblem:
    """One shard that is not as it should be.

    Args:
        chunk: BLAKE3 digest, hexadecimal.
        server: where it was expected.
        problem: `missing`, `corrupt`, `unreachable` or `misplaced`.
    """

    chunk: str
    server: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading every shard of a video has shown.

    Args:
        shards_total, shards_ok: how many were expected, and how many are as they should be.
        problems: the others; at most so many as the server lists.
        problems_truncated: there are more problems than listed.
    """

    shards_total: int
    shards_ok: int
    problems: tuple[ShardProblem, ...]
    problems_truncated: bool
    document: Json = field(repr=False, compare=False)

    @property
    def whole(self) -> bool:
        """Whether every shard is where it should be and as it should be."""
        return self.shards_ok == self.shards_total and not self.problems

    @classmethod
    def parse(cls, document: Document) -> Verification:
        """Read a verification, or raise `UnexpectedAnswer`."""
        return cls(
            shards_total=document.whole("shards_total"),
            shards_ok=document.whole("shards_ok"),
            problems=tuple(
                ShardProblem(problem.text("chunk"), problem.text("server"), problem.text("problem"))
                for problem in document.children("problems", "shard problem")
            ),
            problems_truncated=document.flag("problems_truncated", default=False),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Server:
    """A storage server.

    Args:
        name: unique and stable.
        url: which driver, and where.
        zone: servers that may fail together share one.
        capacity_bytes, used_bytes: its weight in the ring, and what it held when it was last asked.
        state: `active`, `draining` or `removed`.
        health: `up` or `unreachable`, with `health_reason` in words.
        last_seen_at: when it last answered.
        share: its part of the ring's slots, from 0 to 1.
    """

    name: str
    url: str
    zone: str
    capacity_bytes: int
    used_bytes: int
    state: str
    health: str
    health_reason: str | None
    last_seen_at: datetime | None
    share: float
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Server:
        """Read a server, or raise `UnexpectedAnswer`."""
        return cls(
            name=document.text("name"),
            url=document.text("url", ""),
            zone=document.text("zone", ""),
            capacity_bytes=document.whole("capacity_bytes"),
            used_bytes=document.whole("used_bytes", 0),
            state=document.text("state"),
            health=document.text("health"),
            health_reason=document.optional_text("health_reason"),
            last_seen_at=document.time("last_seen_at"),
            share=document.number("share", 0.0),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class RingServer:
    """One server's part of a ring: its share of the slots, from 0 to 1, and their number where it is told."""

    name: str
    zone: str
    share: float
    slots: int | None


@dataclass(frozen=True, slots=True)
class Ring:
    """The table from partitions to servers, for one policy.

    Args:
        policy: its name; `kind` says what it does, such as `replicated(2)`.
        epoch: grows by one with each change of the topology.
        partition_bits: there are 2 to the power of these partitions.
        servers: that have a part in it.
        balance: the largest load over the fair one; 1.0 is perfect.
    """

    policy: str
    kind: str
    epoch: int
    partition_bits: int
    servers: tuple[RingServer, ...]
    balance: float
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Ring:
        """Read a ring, or raise `UnexpectedAnswer`."""
        return cls(
            policy=document.text("policy"),
            kind=document.text("kind", ""),
            epoch=document.whole("epoch"),
            partition_bits=document.whole("partition_bits"),
            servers=tuple(
                RingServer(
                    name=server.text("name"),
                    zone=server.text("zone", ""),
                    share=server.number("share", 0.0),
                    slots=None if server.fields.get("slots") is None else server.whole("slots"),
                )
                for server in document.children("servers", "server of the ring")
            ),
            balance=document.number("balance"),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """How much is stored: numbers of things, and bytes of one copy of them."""

    videos: int
    video_bytes: int
    trashed: int
    trashed_bytes: int
    chunks: int
    chunk_bytes: int
    open_files: int

    @classmethod
    def parse(cls, document: Document) -> Totals:
        """Read the totals, or raise `UnexpectedAnswer`; what is not told counts as 0."""
        return cls(**{name: document.whole(name, 0) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Health:
    """How the cluster is.

    Args:
        health: `ok`, `degraded` or `critical`, with `reasons` in words.
        servers_up, servers_total: how many storage servers answer, of how many.
        epoch: of the newest ring.
        capacity_bytes, used_bytes: of all servers together.
        totals: how much is stored.
    """

    health: str
    reasons: tuple[str, ...]
    servers_up: int
    servers_total: int
    epoch: int
    capacity_bytes: int
    used_bytes: int
    totals: Totals
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Health:
        """Read the cluster's health, or raise `UnexpectedAnswer`."""
        return cls(
            health=document.text("health"),
            reasons=document.texts("reasons"),
            servers_up=document.whole("servers_up"),
            servers_total=document.whole("servers_total"),
            epoch=document.whole("epoch", 0),
            capacity_bytes=document.whole("capacity_bytes", 0),
            used_bytes=document.whole("used_bytes", 0),
            totals=Totals.parse(Document.of(document.fields.get("totals", {}), "count of what is stored")),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Rebalance:
    """How far the cluster is in moving and mending shards.

    Args:
        state: `idle`, `running`, `paused` or `blocked`, with `reasons` in words.
        epoch: of the newest ring.
        partitions_total, partitions_done: how many lie where they should, of how many.
        bytes_total, bytes_moved: of the present work.
        rate_bytes_per_second, eta_seconds: None when nothing is measured.
    """

    state: str
    reasons: tuple[str, ...]
    epoch: int
    partitions_total: int
    partitions_done: int
    bytes_total: int
    bytes_moved: int
    rate_bytes_per_second: float | None
    eta_seconds: float | None
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Rebalance:
        """Read the progress of reconciling, or raise `UnexpectedAnswer`."""
        return cls(
            state=document.text("state"),
            reasons=document.texts("reasons"),
            epoch=document.whole("epoch", 0),
            partitions_total=document.whole("partitions_total", 0),
            partitions_done=document.whole("partitions_done", 0),
            bytes_total=document.whole("bytes_total", 0),
            bytes_moved=document.whole("bytes_moved", 0),
            rate_bytes_per_second=document.optional_number("rate_bytes_per_second"),
            eta_seconds=document.optional_number("eta_seconds"),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that is complete on disk.

    Args:
        path: where it is.
        size_bytes: of the whole file.
        resumed_bytes: that an earlier, interrupted download had kept.
        verified: every byte was checked against the digests of the video's chunks; False when the server gives none.
    """

    path: Path
    size_bytes: int
    resumed_bytes: int
    verified: bool
