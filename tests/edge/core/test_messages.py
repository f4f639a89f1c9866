"""What the controller reads, in each language; told at the gate of a concert in Kyiv, 1 May 2026, 19:02."""

import re
from datetime import UTC, datetime
from itertools import product
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.admission import Detail, Reason
from edge.core.messages import Language, Message, explain

steady = settings(derandomize=True, max_examples=400, deadline=None)

KYIV = ZoneInfo("Europe/Kyiv")
NOW = datetime(2026, 5, 1, 16, 2, tzinfo=UTC)
LANGUAGES: tuple[Language, ...] = get_args(Language)

NO_DATA = "This gate has no ticket list yet and cannot know: check the connection."
FIRST_USE: Detail = {
    "first_at": "2026-05-01T15:40:00Z",
    "first_checkpoint": "South gate",
    "first_device": "box-2",
    "uses": 1,
}


def told(reason: Reason, detail: Detail | None = None, language: Language = "en") -> str:
    return explain(reason, detail or {}, language, KYIV, NOW).text


# --- every reason, every language -----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_title_for_a_glance_and_a_sentence(reason: Reason, language: Language) -> None:
    message = explain(reason, {}, language)
    assert message.title == message.title.strip().upper()
    assert 0 < len(message.title) <= 24
    assert message.text.strip().endswith(".")
    assert not re.search(r"[{}]|None", message.text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_reasons_look_alike_at_a_glance(language: Language) -> None:
    titles = [explain(reason, {}, language).title for reason in Reason]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("language", "foreign"),
    [("en", r"[А-яІіЇїЄєҐґЁё]"), ("uk", r"[ЫыЭэЪъЁё]|[A-Z]{4}"), ("ru", r"[ІіЇїЄєҐґ]|[A-Z]{4}")],
)
def test_a_language_keeps_its_own_letters(language: Language, foreign: str) -> None:
    for reason in Reason:
        for detail in ({}, EVERYTHING):
            message = explain(reason, detail, language, KYIV, NOW)
            assert not re.search(foreign, f"{message.title} {message.text}"), message


