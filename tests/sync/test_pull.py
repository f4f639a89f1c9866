"""The change feed in: what becomes visible, when, and how a broken one is gone on from."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from aiohttp import web

from sync.cutting import MAX_LINE_BYTES
from sync.state import Pace, Progress
from tests.sync.book import PLAN, Book, everything, packed
from tests.sync.rig import CUT, Feed, Rig


async def test_a_list_is_pulled_and_judged_by(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(3, book=book))
    async with rig.running():
        await rig.until_asked(2)
    assert rig.crm.asked == [None, "k-1"]
    assert (rig.store.data.tickets, rig.store.data.fingerprint) == (3, book.fingerprint.hex())
    assert rig.health.state == "connected"
    assert [await rig.reason(3), await rig.reason(4)] == ["admitted", "unknown_ticket"]


async def test_changes_are_applied_to_the_list_in_use(rig: Rig, book: Book) -> None:
    rig.crm.answers(
        everything(3, book=book),
        [book.tickets(1, state="cancelled"), book.delete(2), book.tickets(4), book.cursor("k-2")],
    )
    async with rig.running():
        await rig.until_at("k-2")
    assert [await rig.reason(n) for n in (1, 2, 3, 4)] == ["cancelled", "unknown_ticket", "admitted", "admitted"]
    assert rig.store.data.tickets == 3


async def test_a_feed_cut_inside_a_line_goes_on_from_its_last_cursor(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(2, book=book))
    part = [book.tickets(3), book.cursor("k-2", more=True)]
    rest = packed([book.tickets(4), book.cursor("k-3")])
    rig.crm.answers([*part, rest[: len(rest) // 4]], [rest])
    async with rig.running():
        await rig.until_asked(3)
        await rig.until_at("k-3")
    assert rig.crm.asked[:3] == [None, "k-1", "k-2"]
    assert rig.store.data.fingerprint == book.fingerprint.hex()


async def test_nothing_is_half_applied(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(2, book=book))
    rig.crm.answers([Book().tickets(1, state="blocked"), Book().tickets(9), CUT])
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
        assert rig.health.state == "away"
        assert [await rig.reason(1), await rig.reason(9)] == ["admitted", "unknown_ticket"]
    assert (rig.store.data.cursor, rig.store.data.fingerprint) == ("k-1", book.fingerprint.hex())


async def test_a_cut_snapshot_goes_on_from_its_own_cursor(rig: Rig, book: Book) -> None:
    first = [{"kind": "reset"}, *PLAN, book.tickets(1, 2), book.cursor("s-1", more=True)]
    rig.crm.answers([*first, packed([book.tickets(3)])[:40], CUT], [book.tickets(3, 4), book.cursor("k-1")])
    async with rig.running():
        await rig.until_at("k-1")
    assert rig.crm.asked[:2] == [None, "s-1"]
    assert rig.store.data.tickets == 4
    assert await rig.reason(1) == "admitted"


async def test_a_cut_before_the_first_cursor_begins_again(rig: Rig, book: Book) -> None:
    rig.crm.answers([{"kind": "reset"}, *PLAN, Book().tickets(7, 8), CUT], everything(2, book=book))
    async with rig.running():
        await rig.until_at("k-1")
    assert rig.crm.asked[:2] == [None, None]
    assert rig.store.data.fingerprint == book.fingerprint.hex()


async def test_a_snapshot_takes_its_place_in_one_step(rig: Rig, book: Book) -> None:
    rest = asyncio.Event()
    rig.crm.answers(everything(2, book=book))
    old = book.fingerprint.hex()
    book.rows.clear()
    rig.crm.answers(
        [
            {"kind": "reset"},
            *PLAN,
            book.tickets(2, 3, 4),
            book.cursor("s-1", more=True),
            rest,
            book.tickets(5),
            book.cursor("k-9"),
        ]
    )
    async with rig.running():
        await rig.until(lambda: rig.health.progress is not None and rig.health.progress.tickets == 3)
        assert (rig.store.data.cursor, rig.store.data.fingerprint) == ("k-1", old)
        assert [await rig.reason(1), await rig.reason(3)] == ["admitted", "unknown_ticket"]
        rest.set()
        await rig.until_at("k-9")
        assert not rig.puller.is_building()
        assert [await rig.reason(1), await rig.reason(3)] == ["unknown_ticket", "admitted"]
    assert rig.health.progress is None
    assert rig.store.data.fingerprint == book.fingerprint.hex()


async def test_unknown_kinds_and_fields_are_counted_and_change_nothing(rig: Rig, book: Book) -> None:
    feed = everything(2, book=book)
    feed.insert(1, {"kind": "weather", "rain": True})
    feed[-1] = {**feed[-1], "mood": "good", "colour": "red"}
    rig.crm.answers(feed)
    async with rig.running():
        await rig.until_at("k-1")
    assert rig.health.unknown == 3
    assert rig.store.data.tickets == 2


async def test_a_bad_line_is_shown_and_the_list_in_use_stays(rig: Rig, book: Book) -> None:
    bad = Book().tickets(1, 2, 3)
    bad["rows"][2] = bad["rows"][2][:5]
    rig.crm.answers(everything(2, book=book), [Book().tickets(9), bad, Book().cursor("k-2")])
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
        assert rig.health.error == "feed line 2: tickets.rows.2.5: missing; the Gate API requires it"
        assert await rig.reason(9) == "unknown_ticket"
    assert rig.store.data.cursor == "k-1"


async def test_a_line_too_long_is_refused(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(1, book=book), [b"x" * (MAX_LINE_BYTES + 70_000)])
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
    assert rig.health.error is not None
    assert "longer than" in rig.health.error
    assert rig.store.data.cursor == "k-1"


async def test_gzip_answers_are_read(rig: Rig, book: Book) -> None:
    rig.crm.gzip = True
    rig.crm.answers(everything(900, book=book))
    async with rig.running():
        await rig.until_at("k-1")
    assert "gzip" in rig.crm.encodings[0]
    assert rig.store.data.fingerprint == book.fingerprint.hex()


async def test_a_gzip_answer_that_is_cut_is_only_a_cut(rig: Rig, book: Book) -> None:
    rig.crm.gzip = True
    rig.crm.answers([*everything(50), CUT], everything(3, book=book))
    async with rig.running():
        await rig.until(lambda: rig.store.data.fingerprint == book.fingerprint.hex() and len(rig.crm.asked) > 1)
    assert rig.store.data.tickets == 3


async def test_another_fingerprint_has_the_list_pulled_anew(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(3, book=book), [book.tickets(4), book.cursor("k-2", fingerprint="0" * 32)])
    rig.crm.answers(everything(4, "k-3", book))
    async with rig.running():
        await rig.until(lambda: rig.health.error is not None)
        assert "is not the CRM's" in str(rig.health.error)
        assert rig.health.state == "connected"
        await rig.until_at("k-3")
    assert rig.crm.asked[:3] == [None, "k-1", None]
    assert rig.store.data.fingerprint == book.fingerprint.hex()


async def test_a_snapshot_with_another_count_never_takes_its_place(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(3, book=book), [*everything(2, "k-8")[:-1], Book().cursor("k-8", tickets=3)])
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
    assert (rig.store.data.cursor, rig.store.data.tickets) == ("k-1", 3)


async def test_a_cursor_too_old_has_the_list_pulled_anew(rig: Rig, book: Book) -> None:
    gone = web.json_response({"error": {"code": "cursor_expired", "message": "too old"}}, status=410)
    rig.crm.answers(everything(3, book=book), gone, everything(2, "k-7", book))
    async with rig.running():
        await rig.until_at("k-7")
    assert rig.crm.asked[:3] == [None, "k-1", None]
    assert rig.store.data.tickets == 2


async def test_a_reopened_gate_goes_on_from_its_cursor(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(3, book=book))
    async with rig.running():
        await rig.until_asked(2)
    async with rig.running():
        await rig.until_asked(3)
    assert rig.crm.asked == [None, "k-1", "k-1"]


async def test_admissions_elsewhere_count_here(rig: Rig, book: Book) -> None:
    elsewhere = {"kind": "admissions", "rows": [["s-9", "T-1", "c-1", "entry", "2026-05-01T17:59:00Z", "d-2"]]}
    rig.crm.answers(everything(2, book=book), [elsewhere, book.cursor("k-2")])
    async with rig.running():
        await rig.until_asked(3)  # and held: what is put into the script now is for the next request
        assert await rig.reason(1) == "already_used"
        rig.crm.answers([{"kind": "delete", "of": "admissions", "ids": ["s-9"]}, book.cursor("k-3")])
        rig.sync_now.set()
        await rig.until_at("k-3")
        assert await rig.reason(1) == "admitted"


@pytest.mark.parametrize(
    ("total", "count", "now_s", "told"),
    [
        (None, 300, 20.0, Progress(300, None, 20.0, None)),
        (1000, 300, 20.0, Progress(300, 1000, 20.0, 35.0)),
        (1000, 100, 20.0, Progress(100, 1000, 0.0, None)),
        (1000, 1000, 20.0, Progress(1000, 1000, 90.0, 0.0)),
        (200, 300, 20.0, Progress(300, 200, 20.0, 0.0)),
    ],
)
def test_progress_is_told_with_its_rate_and_the_time_left(
    total: int | None, count: int, now_s: float, told: Progress
) -> None:
    """A list that was gone on from at 100 tickets, ten seconds ago."""
    assert Pace(total, had=100, began_s=10.0).at(count, now_s) == told


async def test_a_reset_after_the_last_cursor_puts_no_empty_list_in_place(rig: Rig, book: Book) -> None:
    closed = {**PLAN[0], "status": "completed"}
    first = everything(2, book=book)
    rig.crm.answers([*first[:-1], closed, first[-1]], [*everything(2, "k-2"), {"kind": "reset"}])
    async with rig.running():
        await rig.until_asked(3)
        assert (rig.store.data.cursor, rig.store.data.tickets) == ("k-1", 2)


async def test_the_rate_is_that_of_the_list_that_is_begun_anew(rig: Rig, book: Book) -> None:
    hold = asyncio.Event()
    again: Feed = [{"kind": "reset"}, *PLAN, book.tickets(1), book.cursor("n-1", more=True), hold]
    rig.crm.answers([{"kind": "reset"}, *PLAN, Book().tickets(1, 2, 3), book.cursor("s-1", more=True), CUT], again)
    async with rig.running():
        await rig.until(lambda: rig.health.progress is not None and rig.health.progress.tickets == 1)
        assert rig.health.progress is not None
        assert rig.health.progress.per_s > 0
        hold.set()


@pytest.mark.parametrize("how", ["header", "page", "later"])
async def test_an_unfinished_list_that_is_damaged_is_begun_anew(rig: Rig, book: Book, how: str) -> None:
    path = rig.store.building_path
    numbers = range(1, 1001)
    rig.crm.answers([{"kind": "reset"}, *PLAN, Book().tickets(*numbers), book.cursor("s-1", more=True), CUT])
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
    match how:
        case "header":
            path.write_bytes(b"no database" * 1000)
        case "page":  # which only the process meets that builds the list
            content = path.read_bytes()
            path.write_bytes(content[: 15 * 4096] + b"\xff" * (len(content) - 15 * 4096))
            rig.crm.answers([book.tickets(*numbers), book.cursor("s-2")])
        case _:
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA user_version=99")
    rig.crm.answers(everything(2, "k-1", book))
    rig.sleeper.naps = 50
    async with rig.running():
        await rig.until_at("k-1")
        await rig.until_asked(4 if how == "page" else 3)
    assert rig.crm.asked == [None, *(["s-1"] if how == "page" else []), None, "k-1"]


async def test_a_disk_that_takes_no_list_is_said_and_the_crm_not_asked_without_pause(rig: Rig) -> None:
    rig.store.building_path.mkdir()
    rig.sleeper.naps = 3
    async with rig.running():
        await rig.until(lambda: len(rig.sleeper.delays) == 4)
    assert rig.health.error == (
        "what the CRM sends cannot be kept: unable to open database file; see what the box is short of"
    )
    assert rig.sleeper.delays[3] > 3.9
