"""What changing the cluster needs: more of each server, leases, limits, events, plans, counts, samples of fill."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_INSTANT = sa.BigInteger()  # microseconds since 1970 in UTC


def upgrade() -> None:
    """Add columns and tables; what is there stays as it is."""
    op.add_column("servers", sa.Column("unreachable_since", _INSTANT, nullable=True))
    op.add_column("servers", sa.Column("evicted_at", _INSTANT, nullable=True))
    op.add_column("servers", sa.Column("remove_when_empty", sa.Boolean(), server_default=sa.false(), nullable=False))
    _create_steering()
    _create_events()
    _create_plans()
    _create_counts()


def _create_steering() -> None:
    op.create_table(
        "leases",
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("holder", _WORDS, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "control",
        sa.Column("the_row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("bytes_per_second", sa.BigInteger(), nullable=True),
        sa.Column("concurrency", sa.Integer(), nullable=True),
        sa.CheckConstraint("the_row = 1", name=op.f("ck_control_one")),
        sa.PrimaryKeyConstraint("the_row", name=op.f("pk_control")),
    )


def _create_events() -> None:
    op.create_table(
        "event_head",
        sa.Column("the_row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("the_row = 1", name=op.f("ck_event_head_one")),
        sa.PrimaryKeyConstraint("the_row", name=op.f("pk_event_head")),
    )
    op.execute("INSERT INTO event_head (the_row, last_id) VALUES (1, 0)")
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", _WORDS, nullable=False),
        sa.Column("subject", _WORDS, nullable=False),
        sa.Column("message", _WORDS, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_events_at"), "events", ["at"], unique=False)
    op.create_index(op.f("ix_events_kind_id"), "events", ["kind", "id"], unique=False)
    op.create_index(op.f("ix_events_subject_id"), "events", ["subject", "id"], unique=False)


def _create_plans() -> None:
    op.create_table(
        "plans",
        sa.Column("id", _WORDS, nullable=False),
        sa.Column("base_epoch", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("applied_epoch", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    op.create_index(op.f("ix_plans_created_at_id"), "plans", ["created_at", "id"], unique=False)


def _create_counts() -> None:
    op.create_table(
        "counters",
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_samples",
        sa.Column("at", _INSTANT, autoincrement=False, nullable=False),
        sa.Column("server", _WORDS, nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("capacity_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("at", "server", name=op.f("pk_usage_samples")),
        sqlite_with_rowid=False,
    )
