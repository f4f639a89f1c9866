"""What a careless or hostile CRM may put into its feed: judged alike whichever way it comes in, and never half applied.

Each story is told twice: of the list in use, to which the gate's own process applies changes, and of a new list, which
another process builds with a decoder of its own.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.store.database import connect_read_only
from edge.store.whitelist_writer import whitelist_session
from sync.apply import apply_change
from sync.builder import open_builder
from sync.connector import Feed
from sync.errors import BadFeed
from sync.lines import parse_line
from sync.promotion import Mismatch
from sync.wire import FingerprintModel, HeartbeatAnswer, TicketsLine
from tests.edge.conftest import NOW
from tests.sync.book import AT, PLAN, Book, Line, everything, lookup, packed, row
from tests.sync.rig import Rig

IN_USE, BUILDING = "in use", "building"
NO_JSON = "feed line 2: not JSON ("
ENDS = "; each line is one JSON object"
DEEP = b'{"kind":"tickets","event":"e-1","rows":[],"more":' + b"[" * 5000 + b"]" * 5000 + b"}"


def with_row(column: int, value: object) -> Line:
    """A line of two tickets, the second of which has this in one column."""
    changed = row(8)
    changed[column] = value
    return {"kind": "tickets", "event": "e-1", "rows": [row(7), changed]}


def with_text(text: bytes) -> bytes:
    """A line of a ticket whose holder is written so, within its quotes."""
    good = json.dumps(with_row(6, "HOLDER")).encode()
    return good.replace(b"HOLDER", text)


def point(**changes: Any) -> Line:
    return {"kind": "checkpoint", "id": "c-9", "event": "e-1", "name": "South", **changes}


def other(**changes: Any) -> Line:
    return {"kind": "event", **{k: v for k, v in PLAN[0].items() if k != "kind"}, "id": "e-9", **changes}


def heard(at: object) -> Line:
    return {"kind": "admissions", "rows": [["s-1", "T-1", "c-1", "entry", at, "d-2"]]}


BAD: dict[str, tuple[Line | bytes, str]] = {
    "id too long": (with_row(1, "T" * 201), "feed line 2: tickets.rows.1.1: String should have at most 200 characters"),
    "id empty": (with_row(1, ""), "feed line 2: tickets.rows.1.1: String should have at least 1 character"),
    "id a number": (with_row(1, 8), "feed line 2: tickets.rows.1.1: Input should be a valid string"),
    "id with NUL": (with_row(1, "T\0"), "feed line 2: tickets.rows.1.1: an id has no NUL character"),
    "type with NUL": (with_row(2, "\0"), "feed line 2: tickets.rows.1.2: an id has no NUL character"),
    "holder too long": (with_row(6, "x" * 1001), "feed line 2: tickets.rows.1.6: String should have at most 1000"),
    "state unknown": (with_row(3, "torn"), "feed line 2: tickets.rows.1.3: Input should be 'valid', 'cancelled'"),
    "lookup too short": (with_row(0, "short"), "feed line 2: tickets.rows.1.0: String should have at least 22"),
    "lookup of odd bits": (with_row(0, "E" * 21 + "B"), "feed line 2: tickets.rows.1.0: a lookup is 22 characters"),
    "no zone": (with_row(4, "2026-05-01T18:00:00"), "feed line 2: tickets.rows.1.4: an instant is in UTC and says so"),
    "local zone": (with_row(4, "2026-05-01T18:00:00+03:00"), "feed line 2: tickets.rows.1.4: an instant is in UTC"),
    "leap second": (with_row(5, "2026-06-30T23:59:60Z"), "feed line 2: tickets.rows.1.5: an instant is ISO 8601 UTC"),
    "year 10000": (with_row(5, "10000-01-01T00:00:00Z"), "feed line 2: tickets.rows.1.5: an instant is ISO 8601 UTC"),
    "year 0": (with_row(4, "0000-01-01T00:00:00Z"), "feed line 2: tickets.rows.1.4: an instant is ISO 8601 UTC"),
    "time a number": (with_row(4, 1777658400), "feed line 2: tickets.rows.1.4: Input should be a valid string"),
    "1,001 rows": (
        {"kind": "tickets", "event": "e-1", "rows": [row(n) for n in range(1001)]},
        "feed line 2: tickets.rows: List should have at most 1000 items",
    ),
    "event a number": (
        {"kind": "tickets", "event": 1, "rows": [row(7)]},
        "feed line 2: tickets.event: Input should be",
    ),
    "rows an object": ({"kind": "tickets", "event": "e-1", "rows": {}}, "feed line 2: tickets.rows: Input should be"),
    "negative capacity": (
        point(capacity=-1),
        "feed line 2: checkpoint.capacity: Input should be greater than or equal",
    ),
    "capacity beyond all": (point(capacity=10**30), "feed line 2: checkpoint.capacity: Input should be less than or"),
    "too many digits": (b'{"kind":"weather","n":' + b"9" * 5000 + b"}", NO_JSON),
    "capacity NaN": (point(capacity=float("nan")), "feed line 2: checkpoint.capacity: "),
    "endless age": (
        point(policies={"stale_after_s": float("inf")}),
        "feed line 2: checkpoint.policies.stale_after_s: ",
    ),
    "hours without zone": (
        point(hours=[{"opens_at": "2026-05-01T18:00:00", "closes_at": AT}]),
        "feed line 2: checkpoint.hours.0.opens_at: an instant is in UTC and says so with Z",
    ),
    "hours turned round": (
        point(hours=[{"opens_at": AT, "closes_at": AT}]),
        "feed line 2: checkpoint.hours.0: closes_at must be after opens_at",
    ),
    "no such zone": (other(tz="Mars/Olympus"), "feed line 2: event.tz: tz is an IANA zone name, such as Europe/Kyiv"),
    "a path for a zone": (other(tz="../../etc/passwd"), "feed line 2: event.tz: tz is an IANA zone name"),
    "a zone with NUL": (other(tz="Europe/Kyiv\0"), "feed line 2: event.tz: tz is an IANA zone name"),
    "admission after 9999": (
        heard("10000-01-01T00:00:00Z"),
        "feed line 2: admissions.rows.0.4: an instant is ISO 8601",
    ),
    "admission without zone": (heard("2026-05-01T18:00:00"), "feed line 2: admissions.rows.0.4: an instant is in UTC"),
    "negative count": (
        Book().cursor("k-2", tickets=-1),
        "feed line 2: cursor.tickets: Input should be greater than or",
    ),
    "fingerprint of letters": (Book().cursor("k-2", fingerprint="x" * 32), "feed line 2: cursor.fingerprint: String"),
    "too deep": (DEEP, f"{NO_JSON}Invalid JSON: recursion limit exceeded"),
    "lone surrogate": (with_text(rb"\ud800"), NO_JSON),
    "half a surrogate pair": (with_text(rb"\ud83d\u0041"), NO_JSON),
    "invalid UTF-8": (with_text(b"\xff\xfe"), NO_JSON),
    "a surrogate in UTF-8": (with_text(b"\xed\xa0\x80"), NO_JSON),
    "a bare control character": (with_text(b"\t"), NO_JSON),
    "invalid UTF-8 in what is not known": (b'{"kind":"tickets","event":"e-1","rows":[],"x":"\xff"}', NO_JSON),
    "a byte order mark on the second line": (b"\xef\xbb\xbf" + packed([Book().tickets(7)]).strip(), NO_JSON),
    "two objects": (packed([Book().tickets(7)]).strip() * 2, NO_JSON),
    "a comma too many": (b'{"kind":"tickets","event":"e-1","rows":[],}', NO_JSON),
    "a page": (b"<html>Log in</html>", NO_JSON),
    "a second kind": (
        b'{"kind":"tickets","event":"e-1","rows":[],"kind":"cursor"}',
        "feed line 2: cursor.cursor: missing",
    ),
}
"""A second line, and what is said of it."""


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def body(lines: Sequence[Line | bytes]) -> bytes:
    return b"".join(line + b"\n" if isinstance(line, bytes) else packed([line]) for line in lines)


async def takes(rig: Rig, *lines: Line | bytes, end: bytes = b"") -> None:
    """Have the gate apply a feed, to the list in use or to the one that is being built."""
    await rig.puller.apply(Feed(chunks(body(lines) + end)))


async def has_a_list(rig: Rig, where: str, book: Book) -> None:
    """Give the gate tickets 1 and 2: as the list in use, or as the part of a new one that a cursor has closed."""
    if where == IN_USE:
        await takes(rig, *everything(2, book=book))
    else:
        await takes(rig, *everything(2, book=book)[:-1], book.cursor("k-1", more=True))


def held(path: Path) -> tuple[Any, ...]:
    """Return all that a list's file holds but when it was confirmed."""
    with closing(connect_read_only(path)) as db:
        meta = db.execute("SELECT key, value FROM meta WHERE key NOT IN ('synced_at', 'plan_version') ORDER BY key")
        tables = ["ticket", "entity", "admission", "bucket"]
        return meta.fetchall(), *[db.execute(f"SELECT * FROM {each} ORDER BY 1, 2").fetchall() for each in tables]


