"""Instants as the wire writes them: ISO 8601 in UTC, with Z; and as people write them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def parse_instant(text: str) -> datetime:
    """Read an instant off the wire as aware UTC.

    Raises:
        ValueError: not ISO 8601, or without a zone.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ValueError("an instant is ISO 8601 UTC with Z, such as 2026-05-01T18:00:00Z") from exc
    if instant.utcoffset() != timedelta(0):
        raise ValueError("an instant is in UTC and says so with Z, such as 2026-05-01T18:00:00Z")
    return instant.astimezone(UTC)


def write_instant(instant: datetime) -> str:
    """Write an aware instant as the wire does."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_local_instant(text: str, zone: ZoneInfo) -> datetime:
    """Read ISO 8601 as an aware UTC instant; without a zone it is local time in `zone`.

    Raises:
        ValueError: not ISO 8601, or beyond the calendar.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        aware = found.replace(tzinfo=zone) if found.tzinfo is None else found
        return aware.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError(
            f"{text[:40]!r} is not an instant such as 2026-05-01T18:00:00Z, or 2026-05-01 21:00 in local time"
        ) from exc
