"""The central's tables, in SQLAlchemy Core and nothing that only one database knows.

Instants are kept as integer microseconds since 1970 UTC: exact, ordered and the same in every database. Tickets are
found by lookup; their codes are not here. Migrations in `crm/migrations` make the same tables, which a test proves.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class InstantType(sa.types.TypeDecorator[datetime]):
    """An aware UTC instant, stored as microseconds since 1970."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Write an instant."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read an instant."""
        return None if value is None else _EPOCH + timedelta(microseconds=int(value))


def is_storable(text: str) -> bool:
    """Tell whether every database can hold this text: PostgreSQL has no NUL."""
    return "\0" not in text


def storable(text: str) -> str:
    """Return a text from outside as every database can hold it: the picture of NUL stands for NUL."""
    return text.replace("\0", "\u2400")


def _json() -> sa.JSON:
    return sa.JSON(none_as_null=True)


def _id(name: str, target: str | None = None, *, primary_key: bool = False, nullable: bool = False) -> sa.Column[str]:
    keys = [sa.ForeignKey(target)] if target else []
    return sa.Column(name, sa.String, *keys, primary_key=primary_key, nullable=nullable)


metadata = sa.MetaData()

organiser = sa.Table(
    "organiser",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("lookup_key", sa.LargeBinary, nullable=False),
    # Names this database in every cursor: a cursor of another central, or of a copy made anew, is 410.
    sa.Column("epoch", sa.String, nullable=False),
    sa.Column("created_at", InstantType, nullable=False),
)
feed_state = sa.Table(
    "feed_state",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("pruned_seq", sa.BigInteger, nullable=False),
    sa.Column("tickets", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    # Moved on whenever a device is enrolled or revoked, so that whoever keeps them in memory hears of it.
    sa.Column("devices", sa.BigInteger, nullable=False, server_default="0"),
)
bucket = sa.Table(
    "bucket",
    metadata,
    sa.Column("first_byte", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tickets", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
)
event = sa.Table(
    "event",
    metadata,
    _id("id", primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("venue", sa.String),
    sa.Column("tz", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("starts_at", InstantType, nullable=False),
    sa.Column("ends_at", InstantType, nullable=False),
)
ticket_type = sa.Table(
    "ticket_type",
    metadata,
    _id("id", primary_key=True),
    _id("event", "event.id"),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("entry_policy", _json(), nullable=False),
)
checkpoint = sa.Table(
    "checkpoint",
    metadata,
    _id("id", primary_key=True),
    _id("event", "event.id"),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("zone", sa.String),
    sa.Column("direction", sa.String, nullable=False),
    sa.Column("ticket_types", _json()),
    sa.Column("hours", _json()),
    sa.Column("controllers", _json()),
    sa.Column("requires_controller", sa.Boolean, nullable=False),
    sa.Column("capacity", sa.BigInteger),
    sa.Column("policies", _json()),
)
controller = sa.Table(
    "controller",
    metadata,
    _id("id", primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("badge", sa.String),
    sa.Column("pin", sa.String),
    sa.Column("supervisor", sa.Boolean, nullable=False),
)
device = sa.Table(
    "device",
    metadata,
    _id("id", primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("hardware", sa.String),
    sa.Column("serial", sa.String),
    sa.Column("software", sa.String),
    sa.Column("token_hash", sa.String, nullable=False, unique=True),
    sa.Column("enrolled_at", InstantType, nullable=False),
    sa.Column("revoked_at", InstantType),
    # The journal as far as it came: the highest seq, and what was wrong with its order, for people to see.
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("last_hash", sa.String),
    sa.Column("faults", sa.Integer, nullable=False),
    sa.Column("last_fault", sa.String),
    sa.Column("last_fault_at", InstantType),
)
enrolment_code = sa.Table(
    "enrolment_code",
    metadata,
    # Hashed: whoever reads a backup can enrol no box with it. The code itself is shown once, when it is made.
    sa.Column("code_hash", sa.String, primary_key=True),
    sa.Column("name", sa.String),
    _id("checkpoint", "checkpoint.id", nullable=True),
    sa.Column("created_at", InstantType, nullable=False),
    sa.Column("expires_at", InstantType, nullable=False),
    sa.Column("used_at", InstantType),
    _id("device", "device.id", nullable=True),
)
assignment = sa.Table(
    "assignment",
    metadata,
    _id("device", "device.id", primary_key=True),
    # Empty for all lanes: a primary key holds no null.
    sa.Column("lane", sa.String, primary_key=True),
    _id("checkpoint", "checkpoint.id"),
)
ticket = sa.Table(
    "ticket",
    metadata,
    _id("event", "event.id", primary_key=True),
    sa.Column("lookup", sa.LargeBinary, primary_key=True),
    _id("id"),
    _id("type", "ticket_type.id"),
    sa.Column("state", sa.String, nullable=False),
    # As sent on the wire, since fingerprints are taken over the text.
    sa.Column("valid_from", sa.String),
    sa.Column("valid_until", sa.String),
    sa.Column("holder", sa.String),
    sa.Column("seat", sa.String),
    sa.Column("source", sa.String),
    sa.Index("ticket_by_id", "id"),
    sqlite_with_rowid=False,
)
change = sa.Table(
    "change",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("line", sa.Text, nullable=False),
    # Addressed to one device only, or to all but the one that made it.
    sa.Column("only_device", sa.String),
    sa.Column("not_device", sa.String),
    # For tickets, what the list held before: see crm.tickets. Null: all rows are new.
    sa.Column("before", _json()),
    # The whole list after this change, so that any cursor can tell it.
    sa.Column("tickets", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("at", InstantType, nullable=False),
    sa.Index("change_by_at", "at"),
)
scan = sa.Table(
    "scan",
    metadata,
    _id("scan_id", primary_key=True),
    _id("device", "device.id"),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("prev", sa.String, nullable=False),
    sa.Column("lane", sa.String, nullable=False),
    sa.Column("event", sa.String),
    sa.Column("checkpoint", sa.String),
    sa.Column("controller", sa.String),
    sa.Column("ticket_id", sa.String),
    sa.Column("lookup", sa.String),
    sa.Column("code", sa.String),
    sa.Column("direction", sa.String, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("at", InstantType, nullable=False),
    sa.Column("clock", sa.String, nullable=False),
    sa.Column("passage", sa.String),
    sa.Column("note", sa.String),
    sa.Column("of", sa.String),
    sa.Column("received_at", InstantType, nullable=False),
    sa.Index("scan_by_at", "at", "scan_id"),
    sa.Index("scan_by_seq", "device", "seq"),
    sa.Index("scan_by_of", "of"),
)
admission = sa.Table(
    "admission",
    metadata,
    _id("scan_id", "scan.scan_id", primary_key=True),
    _id("device", "device.id"),
    sa.Column("event", sa.String),
    sa.Column("ticket_id", sa.String),
    sa.Column("checkpoint", sa.String),
    sa.Column("direction", sa.String, nullable=False),
    sa.Column("override", sa.Boolean, nullable=False),
    sa.Column("at", InstantType, nullable=False),
    sa.Index("admission_by_ticket", "ticket_id", "event"),
)
conflict = sa.Table(
    "conflict",
    metadata,
    _id("scan_id", "scan.scan_id", primary_key=True),
    _id("ticket_id"),
    _id("event"),
    sa.Column("line", sa.Text, nullable=False),
    sa.Column("found_at", InstantType, nullable=False),
    # Set once a release or an exit heard of late shows that there was none after all.
    sa.Column("withdrawn_at", InstantType),
    sa.Index("conflict_by_ticket", "ticket_id", "event"),
)
tally = sa.Table(
    "tally",
    metadata,
    # Live figures, kept up with each scan, so that the page costs the same at any number of scans.
    sa.Column("checkpoint", sa.String, primary_key=True),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("exits", sa.BigInteger, nullable=False),
    sa.Column("refused", sa.BigInteger, nullable=False),
)
heartbeat = sa.Table(
    "heartbeat",
    metadata,
    _id("device", "device.id", primary_key=True),
    sa.Column("at", InstantType, nullable=False),
    sa.Column("health", sa.Text, nullable=False),
)
