"""The wire models: what a good CRM sends is read, and what a bad one sends is refused with the field named."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from sync.instants import parse_instant, write_instant
from sync.wire import (
    LINE_KINDS,
    MAX_ROWS,
    MAX_SCANS,
    CheckpointLine,
    CursorLine,
    EnrolAnswer,
    EnrolRequest,
    EventLine,
    FingerprintsAnswer,
    HeartbeatAnswer,
    ScanModel,
    ScansAnswer,
    ScansRequest,
    TicketsLine,
    TicketTypeLine,
    WireModel,
)

LOOKUP = "W7HTegzHmM-Dj6teZG5iaQ"
ROW: list[Any] = [
    LOOKUP,
    "t-1",
    "standard",
    "valid",
    "2026-05-01T15:00:00Z",
    "2026-05-01T20:00:00Z",
    "Оксана П.",
    "A-12",
    "box-office",
]
BARE_ROW: list[Any] = [LOOKUP, "t-1", "standard", "valid", None, None, None, None, None]
ADMISSION: list[Any] = ["s-1", "t-1", "c-north", "entry", "2026-05-01T15:40:00Z", "box-2"]

GOOD: dict[str, dict[str, Any]] = {
    "reset": {"kind": "reset"},
    "event": {
        "kind": "event",
        "id": "concert",
        "name": "Океан Ельзи",
        "venue": "Палац спорту",
        "tz": "Europe/Kyiv",
        "status": "confirmed",
        "starts_at": "2026-05-01T16:00:00Z",
        "ends_at": "2026-05-01T20:00:00Z",
    },
    "ticket_type": {
        "kind": "ticket_type",
        "id": "standard",
        "event": "concert",
        "name": "Standard",
        "entry_policy": {"entries": None, "per": "day", "reentry": "after_exit", "cooldown_s": 60},
    },
    "checkpoint": {
        "kind": "checkpoint",
        "id": "c-north",
        "event": "concert",
        "name": "North gate",
        "zone": "hall",
        "direction": "entry",
        "ticket_types": ["standard"],
        "hours": [{"opens_at": "2026-05-01T15:00:00Z", "closes_at": "2026-05-01T20:00:00Z"}],
        "controllers": ["u-1"],
        "requires_controller": True,
        "capacity": 400,
        "policies": {"stale_after_s": 600, "on_stale": "refuse", "on_clock": "admit"},
    },
    "controller": {
        "kind": "controller",
        "id": "u-1",
        "name": "Олена",
        "badge": LOOKUP,
        "pin": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
        "supervisor": True,
    },
    "assignment": {"kind": "assignment", "device": "box-1", "lane": "north-1", "checkpoint": "c-north"},
    "tickets": {"kind": "tickets", "event": "concert", "rows": [ROW, BARE_ROW]},
    "admissions": {"kind": "admissions", "rows": [ADMISSION, ["s-2", None, None, "exit", "2026-05-01T18:00:00Z", "b"]]},
    "delete": {"kind": "delete", "of": "tickets", "ids": ["t-9"]},
    "conflict": {
        "kind": "conflict",
        "scan_id": "s-2",
        "ticket_id": "t-1",
        "event": "concert",
        "scans": [{"scan_id": "s-1", "device": "box-2", "checkpoint": None, "at": "2026-05-01T15:40:00Z"}],
    },
    "cursor": {
        "kind": "cursor",
        "cursor": "42",
        "at": "2026-05-01T16:02:00.123456Z",
        "more": True,
        "tickets": 5,
        "fingerprint": "d0052aa4d3c5da1c616c6b357cbc1c09",
    },
}
SCAN: dict[str, Any] = {
    "scan_id": "0190f5a0-0000-7000-8000-000000000001",
    "seq": 1,
    "prev": "0" * 64,
    "lane": "north-1",
    "checkpoint": "c-north",
    "controller": "u-1",
    "ticket_id": "t-1",
    "lookup": LOOKUP,
    "code": None,
    "direction": "entry",
    "verdict": "admitted",
    "reason": "admitted",
    "at": "2026-05-01T16:02:00Z",
    "clock": "trusted",
    "passage": "passed",
    "note": None,
    "of": None,
}


def fault_in(model: type[WireModel], sent: object) -> tuple[int | str, ...]:
    """Return where pydantic says the first fault is."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate(sent)
    return refused.value.errors()[0]["loc"]


