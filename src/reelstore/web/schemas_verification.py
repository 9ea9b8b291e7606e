"""JSON documents about shards that are not as they should be: verification, quarantine."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reelstore.services.verification import SECONDS_DEFAULT, SECONDS_MAX
from reelstore.web.limits import CURSOR_LENGTH_MAX
from reelstore.web.schemas import Document


class VerifyRequest(BaseModel):
    """Which slice of the cluster to verify."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cursor: str | None = Field(
        None, max_length=CURSOR_LENGTH_MAX, description="`next_cursor` of the slice before; the beginning if absent."
    )
    seconds: float = Field(
        SECONDS_DEFAULT, gt=0, le=SECONDS_MAX, allow_inf_nan=False, description="About how long to go on."
    )


class ConcernedVideo(Document):
    """A video with the chunk in question."""

    id: str
    name: str


class FoundProblem(Document):
    """One shard that is not as it should be, and whom it concerns."""

    chunk: str = Field(description="The chunk's BLAKE3 digest, hexadecimal.")
    server: str
    problem: Literal["missing", "corrupt", "unreachable"]
    videos: list[ConcernedVideo] = Field(description="The first videos with this chunk, those in the trash too.")


class VerifiedSlice(Document):
    """What reading and hashing every shard of a slice showed. Problems are queued for repair."""

    shards_total: int = Field(description="Shards that the newest ring promises.")
    shards_ok: int
    shards_moving: int = Field(description="Of `shards_ok`, those that are good and not yet where the ring wants them.")
    shards_bytes: int = Field(description="Read and hashed.")
    problems: list[FoundProblem]
    problems_truncated: bool = Field(description="There are more problems than are listed.")
    progress: float = Field(ge=0, le=1, description="How far this slice and those before it have come.")
    next_cursor: str | None = Field(description="Give it as `cursor` to go on; null when everything was seen.")


class QuarantinedShard(Document):
    """A copy of suspect bytes that was set aside before good ones took their place."""

    id: str = Field(description="A directory keeps it as a file of this name in its folder `quarantine`.")
    server: str
    chunk: str = Field(description="The BLAKE3 digest that the bytes should have, hexadecimal.")
    size_bytes: int
    set_aside_at: datetime = Field(description="By the server's clock.")
    videos: list[ConcernedVideo] = Field(description="The first videos with this chunk, those in the trash too.")


class Quarantine(Document):
    """One page of what is in quarantine, the newest first."""

    items: list[QuarantinedShard]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null at the end.")
    unreachable: list[str] = Field(description="Servers that did not answer: what they keep is not listed.")


class Emptied(Document):
    """What was dropped from quarantine."""

    copies: int
    size_bytes: int
    unreachable: list[str] = Field(description="Servers that did not answer: what they keep is still there.")