EVERYTHING: Detail = {
    **FIRST_USE,
    "again_at": "2026-05-01T16:10:00Z",
    "event": "7",
    "event_at": "2026-05-02T15:00:00Z",
    "event_tz": "Europe/Kyiv",
    "checkpoints": ["1", "2"],
    "first_checkpoint": "3",
    "first_device": "4",
    "valid_from": "2026-05-01T16:30:00Z",
    "valid_until": "2026-05-01T16:00:00Z",
    "opens_at": "2026-05-01T16:30:00Z",
    "controllers": ["5"],
    "inside": 400,
    "capacity": 400,
    "zone": "6",
    "status": "draft",
    "data_age_s": 5400,
    "clock": "unknown",
    "skew_s": 7300,
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("reason", "detail", "shown"),
    [
        (Reason.UNKNOWN_TICKET, {"data_age_s": 340}, ["5 "]),
        (Reason.WRONG_EVENT, {"event": "Derby", "event_at": "2026-05-02T15:00:00Z"}, ["Derby", "02.05.2026 18:00"]),
        (Reason.WRONG_CHECKPOINT, {"checkpoints": ["South gate", "Вхід 7"]}, ["South gate, Вхід 7"]),
        (Reason.NOT_YET_VALID, {"valid_from": "2026-05-01T16:30:00Z"}, ["19:30"]),
        (Reason.EXPIRED, {"valid_until": "2026-04-30T20:00:00Z"}, ["30.04.2026 23:00"]),
        (Reason.CHECKPOINT_CLOSED, {"opens_at": "2026-05-01T16:30:00Z"}, ["19:30"]),
        (Reason.NO_CONTROLLER, {"controllers": ["Олена", "Тарас"]}, ["Олена, Тарас"]),
        (Reason.ALREADY_USED, FIRST_USE, ["18:40", "South gate", "box-2"]),
        (Reason.PASSBACK, FIRST_USE, ["18:40", "South gate", "box-2"]),
        (Reason.TOO_SOON, {**FIRST_USE, "again_at": "2026-05-01T16:10:00Z"}, ["18:40", "South gate", "box-2", "19:10"]),
        (Reason.ZONE_FULL, {"inside": 401, "capacity": 400}, ["401/400"]),
        (Reason.DATA_STALE, {"data_age_s": 10_800}, ["3 "]),
        (Reason.CLOCK_UNTRUSTED, {"clock": "unknown", "skew_s": 95}, ["95 "]),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_the_fact_that_matters_is_in_the_sentence(
    reason: Reason, detail: Detail, shown: list[str], language: Language
) -> None:
    text = told(reason, detail, language)
    for fact in shown:
        assert fact in text
    assert told(reason, {}, language) != text


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_status_of_an_event_is_put_into_words(language: Language) -> None:
    statuses = ("draft", "completed", "cancelled", "unknown")
    texts = {told(Reason.EVENT_NOT_OPEN, {"status": status}, language) for status in statuses}
    assert len(texts) == len(statuses)
    assert not [text for text in texts if "status" in text or "completed" in text]


# --- the sentences, word for word -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "detail", "sentence"),
    [
        (
            Reason.ALREADY_USED,
            FIRST_USE,
            "This ticket has been used. First used 18:40, South gate (box-2).",
        ),
        (
            Reason.ALREADY_USED,
            {**FIRST_USE, "first_device": None},
            "This ticket has been used. First used 18:40, South gate.",
        ),
        (
            Reason.PASSBACK,
            {**FIRST_USE, "first_checkpoint": None},
            "The guest is inside and must leave first. First used 18:40, box-2.",
        ),
        (
            Reason.TOO_SOON,
            {**FIRST_USE, "again_at": "2026-05-01T21:10:00Z"},
            "Used a moment ago. First used 18:40, South gate (box-2). Again from 02.05.2026 00:10.",
        ),
        (
            Reason.WRONG_EVENT,
            {"event": "Derby", "event_at": "2026-05-02T15:00:00Z", "event_tz": "Europe/Kyiv"},
            "The ticket is for another event. It is for “Derby”. Starts 02.05.2026 18:00.",
        ),
        (
            Reason.WRONG_CHECKPOINT,
            {"checkpoints": ["South gate", "West gate"], "unassigned": 0},
            "This ticket is not admitted here. Go to: South gate, West gate.",
        ),
        (
            Reason.WRONG_CHECKPOINT,
            {"checkpoints": [], "unassigned": 0},
            "This ticket is not admitted here. No other gate admits it either.",
        ),
        (
            Reason.WRONG_CHECKPOINT,
            {"checkpoints": ["North gate"], "unassigned": 1},
            "This ticket is not admitted here. This lane has no checkpoint: assign one in the CRM or in the settings.",
        ),
        (
            Reason.CHECKPOINT_CLOSED,
            {"opens_at": "2026-05-01T16:30:00Z"},
            "This checkpoint is closed. Opens 19:30.",
        ),
        (
            Reason.CHECKPOINT_CLOSED,
            {"opens_at": None},
            "This checkpoint is closed. It does not open again.",
        ),
        (
            Reason.UNKNOWN_TICKET,
            {"data_age_s": 5400},
            "No such ticket. Send the guest to the ticket desk. Ticket list is 90 min old.",
        ),
        (
            Reason.UNKNOWN_TICKET,
            {"data_age_s": None},
            f"No such ticket. Send the guest to the ticket desk. {NO_DATA}",
        ),
        (
            Reason.DATA_STALE,
            {"data_age_s": None},
            f"The ticket list is too old to admit by. Check the connection. {NO_DATA}",
        ),
        (Reason.ZONE_FULL, {"inside": 400, "capacity": 400}, "No room inside. Ask the guest to wait. Inside: 400/400."),
        (Reason.ADMITTED, {}, "Welcome."),
    ],
)
def test_what_is_said_in_english(reason: Reason, detail: Detail, sentence: str) -> None:
    assert told(reason, detail) == sentence


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("uk", "Цей квиток уже використано. Перший прохід 18:40, South gate (box-2)."),
        ("ru", "Этот билет уже использован. Первый проход 18:40, South gate (box-2)."),
    ],
)
def test_what_is_said_of_a_used_ticket_in_the_other_languages(language: Language, sentence: str) -> None:
    assert told(Reason.ALREADY_USED, FIRST_USE, language) == sentence


# --- times and ages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opens_at", "now", "shown"),
    [
        pytest.param("2026-05-01T20:59:00Z", "2026-05-01T16:02:00Z", "Opens 23:59.", id="later today"),
        pytest.param("2026-05-01T21:00:00Z", "2026-05-01T16:02:00Z", "Opens 02.05.2026 00:00.", id="at midnight"),
        pytest.param("2026-05-02T03:00:00Z", "2026-05-01T21:30:00Z", "Opens 06:00.", id="past midnight, it is today"),
        pytest.param("2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z", "Opens 03:30.", id="the hour that comes twice"),
        pytest.param("2027-05-01T16:30:00Z", "2026-05-01T16:02:00Z", "Opens 01.05.2027 19:30.", id="in a year"),
        pytest.param(
            "2026-05-01T16:30:00.250000Z", "2026-05-01T16:02:00Z", "Opens 19:30.", id="fractions are not shown"
        ),
    ],
)
def test_the_date_is_shown_only_when_it_is_not_today(opens_at: str, now: str, shown: str) -> None:
    message = explain(Reason.CHECKPOINT_CLOSED, {"opens_at": opens_at}, "en", KYIV, datetime.fromisoformat(now))
    assert message.text == f"This checkpoint is closed. {shown}"


