"""Tells from the feed's state alone that a device was enrolled or revoked."""

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the count of such changes, from 0."""
    op.add_column("feed_state", sa.Column("devices", sa.BigInteger(), nullable=False, server_default="0"))
