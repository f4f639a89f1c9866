"""A whole list that is pushed: cut, held, and kept the same on both sides."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from sync.push import Differs, Elsewhere, Outcome, PushSink, WholeListWanted
from tests.sync.book import Book, Line, everything, packed
from tests.sync.pusher import CRM, Pusher, body, cut, shown
from tests.sync.rig import START, Rig


@pytest.fixture
def pusher(rig: Rig) -> Pusher:
    return Pusher(rig)


def in_parts(book: Book, parts: int, each: int = 2) -> list[Line]:
    """A whole list with a cursor after every part."""
    lines = everything(0, book=book)[:-1]
    for part in range(parts):
        first = part * each + 1
        lines += [book.tickets(*range(first, first + each)), book.cursor(f"p-{part + 1}", more=part < parts - 1)]
    return lines


async def test_a_cut_list_is_gone_on_with_from_its_last_cursor(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(5))
    lines = in_parts(book, 3)
    with pytest.raises(ConnectionResetError):
        await pusher.sink.apply(cut(packed(lines)[:-300]), CRM)
    assert rig.store.data.cursor == "k-1"
    assert rig.health.error == "the last push was cut before its end"
    assert rig.health.progress is not None
    assert rig.health.progress.per_s == 0
    stands = (await pusher.sends([])).standing
    assert (stands.cursor, stands.tickets) == ("p-2", 5)

    outcome = await pusher.is_refused([Book().tickets(9), Book().cursor("k-2")])
    assert isinstance(outcome.refusal, Elsewhere), "a short list must not take its place by a change that follows"
    assert "since: missing" in str(outcome.refusal)
    assert isinstance((await pusher.is_refused(lines[-2:], "p-1")).refusal, Elsewhere)
    assert await rig.reason(5) == "admitted"

    outcome = await pusher.sends(lines[-2:], "p-2")
    assert (outcome.standing.cursor, outcome.standing.tickets) == ("p-3", 6)
    assert shown(rig) == ("connected", None, None)


async def test_a_cut_list_is_begun_anew_from_its_reset(pusher: Pusher, book: Book) -> None:
    lines = in_parts(book, 3)
    with pytest.raises(ConnectionResetError):
        await pusher.sink.apply(cut(packed(lines)[:-300]), CRM)
    assert (await pusher.sends(everything(4))).standing.tickets == 4


async def test_a_list_cut_before_its_first_cursor_is_forgotten(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(2, book=book))
    with pytest.raises(ConnectionResetError):
        await pusher.sink.apply(cut(packed(everything(50, "k-2"))[:-600]), CRM)
    outcome = await pusher.sends([book.tickets(3), book.cursor("k-2")])
    assert (outcome.standing.cursor, outcome.standing.tickets) == ("k-2", 3)
    assert not rig.puller.is_building()


async def test_a_list_may_be_pushed_in_several_requests(pusher: Pusher, book: Book) -> None:
    lines = in_parts(book, 3)
    assert (await pusher.sends(lines[:-4])).standing.cursor == "p-1"
    assert (await pusher.sends(lines[-4:-2], "p-1")).standing.tickets == 0
    assert (await pusher.sends(lines[-2:], "p-2")).standing.tickets == 6


async def test_changes_to_a_gate_without_a_list_are_refused(rig: Rig, pusher: Pusher, book: Book) -> None:
    outcome = await pusher.is_refused([book.tickets(1), book.cursor("k-9")])
    assert isinstance(outcome.refusal, WholeListWanted)
    assert outcome.standing.cursor is None
    assert await rig.reason(1) == "unknown_ticket"


async def test_a_new_list_that_does_not_add_up_is_given_up(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(2, book=book))
    outcome = await pusher.is_refused([*everything(3, "k-2")[:-1], Book().cursor("k-2", tickets=9)])
    assert isinstance(outcome.refusal, Differs)
    assert "is not the CRM's (9, " in str(outcome.refusal)
    assert "push the whole list anew" in str(outcome.refusal)
    assert (outcome.standing.cursor, outcome.standing.tickets, outcome.standing.wanted) == ("k-1", 2, None)
    assert rig.health.error is not None
    assert "is not the CRM's" in rig.health.error
    assert (await pusher.sends([book.tickets(3), book.cursor("k-2")])).standing.tickets == 3


async def test_a_list_in_use_that_is_not_the_crms_is_wanted_anew_until_it_comes(
    rig: Rig, pusher: Pusher, book: Book
) -> None:
    await pusher.sends(everything(2, book=book))
    mine = book.fingerprint.hex()
    outcome = await pusher.is_refused([book.cursor("k-2", fingerprint="f" * 32)])
    assert isinstance(outcome.refusal, Differs)
    assert mine in str(outcome.refusal)
    assert "f" * 32 in str(outcome.refusal)
    assert outcome.standing.wanted is not None

    outcome = await pusher.is_refused([book.tickets(1, state="cancelled"), book.cursor("k-3", fingerprint=None)])
    assert isinstance(outcome.refusal, WholeListWanted)
    assert outcome.standing.cursor == "k-3", "what is cancelled must not be let in meanwhile"
    assert await rig.reason(1) == "cancelled"
    assert rig.health.error is not None
    assert "push the whole list anew" in rig.health.error
    assert (await pusher.sends([])).standing.wanted is not None

    outcome = await pusher.sends(everything(2, "k-4"))
    assert outcome.standing.wanted is None
    assert rig.health.error is None
    assert await rig.reason(1) == "admitted"


class Ticks:
    """Lets the sink's job go so many rounds, each of a second that does not pass."""

    def __init__(self, rounds: int) -> None:
        self.left, self.done = rounds, asyncio.Event()

    async def __call__(self, _delay_s: float) -> None:
        self.left -= 1
        if self.left < 0:
            self.done.set()
            await asyncio.Event().wait()


