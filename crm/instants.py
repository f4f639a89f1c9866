"""Instants as people write them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from crm.errors import BadInput
from sync.instants import read_local_instant


def read_instant(field: str, text: str, zone: ZoneInfo) -> datetime:
    """Read ISO 8601 as an aware UTC instant; without a zone it is local time in `zone`.

    Raises:
        BadInput: not ISO 8601, or beyond the calendar.
    """
    try:
        return read_local_instant(text, zone)
    except ValueError as exc:
        raise BadInput(field, str(exc)) from exc


def read_zone(name: str) -> ZoneInfo:
    """Read an IANA zone name.

    Raises:
        BadInput: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:  # what zoneinfo raises for a name unknown, malformed, or a folder
        raise BadInput("tz", f"{name[:40]!r} is not an IANA zone name such as Europe/Kyiv") from exc