def path_of(rig: Rig, where: str) -> Path:
    return rig.store.whitelist_path if where == IN_USE else rig.store.building_path


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [IN_USE, BUILDING])
@pytest.mark.parametrize("what", BAD)
async def test_bad_line_is_named_with_its_field_and_changes_nothing(
    rig: Rig, book: Book, what: str, where: str
) -> None:
    line, says = BAD[what]
    await has_a_list(rig, where, book)
    before = held(path_of(rig, where))
    with pytest.raises(BadFeed) as caught:
        await takes(rig, Book().tickets(1, state="blocked"), line, Book().cursor("k-2"))
    said = str(caught.value)
    assert said.startswith(says)
    assert said.endswith(ENDS) or says != NO_JSON
    assert held(path_of(rig, where)) == before
    assert await rig.reason(1) == ("admitted" if where == IN_USE else "unknown_ticket")


@pytest.mark.parametrize("where", [IN_USE, BUILDING])
async def test_what_an_earlier_cursor_closed_stays(rig: Rig, book: Book, where: str) -> None:
    await has_a_list(rig, where, book)
    good = [book.tickets(3), book.cursor("k-2", more=True)]
    with pytest.raises(BadFeed, match=r"^feed line 4: tickets\.rows\.1\.1"):
        await takes(rig, *good, Book().tickets(4), with_row(1, ""), Book().cursor("k-3"))
    assert await rig.puller.cursor() == "k-2"
    await takes(rig, book.tickets(4), book.cursor("k-3"))
    assert (rig.store.data.cursor, rig.store.data.fingerprint) == ("k-3", book.fingerprint.hex())


