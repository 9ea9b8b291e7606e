"""What many gateways need: where the database lives, why deletes are stopped, and needs that wait for a worker."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add columns and a table; what is there stays as it is."""
    op.add_column("cluster", sa.Column("home", _WORDS, nullable=True))
    op.add_column("cluster", sa.Column("deletes_stopped", _WORDS, nullable=True))
    op.create_table(
        "needs",
        sa.Column("policy", _WORDS, nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("verify", sa.Boolean(), nullable=False),
        sa.Column("collect", sa.Boolean(), nullable=False),
        sa.Column("unsettled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("policy", "partition", name=op.f("pk_needs")),
        sqlite_with_rowid=False,
    )
