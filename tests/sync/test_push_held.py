"""What waits for a person, or for the CRM, in push mode: held lists, and what a restart must not forget."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from edge.store.whitelist_writer import WhitelistSession
from tests.sync.book import Book, everything, packed
from tests.sync.pusher import CRM, Pusher, body, cut, shown
from tests.sync.rig import Rig


@pytest.fixture
def pusher(rig: Rig) -> Pusher:
    return Pusher(rig)


async def says_yes(rig: Rig, pusher: Pusher) -> None:
    """A person accepts the list that is held, as the API does it."""
    assert rig.store.data.held is not None
    rig.accept.set()
    await pusher.sink.accept()


async def test_a_pushed_list_that_is_too_small_is_held_until_a_person_accepts(
    rig: Rig, pusher: Pusher, book: Book
) -> None:
    await pusher.sends(everything(5))
    stands = (await pusher.sends(everything(1, "k-2", book))).standing
    assert (stands.cursor, stands.tickets) == ("k-2", 5), "changes go on from the list that is held"
    assert "held back" in str(stands.held)
    assert (await pusher.sends([book.tickets(2, state="blocked"), book.cursor("k-3")])).standing.cursor == "k-3"
    await says_yes(rig, pusher)
    assert (rig.store.data.cursor, rig.store.data.tickets, rig.store.data.held) == ("k-3", 2, None)
    assert await rig.reason(2) == "blocked"


async def test_accepting_while_a_push_is_applied_waits_for_its_end(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(5))
    await pusher.sends(everything(1, "k-2", book))

    async def accepted_meanwhile() -> AsyncIterator[bytes]:
        yield packed([book.tickets(2)])
        await says_yes(rig, pusher)
        assert rig.store.data.tickets == 5
        yield packed([book.cursor("k-3")])

    outcome = await pusher.sink.apply(accepted_meanwhile(), CRM)
    assert (outcome.standing.cursor, outcome.standing.tickets, outcome.standing.held) == ("k-3", 2, None)


async def test_what_was_accepted_takes_its_place_when_the_push_breaks_off(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    await pusher.sends(everything(3, "k-2"))

    async def broken_off() -> AsyncIterator[bytes]:
        yield packed([{"kind": "x"}])
        await says_yes(rig, pusher)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await pusher.sink.apply(broken_off(), CRM)
    assert (rig.store.data.cursor, rig.store.data.held, rig.accept.is_set()) == ("k-2", None, False)
    assert (await pusher.sends(everything(1, "k-3"))).standing.held is not None


async def test_what_was_accepted_and_then_replaced_accepts_no_other(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    await pusher.sends(everything(3, "k-2"))

    async def replaced() -> AsyncIterator[bytes]:
        yield packed([{"kind": "x"}])
        await says_yes(rig, pusher)
        yield packed(everything(1, "k-3"))

    stands = (await pusher.sink.apply(replaced(), CRM)).standing
    assert (stands.tickets, stands.held is not None, rig.accept.is_set()) == (9, True, False)


async def test_what_was_accepted_and_then_given_up_accepts_no_other(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    await pusher.sends(everything(3, "k-2"))

    async def wrong() -> AsyncIterator[bytes]:
        yield packed([{"kind": "x"}])
        await says_yes(rig, pusher)
        yield packed([Book().cursor("k-3", tickets=4)])

    stands = (await pusher.sink.apply(wrong(), CRM)).standing
    assert (stands.cursor, stands.tickets, stands.held) == ("k-1", 9, None)
    assert (await pusher.sends(everything(1, "k-4"))).standing.held is not None


async def test_a_list_that_is_no_more_cannot_take_its_place(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    await pusher.sends(everything(3, "k-2"))
    rig.store.discard_building()
    await says_yes(rig, pusher)
    assert (rig.store.data.tickets, rig.store.data.held, rig.accept.is_set()) == (9, None, False)


async def test_a_list_is_accepted_between_two_parts_of_the_count(
    rig: Rig, pusher: Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pusher.sends(everything(9))
    await pusher.sends(everything(3, "k-2"))
    counted, promote, order = WhitelistSession.audit, rig.store.promote, list[str]()

    async def slow_count(session: WhitelistSession, first: int) -> bool:
        """Count while somebody accepts, who has every chance to be faster."""
        accepting.append(asyncio.create_task(says_yes(rig, pusher)))
        for _ in range(50):
            await rig.store.read(lambda tx: tx.head)
        order.append("counted")
        return await counted(session, first)

    async def promoted() -> None:
        order.append("promoted")
        await promote()

    accepting = list[asyncio.Task[None]]()
    monkeypatch.setattr(WhitelistSession, "audit", slow_count)
    monkeypatch.setattr(rig.store, "promote", promoted)
    assert await rig.puller.audit(0)
    await accepting[0]
    assert order == ["counted", "promoted"]
    assert (rig.store.data.cursor, rig.store.data.tickets) == ("k-2", 3)


# --- over a restart -------------------------------------------------------------------------------------------------


async def test_a_held_list_is_held_still_and_can_be_accepted(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(9))
    held = (await pusher.sends(everything(3, "k-2", book))).standing.held
    await pusher.restarts()
    assert rig.store.data.held == held
    assert shown(rig)[1] is None
    assert (await pusher.sends([book.tickets(4), book.cursor("k-3")])).standing.held is not None
    await pusher.restarts()
    await says_yes(rig, pusher)
    assert (rig.store.data.cursor, rig.store.data.tickets, rig.store.data.held) == ("k-3", 4, None)


async def test_a_list_that_had_ended_takes_its_place_if_nothing_is_in_doubt_any_more(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    await pusher.sends(everything(3, "k-2"))
    async with rig.store.session(building=False) as session:
        await session.delete_entities("checkpoint", ["c-1"])
        await session.commit("k-1", None)
    await pusher.restarts()
    assert (rig.store.data.cursor, rig.store.data.tickets, rig.store.data.held) == ("k-2", 3, None)


async def test_a_list_of_which_the_gate_ended_before_it_was_compared_is_compared(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    await pusher.sends(everything(3, "k-2"))
    with closing(sqlite3.connect(rig.store.building_path)) as db, db:
        db.execute("UPDATE meta SET value = '[4, null]' WHERE key = 'ended'")
    await pusher.restarts()
    assert (rig.store.data.held, rig.puller.is_building()) == (None, False)
    assert "is not the CRM's (4, None)" in str(rig.health.error)
    assert (await pusher.sends([])).standing.cursor == "k-1"


async def test_a_list_that_was_not_ended_is_told_of_and_not_used(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(2))
    lines = [*everything(0, book=book)[:-1], book.tickets(1, 2), book.cursor("p-1", more=True), book.tickets(3)]
    with pytest.raises(ConnectionResetError):
        await pusher.sink.apply(cut(packed(lines)), CRM)
    await pusher.restarts()
    assert (rig.store.data.cursor, rig.store.data.held) == ("k-1", None)
    assert "a whole list was begun and not ended" in str(rig.health.error)


async def test_a_list_in_use_that_is_not_the_crms_is_wanted_anew_still(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(2, book=book))
    await pusher.is_refused([book.cursor("k-2", fingerprint="f" * 32)])
    told = pusher.sink.wanted
    await pusher.restarts()
    assert told is not None
    assert (rig.health.error, (await pusher.sends([])).standing.wanted) == (told, told)
    await pusher.sends(everything(2, "k-3"))
    await pusher.restarts()
    assert ((await pusher.sends([])).standing.wanted, rig.health.error) == (None, None)


async def test_a_gate_starts_although_the_list_that_was_built_cannot_be_read(
    rig: Rig, pusher: Pusher, caplog: pytest.LogCaptureFixture
) -> None:
    await pusher.sends(everything(2))
    rig.store.building_path.mkdir()  # no file at all
    await pusher.restarts()
    assert "cannot be looked at" in caplog.text
    rig.store.building_path.rmdir()
    outcome = await pusher.sink.apply(body(packed(everything(3, "k-2"))), CRM)
    assert (outcome.refusal, outcome.standing.tickets) == (None, 3)
