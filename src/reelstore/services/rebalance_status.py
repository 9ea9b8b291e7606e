"""How far reconciling has come, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RebalanceState(StrEnum):
    """What is going on; `idle` is proved by a listing, never assumed (rule 14)."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class RebalanceStatus:
    """Say how far reconciling has come.

    Args:
        state: what is going on; `reasons` say why it is not running or idle.
        epoch: the newest ring.
        partitions_total, partitions_done: how many are proved to lie where that ring wants them, of how many.
        bytes_total, bytes_moved: of the present run, which began when something was not proved, or of the last one.
        rate_bytes_per_second: over the last half minute.
        eta_seconds: None where nothing tells.
        garbage_bytes: of shards that nothing needs any more, as last listed, and not deleted yet.
        paused, bytes_per_second, concurrency: what is set; see `RebalanceControl`.
        workers: processes that take part.
    """

    state: RebalanceState
    reasons: tuple[str, ...]
    epoch: int
    partitions_total: int
    partitions_done: int
    bytes_total: int
    bytes_moved: int
    rate_bytes_per_second: float
    eta_seconds: float | None
    garbage_bytes: int
    paused: bool
    bytes_per_second: int | None
    concurrency: int | None
    workers: int
