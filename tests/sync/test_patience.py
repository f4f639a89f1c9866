"""A CRM that vouches for none of what it sends: the gate goes on with what it has, and does not pull all for ever."""

import asyncio
from typing import Any

import pytest

from sync.patience import FIRST_REST_S, MOST_REST_S, RETURN_REST_S, Patience
from tests.sync.book import Book, everything
from tests.sync.rig import CUT, Feed, Rig

WRONG = "0" * 32


class Ticks:
    """A monotonic clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks(rig: Rig) -> Ticks:
    found = Ticks()
    rig.engine.patience = Patience(found)
    return found


def wrongly(count: int, cursor: str) -> list[dict[str, Any]]:
    """A whole list with a fingerprint that is not its own."""
    return [*everything(count, cursor)[:-1], Book().cursor(cursor, tickets=count, fingerprint=WRONG)]


def failed(ticks: Ticks, times: int) -> Patience:
    patience = Patience(ticks)
    for _ in range(times):
        patience.began()
        patience.failed()
    return patience


# --- the waiting times ----------------------------------------------------------------------------------------------


def test_the_first_failure_may_be_an_accident() -> None:
    assert failed(Ticks(), 1).may_begin()


@pytest.mark.parametrize(("failures", "rest_s"), [(2, 120.0), (3, 240.0), (6, 1920.0), (7, 3600.0), (5000, 3600.0)])
def test_each_further_failure_is_followed_by_a_longer_rest(failures: int, rest_s: float) -> None:
    ticks = Ticks()
    patience = failed(ticks, failures)
    assert (patience.hopeless, patience.rest_s) == (True, rest_s)
    ticks.now += rest_s - 1
    assert not patience.may_begin()
    ticks.now += 1
    assert patience.may_begin()


def test_what_is_being_pulled_is_not_begun_anew() -> None:
    patience = failed(Ticks(), 2)
    patience.began()
    patience.asked()
    patience.returned()
    assert (patience.rest_s, patience.may_begin()) == (None, False)


def test_a_person_need_not_wait() -> None:
    patience = failed(Ticks(), 9)
    patience.asked()
    assert patience.may_begin()


def test_a_crm_that_was_away_is_given_another_try_but_not_each_time() -> None:
    ticks = Ticks()
    patience = failed(ticks, 9)
    patience.returned()
    assert patience.rest_s == RETURN_REST_S < MOST_REST_S
    ticks.now += 100
    patience.returned()
    assert patience.rest_s == RETURN_REST_S - 100


def test_a_list_that_matches_is_a_new_beginning() -> None:
    ticks = Ticks()
    patience = failed(ticks, 9)
    patience.proved()
    assert (patience.hopeless, patience.may_begin()) == (False, True)
    patience.failed()
    patience.failed()
    assert patience.rest_s == FIRST_REST_S


# --- at the gate ----------------------------------------------------------------------------------------------------


async def test_the_list_in_use_stays_and_follows_the_changes(rig: Rig, ticks: Ticks, book: Book) -> None:
    rig.health.url, hold = "https://crm.example", asyncio.Event()
    rig.crm.answers(everything(3, book=book), [book.tickets(4), book.cursor("k-2", fingerprint=WRONG)])
    rig.crm.answers(wrongly(4, "n-1"), wrongly(4, "n-2"))
    changes = [book.tickets(1, state="cancelled"), book.tickets(5), book.cursor("k-3", fingerprint=WRONG)]
    rig.crm.answers([hold, *changes], *[changes] * 4)
    async with rig.running():
        await rig.until_asked(5)
        assert rig.crm.asked == [None, "k-1", None, None, "k-2"]
        assert not rig.store.building_path.exists()
        assert rig.health.state == "connected"
        assert "brama crm conformance https://crm.example; the gate goes on with the list" in str(rig.health.error)
        hold.set()
        await rig.until_asked(10)
        assert rig.crm.asked[5:] == ["k-3"] * 5
        assert [await rig.reason(n) for n in (1, 4, 5)] == ["cancelled", "admitted", "admitted"]
        assert "brama crm conformance" in str(rig.health.error)


def gives_up_hope(rig: Rig, book: Book, *then: Feed) -> None:
    """Let a gate that has a list learn that pulling anew does not help; `then` is what the CRM answers after that."""
    rig.crm.answers(everything(3, book=book), [book.cursor("k-2", fingerprint=WRONG)])
    rig.crm.answers(wrongly(3, "n-1"), wrongly(3, "n-2"), *then)


async def test_everything_is_pulled_again_after_the_rest_and_takes_its_place_if_it_matches(
    rig: Rig, ticks: Ticks, book: Book
) -> None:
    hold = asyncio.Event()
    gives_up_hope(rig, book, [hold, book.cursor("k-2", fingerprint=WRONG)], everything(4, "n-3", book))
    async with rig.running():
        await rig.until_asked(5)
        ticks.now += FIRST_REST_S
        hold.set()
        await rig.until_at("n-3")
        await rig.until_asked(7)
    assert rig.crm.asked == [None, "k-1", None, None, "k-2", None, "n-3"]
    assert (rig.health.error, rig.engine.patience.failures) == (None, 0)


async def test_an_attempt_that_is_cut_is_gone_on_with(rig: Rig, ticks: Ticks, book: Book) -> None:
    hold = asyncio.Event()
    gives_up_hope(rig, book, [hold, book.cursor("k-2", fingerprint=WRONG)])
    part = everything(4, "n-3", book)
    rig.crm.answers([*part[:-1], {**part[-1], "more": True}, b"{", CUT], [book.tickets(5), book.cursor("n-4")])
    async with rig.running():
        await rig.until_asked(5)
        ticks.now += MOST_REST_S
        hold.set()
        await rig.until_at("n-4")
    assert rig.crm.asked[5:7] == [None, "n-3"]


async def test_a_person_has_everything_pulled_at_once(rig: Rig, ticks: Ticks, book: Book) -> None:
    hold = asyncio.Event()
    gives_up_hope(rig, book, [hold], everything(4, "n-3", book))
    async with rig.running():
        await rig.until_asked(5)
        rig.sync_now.set()
        await rig.until_at("n-3")
        hold.set()
    assert rig.crm.asked[5] is None


async def test_a_first_list_that_never_matches_waits_for_a_person(rig: Rig, ticks: Ticks, book: Book) -> None:
    hold = asyncio.Event()
    rig.crm.answers(wrongly(3, "n-1"), wrongly(3, "n-2"), [hold, Book().cursor("n-2", fingerprint=WRONG)])
    rig.crm.answers([Book().tickets(4), Book().cursor("n-3", fingerprint=WRONG)])
    async with rig.running():
        await rig.until_asked(3)
        assert rig.crm.asked == [None, None, "n-2"]
        assert "run brama sync accept to judge by it all the same" in str(rig.store.data.held)
        assert "has no list until one matches or is accepted" in str(rig.health.error)
        assert await rig.reason(1) == "unknown_ticket"
        hold.set()
        await rig.until_asked(5)
        rig.accept.set()
        await rig.until_at("n-3")
        await rig.until_asked(6)
        assert "goes on with the list that it has" in str(rig.health.error)
        assert [await rig.reason(n) for n in (1, 4)] == ["admitted", "admitted"]
        assert rig.store.data.held is None
    assert None not in rig.crm.asked[2:]


async def test_a_first_list_that_comes_to_match_takes_its_place_by_itself(rig: Rig, ticks: Ticks, book: Book) -> None:
    rig.crm.answers(wrongly(3, "n-1"), wrongly(3, "n-2"))
    book.tickets(1, 2, 3)
    rig.crm.answers([book.tickets(4), book.cursor("n-3")])
    async with rig.running():
        await rig.until_at("n-3")
        await rig.until_asked(4)
    assert (rig.store.data.held, rig.health.error) == (None, None)
