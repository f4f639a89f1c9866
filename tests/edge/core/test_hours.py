"""Checkpoint hours and local days, where clocks change and where nights run past midnight."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.hours import is_open, local_day, next_opening
from edge.core.model import Interval

steady = settings(derandomize=True, max_examples=400, deadline=None)

KYIV, CHICAGO = "Europe/Kyiv", "America/Chicago"
ZONES = [
    KYIV,
    CHICAGO,
    "UTC",
    "Africa/Cairo",
    "America/Goose_Bay",
    "America/Havana",
    "America/Nuuk",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Casey",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
]
TURNING_BACK_OVER_MIDNIGHT = {"America/Goose_Bay", "America/St_Johns", "Antarctica/Casey"}
"""Where clocks once went back from just after midnight to just before it, so that a date came, went and came again."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def hours(*pairs: tuple[str, str]) -> tuple[Interval, ...]:
    return tuple(Interval(at(opens), at(closes)) for opens, closes in pairs)


def local(text: str, zone: str, fold: int = 0) -> datetime:
    """Take a wall time, the second of its two where `fold` is 1, as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


# --- hours ----------------------------------------------------------------------------------------------------------

MATCH_DAY = hours(("2026-05-01T15:00:00Z", "2026-05-01T20:00:00Z"))


@pytest.mark.parametrize(
    ("now", "is_it"),
    [
        ("2026-05-01T14:59:59.999999Z", False),
        ("2026-05-01T15:00:00Z", True),
        ("2026-05-01T19:59:59.999999Z", True),
        ("2026-05-01T20:00:00Z", False),
    ],
)
def test_a_gate_opens_on_the_dot_and_is_closed_at_its_closing_time(now: str, is_it: bool) -> None:
    assert is_open(MATCH_DAY, at(now)) is is_it


def test_no_hours_is_always_open_and_empty_hours_is_never() -> None:
    assert is_open(None, at("2026-05-01T03:00:00Z"))
    assert not is_open((), at("2026-05-01T03:00:00Z"))


def test_a_gate_with_a_break_is_closed_in_it() -> None:
    matinee_and_evening = hours(
        ("2026-05-01T09:00:00Z", "2026-05-01T11:00:00Z"), ("2026-05-01T16:00:00Z", "2026-05-01T20:00:00Z")
    )
    open_at = [hour for hour in range(24) if is_open(matinee_and_evening, at(f"2026-05-01T{hour:02}:30:00Z"))]
    assert open_at == [9, 10, 16, 17, 18, 19]


def test_hours_that_touch_leave_no_gap() -> None:
    handover = hours(("2026-05-01T09:00:00Z", "2026-05-01T12:00:00Z"), ("2026-05-01T12:00:00Z", "2026-05-01T15:00:00Z"))
    assert is_open(handover, at("2026-05-01T12:00:00Z"))


@pytest.mark.parametrize(
    ("zone", "opens", "closes", "open_for"),
    [
        pytest.param(KYIV, "2026-05-01T22:00", "2026-05-02T04:00", timedelta(hours=6), id="an ordinary club night"),
        pytest.param(KYIV, "2026-03-28T22:00", "2026-03-29T06:00", timedelta(hours=7), id="Kyiv, clocks go forward"),
        pytest.param(KYIV, "2026-10-24T22:00", "2026-10-25T06:00", timedelta(hours=9), id="Kyiv, clocks go back"),
        pytest.param(CHICAGO, "2026-03-07T22:00", "2026-03-08T06:00", timedelta(hours=7), id="Chicago, forward"),
        pytest.param(CHICAGO, "2026-10-31T22:00", "2026-11-01T06:00", timedelta(hours=9), id="Chicago, back"),
    ],
)
def test_a_night_past_midnight_lasts_as_long_as_it_does(
    zone: str, opens: str, closes: str, open_for: timedelta
) -> None:
    opens_at, closes_at = local(opens, zone), local(closes, zone)
    night = (Interval(opens_at, closes_at),)
    assert closes_at - opens_at == open_for
    minutes = range(-1, int(open_for.total_seconds() // 60) + 2)
    open_minutes = [minute for minute in minutes if is_open(night, opens_at + timedelta(minutes=minute))]
    assert open_minutes == list(range(int(open_for.total_seconds() // 60)))


def test_a_gate_that_closes_at_the_repeated_hour_closes_at_the_one_meant() -> None:
    """In Kyiv on 25 October 2026 it is 03:30 twice; the CRM sends an instant, so there is no doubt which."""
    opens_at = local("2026-10-25T01:00", KYIV)
    first, second = (local("2026-10-25T03:30", KYIV, fold) for fold in (0, 1))
    assert second - first == timedelta(hours=1)
    assert not is_open((Interval(opens_at, first),), first)
    assert is_open((Interval(opens_at, second),), first)
    assert not is_open((Interval(opens_at, second),), second)


# --- the next opening -----------------------------------------------------------------------------------------------

THREE_DAYS = hours(
    ("2026-05-03T15:00:00Z", "2026-05-03T20:00:00Z"),
    ("2026-05-01T15:00:00Z", "2026-05-01T20:00:00Z"),
    ("2026-05-02T15:00:00Z", "2026-05-02T20:00:00Z"),
)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        pytest.param("2026-04-01T00:00:00Z", "2026-05-01T15:00:00Z", id="weeks before"),
        pytest.param("2026-05-01T14:59:59Z", "2026-05-01T15:00:00Z", id="a second before"),
        pytest.param("2026-05-01T15:00:00Z", "2026-05-02T15:00:00Z", id="as it opens, tomorrow"),
        pytest.param("2026-05-01T20:00:00Z", "2026-05-02T15:00:00Z", id="as it closes, tomorrow"),
        pytest.param("2026-05-02T23:00:00Z", "2026-05-03T15:00:00Z", id="between days, whatever order they came in"),
        pytest.param("2026-05-03T15:00:00Z", None, id="the last day"),
    ],
)
def test_a_closed_gate_says_when_it_opens(now: str, opens: str | None) -> None:
    assert next_opening(THREE_DAYS, at(now)) == (at(opens) if opens else None)


def test_a_gate_without_hours_has_no_opening_to_speak_of() -> None:
    assert next_opening((), at("2026-05-01T15:00:00Z")) is None


# --- local days -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "date", "opens", "closes", "length_h"),
    [
        (KYIV, "2026-03-28", "2026-03-27T22:00Z", "2026-03-28T22:00Z", 24),
        (KYIV, "2026-03-29", "2026-03-28T22:00Z", "2026-03-29T21:00Z", 23),
        (KYIV, "2026-03-30", "2026-03-29T21:00Z", "2026-03-30T21:00Z", 24),
        (KYIV, "2026-10-24", "2026-10-23T21:00Z", "2026-10-24T21:00Z", 24),
        (KYIV, "2026-10-25", "2026-10-24T21:00Z", "2026-10-25T22:00Z", 25),
        (KYIV, "2026-10-26", "2026-10-25T22:00Z", "2026-10-26T22:00Z", 24),
        (CHICAGO, "2026-03-07", "2026-03-07T06:00Z", "2026-03-08T06:00Z", 24),
        (CHICAGO, "2026-03-08", "2026-03-08T06:00Z", "2026-03-09T05:00Z", 23),
        (CHICAGO, "2026-03-09", "2026-03-09T05:00Z", "2026-03-10T05:00Z", 24),
        (CHICAGO, "2026-10-31", "2026-10-31T05:00Z", "2026-11-01T05:00Z", 24),
        (CHICAGO, "2026-11-01", "2026-11-01T05:00Z", "2026-11-02T06:00Z", 25),
        (CHICAGO, "2026-11-02", "2026-11-02T06:00Z", "2026-11-03T06:00Z", 24),
        # No 00:00: the day begins at 01:00.
        ("America/Havana", "2026-03-08", "2026-03-08T05:00Z", "2026-03-09T04:00Z", 23),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00Z", "2026-03-29T21:00Z", 23),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", "2018-11-05T02:00Z", 23),
        # 00:00 twice on one day: it begins with the first.
        ("America/Havana", "2026-11-01", "2026-11-01T04:00Z", "2026-11-02T05:00Z", 25),
        # At 00:00 it is 23:00 again: the day before is the long one.
        ("Asia/Beirut", "2026-10-24", "2026-10-23T21:00Z", "2026-10-24T22:00Z", 25),
        ("Asia/Beirut", "2026-10-25", "2026-10-24T22:00Z", "2026-10-25T22:00Z", 24),
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00Z", "2018-02-18T03:00Z", 25),
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00Z", "2018-02-19T03:00Z", 24),
        # Half an hour.
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00Z", "2026-04-05T13:30Z", 24.5),
        # At 23:30 it was 00:00.
        ("Asia/Pyongyang", "2018-05-04", "2018-05-03T15:30Z", "2018-05-04T15:00Z", 23.5),
        # At 23:30 it was 00:30: the day begins half an hour late.
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30Z", "1919-04-01T04:00Z", 23.5),
        # Samoa went over the date line: there was no 30 December.
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00Z", "2011-12-30T10:00Z", 24),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00Z", "2011-12-31T10:00Z", 24),
    ],
)
def test_a_local_day_is_as_long_as_it_is(zone: str, date: str, opens: str, closes: str, length_h: float) -> None:
    day = Interval(at(opens), at(closes))
    assert day.closes_at - day.opens_at == timedelta(hours=length_h)
    for now in (day.opens_at, local(f"{date}T12:00", zone), day.closes_at - timedelta(microseconds=1)):
        assert local_day(now, ZoneInfo(zone)) == day


@pytest.mark.parametrize(
    ("now", "opens", "closes"),
    [
        pytest.param("2006-10-29T02:29:59Z", "2006-10-28T02:30Z", "2006-10-29T02:30Z", id="23:59 the first time"),
        pytest.param("2006-10-29T02:30:30Z", "2006-10-29T02:30Z", "2006-10-30T03:30Z", id="the minute after midnight"),
        pytest.param("2006-10-29T03:00:00Z", "2006-10-29T02:30Z", "2006-10-30T03:30Z", id="23:30 again"),
        pytest.param("2006-10-29T03:30:00Z", "2006-10-29T02:30Z", "2006-10-30T03:30Z", id="midnight again"),
    ],
)
def test_a_day_that_has_begun_goes_on_though_its_date_is_taken_back(now: str, opens: str, closes: str) -> None:
    """In Newfoundland at 00:01 on 29 October 2006 it became 23:01 of the 28th; nobody gets a day's entries twice."""
    assert local_day(at(now), ZoneInfo("America/St_Johns")) == Interval(at(opens), at(closes))


