"""What the API answers about shards that were checked, and about bad ones; see `reelstore.client.values`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class ShardProblem:
    """One shard that is not as it should be.

    Args:
        chunk: BLAKE3 digest, hexadecimal.
        server: where it is bad, or was expected.
        problem: `missing`, `corrupt` or `unreachable`.
        videos: names of the first videos with this chunk; empty where the answer is about a single video.
    """

    chunk: str
    server: str
    problem: str
    videos: tuple[str, ...] = ()

    @classmethod
    def parse(cls, document: Document) -> ShardProblem:
        """Read a problem, or raise `UnexpectedAnswer`."""
        return cls(
            chunk=document.text("chunk"),
            server=document.text("server"),
            problem=document.text("problem"),
            videos=tuple(video.text("name") for video in document.children("videos", "video")),
        )


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading every shard of a video has shown.

    Args:
        shards_total, shards_ok: how many were expected, and how many are as they should be.
        shards_moving: of those that are, how many are not yet where the newest ring wants them.
        problems: the others; at most so many as the server lists.
        problems_truncated: there are more problems than listed.
    """

    shards_total: int
    shards_ok: int
    shards_moving: int
    problems: tuple[ShardProblem, ...]
    problems_truncated: bool
    document: Json = field(repr=False, compare=False)

    @property
    def whole(self) -> bool:
        """Whether every shard is as it should be."""
        return self.shards_ok == self.shards_total and not self.problems

    @classmethod
    def parse(cls, document: Document) -> Verification:
        """Read a verification, or raise `UnexpectedAnswer`."""
        return cls(
            shards_total=document.whole("shards_total"),
            shards_ok=document.whole("shards_ok"),
            shards_moving=document.whole("shards_moving", 0),
            problems=tuple(map(ShardProblem.parse, document.children("problems", "shard problem"))),
            problems_truncated=document.flag("problems_truncated", default=False),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class VerifiedSlice:
    """What reading every shard of a slice of the cluster has shown.

    Args:
        verification: of this slice.
        shards_bytes: that were read.
        progress: how far this and all slices before it have come, 0 to 1.
        next_cursor: where to go on; None at the end.
    """

    verification: Verification
    shards_bytes: int
    progress: float
    next_cursor: str | None

    @classmethod
    def parse(cls, document: Document) -> VerifiedSlice:
        """Read a slice, or raise `UnexpectedAnswer`."""
        return cls(
            verification=Verification.parse(document),
            shards_bytes=document.whole("shards_bytes"),
            progress=document.number("progress"),
            next_cursor=document.optional_text("next_cursor"),
        )


@dataclass(frozen=True, slots=True)
class QuarantinedShard:
    """A copy of suspect bytes that was set aside.

    Args:
        id: its name on its server.
        server: where it is.
        chunk: BLAKE3 digest that the bytes should have, hexadecimal.
        size_bytes: of the copy.
        set_aside_at: by the server's clock.
        videos: names of the first videos with this chunk.
    """

    id: str
    server: str
    chunk: str
    size_bytes: int
    set_aside_at: datetime | None
    videos: tuple[str, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> QuarantinedShard:
        """Read a copy, or raise `UnexpectedAnswer`."""
        return cls(
            id=document.text("id"),
            server=document.text("server"),
            chunk=document.text("chunk", ""),
            size_bytes=document.whole("size_bytes"),
            set_aside_at=document.time("set_aside_at"),
            videos=tuple(video.text("name") for video in document.children("videos", "video")),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class QuarantinePage:
    """A page of what is in quarantine; `unreachable` names the servers that did not answer."""

    items: tuple[QuarantinedShard, ...]
    next_cursor: str | None
    unreachable: tuple[str, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> QuarantinePage:
        """Read a page, or raise `UnexpectedAnswer`."""
        return cls(
            items=tuple(map(QuarantinedShard.parse, document.children("items", "copy in quarantine"))),
            next_cursor=document.optional_text("next_cursor"),
            unreachable=document.texts("unreachable"),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Emptied:
    """What was dropped from quarantine: copies and their bytes; `unreachable` names the servers that kept theirs."""

    copies: int
    size_bytes: int
    unreachable: tuple[str, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Emptied:
        """Read the answer to emptying, or raise `UnexpectedAnswer`."""
        return cls(
            copies=document.whole("copies"),
            size_bytes=document.whole("size_bytes"),
            unreachable=document.texts("unreachable"),
            document=document.fields,
        )
