"""What erasure coding needs: how many of its shards make a chunk whole."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of the copies that there are, any one is enough."""
    op.add_column("policies", sa.Column("needed", sa.Integer(), server_default=sa.text("1"), nullable=False))
