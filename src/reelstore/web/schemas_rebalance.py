"""JSON documents of moving and mending. Names here are a contract; more fields may come."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reelstore.services.control import (
    BYTES_PER_SECOND_MAX,
    BYTES_PER_SECOND_MIN,
    CONCURRENCY_MAX,
    ControlChange,
)
from reelstore.web.schemas import Document


class Rebalance(Document):
    """How far the data is where the newest ring wants it."""

    state: Literal["idle", "running", "paused", "blocked"]
    reasons: list[str] = Field(description="Why it is paused or blocked, and what else somebody should know.")
    epoch: int
    partitions_total: int
    partitions_done: int = Field(description="Proved, by a listing, to lie where the newest ring wants them.")
    bytes_total: int = Field(description="To be moved in the present run; in the last one, when nothing is left.")
    bytes_moved: int = Field(description="Of these, what is durable where it belongs and was read back.")
    rate_bytes_per_second: float = Field(description="Over the last half minute.")
    eta_seconds: float | None = Field(description="Null where nothing tells.")
    garbage_bytes: int = Field(description="Of shards that nothing needs any more, as last listed, not yet deleted.")
    paused: bool
    bytes_per_second: int | None = Field(description="The most that all workers together move; null for no limit.")
    concurrency: int | None = Field(description="Shards moved at once by all workers; null for each worker's own.")
    workers: int = Field(description="Processes that take part.")


class RebalanceChange(BaseModel):
    """What to set; what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    paused: bool = Field(False, description="Nothing is moved, mended, read again or deleted in the background.")
    bytes_per_second: int | None = Field(
        None,
        ge=BYTES_PER_SECOND_MIN,
        le=BYTES_PER_SECOND_MAX,
        description="The most that all workers together move; null takes the limit away.",
    )
    concurrency: int | None = Field(
        None, ge=1, le=CONCURRENCY_MAX, description="Shards moved at once by all workers; null: each worker's own."
    )

    def changes(self) -> ControlChange:
        """Return what was given, and nothing else."""
        found = ControlChange()
        if "paused" in self.model_fields_set:
            found["paused"] = self.paused
        if "bytes_per_second" in self.model_fields_set:
            found["bytes_per_second"] = self.bytes_per_second
        if "concurrency" in self.model_fields_set:
            found["concurrency"] = self.concurrency
        return found
