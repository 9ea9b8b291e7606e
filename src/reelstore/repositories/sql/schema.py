"""The tables as the code sees them. How a database gets them is written in `repositories/migrations`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """A moment, stored as whole microseconds since 1970 in UTC: exact, and in order of time on any database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return the number to store; a moment without a zone is refused with `TypeError`."""
        del dialect
        return None if value is None else self.number(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the moment, in UTC."""
        del dialect
        return None if value is None else self.moment(value)

    @staticmethod
    def number(moment: datetime) -> int:
        """Return whole microseconds since 1970."""
        return (moment - _EPOCH) // _MICROSECOND

    @staticmethod
    def moment(number: int) -> datetime:
        """Return the moment so many microseconds after the beginning of 1970."""
        return _EPOCH + number * _MICROSECOND


Words = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared and sorted by code point: SQLite compares UTF-8 bytes already, which is the same order."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

cluster = Table(
    "cluster",
    metadata,
    Column("the_row", Integer, CheckConstraint("the_row = 1", name="one"), primary_key=True, autoincrement=False),
    Column("id", Words, nullable=False),
    Column("generation", Words, nullable=False),
    Column("delete_rounds", BigInteger, nullable=False),
    Column("default_policy", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("home", Words),
    Column("deletes_stopped", Words),
)

servers = Table(
    "servers",
    metadata,
    Column("name", Words, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("url", Words, nullable=False),
    Column("zone", Words, nullable=False),
    Column("capacity_bytes", BigInteger, nullable=False),
    Column("state", Words, nullable=False),
    Column("health", Words, nullable=False),
    Column("health_reason", Words),
    Column("last_seen_at", Instant),
    Column("used_bytes", BigInteger, nullable=False),
    Column("unreachable_since", Instant),
    Column("evicted_at", Instant),
    Column("remove_when_empty", Boolean, nullable=False, server_default=false()),
)

policies = Table(
    "policies",
    metadata,
    Column("name", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("copies", Integer, nullable=False),  # shards of a chunk: there were only copies once
    Column("needed", Integer, server_default=text("1"), nullable=False),
    Column("copies_min", Integer, nullable=False),
    Column("chunk_size_bytes", BigInteger, nullable=False),
)

rings = Table(
    "rings",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("ring_set", LargeBinary, nullable=False),
    Column("reason", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# One row, so that there is something to lock before the first ring (rules 3, 7 and 11).
ring_head = Table(
    "ring_head",
    metadata,
    Column("the_row", Integer, CheckConstraint("the_row = 1", name="one"), primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
)

partitions = Table(
    "partitions",
    metadata,
    Column("policy", Words, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("synced_epoch", BigInteger, nullable=False),
    Column("synced_version", BigInteger, nullable=False),
    Column("scrubbed_at", Instant),
    sqlite_with_rowid=False,
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", Words, primary_key=True),
    Column("policy", Words, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", Words, CheckConstraint("state IN ('writing', 'live')", name="state"), nullable=False),
    UniqueConstraint("policy", "digest"),
)

# How many rows `chunks` has and what they sum to, changed in the transaction that adds or deletes them: counting
# 10 million rows takes seconds.
chunk_totals = Table(
    "chunk_totals",
    metadata,
    Column("policy", Words, primary_key=True),
    Column("chunks", BigInteger, nullable=False),
    Column("chunk_bytes", BigInteger, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("id", Words, primary_key=True),
    Column("policy", Words, nullable=False),
    Column("state", Words, CheckConstraint("state IN ('open', 'complete')", name="state"), nullable=False),
    Column("offset_bytes", BigInteger, nullable=False),
    Column("chunk_count", BigInteger, nullable=False),
    Column("length_bytes", BigInteger),
    Column("expires_at", Instant),
)
Index(
    "ix_files_open",
    files.c.expires_at,
    files.c.id,
    sqlite_where=text("state = 'open'"),
    postgresql_where=text("state = 'open'"),
)

# The foreign key to `chunks` is the reference count (rule 5): it restricts, and its index makes collecting cheap.
file_chunks = Table(
    "file_chunks",
    metadata,
    Column("file", Words, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("offset_bytes", BigInteger, nullable=False),
    Column("chunk", Words, ForeignKey("chunks.id"), nullable=False, index=True),
    Index(None, "file", "offset_bytes"),
    sqlite_with_rowid=False,
)

videos = Table(
    "videos",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("title", Words, nullable=False),
    Column("description", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("state_before_trash", Words),
    Column("file_id", Words, ForeignKey("files.id"), nullable=False, index=True),
    Column("policy", Words, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_type", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    Column("version", BigInteger, nullable=False),
    Column("media", JSON(none_as_null=True)),
    Column("search_text", Words, nullable=False),
    Index(None, "state", "created_at", "id", "size_bytes"),  # the trash in order of age, and the totals
    Index(None, "created_at", "id"),
    Index(None, "updated_at", "id"),
    Index(None, "name", "id"),
    Index(None, "title", "id"),
    Index(None, "size_bytes", "id"),
)

video_tags = Table(
    "video_tags",
    metadata,
    Column("video", Words, ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("tag", Words, nullable=False),
    Index(None, "tag", "video"),
    sqlite_with_rowid=False,
)

transfers = Table(
    "transfers",
    metadata,
    Column("video_id", Words, ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True),
    Column("policy", Words, nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("file_id", Words),  # no foreign key: an open file may expire
    Column("problem", Words),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Words, primary_key=True),
    Column("fingerprint", Words, nullable=False),
    Column("video_id", Words, nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Words, primary_key=True),
    Column("holder", Words, nullable=False),
    Column("expires_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

# What gateways without a background have met, until a worker takes it over.
needs = Table(
    "needs",
    metadata,
    Column("policy", Words, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("verify", Boolean, nullable=False),
    Column("collect", Boolean, nullable=False),
    Column("unsettled", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

control = Table(
    "control",
    metadata,
    Column("the_row", Integer, CheckConstraint("the_row = 1", name="one"), primary_key=True, autoincrement=False),
    Column("paused", Boolean, nullable=False),
    Column("bytes_per_second", BigInteger),
    Column("concurrency", Integer),
)

# One row, from which the next event's id is drawn: its lock puts ids in the order of commits.
event_head = Table(
    "event_head",
    metadata,
    Column("the_row", Integer, CheckConstraint("the_row = 1", name="one"), primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("message", Words, nullable=False),
    Column("at", Instant, nullable=False, index=True),
    Column("data", JSON, nullable=False),
    Index(None, "subject", "id"),
    Index(None, "kind", "id"),
    sqlite_with_rowid=False,
)

plans = Table(
    "plans",
    metadata,
    Column("id", Words, primary_key=True),
    Column("base_epoch", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("document", JSON, nullable=False),
    Column("applied_epoch", BigInteger),
    Index(None, "created_at", "id"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Words, primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

usage_samples = Table(
    "usage_samples",
    metadata,
    Column("at", Instant, primary_key=True, autoincrement=False),
    Column("server", Words, primary_key=True),
    Column("used_bytes", BigInteger, nullable=False),
    Column("capacity_bytes", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