# --- what is taken --------------------------------------------------------------------------------------------------

ODD: dict[str, list[Line | bytes]] = {
    "times at both ends of the calendar": [
        {
            "kind": "tickets",
            "event": "e-1",
            "rows": [
                [*row(7)[:4], "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", *row(7)[6:]],
                [*row(8)[:4], "1969-12-31T23:59:59.999999Z", None, *row(8)[6:]],
            ],
        },
        heard("9999-12-31T23:59:59.999999Z"),
        heard("0001-01-01T00:00:00Z"),
    ],
    "names that a database pads with NUL": [with_row(6, "Ada\0\0\0"), with_row(7, "A\0")],
    "letters beyond the first plane, as text and as escapes": [
        with_row(6, "\U0001f39f" * 1000),
        with_text(rb"\ud83c\udf9f"),
    ],
    "texts at their limits": [with_row(1, "\U0001f39f" * 200), with_row(6, "x" * 1000), with_row(8, "")],
    "a key twice, of which the last counts": [
        b'{"kind":"tickets","event":"e-0","event":"e-1","rows":' + json.dumps([row(7)]).encode() + b"}",
        b'{"kind":"tickets","event":5,"event":"e-1","rows":' + json.dumps([row(8)]).encode() + b"}",
        b'{"kind":"weather","kind":"tickets","event":"e-1","rows":' + json.dumps([row(9)]).encode() + b"}",
    ],
    "keys and kinds in escapes": [
        packed([Book().tickets(7)]).replace(b"event", rb"\u0065vent").strip(),
        packed([Book().tickets(8)]).replace(b'"tickets"', rb'"ticket\u0073"').strip(),
    ],
    "fields and columns of a later contract": [
        {**Book().tickets(7), "colour": "red", "more": {"deep": [[1, None], "x" * 500]}},
        {**Book().tickets(8), "big": 1e300},
        {"kind": "tickets", "event": "e-1", "rows": [[*row(9), "one", {"more": []}]]},
        {"kind": "weather", "rain": True},
        {"kind": "admissions", "rows": [["s-5", "T-1", "c-1", "entry", AT, "d-2", "on foot"]]},
        point(colour="red", policies={"on_rain": "admit"}),
    ],
    "a lookup twice in a line, twice in two, and for two events": [
        {"kind": "tickets", "event": "e-1", "rows": [row(7), [*row(7)[:1], "T-77", *row(7)[2:]]]},
        {"kind": "tickets", "event": "e-1", "rows": [row(8)]},
        {"kind": "tickets", "event": "e-1", "rows": [[lookup(8), "T-88", *row(8)[2:]]]},
        {"kind": "tickets", "event": "e-2", "rows": [row(8)]},
    ],
    "things of an event that nobody has told of": [
        {"kind": "tickets", "event": "e-404", "rows": [row(7)]},
        point(event="e-404"),
        {"kind": "ticket_type", "id": "t-9", "event": "e-404", "name": "Lost"},
        {"kind": "assignment", "device": "d-1", "checkpoint": "c-404"},
        {"kind": "delete", "of": "tickets", "ids": ["T-404"]},
        {"kind": "delete", "of": "event", "ids": ["e-404"]},
    ],
    "line ends of another system": [packed([Book().tickets(7)]).strip() + b"\r", b"\r", b" \t", b""],
    "no rows": [{"kind": "tickets", "event": "e-1", "rows": []}, {"kind": "admissions", "rows": []}],
}
UNKNOWN = {"fields and columns of a later contract": 8}