instants = st.datetimes(datetime(1990, 1, 2), datetime(2037, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


def days_after_changes(zone: str) -> list[datetime]:
    """Find the clock changes between 1990 and 2037: each lies in the 24 hours before an instant returned."""
    info = ZoneInfo(zone)
    days = [datetime(1990, 1, 2, tzinfo=UTC) + timedelta(days=day) for day in range(17_500)]
    return [
        after
        for before, after in pairwise(days)
        if after.astimezone(info).utcoffset() != before.astimezone(info).utcoffset()
    ]


@steady
@given(st.sampled_from(ZONES), instants)
def test_local_days_tile_the_timeline(zone: str, now: datetime) -> None:
    check_tiling(zone, now)


@pytest.mark.parametrize("zone", ZONES)
def test_local_days_tile_the_timeline_around_each_clock_change(zone: str) -> None:
    """Each half hour of three days: chance alone seldom hits the hour that matters."""
    changes = days_after_changes(zone)
    for after in (*changes[:6], *changes[len(changes) // 2 :][:6], *changes[-4:]):
        for step in range(-48, 100):
            check_tiling(zone, after - timedelta(minutes=30 * step))


def check_tiling(zone: str, now: datetime) -> None:
    info = ZoneInfo(zone)
    day = local_day(now, info)
    assert day.opens_at <= now < day.closes_at
    assert local_day(day.opens_at, info) == day
    assert local_day(day.closes_at - timedelta(microseconds=1), info) == day
    assert local_day(day.closes_at, info).opens_at == day.closes_at
    assert local_day(day.opens_at - timedelta(microseconds=1), info).closes_at == day.opens_at
    assert timedelta(hours=20) <= day.closes_at - day.opens_at <= timedelta(hours=28)
    if zone not in TURNING_BACK_OVER_MIDNIGHT:
        date = now.astimezone(info).date()
        assert day.opens_at.astimezone(info).date() == date < day.closes_at.astimezone(info).date()
