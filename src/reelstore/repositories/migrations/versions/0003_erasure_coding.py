"""What policies need: how many of its shards make a chunk whole, and videos on their way to another policy."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Of the copies that there are, any one is enough."""
    op.add_column("policies", sa.Column("needed", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_table(
        "transfers",
        sa.Column("video_id", _WORDS, nullable=False),
        sa.Column("policy", _WORDS, nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("file_id", _WORDS, nullable=True),
        sa.Column("problem", _WORDS, nullable=True),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name=op.f("fk_transfers_video_id_videos"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("video_id", name=op.f("pk_transfers")),
    )
