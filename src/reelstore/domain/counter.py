"""Counts that only grow, over all processes and restarts."""

from __future__ import annotations

from enum import StrEnum


class Counter(StrEnum):
    """What is counted. Names that end in `_bytes` count bytes, `_seconds` whole seconds, all others things."""

    UPLOADS_EXPIRED = "uploads_expired"
    UPLOADS_EXPIRED_BYTES = "uploads_expired_bytes"
    VIDEOS_PURGED = "videos_purged"
    VIDEOS_PURGED_BYTES = "videos_purged_bytes"
    CHUNKS_COLLECTED = "chunks_collected"
    CHUNKS_COLLECTED_BYTES = "chunks_collected_bytes"
    GARBAGE_SHARDS_FREED = "garbage_shards_freed"
    GARBAGE_FREED_BYTES = "garbage_freed_bytes"
    MISPLACED_SHARDS_FREED = "misplaced_shards_freed"
    MISPLACED_FREED_BYTES = "misplaced_freed_bytes"
    SHARDS_MOVED = "shards_moved"
    SHARDS_MOVED_BYTES = "shards_moved_bytes"
    SHARDS_ADOPTED = "shards_adopted"
    SHARDS_ADOPTED_BYTES = "shards_adopted_bytes"
    SHARDS_REPAIRED = "shards_repaired"
    SHARDS_REPAIRED_BYTES = "shards_repaired_bytes"
    SHARDS_VERIFIED = "shards_verified"
    SHARDS_VERIFIED_BYTES = "shards_verified_bytes"
    SHARDS_CORRUPT = "shards_corrupt"
    SHARDS_MISSING = "shards_missing"
    QUARANTINE_DROPPED = "quarantine_dropped"
    QUARANTINE_DROPPED_BYTES = "quarantine_dropped_bytes"
    MOVING_SECONDS = "moving_seconds"
    """For which something was moved: with `shards_moved_bytes`, the measured rate."""
