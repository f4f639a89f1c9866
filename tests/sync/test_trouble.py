"""A CRM that refuses, lies, hides behind a portal or is away: the lane does not notice, and the delays grow."""

from typing import Any

import pytest
from aiohttp import web

from edge.store.keeping import verify_chain
from edge.store.tx import Tx
from tests.sync.book import PLAN, Book, everything
from tests.sync.rig import CUT, Feed, Rig


def error(status: int, code: str, **headers: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": f"{code}."}}, status=status, headers=headers)


def portal() -> web.Response:
    return web.Response(text="<html>Log in</html>", content_type="text/html")


async def test_a_wrong_token_is_shown_and_scanning_goes_on(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(2, book=book), error(401, "token_unknown"))
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: rig.health.state == "refused")
        assert rig.health.error == "token_unknown.; enrol this box again: brama enrol URL CODE"
        await rig.until(lambda: bool(rig.sleeper.delays))
        assert await rig.reason(1) == "admitted"
    assert rig.store.data.tickets == 2
    assert rig.sleeper.delays == [60.0]


async def test_a_token_that_is_mended_is_taken_up_again(rig: Rig, book: Book) -> None:
    rig.crm.answers(error(401, "token_unknown"), everything(2, book=book))
    async with rig.running():
        await rig.until_at("k-1")
    assert (rig.health.state, rig.health.error) == ("connected", None)


async def test_a_revoked_box_loses_its_list_and_keeps_its_journal(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(2, book=book))
    async with rig.running():
        await rig.until_asked(2)
        assert await rig.reason(1) == "admitted"
        rig.crm.answers(error(401, "token_revoked"))
        rig.sleeper.naps = 0
        rig.sync_now.set()
        await rig.until(lambda: bool(rig.sleeper.delays))
        assert await rig.reason(2) == "unknown_ticket"
    assert rig.health.state == "revoked"
    assert rig.store.data.tickets == 0
    assert not _holds(rig, b"T-2")

    def look(tx: Tx) -> tuple[Any, Any]:
        return verify_chain(tx.journal), tx.journal.execute("SELECT value FROM meta WHERE key = 'sealed'").fetchone()

    chain, sealed = await rig.store.read(look)
    assert (chain.rows, chain.problems) == (2, ())
    assert sealed[0].startswith("1 ")


async def test_a_box_revoked_while_it_pulls_its_first_list_keeps_no_part_of_it(rig: Rig, book: Book) -> None:
    part: Feed = [{"kind": "reset"}, *PLAN, book.tickets(1, 2), book.cursor("s-1", more=True), CUT]
    rig.crm.answers(part, error(401, "token_revoked"))
    rig.sleeper.naps = 1
    async with rig.running():
        await rig.until(lambda: len(rig.sleeper.delays) == 2)
        assert rig.health.state == "revoked"
        assert not _holds(rig, b"T-2")


def _holds(rig: Rig, text: bytes) -> bool:
    """Tell whether any file of the list holds this text."""
    return any(text in path.read_bytes() for path in rig.store.whitelist_path.parent.glob("whitelist*"))


@pytest.mark.parametrize("status", [401, 403])
async def test_only_the_crms_own_word_revokes(rig: Rig, book: Book, status: int) -> None:
    rig.crm.answers(
        everything(2, book=book), web.Response(status=status, text="token_revoked", content_type="text/html")
    )
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
    assert (rig.health.state, rig.store.data.tickets) == ("refused", 2)


@pytest.mark.parametrize("answer", ["redirect", "page"])
async def test_a_captive_portal_is_named(rig: Rig, book: Book, answer: str) -> None:
    moved = web.Response(status=302, headers={"Location": "http://portal.example/login"})
    rig.crm.answers(everything(2, book=book), moved if answer == "redirect" else portal())
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
        assert rig.health.state == "away"
        assert "captive portal" in str(rig.health.error)
        assert await rig.reason(1) == "admitted"