async def test_a_cursor_that_agrees_again_takes_back_what_a_cursor_said(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(2, book=book))
    await pusher.is_refused([book.cursor("k-2", fingerprint="f" * 32)])
    outcome = await pusher.is_refused([book.cursor("k-3", fingerprint=None)])
    assert isinstance(outcome.refusal, WholeListWanted), "a count alone proves little"
    stands = (await pusher.sends([book.tickets(3), book.cursor("k-4")])).standing
    assert (stands.cursor, stands.wanted, shown(rig)[1]) == ("k-4", None, None)
    await pusher.restarts()
    assert (await pusher.sends([])).standing.wanted is None


async def test_a_held_list_that_agrees_says_nothing_of_the_one_in_use(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    await pusher.is_refused([Book().cursor("k-2")])
    assert (await pusher.sends(everything(2, "k-3"))).standing.held
    assert pusher.sink.wanted is not None


async def run_for(rig: Rig, rounds: int, *, on: bool = True) -> PushSink:
    ticks = Ticks(rounds)
    sink = PushSink(rig.puller, rig.store, sleep=ticks)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(sink.run(lambda: on))
        await ticks.done.wait()
        job.cancel()
    return sink


@pytest.mark.parametrize("on", [True, False])
async def test_a_row_changed_by_hand_is_found_and_the_whole_list_wanted(
    rig: Rig, pusher: Pusher, book: Book, on: bool
) -> None:
    await pusher.sends(everything(20, book=book))
    with closing(sqlite3.connect(rig.store.whitelist_path)) as db, db:
        db.execute("UPDATE ticket SET state = 'blocked' WHERE id = 'T-7'")
    sink = await run_for(rig, 256, on=on)
    if not on:  # it pulls, and has an audit of its own
        assert sink.wanted is None
        return
    assert rig.health.error is not None
    assert "tickets were changed in the list here, and not by the CRM, in 1 of 256 parts" in rig.health.error
    pusher.sink = sink
    with closing(sqlite3.connect(rig.store.whitelist_path)) as db:
        ((mine,),) = db.execute("SELECT value FROM meta WHERE key = 'fingerprint'")
    for agrees in (None, mine):
        outcome = await pusher.is_refused([book.cursor("k-2", tickets=None, fingerprint=agrees)])
        assert isinstance(outcome.refusal, WholeListWanted)
    await pusher.restarts()
    assert "in 1 of 256 parts" in str((await pusher.sends([])).standing.wanted)
    assert isinstance((await pusher.is_refused([book.cursor("k-2")])).refusal, Differs)
    outcome = await pusher.is_refused([book.cursor("k-2", tickets=None, fingerprint=mine)])
    assert isinstance(outcome.refusal, WholeListWanted), "what was counted is none the less so"
    sink = pusher.sink
    outcome = await sink.apply(body(packed(everything(20, "k-3"))), CRM)
    assert (outcome.refusal, outcome.standing.wanted, shown(rig)[1]) == (None, None, None)
    assert await rig.reason(7) == "admitted"


async def test_a_sound_list_is_not_complained_of(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(20))
    assert (await run_for(rig, 600)).wanted is None
    assert rig.health.error is None


async def test_what_was_found_in_a_list_that_was_replaced_is_no_fault_of_the_new_one(
    rig: Rig, pusher: Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pusher.sends(everything(50))
    with closing(sqlite3.connect(rig.store.whitelist_path)) as db, db:
        db.execute("DELETE FROM ticket WHERE id = 'T-7'")
    audit, pushes = rig.puller.audit, list[asyncio.Task[Outcome]]()

    async def audit_and_push(first: int) -> bool:
        """Have a new list come in between the part in which the row is missed and the others."""
        if await audit(first):
            return True
        begun = asyncio.Event()

        async def lines() -> AsyncIterator[bytes]:
            yield packed([{"kind": "reset"}])
            begun.set()
            yield packed(everything(50, "k-2")[1:])

        pushes.append(asyncio.create_task(pusher.sink.apply(lines(), CRM)))
        await begun.wait()
        return False

    monkeypatch.setattr(rig.puller, "audit", audit_and_push)
    sink = await run_for(rig, 256)
    assert [(await each).standing.cursor for each in pushes] == ["k-2"]
    assert sink.wanted is None
    assert rig.health.error is None


async def test_a_crm_that_falls_silent_is_shown_away_until_it_is_heard(rig: Rig, pusher: Pusher, book: Book) -> None:
    await run_for(rig, 1)
    assert shown(rig)[0] == "none", "nobody is missed who never came"
    await pusher.sends(everything(2, book=book))
    rig.health.heard_at = START.replace(minute=0, hour=17, second=0)
    await run_for(rig, 1)
    assert shown(rig)[0] == "away"
    assert "no scan read for 5 minutes" in str(rig.health.error)
    await pusher.reads(0)
    assert shown(rig) == ("connected", None, None)