@pytest.mark.parametrize("what", ODD)
async def test_odd_lines_come_to_the_same_both_ways(rig: Rig, book: Book, tmp_path: Path, what: str) -> None:
    await takes(rig, *everything(2, book=book))
    end = {"kind": "cursor", "cursor": "k-9", "at": AT}
    await takes(rig, *ODD[what], end)
    unknown, applied = rig.health.unknown, held(rig.store.whitelist_path)
    await takes(rig, *everything(2, book=book)[:-1], *ODD[what], end)
    assert rig.store.data.cursor == "k-9"
    assert held(rig.store.whitelist_path) == applied
    assert (unknown, rig.health.unknown) == (UNKNOWN.get(what, 0), 2 * UNKNOWN.get(what, 0))


@pytest.mark.parametrize("where", [IN_USE, BUILDING])
async def test_the_last_of_rows_with_one_lookup_counts_once(rig: Rig, book: Book, where: str) -> None:
    await has_a_list(rig, where, book)
    twice = [row(3, "blocked"), row(4), row(3)]
    book.tickets(3, 4)
    await takes(rig, {"kind": "tickets", "event": "e-1", "rows": twice}, book.cursor("k-2"))
    assert (rig.store.data.tickets, rig.store.data.fingerprint) == (4, book.fingerprint.hex())
    assert await rig.reason(3) == "admitted"


@pytest.mark.parametrize("where", [IN_USE, BUILDING])
async def test_what_belongs_to_no_event_that_is_known_is_refused_and_says_so(rig: Rig, book: Book, where: str) -> None:
    await has_a_list(rig, where, book)
    lines: list[Line] = [{"kind": "tickets", "event": "e-404", "rows": [row(7)]}]
    await takes(rig, *lines, {"kind": "cursor", "cursor": "k-2", "at": AT})
    assert await rig.reason(7) == "wrong_event"
    await takes(rig, {**PLAN[2], "event": "e-404"}, {"kind": "cursor", "cursor": "k-3", "at": AT})
    assert [await rig.reason(n) for n in (1, 7)] == ["event_not_open"] * 2


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
async def test_a_byte_order_mark_before_everything_is_passed_over(rig: Rig, book: Book, mark: bytes) -> None:
    await takes(rig, *everything(1))
    if mark.endswith(b"\n"):
        with pytest.raises(BadFeed, match=r"^feed line 1: not JSON"):
            await rig.puller.apply(Feed(chunks(mark + body(everything(2, "k-2", book)))))
        return
    await rig.puller.apply(Feed(chunks(mark + body(everything(2, "k-2", book)))))
    assert (rig.store.data.cursor, rig.store.data.fingerprint) == ("k-2", book.fingerprint.hex())