def test_who_does_not_say_what_day_it_is_gets_the_date() -> None:
    message = explain(Reason.CHECKPOINT_CLOSED, {"opens_at": "2026-05-01T16:30:00Z"}, "en", KYIV)
    assert message.text.endswith("Opens 01.05.2026 19:30.")


def test_a_guest_for_an_event_abroad_hears_its_own_local_time() -> None:
    """A ticket for Chicago shown in Kyiv: the time to tell is the one printed on it."""
    detail: Detail = {"event": "Cubs", "event_at": "2026-05-02T00:30:00Z", "event_tz": "America/Chicago"}
    assert told(Reason.WRONG_EVENT, detail).endswith("Starts 19:30.")


def test_an_event_in_a_zone_nobody_knows_is_told_in_ours() -> None:
    for tz in ("Mars/Olympus", "", "../etc", "\0", None, 7):
        detail: Any = {"event": "Rover", "event_at": "2026-05-01T17:00:00Z", "event_tz": tz}
        assert told(Reason.WRONG_EVENT, detail).endswith("Starts 20:00.")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (864_000, "240 h"),
        (-95, "-95 s"),
        (-300, "-5 min"),
        (-86_400, "-24 h"),
    ],
)
def test_an_age_is_said_in_the_unit_that_people_would_use(seconds: int, shown: str) -> None:
    assert told(Reason.CLOCK_UNTRUSTED, {"skew_s": seconds}).endswith(f"Clock is off by {shown}.")


@pytest.mark.parametrize(("language", "shown"), [("en", "90 min"), ("uk", "90 хв"), ("ru", "90 мин")])
def test_the_age_of_the_data_is_said_in_each_language(language: Language, shown: str) -> None:
    assert shown in told(Reason.UNKNOWN_TICKET, {"data_age_s": 5400}, language)


# --- garbage --------------------------------------------------------------------------------------------------------

KEYS = sorted({*EVERYTHING, "unassigned"})
garbage = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.datetimes().map(str)
    | st.sampled_from(("2026-05-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "{}", "{0.__class__}", "%s")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@steady
@given(
    st.sampled_from(Reason),
    st.dictionaries(st.sampled_from(KEYS), garbage, max_size=len(KEYS)),
    st.sampled_from(LANGUAGES),
    st.sampled_from(("Europe/Kyiv", "America/Chicago", "Pacific/Kiritimati")),
)
def test_garbage_in_the_facts_never_raises(reason: Reason, detail: Any, language: Language, zone: str) -> None:
    message = explain(reason, detail, language, ZoneInfo(zone), NOW)
    bare = explain(reason, {}, language)
    assert isinstance(message, Message)
    assert message.title == bare.title
    assert message.text.strip()


@pytest.mark.parametrize("reason", Reason)
def test_one_fact_of_a_wrong_kind_never_raises(reason: Reason) -> None:
    for key, value in product(KEYS, (True, -1, 10**30, 1.5, "", "{}", "\ud800", [], [None, 7], [["x"]], {}, {"a": 1})):
        detail: Any = {**EVERYTHING, key: value}
        assert told(reason, detail).strip()


@pytest.mark.parametrize("reason", Reason)
def test_one_fact_missing_leaves_no_hole_in_the_sentence(reason: Reason) -> None:
    for missing, language in product(EVERYTHING, LANGUAGES):
        text = told(reason, {key: value for key, value in EVERYTHING.items() if key != missing}, language)
        assert not re.search(r"None|[{}]| [.,]|\(\)|  ", text), (missing, text)


@pytest.mark.parametrize("nonsense", ["soon", "2026-05-01T18:00:00", "", "25:99"])
def test_a_time_that_is_no_instant_is_shown_as_it_came(nonsense: str) -> None:
    """Without a zone too: it must not be read in whatever zone the box happens to run."""
    text = told(Reason.NOT_YET_VALID, {"valid_from": nonsense})
    assert (
        text == f"The ticket is not valid yet. Valid from {nonsense}." if nonsense else "The ticket is not valid yet."
    )


@pytest.mark.parametrize(
    ("instant", "zone"), [("0001-01-01T00:00:00Z", "America/Chicago"), ("9999-12-31T23:59:59Z", "Europe/Kyiv")]
)
def test_the_ends_of_the_calendar_are_shown_as_they_came(instant: str, zone: str) -> None:
    """`9999-12-31` is how many systems write never; local time has no such instant."""
    message = explain(Reason.EXPIRED, {"valid_until": instant}, "en", ZoneInfo(zone), NOW)
    assert message.text == f"The ticket is no longer valid. Was valid until {instant}."


def test_a_name_with_braces_is_only_a_name() -> None:
    assert told(Reason.WRONG_EVENT, {"event": "{0} & {event}"}).endswith("It is for “{0} & {event}”.")
