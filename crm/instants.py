"""Instants as people write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from crm.errors import BadInput


def read_instant(field: str, text: str, zone: ZoneInfo) -> datetime:
    """Read ISO 8601 as an aware UTC instant; without a zone it is local time in `zone`.

    Raises:
        BadInput: not ISO 8601, or beyond the calendar.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        aware = found.replace(tzinfo=zone) if found.tzinfo is None else found
        return aware.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        message = f"{text[:40]!r} is not an instant such as 2026-05-01T18:00:00Z, or 2026-05-01 21:00 in local time"
        raise BadInput(field, message) from exc


def read_zone(name: str) -> ZoneInfo:
    """Read an IANA zone name.

    Raises:
        BadInput: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:  # what zoneinfo raises for a name unknown, malformed, or a folder
        raise BadInput("tz", f"{name[:40]!r} is not an IANA zone name such as Europe/Kyiv") from exc
