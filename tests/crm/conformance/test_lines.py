"""Lines are held against the contract to the letter, and nothing that a CRM sends can break the suite."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.conformance.held import HeldList, difference
from crm.conformance.lines import Aspect, read_line
from crm.conformance.reading import Reading
from edge.core.barcodes import lookup_of, lookup_text
from edge.core.fingerprint import row_digest

EVENT = {
    "kind": "event",
    "id": "e-1",
    "name": "Concert",
    "tz": "Europe/Kyiv",
    "status": "confirmed",
    "starts_at": "2026-05-01T18:00:00Z",
    "ends_at": "2026-05-01T23:00:00.123456Z",
}
POINT = {"kind": "checkpoint", "id": "c-1", "event": "e-1", "name": "North"}
CURSOR = {"kind": "cursor", "cursor": "7", "at": "2026-05-01T18:00:00Z", "more": False}


def a_row(number: int, **columns: Any) -> list[Any]:
    row = [lookup_text(lookup_of(bytes(32), f"CODE-{number}")), f"T-{number}", "t-1", "valid", *[None] * 5]
    for at, value in columns.items():
        row[int(at.removeprefix("column_"))] = value
    return row


def tickets(*rows: list[Any], **fields: Any) -> dict[str, Any]:
    return {"kind": "tickets", "event": "e-1", "rows": list(rows), **fields}


def complaints(line: Any) -> set[Aspect]:
    return {
        aspect for aspect, _ in read_line(line if isinstance(line, bytes) else json.dumps(line).encode()).complaints
    }


@pytest.mark.parametrize(
    ("line", "aspect"),
    [
        (b"", Aspect.LINES),
        (b"\xff", Aspect.LINES),
        (b"[" * 100_000, Aspect.LINES),
        (b'{"kind":NaN}', Aspect.LINES),
        ({"kind": None}, Aspect.LINES),
        (["event"], Aspect.LINES),
        ({"kind": "promo"}, Aspect.WORDS),
        (EVENT | {"colour": "red"}, Aspect.WORDS),
        (POINT | {"policies": {"on_staleness": "admit"}}, Aspect.WORDS),
        (tickets([*a_row(1), "a tenth column"]), Aspect.WORDS),
        (EVENT | {"name": None}, Aspect.FIELDS),
        (EVENT | {"name": "\ud800"}, Aspect.FIELDS),
        (EVENT | {"starts_at": 1_777_658_400}, Aspect.FIELDS),
        (POINT | {"capacity": "300"}, Aspect.FIELDS),
        (POINT | {"requires_controller": "yes"}, Aspect.FIELDS),
        (tickets(a_row(1)[:8]), Aspect.FIELDS),
        (tickets(a_row(1, column_0="short")), Aspect.FIELDS),
        (tickets(a_row(1, column_3="sold")), Aspect.FIELDS),
        (tickets(a_row(1, column_4=7)), Aspect.FIELDS),
        (CURSOR | {"tickets": "7"}, Aspect.FIELDS),
        (CURSOR | {"fingerprint": "F" * 32}, Aspect.FIELDS),
        (tickets(*[a_row(1)] * 1001), Aspect.ROWS),
        (EVENT | {"starts_at": "2026-05-01T18:00:00"}, Aspect.INSTANTS),
        (EVENT | {"starts_at": "2026-05-01T18:00:00z"}, Aspect.INSTANTS),
        (EVENT | {"starts_at": "2026-05-01 18:00:00Z"}, Aspect.INSTANTS),
        (EVENT | {"starts_at": "2026-05-01T18:00Z"}, Aspect.INSTANTS),
        (EVENT | {"starts_at": "2026-05-01T18:00:00.1234567Z"}, Aspect.INSTANTS),
        (EVENT | {"starts_at": "2026-02-30T18:00:00Z"}, Aspect.INSTANTS),
        (EVENT | {"starts_at": "2026-05-01T20:00:00+02:00"}, Aspect.INSTANTS),
        (tickets(a_row(1, column_5="2026-05-01T18:00:00+00:00")), Aspect.INSTANTS),
        (tickets(a_row(1, column_4="tomorrow, when it has become light, at the gate")), Aspect.INSTANTS),
        (POINT | {"hours": [{"opens_at": "2026-05-01T18:00:00Z", "closes_at": "23:00"}]}, Aspect.INSTANTS),
        ({"kind": "admissions", "rows": [["s-1", "T-1", None, "entry", "18:00", "d-1"]]}, Aspect.INSTANTS),
    ],
)
def test_what_is_wrong_with_a_line_is_one_aspect(line: Any, aspect: Aspect) -> None:
    assert complaints(line) == {aspect}


@pytest.mark.parametrize("line", [EVENT, POINT, CURSOR, tickets(a_row(1)), tickets(), {"kind": "reset"}])
def test_a_good_line_is_not_complained_of(line: dict[str, Any]) -> None:
    assert complaints(line) == set()


def test_rows_beyond_a_thousand_are_looked_at_and_applied() -> None:
    rows = [a_row(number) for number in range(2500)]
    read, held = read_line(json.dumps(tickets(*rows)).encode()), HeldList()
    assert read.line is not None
    held.apply(read.line)
    assert held.total.count == 2500
    rows[2400][3] = "sold"
    assert complaints(tickets(*rows)) == {Aspect.ROWS, Aspect.FIELDS}


def test_the_list_is_carried_along_with_each_row() -> None:
    held = HeldList()
    held.apply(tickets(a_row(1), a_row(2), a_row(3)))
    held.apply(tickets(a_row(2, column_3="blocked"), a_row(3, column_1="T-33")))
    held.apply({"kind": "delete", "of": "tickets", "ids": ["T-1", "T-9"]})
    rows = [a_row(2, column_3="blocked"), a_row(3, column_1="T-33")]
    assert held.total.total == sum(row_digest(*row[:6]) for row in rows) % (1 << 128)
    assert held.replaced == [f"{a_row(3)[0]} at e-1: T-3, then T-33"]
    fresh = HeldList()
    fresh.apply(tickets(*rows))
    assert difference(held, fresh) is None
    fresh.apply(EVENT)
    assert difference(held, fresh) == "1 things differ, such as ('event', 'e-1')"


def test_a_list_with_holes_is_not_summed_up() -> None:
    held, reading = HeldList(), Reading()
    for line in (tickets(a_row(1, column_3="sold")), CURSOR | {"tickets": 1, "fingerprint": "0" * 32}):
        reading.take(read_line(json.dumps(line).encode()), held, vouches=True)
    assert reading.complaints.keys() == {Aspect.FIELDS}
    assert held.holes == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
GOOD = (EVENT, POINT, CURSOR, tickets(a_row(1)), {"kind": "delete", "of": "tickets", "ids": ["T-1"]})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(GOOD), st.data())
def test_no_line_can_break_the_suite(line: dict[str, Any], data: st.DataObject) -> None:
    names = st.sampled_from([*line, "zone", "hours", "controllers", "ticket_types"])
    spoilt = line | data.draw(st.dictionaries(names, JSON, max_size=3))
    held, reading = HeldList(), Reading()
    reading.take(read_line(json.dumps(spoilt).encode()), held, vouches=True)
    list(held.dangling())
    assert reading.lines == 1
