"""Events: what happened in the cluster, for people and for whoever follows them live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """What can happen. The part before the dot says what it happened to."""

    VIDEO_STORED = "video.stored"
    VIDEO_CHANGED = "video.changed"
    VIDEO_TRASHED = "video.trashed"
    VIDEO_RESTORED = "video.restored"
    VIDEO_PURGED = "video.purged"
    VIDEO_TRANSFERRED = "video.transferred"
    UPLOAD_EXPIRED = "upload.expired"
    SERVER_ADDED = "server.added"
    SERVER_CHANGED = "server.changed"
    SERVER_DRAINING = "server.draining"
    SERVER_EVICTED = "server.evicted"
    SERVER_REMOVED = "server.removed"
    SERVER_UNREACHABLE = "server.unreachable"
    SERVER_RETURNED = "server.returned"
    POLICY_ADDED = "policy.added"
    POLICY_DEFAULT = "policy.default"
    RING_PLANNED = "ring.planned"
    RING_APPLIED = "ring.applied"
    REBALANCE_STARTED = "rebalance.started"
    REBALANCE_FINISHED = "rebalance.finished"
    REBALANCE_BLOCKED = "rebalance.blocked"
    REBALANCE_SET = "rebalance.set"
    SHARD_CORRUPT = "shard.corrupt"
    CHUNK_LOST = "chunk.lost"
    CHUNK_FOUND = "chunk.found"
    DELETES_STOPPED = "deletes.stopped"
    METADATA_ACCEPTED = "metadata.accepted"
    CLOCK_JUMPED = "clock.jumped"


SERVER_EVENTS = tuple(kind for kind in EventKind if kind.startswith("server."))
"""Those whose subject is the name of a server."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Args:
        kind: what.
        subject: the id or name of what it happened to: a video's id, a server's name, an epoch; may be empty.
        message: one line for people.
        at: when, by the database's clock, in UTC.
        data: details for programs; JSON.
        id: its place in the order of all events, from 1; 0 until it is kept.
    """

    kind: EventKind
    subject: str
    message: str
    at: datetime
    data: Mapping[str, object] = field(default_factory=dict, hash=False)
    id: int = 0
