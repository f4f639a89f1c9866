"""Whatever an organiser or a file puts in, the central sends nothing that its own gates refuse."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from crm import service
from crm.database import Database
from crm.errors import BadInput
from crm.importer import MAX_ROW_BYTES, Problem, import_file, import_rows
from sync.cutting import MAX_LINE_BYTES, LineCutter
from sync.lines import parse_line
from sync.wire import MAX_ROWS
from tests.crm.conftest import Gate, sell

WIDE = "\U0001f39f"
"""Four bytes as sent."""
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAIVE = NOON.replace(tzinfo=None)


async def read_as_a_gate(gate: Gate, since: str | None) -> tuple[list[Any], str]:
    """Ask for the feed after a cursor up to its end, and read each line as a gate does; return them and the cursor."""
    found: list[Any] = []
    while True:
        params = {"wait": "0"} | ({"since": since} if since else {})
        async with gate.client.get("/gate/v1/changes", params=params, headers=gate.headers) as answer:
            assert answer.status == 200
            lines = list(LineCutter().feed(await answer.read()))
        found += [parse_line(line, number) for number, line in enumerate(lines, 1)]
        since = found[-1].cursor
        if not found[-1].more:
            return found, found[-1].cursor


def of_kind(lines: list[Any], kind: str) -> list[Any]:
    return [line for line in lines if line is not None and line.kind == kind]


async def test_the_longest_tickets_are_read_by_a_gate_however_they_come(db: Database, gate: Gate) -> None:
    _, before = await read_as_a_gate(gate, None)
    rows = [
        (f"CODE-{n}", None, f"{n:04}" + "\x01" * 170, None, None, None, WIDE * 500, WIDE * 250) for n in range(1000)
    ]
    result = await import_rows(db, "e-1", rows, source="Box office")
    assert result.added == MAX_ROWS
    for since in (before, None):
        tickets = of_kind((await read_as_a_gate(gate, since))[0], "tickets")
        assert [len(line.rows) for line in tickets] == [MAX_ROWS]
        assert MAX_LINE_BYTES * 0.9 < len(tickets[0].model_dump_json().encode()) <= MAX_LINE_BYTES


@pytest.mark.parametrize(("more", "bad"), [(0, 0), (1, 1)])
async def test_a_ticket_longer_than_can_be_sent_is_named(db: Database, gate: Gate, more: int, bad: int) -> None:
    problems: list[Problem] = []
    plain = len('["1234567890123456789012","T-1","t-1","valid",null,null,"","",null]')
    wide, left = divmod(MAX_ROW_BYTES - plain, 4)
    row = ("CODE", None, "T-1", None, None, None, WIDE * 1000, WIDE * (wide - 1000) + "x" * (left + more))
    result = await import_rows(db, "e-1", [row], skip_bad=True, report=problems.append)
    assert (result.added, result.bad) == (1 - bad, bad)
    told = (
        f"line 1: holder: with id, seat and seller {MAX_ROW_BYTES + 1} bytes as sent; shorten them to {MAX_ROW_BYTES}"
    )
    assert [str(each) for each in problems] == [told] * bad
    assert len(of_kind((await read_as_a_gate(gate, None))[0], "tickets")) == 1 - bad


@pytest.mark.parametrize("column", ["id", "holder", "seat"])
async def test_half_a_surrogate_pair_is_named(db: Database, gate: Gate, column: str) -> None:
    problems: list[Problem] = []
    texts = ["Ада\ud83d" if name == column else None for name in ("id", "holder", "seat")]
    row = ("CODE", None, texts[0], None, None, None, texts[1], texts[2])
    await import_rows(db, "e-1", [row, ("CODE-2",)], skip_bad=True, report=problems.append)
    assert [str(each).split(";")[0] for each in problems] == [
        f"line 1: {column}: is no text (half of a surrogate pair)"
    ]
    assert len(of_kind((await read_as_a_gate(gate, None))[0], "tickets")[0].rows) == 1


async def test_a_seller_whose_name_is_no_text_is_refused(db: Database, gate: Gate) -> None:
    with pytest.raises(BadInput, match=r"^source: "):
        await import_rows(db, "e-1", [("CODE",)], source="\udcff")


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("A,,10000-01-01", "valid_from"),
        ("A,,0001-01-01 00:30", "valid_from"),  # in the event's zone: before the calendar, in UTC
        ("A,,2026-06-30T23:59:60Z", "valid_from"),
        ("A," + "x" * 201 + ",", "id"),
    ],
)
async def test_a_files_row_out_of_range_is_named(
    db: Database, gate: Gate, tmp_path: Path, row: str, field: str
) -> None:
    path, problems = tmp_path / "a.csv", list[Problem]()
    path.write_text(f"code,id,valid_from\n{row}\nB,,9999-12-31T23:59:59Z\nC,,0001-01-02T00:00:00Z\n")
    result = await import_file(db, "e-1", path, skip_bad=True, report=problems.append)
    assert (result.added, [each.field for each in problems]) == (2, [field])
    assert len(of_kind((await read_as_a_gate(gate, None))[0], "tickets")[0].rows) == 2


async def test_any_number_of_tickets_goes_in_lines_that_a_gate_reads(db: Database, gate: Gate) -> None:
    rows = [(f"CODE-{n}", None, f"{n:05}" + WIDE * 190) for n in range(6000)]
    await import_rows(db, "e-1", rows)
    _, before = await read_as_a_gate(gate, None)
    assert await service.delete_tickets(db, [row[2] or "" for row in rows]) == 6000
    lines, _ = await read_as_a_gate(gate, before)
    gone = of_kind(lines, "delete")
    assert sum(len(line.ids) for line in gone) == 6000
    assert max(len(line.ids) for line in gone) == MAX_ROWS
    assert (lines[-1].tickets, lines[-1].fingerprint) == (0, "0" * 32)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"capacity": 10**30}, "capacity: Input should be less than or equal to"),
        ({"capacity": -1}, "capacity: Input should be greater than or equal to 0"),
        ({"policies": {"stale_after_s": 10**30}}, "policies.stale_after_s: Input should be less than or equal to"),
        ({"zone": "x" * 201}, "zone: String should have at most 200 characters"),
        ({"zone": "hall\0"}, "zone: an id has no NUL character"),
        ({"name": "North\0"}, "name: has a NUL character"),
        ({"name": "North\ud83d"}, "name: Input should be a valid string"),
        ({"hours": [{"opens_at": NAIVE, "closes_at": NOON}]}, "hours.0.opens_at: an instant has a zone"),
        (
            {"hours": [{"opens_at": NOON + timedelta(n), "closes_at": NOON + timedelta(n, 60)} for n in range(60_000)]},
            "hours: ",
        ),
        ({"colour": "red"}, "colour: no such field"),
    ],
)
async def test_a_checkpoint_that_no_gate_would_take_is_refused(
    db: Database, gate: Gate, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadInput) as caught:
        await service.put_checkpoint(db, **{"event": "e-1", "name": "South", **fields})
    assert str(caught.value).startswith(told)
    assert {line.id for line in of_kind((await read_as_a_gate(gate, None))[0], "checkpoint")} == {"c-1"}


@pytest.mark.parametrize(
    ("starts_at", "told"),
    [
        (NAIVE, "starts_at: an instant has a zone"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=3))), "starts_at: an instant lies between the years"),
    ],
)
async def test_an_event_that_cannot_be_placed_in_time_is_refused(
    db: Database, gate: Gate, starts_at: datetime, told: str
) -> None:
    with pytest.raises(BadInput) as caught:
        await service.put_event(db, name="Ball", tz="Europe/Kyiv", starts_at=starts_at, ends_at=NOON)
    assert str(caught.value).startswith(told)


async def test_an_event_may_last_for_the_whole_calendar(db: Database, gate: Gate) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    await service.put_event(db, id="e-9", name="World", tz="America/New_York", starts_at=first, ends_at=last)
    (line,) = [line for line in of_kind((await read_as_a_gate(gate, None))[0], "event") if line.id == "e-9"]
    assert (line.starts_at, line.ends_at) == (first, last)


@pytest.mark.parametrize("lane", ["", "x" * 101, "north 1", "північ", "a/b"])
async def test_a_lane_that_no_gate_can_have_is_not_assigned(db: Database, gate: Gate, lane: str) -> None:
    with pytest.raises(BadInput, match=r"^lane: 1 to 100 letters"):
        await service.assign(db, gate.id, "c-1", lane)


async def test_the_longest_lane_is_assigned_and_taken_away(db: Database, gate: Gate) -> None:
    await sell(db, 1)
    await service.assign(db, gate.id, "c-1", "x" * 100)
    lines, before = await read_as_a_gate(gate, None)
    assert [line.lane for line in of_kind(lines, "assignment")] == ["x" * 100]
    await service.unassign(db, gate.id, "x" * 100)
    lines, _ = await read_as_a_gate(gate, before)
    assert [line.ids for line in of_kind(lines, "delete")] == [[f"{gate.id}/{'x' * 100}"]]
