"""A new list that is suspiciously small waits for a person while a checkpoint is open; and asking now means now."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from aiohttp import web

from tests.sync.book import PLAN, Book, everything
from tests.sync.rig import CUT, Feed, Rig


async def hold(rig: Rig, count: int = 1) -> None:
    """Get a list of four held back by one that is less than half as long, and the next request held by the CRM."""
    rig.crm.answers(everything(4), everything(count, "k-2"))
    await rig.until_asked(3)
    assert rig.store.data.held is not None


@pytest.mark.parametrize("count", [0, 1])
async def test_a_list_less_than_half_as_long_is_held_back(rig: Rig, count: int) -> None:
    async with rig.running():
        await hold(rig, count)
        assert rig.store.data.held == (
            f"a new list of {count} tickets is held back, since the one in use has 4 and a checkpoint is open;"
            " run brama sync accept if that is right"
        )
        assert (rig.store.data.cursor, await rig.reason(4)) == ("k-1", "admitted")


async def test_a_list_half_as_long_is_taken(rig: Rig) -> None:
    rig.crm.answers(everything(4), everything(2, "k-2"))
    async with rig.running():
        await rig.until_at("k-2")
    assert (rig.store.data.tickets, rig.store.data.held) == (2, None)


@pytest.mark.parametrize(
    "plan",
    [
        {**PLAN[0], "status": "completed"},
        {**PLAN[2], "hours": []},
        {**PLAN[2], "hours": [{"opens_at": "2026-05-02T18:00:00Z", "closes_at": "2026-05-02T19:00:00Z"}]},
    ],
)
async def test_with_no_checkpoint_open_nothing_is_held(rig: Rig, plan: dict[str, Any]) -> None:
    first = everything(4)
    rig.crm.answers([*first[:-1], plan, first[-1]], everything(0, "k-2"))
    async with rig.running():
        await rig.until_at("k-2")
    assert rig.store.data.tickets == 0


async def test_an_accepted_list_takes_its_place(rig: Rig) -> None:
    async with rig.running():
        await hold(rig)
        rig.accept.set()
        await rig.until_at("k-2")
        assert (rig.store.data.held, await rig.reason(4)) == (None, "unknown_ticket")
        await rig.until_asked(4)
    assert rig.crm.asked == [None, "k-1", "k-2", "k-2"]
    assert not rig.accept.is_set()


async def test_a_list_is_accepted_at_once_with_the_crm_away(rig: Rig) -> None:
    rig.sleeper.naps = 0
    async with rig.running():
        rig.crm.answers(everything(4), everything(1, "k-2"), [CUT])
        await rig.until(lambda: bool(rig.sleeper.delays))
        assert rig.store.data.held
        rig.accept.set()
        await rig.until_at("k-2")
    assert rig.store.data.held is None


async def test_an_acceptance_is_for_one_list_only(rig: Rig) -> None:
    async with rig.running():
        await hold(rig)
        rig.accept.set()
        await rig.until_asked(4)
        rig.crm.answers(everything(4, "k-3"), everything(1, "k-4"))
        rig.sync_now.set()
        await rig.until(lambda: rig.store.data.held is not None)
    assert rig.store.data.cursor == "k-3"


async def test_an_acceptance_with_nothing_held_is_forgotten(rig: Rig) -> None:
    rig.crm.answers(everything(4))
    async with rig.running():
        await rig.until_asked(2)
        rig.accept.set()
        await rig.until_asked(3)
        rig.crm.answers(everything(1, "k-2"))
        rig.sync_now.set()
        await rig.until(lambda: rig.store.data.held is not None)


async def test_a_held_list_that_grows_takes_its_place_by_itself(rig: Rig) -> None:
    book = Book()
    rig.crm.answers(everything(4), everything(1, "k-2", book), [book.tickets(2, 3), book.cursor("k-3")])
    async with rig.running():
        await rig.until_at("k-3")
    assert (rig.store.data.tickets, rig.store.data.held) == (3, None)


async def test_a_held_list_survives_the_gate(rig: Rig) -> None:
    async with rig.running():
        await hold(rig)
    rig.store.hold(None)  # as after a restart
    rig.crm.answers([Book().cursor("k-3", tickets=1, fingerprint=None)])
    async with rig.running():
        await rig.until(lambda: rig.store.data.held is not None)
    assert rig.crm.asked[3] == "k-2"


@pytest.mark.parametrize("trouble", ["expired", "mismatch", "reset"])
async def test_what_is_left_of_a_held_list_given_up_cannot_be_accepted(rig: Rig, trouble: str) -> None:
    """A list that was held, then found wrong, is pulled anew: accepting now would put an unfinished one in place."""
    book = Book()
    half: Feed = [{"kind": "reset"}, *PLAN, book.tickets(1), book.cursor("s-1", more=True), CUT]
    troubles: dict[str, Feed | web.Response] = {
        "expired": web.json_response({"error": {"code": "cursor_expired", "message": "too old"}}, status=410),
        "mismatch": [Book().cursor("k-3", fingerprint="0" * 32)],
        "reset": half,
    }
    rig.sleeper.naps = 0
    async with rig.running():
        rig.crm.answers(everything(4), everything(1, "k-2"), troubles[trouble])
        await rig.until(lambda: bool(rig.sleeper.delays))
        assert rig.store.data.held is None
        rig.accept.set()
        rig.sync_now.set()
        await rig.until_asked(4)
        assert (rig.store.data.cursor, await rig.reason(4)) == ("k-1", "admitted")


async def test_asking_now_wakes_a_held_request(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(1, book=book))
    async with rig.running():
        await rig.until_asked(2)
        rig.crm.answers([book.tickets(2), book.cursor("k-2")])
        rig.sync_now.set()
        await rig.until_at("k-2")
    assert rig.crm.asked[:3] == [None, "k-1", "k-1"]
    assert not rig.sync_now.is_set()


async def test_asking_now_ends_a_pause(rig: Rig, book: Book) -> None:
    rig.crm.answers(web.Response(status=500), everything(1, book=book))
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
        rig.sync_now.set()
        await rig.until_at("k-1")


async def test_a_damaged_list_is_pulled_anew_at_once(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(2, book=book))
    async with rig.running():
        await rig.until_asked(2)
        await _damage(rig)
        rig.crm.answers(everything(2, "k-2", book))
        assert await rig.reason(1) == "unknown_ticket"
        await rig.until_at("k-2")
        assert await rig.reason(1) == "admitted"
    assert rig.store.damaged_whitelist is not None


async def _damage(rig: Rig) -> None:
    """Break the list in use as no release of ours would write it."""
    with closing(sqlite3.connect(rig.store.whitelist_path)) as db, db:
        db.execute("UPDATE ticket SET state = 'nonsense'")
    await asyncio.sleep(0)


async def test_the_crm_holds_the_request_while_a_list_waits_for_a_person(rig: Rig) -> None:
    async with rig.running():
        await hold(rig)
    assert rig.crm.waits == [None, "30", "30"]


async def test_a_held_list_is_not_given_up_for_a_row_of_the_one_in_use(rig: Rig) -> None:
    async with rig.running():
        await hold(rig)
        with closing(sqlite3.connect(rig.store.whitelist_path)) as db, db:
            db.execute("UPDATE ticket SET state = 'blocked' WHERE id = 'T-1'")
        async with rig.running("audit"):
            await rig.until_asked(4)
        assert rig.store.data.held is not None
        rig.accept.set()
        await rig.until_at("k-2")