def line(kind: str, /, **changes: Any) -> dict[str, Any]:
    return {**GOOD[kind], **changes}


# --- the change feed ------------------------------------------------------------------------------------------------


def test_there_is_a_good_line_of_each_kind_below() -> None:
    assert set(GOOD) == set(LINE_KINDS)


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_line_is_read_whole_and_written_back_as_it_came(kind: str) -> None:
    read = LINE_KINDS[kind].model_validate(GOOD[kind])
    assert read.unknown_fields() == 0
    assert read.model_dump(mode="json") == GOOD[kind]


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("event", {"id", "name", "tz", "status", "starts_at", "ends_at"}),
        ("ticket_type", {"id", "event", "name"}),
        ("checkpoint", {"id", "event", "name"}),
        ("controller", {"id", "name"}),
        ("assignment", {"device", "checkpoint"}),
        ("tickets", {"event", "rows"}),
        ("admissions", {"rows"}),
        ("delete", {"of", "ids"}),
        ("conflict", {"scan_id", "ticket_id", "event", "scans"}),
        ("cursor", {"cursor", "at"}),
    ],
)
def test_a_line_needs_these_fields_and_names_the_one_that_is_missing(kind: str, least: set[str]) -> None:
    model = LINE_KINDS[kind]
    bare = {name: value for name, value in GOOD[kind].items() if name in least}
    assert model.model_validate(bare).model_dump()["kind"] == kind
    for missing in least:
        assert fault_in(model, {name: value for name, value in bare.items() if name != missing}) == (missing,)


def test_what_is_left_out_means_the_mildest() -> None:
    gate = CheckpointLine.model_validate({"id": "c", "event": "e", "name": "n"})
    assert (gate.direction, gate.ticket_types, gate.hours, gate.controllers) == ("both", None, None, None)
    assert (gate.requires_controller, gate.capacity, gate.policies) == (False, None, None)


def test_what_is_left_out_of_an_entry_policy_is_one_entry() -> None:
    policy = TicketTypeLine.model_validate({"id": "t", "event": "e", "name": "n"}).entry_policy
    assert (policy.entries, policy.per, policy.reentry, policy.cooldown_s) == (1, "event", "never", 0)