async def test_a_portal_before_the_scans_keeps_them(rig: Rig) -> None:
    rig.crm.on_scans = lambda _: portal()
    await rig.offer(1)
    rig.sleeper.naps = 0
    async with rig.running("scans"):
        await rig.until(lambda: bool(rig.sleeper.delays))
    assert (await rig.store.backlog()).unsent == 1


async def test_delays_grow_with_jitter_and_begin_again_after_a_success(rig: Rig, book: Book) -> None:
    rig.crm.answers(*[error(500, "broken") for _ in range(9)], everything(1, book=book), error(500, "broken"))
    rig.sleeper.naps = 9
    async with rig.running():
        await rig.until(lambda: len(rig.sleeper.delays) == 10)
    for delay, most in zip(rig.sleeper.delays, [1, 2, 4, 8, 16, 32, 60, 60, 60, 1], strict=True):
        assert most / 2 <= delay <= most
    assert rig.health.error == "/gate/v1/changes: 500: broken."


@pytest.mark.parametrize(("asked", "most"), [("7", 7), ("100", 100), ("9999", 300)])
async def test_retry_after_is_kept_to_within_reason(rig: Rig, asked: str, most: float) -> None:
    rig.crm.answers(error(429, "slow_down", **{"Retry-After": asked}))
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
    assert rig.sleeper.delays == [most]


@pytest.mark.parametrize("asked", ["soon", "-5", "Fri, 01 May 2026 18:00:00 GMT", "٣"])
async def test_a_retry_after_that_is_no_number_is_left_to_backoff(rig: Rig, asked: str) -> None:
    rig.crm.answers(error(503, "busy", **{"Retry-After": asked}))
    rig.sleeper.naps = 0
    async with rig.running():
        await rig.until(lambda: bool(rig.sleeper.delays))
    assert 0.5 <= rig.sleeper.delays[0] <= 1


async def test_a_crm_that_never_holds_a_request_is_not_asked_without_pause(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(1, book=book), *[[book.cursor("k-1")] for _ in range(5)])
    async with rig.running():
        await rig.until_asked(7)
    assert rig.sleeper.delays == [1.0] * 5


async def test_empty_answers_are_not_asked_for_without_pause(rig: Rig) -> None:
    rig.crm.answers([], [], [])
    async with rig.running():
        await rig.until_asked(4)
    assert len(rig.sleeper.delays) == 3


async def test_a_crm_that_is_back_is_shown_at_once_though_it_has_no_news(rig: Rig, book: Book) -> None:
    rig.crm.answers(everything(1, book=book), error(500, "broken"), [book.cursor("k-1")])
    async with rig.running():
        await rig.until_asked(4)
    assert (rig.health.state, rig.health.error) == ("connected", None)
    assert rig.crm.waits == [None, "30", "0", "30"]
    assert len(rig.sleeper.delays) == 1


async def test_a_crm_that_is_not_there_is_waited_for(rig: Rig, book: Book) -> None:
    rig.crm.answers([CUT], everything(1, book=book))
    async with rig.running():
        await rig.until(lambda: rig.health.state == "away")
        assert "the CRM cannot be reached" in str(rig.health.error)
        await rig.until_at("k-1")
    assert rig.health.state == "connected"


async def test_a_heartbeat_tells_the_crms_time_and_survives_trouble(rig: Rig) -> None:
    answers = [error(500, "broken"), portal(), web.json_response({"time": "noon"}), error(401, "token_unknown")]
    rig.crm.on_beat = lambda: answers.pop(0) if answers else web.json_response({"time": "2026-05-01T18:00:00Z"})
    rig.sleeper.naps = 4
    async with rig.running("heartbeat"):
        await rig.until(lambda: len(rig.sleeper.delays) == 5)
    assert len(rig.host.heard) == 1
    assert rig.crm.beats == [{"backlog": 0}] * 5
    assert rig.sleeper.delays[3:] == [60.0, 30.0]
