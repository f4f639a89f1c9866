"""Checkpoint hours and local days, exact over clock changes.

Hours are absolute UTC intervals, so daylight saving cannot touch them. A "day" is the local calendar day of the
event's zone: 23, 24 or 25 hours long.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from edge.core.model import Interval


def is_open(hours: tuple[Interval, ...] | None, now: datetime) -> bool:
    """Tell whether `now` lies in one of the intervals; None is always open, () never."""
    return hours is None or any(each.opens_at <= now < each.closes_at for each in hours)


def next_opening(hours: Iterable[Interval], now: datetime) -> datetime | None:
    """Return the first instant after `now` at which the checkpoint opens, if it will."""
    return min((each.opens_at for each in hours if each.opens_at > now), default=None)


def local_day(now: datetime, zone: ZoneInfo) -> Interval:
    """Return the local calendar day around `now`, as a UTC interval.

    Some zones change their clocks at midnight, so that 00:00 occurs twice or not at all: a day begins with the first
    instant that carries its date, which is found from the UTC side and not by combining wall times. Where clocks go
    back from 00:01 to 23:01 (Newfoundland until 2011), the new day has begun and goes on.
    """
    date = _date(now, zone)
    while (closes_at := _first_instant(date + 1, zone)) <= now:
        date += 1
    return Interval(_first_instant(date, zone), closes_at)


def _first_instant(ordinal: int, zone: ZoneInfo) -> datetime:
    """Return the first UTC instant whose local date is at least `ordinal`.

    Zone rules change on whole seconds at most 26 hours from UTC; the guess through wall time is right but for gaps
    and folds at midnight, where it is off by the size of the change, so look a day around it.
    """
    wall = datetime.fromordinal(ordinal)
    guess = wall.replace(tzinfo=zone).astimezone(UTC)
    if _date(guess, zone) >= ordinal and _date(guess - timedelta(seconds=1), zone) < ordinal:
        return guess
    low, high = guess - timedelta(days=1), guess + timedelta(days=1)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _date(middle, zone) >= ordinal:
            high = middle
        else:
            low = middle
    return high


def _date(instant: datetime, zone: ZoneInfo) -> int:
    return instant.astimezone(zone).toordinal()
