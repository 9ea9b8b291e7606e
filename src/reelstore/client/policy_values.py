"""What the API answers about policies, as values; see `reelstore.client.values`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class Policy:
    """How chunks are made redundant.

    Args:
        name: what videos are stored under.
        kind: `replicated` or `erasure`; `description` says it whole, such as `erasure(4, 2)`.
        copies: full copies of a chunk; None with `erasure`.
        k, m: fragments that make a chunk whole, and those besides; None with `replicated`.
        copies_min: servers that must have acknowledged before a write is.
        chunk_size_bytes: the size at which a body is cut.
        width: servers that keep something of each chunk.
        losses_tolerated: how many of them may be lost at once.
        bytes_per_byte: what is stored for each byte of video.
        default: whether it holds for videos that name none.
    """

    name: str
    kind: str
    description: str
    copies: int | None
    k: int | None
    m: int | None
    copies_min: int
    chunk_size_bytes: int
    width: int
    losses_tolerated: int
    bytes_per_byte: float
    default: bool
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Policy:
        """Read a policy, or raise `UnexpectedAnswer`."""
        return cls(
            name=document.text("name"),
            kind=document.text("kind"),
            description=document.text("description", ""),
            copies=document.optional_whole("copies"),
            k=document.optional_whole("k"),
            m=document.optional_whole("m"),
            copies_min=document.whole("copies_min"),
            chunk_size_bytes=document.whole("chunk_size_bytes"),
            width=document.whole("width"),
            losses_tolerated=document.whole("losses_tolerated"),
            bytes_per_byte=document.number("bytes_per_byte"),
            default=document.flag("default", default=False),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """A video on its way to another policy.

    Args:
        video_id, name, size_bytes: the video's.
        policy, policy_before: what it is to have, and what it has until all of it is copied.
        bytes_copied: how far it is.
        requested_at: since when.
        problem: what went wrong the last time; it is tried again.
    """

    video_id: str
    name: str
    size_bytes: int
    policy: str
    policy_before: str
    bytes_copied: int
    requested_at: datetime | None
    problem: str | None
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Transfer:
        """Read a transfer, or raise `UnexpectedAnswer`."""
        return cls(
            video_id=document.text("video_id"),
            name=document.text("name"),
            size_bytes=document.whole("size_bytes"),
            policy=document.text("policy"),
            policy_before=document.text("policy_before"),
            bytes_copied=document.whole("bytes_copied"),
            requested_at=document.time("requested_at"),
            problem=document.optional_text("problem"),
            document=document.fields,
        )