@pytest.mark.parametrize(
    ("kind", "field", "wrong"),
    [
        ("event", "kind", "tickets"),
        ("event", "id", 7),
        ("event", "id", ""),
        ("event", "id", "x" * 201),
        ("event", "id", "\ud800"),
        ("event", "name", None),
        ("event", "name", "x" * 1001),
        ("event", "venue", []),
        ("event", "tz", None),
        ("event", "tz", ""),
        ("event", "tz", "Kyiv"),
        ("event", "tz", "+02:00"),
        ("event", "tz", "Europe"),
        ("event", "tz", "../Kyiv"),
        ("event", "tz", "/usr/share/zoneinfo/UTC"),
        ("event", "tz", "Europe/Kyiv\0"),
        ("event", "tz", "x" * 5000),
        ("event", "status", "on"),
        ("event", "status", None),
        ("event", "starts_at", None),
        ("event", "starts_at", "tonight"),
        ("event", "starts_at", {}),
        ("event", "ends_at", True),
        ("ticket_type", "event", None),
        ("ticket_type", "entry_policy", "once"),
        ("ticket_type", "entry_policy", None),
        ("checkpoint", "direction", "in"),
        ("checkpoint", "ticket_types", "standard"),
        ("checkpoint", "hours", {}),
        ("checkpoint", "controllers", "u-1"),
        ("checkpoint", "requires_controller", "perhaps"),
        ("checkpoint", "capacity", -1),
        ("checkpoint", "capacity", 1.5),
        ("checkpoint", "policies", []),
        ("controller", "badge", "1234"),
        ("controller", "pin", 1234),
        ("controller", "supervisor", "perhaps"),
        ("assignment", "device", None),
        ("assignment", "lane", 1),
        ("tickets", "event", 1),
        ("tickets", "rows", None),
        ("tickets", "rows", {}),
        ("admissions", "rows", "none"),
        ("delete", "of", "everything"),
        ("delete", "of", "ticket"),
        ("delete", "ids", "t-1"),
        ("conflict", "scans", None),
        ("cursor", "cursor", 42),
        ("cursor", "cursor", ""),
        ("cursor", "at", "now"),
        ("cursor", "more", "perhaps"),
        ("cursor", "tickets", -1),
        ("cursor", "fingerprint", "d005"),
        ("cursor", "fingerprint", "D0052AA4D3C5DA1C616C6B357CBC1C09"),
        ("cursor", "fingerprint", "d0052aa4d3c5da1c616c6b357cbc1c09\n"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_field_of_the_wrong_kind_is_named(kind: str, field: str, wrong: object) -> None:
    assert fault_in(LINE_KINDS[kind], line(kind, **{field: wrong})) == (field,)


@pytest.mark.parametrize(
    ("kind", "changes", "where"),
    [
        ("ticket_type", {"entry_policy": {"entries": -1}}, ("entry_policy", "entries")),
        ("ticket_type", {"entry_policy": {"entries": "many"}}, ("entry_policy", "entries")),
        ("ticket_type", {"entry_policy": {"per": "week"}}, ("entry_policy", "per")),
        ("ticket_type", {"entry_policy": {"reentry": "sometimes"}}, ("entry_policy", "reentry")),
        ("ticket_type", {"entry_policy": {"cooldown_s": -1}}, ("entry_policy", "cooldown_s")),
        ("ticket_type", {"entry_policy": {"cooldown_s": 10**10}}, ("entry_policy", "cooldown_s")),
        ("checkpoint", {"ticket_types": ["standard", 7]}, ("ticket_types", 1)),
        ("checkpoint", {"hours": [{"opens_at": "2026-05-01T15:00:00Z"}]}, ("hours", 0, "closes_at")),
        (
            "checkpoint",
            {"hours": [{"opens_at": "2026-05-01T15:00:00Z", "closes_at": "2026-05-01T15:00:00Z"}]},
            ("hours", 0),
        ),
        (
            "checkpoint",
            {"hours": [{"opens_at": "2026-05-01T15:00:00", "closes_at": "2026-05-01T20:00:00Z"}]},
            ("hours", 0, "opens_at"),
        ),
        ("checkpoint", {"policies": {"stale_after_s": -1}}, ("policies", "stale_after_s")),
        ("checkpoint", {"policies": {"on_stale": "shrug"}}, ("policies", "on_stale")),
        ("checkpoint", {"policies": {"on_clock": None}}, ("policies", "on_clock")),
        ("conflict", {"scans": [{"scan_id": "s", "device": "d", "checkpoint": None}]}, ("scans", 0, "at")),
    ],
)
def test_a_fault_deep_in_a_line_is_named_with_its_way(
    kind: str, changes: dict[str, Any], where: tuple[int | str, ...]
) -> None:
    assert fault_in(LINE_KINDS[kind], line(kind, **changes)) == where


# --- ticket and admission rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        pytest.param(0, None, id="no lookup"),
        pytest.param(0, "T-1", id="a code in place of its lookup"),
        pytest.param(0, LOOKUP + "==", id="padded"),
        pytest.param(0, LOOKUP[:-1], id="short"),
        pytest.param(0, LOOKUP[:-1] + "R", id="bits beyond the last byte"),
        pytest.param(0, LOOKUP.replace("-", "+"), id="base64, not base64url"),
        pytest.param(0, "А" * 22, id="Cyrillic look-alikes"),
        pytest.param(1, 17, id="a number for an id"),
        pytest.param(1, "", id="an empty id"),
        pytest.param(2, None, id="no type"),
        pytest.param(3, "ok", id="a state that is none"),
        pytest.param(3, "VALID", id="a state in capitals"),
        pytest.param(4, "2026-05-01T15:00:00", id="a time without zone"),
        pytest.param(4, "2026-05-01", id="a date"),
        pytest.param(5, "2026-05-01T18:00:00+03:00", id="local time"),
        pytest.param(5, 1777651200, id="seconds since 1970"),
        pytest.param(6, ["Оксана"], id="a list for a holder"),
        pytest.param(7, 12, id="a number for a seat"),
        pytest.param(8, "x" * 1001, id="a very long source"),
    ],
)
def test_a_bad_ticket_row_is_named_by_row_and_column(column: int, wrong: object) -> None:
    bad = [*ROW]
    bad[column] = wrong
    assert fault_in(TicketsLine, line("tickets", rows=[ROW, bad])) == ("rows", 1, column)


@pytest.mark.parametrize("missing", range(9))
def test_a_ticket_row_cut_short_is_refused(missing: int) -> None:
    assert fault_in(TicketsLine, line("tickets", rows=[ROW[:missing]]))[:2] == ("rows", 0)


def test_a_tickets_times_are_kept_as_sent_for_the_fingerprint() -> None:
    sent = [*ROW[:4], "2026-05-01T15:00:00.000Z", "2026-05-01T20:00:00+00:00", *ROW[6:]]
    row = TicketsLine.model_validate(line("tickets", rows=[sent])).rows[0]
    assert row[4:6] == ("2026-05-01T15:00:00.000Z", "2026-05-01T20:00:00+00:00")


def test_a_line_carries_a_thousand_rows_and_not_one_more() -> None:
    assert MAX_ROWS == 1000
    assert len(TicketsLine.model_validate(line("tickets", rows=[ROW] * 1000)).rows) == 1000
    assert fault_in(TicketsLine, line("tickets", rows=[ROW] * 1001)) == ("rows",)


@pytest.mark.parametrize(
    ("column", "wrong"),
    [(0, ""), (1, 7), (2, []), (3, "both"), (3, None), (4, None), (4, "2026-05-01T15:40:00"), (5, None)],
)
def test_a_bad_admission_row_is_named_by_row_and_column(column: int, wrong: object) -> None:
    bad = [*ADMISSION]
    bad[column] = wrong
    assert fault_in(LINE_KINDS["admissions"], line("admissions", rows=[ADMISSION, bad])) == ("rows", 1, column)


# --- instants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-05-01T18:00:00Z", datetime(2026, 5, 1, 18, tzinfo=UTC)),
        ("2026-05-01T18:00:00+00:00", datetime(2026, 5, 1, 18, tzinfo=UTC)),
        ("2026-05-01T18:00:00.5Z", datetime(2026, 5, 1, 18, 0, 0, 500_000, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_and_written_in_utc(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).tzinfo is UTC
    assert parse_instant(write_instant(instant)) == instant
    assert write_instant(instant).endswith("Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-05-01",
        "2026-05-01T18:00:00",
        "2026-05-01T18:00:00+03:00",
        "2026-05-01T18:00:00 Europe/Kyiv",
        "2026-02-29T18:00:00Z",
        "2026-05-01T24:30:00Z",
        "1777651200",
        "T18:00:00Z",
    ],
)
def test_a_time_without_zone_or_in_a_local_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2026-05-01T18:00:00Z"):
        parse_instant(text)
    for field in ("starts_at", "ends_at"):
        assert fault_in(EventLine, line("event", **{field: text})) == (field,)
    assert fault_in(CursorLine, line("cursor", at=text)) == ("at",)
    assert fault_in(HeartbeatAnswer, {"time": text}) == ("time",)


@pytest.mark.parametrize("number", [0, 1777651200, 1777651200.5])
def test_a_number_is_no_instant(number: float) -> None:
    assert fault_in(CursorLine, line("cursor", at=number)) == ("at",)


# --- a contract that grows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GOOD)
def test_a_field_of_a_later_version_is_skipped_and_counted(kind: str) -> None:
    read = LINE_KINDS[kind].model_validate(line(kind, colour="red", weight={"kg": 3}))
    assert read.unknown_fields() == 2


def test_fields_of_a_later_version_are_counted_in_nested_objects() -> None:
    sent = deepcopy(GOOD["checkpoint"])
    sent["new"] = 1
    sent["policies"]["on_rain"] = "refuse"
    sent["hours"] = [{**sent["hours"][0], "note": "matinee"}, {**sent["hours"][0], "note": "evening", "doors": 2}]
    assert CheckpointLine.model_validate(sent).unknown_fields() == 5
    kind = line("ticket_type", entry_policy={"entries": 1, "minutes": 5})
    assert TicketTypeLine.model_validate(kind).unknown_fields() == 1


def test_fields_of_a_later_version_are_counted_two_levels_down() -> None:
    conflict = {**GOOD["conflict"], "scans": [{**GOOD["conflict"]["scans"][0], "photo": "x"}]}
    answer = ScansAnswer.model_validate({"acked": 3, "conflicts": [conflict, conflict], "took_ms": 5})
    # `kind` belongs to the feed's conflict line, not to the answer's: one for each conflict.
    assert answer.unknown_fields() == 1 + 2 * 2


def test_fields_of_a_later_version_are_counted_in_the_children_of_a_fingerprint() -> None:
    part = {"count": 1, "fingerprint": "0" * 32, "bytes": 40}
    assert FingerprintsAnswer.model_validate({**part, "children": {"0": part, "f": part}}).unknown_fields() == 3


def test_a_line_cannot_be_changed_once_read() -> None:
    read = EventLine.model_validate(GOOD["event"])
    with pytest.raises(ValidationError):
        read.name = "another"  # type: ignore[misc]


# --- scans ----------------------------------------------------------------------------------------------------------


def test_a_scan_is_read_whole_and_written_back_as_it_came() -> None:
    assert ScanModel.model_validate(SCAN).model_dump(mode="json") == SCAN


@pytest.mark.parametrize("field", ["scan_id", "seq", "prev", "lane", "direction", "verdict", "reason", "at", "clock"])
def test_a_scan_without_a_field_that_it_needs_names_it(field: str) -> None:
    assert fault_in(ScanModel, {name: value for name, value in SCAN.items() if name != field}) == (field,)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("scan_id", ""),
        ("seq", 0),
        ("seq", "first"),
        ("prev", "0" * 65),
        ("lookup", "T-1"),
        ("lookup", LOOKUP[:-1] + "R"),
        ("code", "x" * 4097),
        ("direction", "both"),
        ("verdict", "maybe"),
        ("reason", ""),
        ("at", "2026-05-01T16:02:00"),
        ("clock", "sundial"),
        ("passage", "jumped"),
        ("note", 5),
    ],
)
def test_a_scan_with_a_field_of_the_wrong_kind_names_it(field: str, wrong: object) -> None:
    assert fault_in(ScanModel, {**SCAN, field: wrong}) == (field,)


