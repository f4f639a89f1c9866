"""The first schema: all tables as version 1 of the central has them."""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table; instants are integer microseconds since 1970 UTC."""
    op.create_table(
        "bucket",
        sa.Column("first_byte", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tickets", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("first_byte"),
    )
    op.create_table(
        "change",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("only_device", sa.String(), nullable=True),
        sa.Column("not_device", sa.String(), nullable=True),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("tickets", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("change_by_at", "change", ["at"], unique=False)
    op.create_table(
        "controller",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("badge", sa.String(), nullable=True),
        sa.Column("pin", sa.String(), nullable=True),
        sa.Column("supervisor", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "device",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hardware", sa.String(), nullable=True),
        sa.Column("serial", sa.String(), nullable=True),
        sa.Column("software", sa.String(), nullable=True),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", sa.String(), nullable=True),
        sa.Column("faults", sa.Integer(), nullable=False),
        sa.Column("last_fault", sa.String(), nullable=True),
        sa.Column("last_fault_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("venue", sa.String(), nullable=True),
        sa.Column("tz", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "feed_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("pruned_seq", sa.BigInteger(), nullable=False),
        sa.Column("tickets", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "organiser",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("lookup_key", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tally",
        sa.Column("checkpoint", sa.String(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("exits", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("checkpoint"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=True),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("ticket_types", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("hours", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("controllers", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("requires_controller", sa.Boolean(), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=True),
        sa.Column("policies", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["event"],
            ["event.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "heartbeat",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("health", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"],
            ["device.id"],
        ),
        sa.PrimaryKeyConstraint("device"),
    )
    op.create_table(
        "scan",
        sa.Column("scan_id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("prev", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=True),
        sa.Column("checkpoint", sa.String(), nullable=True),
        sa.Column("controller", sa.String(), nullable=True),
        sa.Column("ticket_id", sa.String(), nullable=True),
        sa.Column("lookup", sa.String(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("clock", sa.String(), nullable=False),
        sa.Column("passage", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("of", sa.String(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"],
            ["device.id"],
        ),
        sa.PrimaryKeyConstraint("scan_id"),
    )
    op.create_index("scan_by_at", "scan", ["at", "scan_id"], unique=False)
    op.create_index("scan_by_of", "scan", ["of"], unique=False)
    op.create_index("scan_by_seq", "scan", ["device", "seq"], unique=False)
    op.create_table(
        "ticket_type",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("entry_policy", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["event"],
            ["event.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "admission",
        sa.Column("scan_id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=True),
        sa.Column("ticket_id", sa.String(), nullable=True),
        sa.Column("checkpoint", sa.String(), nullable=True),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("override", sa.Boolean(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"],
            ["device.id"],
        ),
        sa.ForeignKeyConstraint(
            ["scan_id"],
            ["scan.scan_id"],
        ),
        sa.PrimaryKeyConstraint("scan_id"),
    )
    op.create_index("admission_by_ticket", "admission", ["ticket_id", "event"], unique=False)
    op.create_table(
        "assignment",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("checkpoint", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint"],
            ["checkpoint.id"],
        ),
        sa.ForeignKeyConstraint(
            ["device"],
            ["device.id"],
        ),
        sa.PrimaryKeyConstraint("device", "lane"),
    )
    op.create_table(
        "conflict",
        sa.Column("scan_id", sa.String(), nullable=False),
        sa.Column("ticket_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["scan_id"],
            ["scan.scan_id"],
        ),
        sa.PrimaryKeyConstraint("scan_id"),
    )
    op.create_index("conflict_by_ticket", "conflict", ["ticket_id", "event"], unique=False)
    op.create_table(
        "enrolment_code",
        sa.Column("code_hash", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("checkpoint", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("device", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["checkpoint"],
            ["checkpoint.id"],
        ),
        sa.ForeignKeyConstraint(
            ["device"],
            ["device.id"],
        ),
        sa.PrimaryKeyConstraint("code_hash"),
    )
    op.create_table(
        "ticket",
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("lookup", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("valid_from", sa.String(), nullable=True),
        sa.Column("valid_until", sa.String(), nullable=True),
        sa.Column("holder", sa.String(), nullable=True),
        sa.Column("seat", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event"],
            ["event.id"],
        ),
        sa.ForeignKeyConstraint(
            ["type"],
            ["ticket_type.id"],
        ),
        sa.PrimaryKeyConstraint("event", "lookup"),
        sqlite_with_rowid=False,
    )
    op.create_index("ticket_by_id", "ticket", ["id"], unique=False)


def downgrade() -> None:
    """Drop every table, those that others point to last."""
    op.drop_table("ticket")
    op.drop_table("enrolment_code")
    op.drop_table("conflict")
    op.drop_table("assignment")
    op.drop_table("admission")
    op.drop_table("ticket_type")
    op.drop_table("scan")
    op.drop_table("heartbeat")
    op.drop_table("checkpoint")
    op.drop_table("tally")
    op.drop_table("organiser")
    op.drop_table("feed_state")
    op.drop_table("event")
    op.drop_table("device")
    op.drop_table("controller")
    op.drop_table("change")
    op.drop_table("bucket")
