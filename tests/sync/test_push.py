"""Push mode: a CRM on the same network sends the same lines to the device."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from edge.store.outbox import Conflict
from sync.host import MOST_SCANS
from sync.push import Busy, PushSink
from sync.push_body import PacedBody, TooSlow
from tests.sync.book import AT, Book, Line, everything, packed
from tests.sync.pusher import CRM, PHONE, Pusher, body, shown
from tests.sync.rig import Rig


@pytest.fixture
def pusher(rig: Rig) -> Pusher:
    return Pusher(rig)


async def test_a_mark_of_byte_order_before_the_reset_is_none_of_it(pusher: Pusher) -> None:
    outcome = await pusher.sink.apply(body(b"\xef\xbb\xbf" + packed(everything(3))), CRM)
    assert (outcome.refusal, outcome.standing.tickets) == (None, 3)


@pytest.mark.parametrize("size", [1, 7, 50, 100_000])
async def test_a_pushed_list_is_judged_by(rig: Rig, pusher: Pusher, book: Book, size: int) -> None:
    outcome = await pusher.sends(everything(3, book=book), size=size)
    stands = outcome.standing
    assert (outcome.lines, stands.cursor, stands.tickets, stands.fingerprint) == (6, "k-1", 3, book.fingerprint.hex())
    assert (stands.held, stands.wanted) == (None, None)
    assert await rig.reason(3) == "admitted"
    assert shown(rig) == ("connected", None, None)
    assert rig.health.heard_at is not None
    assert rig.health.note == "changes are pushed here by 192.0.2.7"


async def test_pushed_changes_are_applied_to_the_list_in_use(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(3, book=book))
    for since in (None, "k-2"):
        outcome = await pusher.sends([book.tickets(2, state="blocked"), book.cursor("k-2")], since)
        assert (outcome.standing.cursor, outcome.standing.tickets) == ("k-2", 3)
    assert await rig.reason(2) == "blocked"


async def test_a_bad_push_names_line_and_field_and_keeps_what_a_cursor_closed(rig: Rig, pusher: Pusher) -> None:
    book = Book()
    await pusher.sends(everything(2, book=book))
    good = [book.tickets(3), book.cursor("k-2")]
    bad = Book().tickets(4)
    bad["rows"][0][3] = "gone"
    outcome = await pusher.is_refused([*good, bad, Book().cursor("k-3")])
    assert "feed line 3: tickets.rows.0.3: " in str(outcome.refusal)
    assert (outcome.standing.cursor, outcome.standing.tickets) == ("k-2", 3)
    assert rig.health.error is not None
    assert "feed line 3" in rig.health.error
    assert await rig.reason(4) == "unknown_ticket"
    await pusher.sends([book.tickets(4), book.cursor("k-3")], "k-2")
    assert rig.health.error is None


async def test_a_push_without_its_cursor_changes_nothing(pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(2, book=book))
    outcome = await pusher.sends([Book().tickets(3)])
    assert (outcome.standing.cursor, outcome.standing.tickets) == ("k-1", 2)


@pytest.mark.parametrize("blank", [b"", b"\n", b" \n\n"])
async def test_an_empty_push_asks_where_the_list_stands(pusher: Pusher, blank: bytes) -> None:
    await pusher.sends(everything(2))
    outcome = await pusher.sink.apply(body(blank), PHONE)
    assert (outcome.lines, outcome.refusal, outcome.standing.cursor) == (0, None, "k-1")


async def test_asking_where_the_list_stands_hides_no_trouble(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(2))
    await pusher.is_refused([{"id": "x"}])
    told = rig.health.error
    assert "what was pushed was refused" in str(told)
    await pusher.sends([], by=PHONE)
    assert rig.health.error == told


async def test_a_body_that_ends_within_a_line_is_refused_with_the_mend(pusher: Pusher) -> None:
    await pusher.sends(everything(2))
    outcome = await pusher.sink.apply(body(packed([Book().cursor("k-2")])[:-1]), CRM)
    assert str(outcome.refusal).endswith("each line ends with a line feed, the last one too")
    assert outcome.standing.cursor == "k-1"


async def test_blank_lines_without_end_are_refused(rig: Rig, pusher: Pusher) -> None:
    outcome = await pusher.sink.apply(body(b"\n" * 10_000), CRM)
    assert "feed line 1: blank" in str(outcome.refusal)


@pytest.mark.parametrize("garbage", [b"<html>login</html>\n", b"\x00" * 9000, b'{"kind": "reset"', b"[]\n", b"9\n"])
async def test_garbage_is_refused_and_touches_nothing(rig: Rig, pusher: Pusher, garbage: bytes) -> None:
    await pusher.sends(everything(2))
    outcome = await pusher.sink.apply(body(garbage), CRM)
    assert outcome.refusal is not None
    assert (outcome.standing.cursor, outcome.standing.tickets) == ("k-1", 2)
    await pusher.sends([])
    assert not rig.puller.is_building()


async def test_a_line_longer_than_any_is_refused_before_it_fills_the_memory(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(2))
    drawn = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal drawn
        yield b'{"kind":"tickets","event":"'
        while True:
            drawn += 65536
            yield b"x" * 65536

    outcome = await pusher.sink.apply(endless(), CRM)
    assert "a feed line is longer than 4194304 bytes" in str(outcome.refusal)
    assert drawn < 5 * 1024 * 1024


async def test_a_second_push_at_once_is_told_to_wait(pusher: Pusher) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def held_back() -> AsyncIterator[bytes]:
        lines = packed(everything(2))
        yield lines[:100]
        begun.set()
        await go_on.wait()
        yield lines[100:]

    async with asyncio.TaskGroup() as group:
        first = group.create_task(pusher.sink.apply(held_back(), CRM))
        await begun.wait()
        with pytest.raises(Busy, match="send this one again"):
            await pusher.sink.apply(body(packed(everything(9))), PHONE)
        go_on.set()
    assert first.result().standing.tickets == 2
    await pusher.sends([])


async def test_a_sender_that_has_gone_lets_the_next_one_in(rig: Rig, book: Book) -> None:
    sink = PushSink(rig.puller, rig.store, patience_s=0.001)

    async def stalls() -> AsyncIterator[bytes]:
        yield packed([{"kind": "reset"}])
        await asyncio.Event().wait()

    outcome = await sink.apply(stalls(), CRM)
    assert isinstance(outcome.refusal, TooSlow)
    assert str(outcome.refusal).startswith("body: ")
    patient = PushSink(rig.puller, rig.store)
    assert (await patient.apply(body(packed(everything(2, book=book))), CRM)).refusal is None


class Trickle:
    """A sender of `size` bytes every `every_s` seconds, by the clock that it moves."""

    def __init__(self, size: int, every_s: float) -> None:
        self.size, self.every_s, self.now_s, self.sent = size, every_s, 0.0, 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.now_s > 3600:
            raise StopAsyncIteration
        self.now_s += self.every_s
        self.sent += self.size
        return b"x" * self.size

    def clock(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("size", "every_s"), [(1, 1.0), (1, 29.0), (500, 1.0)])
async def test_a_trickle_is_given_up_within_a_minute_or_so(size: int, every_s: float) -> None:
    source = Trickle(size, every_s)
    paced = PacedBody(source, 30.0, source.clock)
    with pytest.raises(TooSlow, match=r"body: less than 32768 bytes came in 60 s"):
        while True:
            await anext(paced)
    assert source.now_s <= 90


async def test_a_slow_network_is_fast_enough() -> None:
    source = Trickle(8000, 1.0)
    paced = PacedBody(source, 30.0, source.clock)
    assert sum([len(chunk) async for chunk in paced]) == source.sent


async def test_what_was_sent_fast_is_no_leave_to_dawdle_later() -> None:
    source = Trickle(50_000_000, 1.0)
    paced = PacedBody(source, 30.0, source.clock)
    await anext(paced)
    source.size = 1
    with pytest.raises(TooSlow):
        while True:
            await anext(paced)
    assert source.now_s <= 130


async def test_the_time_that_the_gate_takes_is_not_the_senders() -> None:
    source = Trickle(1000, 0.1)
    paced = PacedBody(source, 30.0, source.clock)
    for _ in range(100):
        await anext(paced)
        source.now_s += 29.0


async def test_admissions_at_other_gates_count_and_are_taken_back(rig: Rig, pusher: Pusher, book: Book) -> None:
    there = {"kind": "admissions", "rows": [["s-9", "T-1", "c-1", "entry", AT, "d-2"]]}
    lines = everything(2, book=book)
    await pusher.sends([*lines[:-1], there, lines[-1]])
    refused = await rig.offer(1)
    assert (refused.scan.reason, await rig.reason(2)) == ("already_used", "admitted")
    await pusher.sends([{"kind": "delete", "of": "admissions", "ids": ["s-9"]}, book.cursor("k-2")])
    assert await rig.reason(1) == "admitted"


async def test_long_conflicts_are_kept_one_by_one_and_cut(
    rig: Rig, pusher: Pusher, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = list[list[Conflict]]()
    monkeypatch.setattr(rig.host, "conflicts_shown", shown.append)
    long = [conflict(number) for number in range(3)]
    for line in long:
        line["scans"] = line["scans"] * 1000
    await pusher.sends(everything(2, book=book))
    await pusher.sends([*long, book.cursor("k-2")])
    assert [[len(each.body["scans"]) for each in part] for part in shown] == [[MOST_SCANS]] * 3


def conflict(number: int) -> Line:
    both = [{"scan_id": f"s-{number}-{n}", "device": f"d-{n}", "checkpoint": "c-1", "at": AT} for n in (1, 2)]
    return {"kind": "conflict", "scan_id": f"s-{number}", "ticket_id": f"T-{number}", "event": "e-1", "scans": both}


async def test_conflicts_are_shown_and_kept_once(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(2, book=book))
    for _ in range(2):
        await pusher.sends([*map(conflict, range(1200)), book.cursor("k-2")])
    assert len(rig.host.shown) == 1200
    assert (await rig.store.backlog()).conflicts == 1200


async def test_conflicts_are_kept_before_the_cursor_after_which_they_do_not_come_again(
    rig: Rig, pusher: Pusher, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = list[str]()

    def note_cursor(_: object) -> None:
        with closing(sqlite3.connect(rig.store.whitelist_path)) as db:
            at.extend(text for (text,) in db.execute("SELECT value FROM meta WHERE key = 'cursor'"))

    monkeypatch.setattr(rig.host, "conflicts_shown", note_cursor)
    await pusher.sends(everything(2, book=book))
    await pusher.sends([conflict(1), book.cursor("k-2", more=True), conflict(2), book.cursor("k-3")])
    assert at == ["k-1", "k-2"]