def test_a_post_of_scans_is_bounded_and_does_not_judge_each_scan() -> None:
    scans: list[object] = [{"nonsense": True}] * MAX_SCANS
    assert len(ScansRequest.model_validate({"device_id": "box-1", "scans": scans}).scans) == MAX_SCANS
    assert fault_in(ScansRequest, {"device_id": "box-1", "scans": [*scans, {}]}) == ("scans",)
    assert fault_in(ScansRequest, {"device_id": "box-1", "scans": [7]}) == ("scans", 0)


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({}, ("acked",)),
        ({"acked": -1}, ("acked",)),
        ({"acked": None}, ("acked",)),
        ({"acked": 1, "rejected": [{"scan_id": "s", "code": "bad"}]}, ("rejected", 0, "message")),
        ({"acked": 1, "conflicts": [{}]}, ("conflicts", 0, "scan_id")),
    ],
)
def test_an_answer_to_scans_that_is_not_one_names_the_field(sent: object, where: tuple[int | str, ...]) -> None:
    """A captive portal may well answer 200 with JSON of its own."""
    assert fault_in(ScansAnswer, sent) == where


# --- enrolment ------------------------------------------------------------------------------------------------------

KEY = "A" * 43 + "="
ENROLLED = {"device_id": "box-1", "name": "North 1", "organiser": "Лайв", "token": "s3cret", "lookup_key": KEY}


@pytest.mark.parametrize("field", ENROLLED)
def test_an_enrolment_answer_without_a_field_names_it(field: str) -> None:
    assert EnrolAnswer.model_validate(ENROLLED).unknown_fields() == 0
    assert fault_in(EnrolAnswer, {name: value for name, value in ENROLLED.items() if name != field}) == (field,)


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Header: 1", "ключ", "x" * 1001])
def test_a_token_that_would_not_fit_a_header_is_refused(token: str) -> None:
    assert fault_in(EnrolAnswer, {**ENROLLED, "token": token}) == ("token",)


def test_an_enrolment_names_what_is_wrong_with_it() -> None:
    assert fault_in(EnrolRequest, {"code": "", "device": {"name": "North 1"}}) == ("code",)
    assert fault_in(EnrolRequest, {"code": "1234", "device": {}}) == ("device", "name")
