"""A CRM that vouches for none of what it sends, or has all pulled for ever: the gate goes on with what it has."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from sync.patience import FIRST_REST_S, FORGET_S, MOST_AT_ONCE, MOST_REST_S, MOST_SPACE_S, RETURN_REST_S, Patience
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


def unvouched(name: str) -> dict[str, Any]:
    """A cursor by which the CRM vouches for nothing."""
    return Book().cursor(name, tickets=None, fingerprint=None)


def gone() -> web.Response:
    return web.json_response({"error": {"code": "cursor_too_old", "message": "too old"}}, status=410)


def proved(ticks: Ticks, times: int, took_s: float = 0.0) -> Patience:
    patience = Patience(ticks)
    for _ in range(times):
        patience.began()
        ticks.now += took_s
        patience.proved()
    return patience


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


def test_a_list_that_is_lost_while_it_comes_is_begun_anew_after_the_rest() -> None:
    ticks = Ticks()
    patience = failed(ticks, 2)
    ticks.now += FIRST_REST_S
    patience.began()
    assert (patience.rest_s, patience.may_begin()) == (FIRST_REST_S, False)
    ticks.now += FIRST_REST_S
    assert patience.may_begin()


def test_a_list_fails_once_however_often_it_is_looked_at() -> None:
    patience = failed(Ticks(), 1)
    patience.failed()
    assert patience.failures == 1


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
    patience = failed(Ticks(), 2)
    patience.proved()
    assert (patience.hopeless, patience.may_begin()) == (False, True)
    for _ in range(2):
        patience.began()
        patience.failed()
    assert patience.rest_s == FIRST_REST_S


@pytest.mark.parametrize(("lists", "rest_s"), [(1, 0.0), (2, 0.0), (3, 1.0), (4, 2.0), (7, 16.0), (5000, MOST_SPACE_S)])
def test_lists_that_follow_each_other_come_ever_later_though_they_match(lists: int, rest_s: float) -> None:
    ticks = Ticks()
    patience = proved(ticks, lists)
    patience.proved()  # as after each change
    assert patience.rest_s == rest_s
    ticks.now += rest_s
    assert patience.may_begin()


def test_pulling_everything_takes_at_most_a_tenth_of_the_time() -> None:
    assert proved(Ticks(), 20, took_s=60.0).rest_s == 600.0
    assert proved(Ticks(), 20, took_s=5000.0).rest_s == MOST_REST_S


def test_only_time_or_a_person_forgets_that_lists_followed_each_other() -> None:
    ticks = Ticks()
    patience = proved(ticks, 5)
    ticks.now += patience.rest_s + FORGET_S - 1
    patience.began()
    assert patience.rest_s == 8.0
    ticks.now += 8.0 + FORGET_S
    patience.began()
    assert patience.rest_s == 0.0
    patience = proved(ticks, 9)
    patience.asked()
    assert patience.may_begin()
    patience.began()
    assert patience.rest_s == 0.0


def test_another_crm_is_believed_once_in_a_row_of_failures() -> None:
    ticks = Ticks()
    patience = failed(ticks, 2)
    patience.expired()
    assert patience.may_begin()
    patience.began()
    patience.failed()
    patience.expired()
    assert patience.rest_s == 2 * FIRST_REST_S
    patience.proved()
    ticks.now += FORGET_S * 2
    for _ in range(2):
        patience.began()
        patience.failed()
    patience.expired()
    assert patience.may_begin()


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


def gives_up_hope(rig: Rig, book: Book, *then: Feed | web.Response) -> None:
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


async def test_asking_now_does_not_begin_anew_what_is_on_its_way(rig: Rig, ticks: Ticks, book: Book) -> None:
    hold, never = asyncio.Event(), asyncio.Event()
    gives_up_hope(rig, book, [hold, book.cursor("k-2", fingerprint=WRONG)])
    part = everything(4, "n-3", book)
    rig.crm.answers([*part[:-1], {**part[-1], "more": True}, never], [book.tickets(5), book.cursor("n-4")])
    async with rig.running():
        await rig.until_asked(5)
        ticks.now += FIRST_REST_S
        hold.set()
        await rig.until(lambda: rig.health.progress is not None and rig.health.progress.tickets == 4)
        rig.sync_now.set()
        await rig.until_at("n-4")
        never.set()
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


async def test_a_list_that_is_lost_on_its_way_is_pulled_anew_when_a_person_asks(
    rig: Rig, ticks: Ticks, book: Book
) -> None:
    hold, rest = asyncio.Event(), asyncio.Event()
    gives_up_hope(rig, book, [hold, book.cursor("k-2", fingerprint=WRONG)])
    part = everything(4, "n-3", Book())
    rig.crm.answers([*part[:-1], {**part[-1], "more": True}, rest, b"{"])
    async with rig.running():
        await rig.until_asked(5)
        ticks.now += FIRST_REST_S
        hold.set()
        await rig.until(lambda: rig.health.progress is not None and rig.health.progress.tickets == 4)
        rig.store.discard_building()  # as one is that shows to be damaged
        rest.set()
        await rig.until_asked(7)
        assert rig.crm.asked[5:] == [None, "k-2"]
        rig.crm.answers(everything(4, "n-4", book))
        rig.sync_now.set()
        await rig.until_at("n-4")
    assert rig.crm.asked[7] is None


async def test_a_crm_that_vouches_for_nothing_has_not_proved_its_list(rig: Rig, ticks: Ticks, book: Book) -> None:
    gives_up_hope(rig, book, [book.tickets(5), unvouched("k-3")])
    async with rig.running():
        await rig.until_at("k-3")
        await rig.until_asked(6)
        assert rig.engine.patience.hopeless
        assert "brama crm conformance" in str(rig.health.error)
        rig.crm.answers([*everything(4)[:-1], unvouched("n-3")])  # its maker has left the sums out of everything
        rig.sync_now.set()
        await rig.until_at("n-3")
        await rig.until_asked(8)
    assert (rig.engine.patience.failures, rig.health.error) == (0, None)


# --- everything, again and again ------------------------------------------------------------------------------------


async def test_a_crm_that_takes_no_cursor_of_its_own_has_all_pulled_ever_more_seldom(rig: Rig, ticks: Ticks) -> None:
    hold = asyncio.Event()
    for number in range(MOST_AT_ONCE):
        rig.crm.answers(everything(3, f"k-{number}"), gone())
    rig.crm.answers([hold, CUT], gone(), everything(2, "k-9"))
    async with rig.running():
        await rig.until_asked(7)
        assert rig.crm.asked == [None, "k-0", None, "k-1", None, "k-2", "k-2"]
        assert rig.sleeper.delays[2] == 1.0
        assert rig.health.state == "connected"
        assert "too old; everything was pulled just now, and is pulled ever more seldom" in str(rig.health.error)
        assert await rig.reason(3) == "admitted"
        ticks.now += 1.0
        hold.set()
        await rig.until_at("k-9")
        await rig.until(lambda: rig.health.error is None)
    assert rig.crm.asked[7:9] == ["k-2", None]


async def test_another_crm_is_taken_up_at_once_after_one_whose_sums_were_wrong(
    rig: Rig, ticks: Ticks, book: Book
) -> None:
    gives_up_hope(rig, book, [book.cursor("k-2", fingerprint=WRONG)], gone())
    async with rig.running():
        await rig.until_asked(7)
        ticks.now += 1.0
        rig.crm.answers(everything(4, "n-9", book))
        rig.crm.closing.set()
        await rig.until_at("n-9")
    assert (rig.engine.patience.failures, rig.puller.promotions) == (0, 2)


async def test_everything_is_not_taken_each_time_that_it_is_sent_unasked(rig: Rig, ticks: Ticks, book: Book) -> None:
    rig.crm.answers(*[everything(3, f"k-{number}", book=book) for number in range(MOST_AT_ONCE + 1)])
    async with rig.running():
        await rig.until_asked(5)
        assert rig.crm.asked == [None, "k-0", "k-1", "k-2", "k-2"]
        assert (rig.puller.promotions, rig.store.data.cursor) == (3, "k-2")
        assert not rig.puller.is_building()
        assert "without being asked for it; everything was pulled just now" in str(rig.health.error)
        assert rig.sleeper.delays == [1.0]
        rig.crm.answers(everything(4, "k-9", book=book))
        rig.sync_now.set()
        await rig.until_at("k-9")


async def test_one_answer_does_not_begin_without_end(rig: Rig, ticks: Ticks) -> None:
    rig.crm.answers([line for number in range(9) for line in everything(1, f"k-{number}")])
    async with rig.running():
        await rig.until_asked(2)
        assert rig.crm.asked == [None, "k-2"]
        assert rig.sleeper.delays == [1.0]


async def test_everything_with_wrong_sums_sent_unasked_is_refused_while_the_gate_rests(
    rig: Rig, ticks: Ticks, book: Book
) -> None:
    rig.crm.answers(everything(3, book=book), *[wrongly(3, f"n-{number}") for number in range(12)])
    rig.sleeper.naps = 8
    async with rig.running():
        await rig.until(lambda: len(rig.sleeper.delays) > 8)
        assert rig.crm.asked[:4] == [None, "k-1", None, "k-1"]
        assert set(rig.crm.asked[4:]) == {"k-1"}
        assert rig.engine.patience.failures == 2
        assert "brama crm conformance" in str(rig.health.error)
        assert (rig.store.data.cursor, rig.puller.is_building()) == ("k-1", False)
