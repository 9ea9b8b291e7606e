"""JSON documents of the API: what goes out, what comes in. Names here are a contract; more fields may come."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from reelstore.domain import server as domain_server
from reelstore.domain import video as domain_video
from reelstore.domain.errors import InvalidInput
from reelstore.domain.server import ServerHealth, ServerState
from reelstore.domain.video import VideoState
from reelstore.services import servers as server_service
from reelstore.services import video_requests as video_service
from reelstore.web.etags import content_etag, description_etag

Item = TypeVar("Item")


class Document(BaseModel):
    """Anything that goes out: read from the attributes of a value of the services."""

    model_config = ConfigDict(from_attributes=True)


class Listing(Document, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(None, description="Give it as `cursor` for the next page; null at the end.")


class Video(Document):
    """A video."""

    id: str = Field(examples=["019a3f2e-8b5c-7c11-9d2e-5f1f0a6b7c8d"])
    name: str = Field(description="The file's name as it was given: any Unicode text.", examples=["holiday.mp4"])
    title: str = Field(examples=["Holiday"])
    description: str
    tags: list[str]
    state: VideoState
    size_bytes: int
    etag: str = Field(description="The ETag of this description, for If-Match.", examples=['"v1"'])
    content_etag: str = Field(description="The ETag of the content, for If-Range.")
    content_type: str = Field(examples=["video/mp4"])
    policy: str = Field(description="How each chunk is made redundant.", examples=["default"])
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = Field(description="Since when it is in the trash.")
    media: dict[str, Any] | None = Field(description="Duration, container and tracks; null until it is probed.")

    @classmethod
    def of(cls, video: domain_video.Video) -> Self:
        """Describe a video."""
        return cls(
            id=video.id,
            name=video.name,
            title=video.title,
            description=video.description,
            tags=list(video.tags),
            state=video.state,
            size_bytes=video.size_bytes,
            etag=description_etag(video),
            content_etag=content_etag(video.file_id),
            content_type=video.content_type,
            policy=video.policy,
            created_at=video.created_at,
            updated_at=video.updated_at,
            deleted_at=video.deleted_at,
            media=video.media,
        )


class VideoPatch(BaseModel):
    """Changes to a description: what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(
        default_factory=str, description="At most 1,024 bytes of UTF-8, no control characters, not empty."
    )
    title: str = Field(default_factory=str, description="At most 1,024 bytes of UTF-8.")
    description: str = Field(default_factory=str, description="At most 16 KiB of UTF-8.")
    tags: list[str] = Field(default_factory=list, description="All tags, at most 64 of at most 128 bytes each.")
    policy: str = Field(
        default_factory=str, description="Have it stored under this one, in the background; not with other changes."
    )

    def other_policy(self) -> str | None:
        """Return the policy that is asked for, None when the description is to be changed.

        Raises:
            InvalidInput: both are asked for at once; a retry does not help.
        """
        if "policy" not in self.model_fields_set:
            return None
        if len(self.model_fields_set) > 1:
            raise InvalidInput("the policy is changed by a request of its own", field="policy")
        return self.policy

    def edit(self) -> video_service.VideoEdit:
        """Return what the service is to change."""
        given = self.model_dump(exclude_unset=True)
        if "tags" in given:
            given["tags"] = tuple(self.tags)
        return video_service.VideoEdit(**given)


class Transfer(Document):
    """A video on its way to another policy."""

    video_id: str
    name: str
    size_bytes: int
    policy: str = Field(description="What it is to have.")
    policy_before: str = Field(description="What it has until all of it is copied.")
    bytes_copied: int
    requested_at: datetime
    problem: str | None = Field(description="What went wrong the last time; it is tried again.")


class Purged(BaseModel):
    """What a purge freed."""

    id: str
    size_bytes: int
    freed_bytes: int = Field(description="Bytes of one copy that no other video still needs.")

    @classmethod
    def of(cls, purged: video_service.Purged) -> Self:
        """Describe a purge."""
        return cls(id=purged.video_id, size_bytes=purged.size_bytes, freed_bytes=purged.freed_bytes)


class ChunkPlace(Document):
    """Where one chunk of a video lies."""

    position: int
    offset_bytes: int
    size_bytes: int
    digest: str = Field(description="BLAKE3, hexadecimal.")
    partition: int
    servers: list[str] = Field(description="The servers that the newest ring names, in order of slot.")
    synced_servers: list[str] = Field(description="The servers that the ring names to which the partition is synced.")


class ShardProblem(Document):
    """One shard that is not as it should be."""

    chunk: str = Field(description="The chunk's BLAKE3 digest, hexadecimal.")
    server: str
    problem: Literal["missing", "corrupt", "unreachable"]


class Verification(Document):
    """What a check of every shard of a video found. Problems are queued for repair."""

    video_id: str
    shards_total: int
    shards_ok: int
    shards_moving: int = Field(description="Of `shards_ok`, those that are good and not yet where the ring wants them.")
    problems: list[ShardProblem]
    problems_truncated: bool = Field(description="There are more problems than are listed.")


class Server(Document):
    """A storage server."""

    name: str
    url: str
    zone: str
    capacity_bytes: int
    used_bytes: int
    state: ServerState
    health: ServerHealth
    health_reason: str | None
    last_seen_at: datetime | None
    unreachable_since: datetime | None = Field(description="Null while it answers.")
    evicted_at: datetime | None = Field(description="When it was taken out of the ring because it did not answer.")
    remove_when_empty: bool = Field(description="It is drained in order to be removed.")
    empty: bool = Field(description="It is drained, and a listing proved that nothing on it is needed.")
    waiting_for: list[str] = Field(description="What keeps a drained server from being empty.")
    share: float = Field(description="Its part of the ring's slots, 0 to 1.")

    @classmethod
    def of(cls, view: server_service.ServerView) -> Self:
        """Describe a server."""
        server: domain_server.Server = view.server
        return cls(
            name=server.name,
            url=server.url,
            zone=server.zone,
            capacity_bytes=server.capacity_bytes,
            used_bytes=server.used_bytes,
            state=server.state,
            health=server.health,
            health_reason=server.health_reason,
            last_seen_at=server.last_seen_at,
            unreachable_since=server.unreachable_since,
            evicted_at=server.evicted_at,
            remove_when_empty=server.remove_when_empty,
            empty=view.empty,
            waiting_for=[*view.waiting_for],
            share=view.share,
        )


class NewServer(BaseModel):
    """A storage server to add."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="1 to 63 characters: lower-case letters, digits, '.', '_' and '-'.")
    url: str = Field(description="Which driver, and where: `file:///srv/disk1`.")
    zone: str | None = Field(None, description="Servers that may fail together share one; found out if absent.")
    capacity_bytes: int | None = Field(
        None, ge=1, le=2**62, description="Its weight in the ring; the disk's size if absent."
    )


class RingServer(Document):
    """A server's place in a ring."""

    name: str
    zone: str
    share: float
    slots: int


class Ring(Document):
    """How one policy's partitions lie on the servers."""

    policy: str
    kind: str = Field(examples=["replicated(2)"])
    epoch: int
    partition_bits: int
    servers: list[RingServer]
    balance: float = Field(description="The largest load over the fair one; 1 is perfect.")
    warnings: list[str] = Field(description="What these servers cannot give to the policy.")
    width: int = Field(description="Slots of a partition: shards of a chunk.")


class Problem(BaseModel):
    """RFC 9457: what went wrong. `type` is the path of a page that explains it; the error's own data comes along."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/problems/video-not-found"])
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path of the request.")
    request_id: str | None = Field(description="Also in the header X-Request-ID and in the gateway's log.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