async def test_a_feed_with_line_ends_of_another_system_is_read(rig: Rig, book: Book) -> None:
    await rig.puller.apply(Feed(chunks(body(everything(2, "k-2", book)).replace(b"\n", b"\r\n"))))
    assert (rig.store.data.cursor, rig.store.data.fingerprint) == ("k-2", book.fingerprint.hex())


async def test_a_crm_that_does_not_notice_anothers_cursor_is_found_out_by_its_list(rig: Rig, book: Book) -> None:
    """It takes the cursor for one of its own, and sends what came after it in its own list."""
    rig.crm.answers(everything(3, book=book))
    theirs = Book()
    theirs.tickets(*range(20, 25))
    rig.crm.answers([theirs.tickets(25), theirs.cursor("k-1")], everything(6, "k-1", theirs))
    async with rig.running():
        await rig.until(lambda: rig.store.data.fingerprint == theirs.fingerprint.hex())
    assert rig.crm.asked[:3] == [None, "k-1", None]


async def test_a_mismatch_is_a_bad_feed_that_names_both_sides(rig: Rig, book: Book) -> None:
    await takes(rig, *everything(2, book=book))
    with pytest.raises(Mismatch, match=r"^the ticket list here \(2, [0-9a-f]{32}\) is not the CRM's \(5, "):
        await takes(rig, book.cursor("k-2", tickets=5))


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
async def test_a_crm_whose_clock_shows_no_present_time_is_not_believed(rig: Rig, time: str) -> None:
    """A box without a clock of its own would take it over, and could then count no further."""
    rig.crm.on_beat = lambda: web.json_response({"time": time})
    rig.sleeper.naps = 0
    async with rig.running("heartbeat"):
        await rig.until(lambda: bool(rig.sleeper.delays))
    assert rig.host.heard == []
    with pytest.raises(ValidationError, match="lies between 2020 and 2100; set the CRM's clock"):
        HeartbeatAnswer.model_validate({"time": time})


def test_a_count_beyond_all_tickets_is_none() -> None:
    """By which a rate would be divided, for those who watch a list come."""
    with pytest.raises(ValidationError, match="less than or equal to 1000000000000"):
        FingerprintModel.model_validate({"count": 10**400, "fingerprint": "0" * 32})


# --- whatever comes -------------------------------------------------------------------------------------------------

SEEDS = [
    json.dumps(line, ensure_ascii=False).encode() for line in (Book().tickets(1, 2), with_row(6, "Ада \U0001f39f"))
]
SEEDS += [each for line, _ in BAD.values() if len(each := body([line]).strip()) < 4000]
SEEDS += [body([line]).strip() for lines in ODD.values() for line in lines]
SEEDS = [seed for seed in SEEDS if seed.startswith((b'{"kind": "tickets"', b'{"kind":"tickets"'))]
BITS = [
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xef\xbb\xbf",
    b",",
    b"null",
    b"[",
    b"]",
    b"}",
    b"-1",
    b"1e999",
    b"NaN",
]
BITS += [b"9" * 400, b'"event":"e-2",', b'"x":1,', b'"kind":"tickets",', b"\t", b"\r", b" ", b"x" * 210, b"T", b"Z"]


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A line of tickets into which something was put, or out of which something was taken."""
    line = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(line)))
        end = min(len(line), start + draw(st.integers(0, 6)))
        line = line[:start] + draw(st.sampled_from(BITS)) + line[end:]
    return line.replace(b"\n", b" ")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(mangled(), min_size=30, max_size=120))
async def test_the_building_process_takes_no_line_that_the_models_would_not(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    """And those that it takes by itself it takes as they would."""
    folder = tmp_path_factory.mktemp("lists")
    handed, unknown = list[bytes](), 0
    async with open_builder(folder / "built.db", "identity") as builder:
        async for line in builder.lines(chunks(body([line for line in lines if line.strip()]), b'{"kind":"end"}\n')):
            if line == b'{"kind":"end"}':
                await builder.session.commit("k-1", NOW)
            handed.append(line)
        unknown = builder.unknown
        await builder.close()
    async with whitelist_session(folder / "read.db") as session:
        for line in lines:
            if line in handed or not line.strip():
                continue
            read = parse_line(line, 2)
            assert isinstance(read, TicketsLine)
            await apply_change(session, read)
            unknown -= read.unknown_fields()
        await session.commit("k-1", NOW)
    assert unknown == 0
    assert held(folder / "built.db") == held(folder / "read.db")
