"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_INSTANT = sa.BigInteger()  # microseconds since 1970 in UTC


def upgrade() -> None:
    """Make the tables; those that others refer to come first."""
    _create_cluster()
    _create_topology()
    _create_chunks()
    _create_files()
    _create_videos()


def _create_cluster() -> None:
    op.create_table(
        "cluster",
        sa.Column("the_row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", _WORDS, nullable=False),
        sa.Column("generation", _WORDS, nullable=False),
        sa.Column("delete_rounds", sa.BigInteger(), nullable=False),
        sa.Column("default_policy", _WORDS, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("the_row = 1", name=op.f("ck_cluster_one")),
        sa.PrimaryKeyConstraint("the_row", name=op.f("pk_cluster")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", _WORDS, nullable=False),
        sa.Column("fingerprint", _WORDS, nullable=False),
        sa.Column("video_id", _WORDS, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)


def _create_topology() -> None:
    op.create_table(
        "servers",
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("url", _WORDS, nullable=False),
        sa.Column("zone", _WORDS, nullable=False),
        sa.Column("capacity_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", _WORDS, nullable=False),
        sa.Column("health", _WORDS, nullable=False),
        sa.Column("health_reason", _WORDS, nullable=True),
        sa.Column("last_seen_at", _INSTANT, nullable=True),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_servers")),
        sa.UniqueConstraint("number", name=op.f("uq_servers_number")),
    )
    op.create_table(
        "policies",
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("kind", _WORDS, nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.Column("copies_min", sa.Integer(), nullable=False),
        sa.Column("chunk_size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_policies")),
    )
    op.create_table(
        "rings",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ring_set", sa.LargeBinary(), nullable=False),
        sa.Column("reason", _WORDS, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_rings")),
    )
    op.create_table(
        "ring_head",
        sa.Column("the_row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("the_row = 1", name=op.f("ck_ring_head_one")),
        sa.PrimaryKeyConstraint("the_row", name=op.f("pk_ring_head")),
    )
    op.execute("INSERT INTO ring_head (the_row, epoch) VALUES (1, 0)")
    op.create_table(
        "partitions",
        sa.Column("policy", _WORDS, nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("synced_epoch", sa.BigInteger(), nullable=False),
        sa.Column("synced_version", sa.BigInteger(), nullable=False),
        sa.Column("scrubbed_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("policy", "partition", name=op.f("pk_partitions")),
        sqlite_with_rowid=False,
    )


def _create_chunks() -> None:
    op.create_table(
        "chunks",
        sa.Column("id", _WORDS, nullable=False),
        sa.Column("policy", _WORDS, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", _WORDS, nullable=False),
        sa.CheckConstraint("state IN ('writing', 'live')", name=op.f("ck_chunks_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chunks")),
        sa.UniqueConstraint("policy", "digest", name=op.f("uq_chunks_policy_digest")),
    )
    op.create_table(
        "chunk_totals",
        sa.Column("policy", _WORDS, nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("chunk_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("policy", name=op.f("pk_chunk_totals")),
    )


def _create_files() -> None:
    op.create_table(
        "files",
        sa.Column("id", _WORDS, nullable=False),
        sa.Column("policy", _WORDS, nullable=False),
        sa.Column("state", _WORDS, nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("chunk_count", sa.BigInteger(), nullable=False),
        sa.Column("length_bytes", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.CheckConstraint("state IN ('open', 'complete')", name=op.f("ck_files_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index(
        "ix_files_open",
        "files",
        ["expires_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "file_chunks",
        sa.Column("file", _WORDS, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("chunk", _WORDS, nullable=False),
        sa.ForeignKeyConstraint(["chunk"], ["chunks.id"], name=op.f("fk_file_chunks_chunk")),
        sa.ForeignKeyConstraint(["file"], ["files.id"], name=op.f("fk_file_chunks_file"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file", "position", name=op.f("pk_file_chunks")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_file_chunks_chunk"), "file_chunks", ["chunk"], unique=False)
    op.create_index(op.f("ix_file_chunks_file_offset_bytes"), "file_chunks", ["file", "offset_bytes"], unique=False)


def _create_videos() -> None:
    op.create_table(
        "videos",
        sa.Column("id", _WORDS, nullable=False),
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("title", _WORDS, nullable=False),
        sa.Column("description", _WORDS, nullable=False),
        sa.Column("state", _WORDS, nullable=False),
        sa.Column("state_before_trash", _WORDS, nullable=True),
        sa.Column("file_id", _WORDS, nullable=False),
        sa.Column("policy", _WORDS, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_type", _WORDS, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.Column("deleted_at", _INSTANT, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("media", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("search_text", _WORDS, nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_videos_file_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_videos")),
    )
    op.create_index(op.f("ix_videos_created_at_id"), "videos", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_videos_file_id"), "videos", ["file_id"], unique=False)
    op.create_index(op.f("ix_videos_name_id"), "videos", ["name", "id"], unique=False)
    op.create_index(op.f("ix_videos_size_bytes_id"), "videos", ["size_bytes", "id"], unique=False)
    op.create_index(
        op.f("ix_videos_state_created_at_id_size_bytes"),
        "videos",
        ["state", "created_at", "id", "size_bytes"],
        unique=False,
    )
    op.create_index(op.f("ix_videos_title_id"), "videos", ["title", "id"], unique=False)
    op.create_index(op.f("ix_videos_updated_at_id"), "videos", ["updated_at", "id"], unique=False)
    op.create_table(
        "video_tags",
        sa.Column("video", _WORDS, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tag", _WORDS, nullable=False),
        sa.ForeignKeyConstraint(["video"], ["videos.id"], name=op.f("fk_video_tags_video"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("video", "position", name=op.f("pk_video_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_video_tags_tag_video"), "video_tags", ["tag", "video"], unique=False)
