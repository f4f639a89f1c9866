"""A CRM that refuses, lies, hides behind a portal or is away: the lane does not notice, and the delays grow."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crm.central import open_central
from crm.importer import import_rows
from edge.store.keeping import verify_chain
from edge.store.tx import Tx
from sync.connector import Feed as Changes
from tests.sync.book import PLAN, Book, Line, everything, packed
from tests.sync.office import stocked
from tests.sync.rig import CUT, Feed, News, Rig, open_engine, served


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


def sent(lines: list[Line]) -> Changes:
    async def chunks() -> AsyncIterator[bytes]:
        yield packed(lines)

    return Changes(chunks())


def revoked() -> web.Response:
    return error(401, "token_revoked")


async def test_an_answer_that_was_held_while_the_box_was_wiped_is_given_up(rig: Rig, book: Book) -> None:
    hold = asyncio.Event()
    unvouched = book.cursor("k-2", tickets=None, fingerprint=None)
    rig.crm.answers(everything(3, book=book), [hold, book.tickets(9), unvouched])
    rig.crm.on_beat = revoked
    async with rig.running():
        await rig.until_asked(2)
        async with rig.running("heartbeat"):
            await rig.until_asked(3)
            hold.set()
            assert [await rig.reason(n) for n in (1, 9)] == ["unknown_ticket"] * 2
    assert rig.crm.asked == [None, "k-1", None]
    assert (rig.store.data.cursor, rig.store.data.tickets) == (None, 0)


async def test_what_was_asked_for_before_the_box_was_wiped_is_not_applied(rig: Rig, book: Book) -> None:
    await rig.puller.apply(sent(everything(3, book=book)))
    wipes = rig.puller.wipes
    await rig.puller.wipe()
    assert await rig.puller.apply(sent([book.tickets(9), book.cursor("k-2")]), wipes=wipes) == 0
    assert (rig.store.data.cursor, rig.store.data.tickets) == (None, 0)
    await rig.puller.apply(sent(everything(3, "k-3")), wipes=rig.puller.wipes)
    assert (rig.store.data.cursor, rig.store.data.tickets) == ("k-3", 3)


async def test_a_list_that_is_on_its_way_does_not_keep_a_box_from_being_wiped(rig: Rig, book: Book) -> None:
    rig.crm.answers([{"kind": "reset"}, *PLAN, book.tickets(1, 2), book.cursor("s-1", more=True), asyncio.Event()])
    rig.crm.on_beat = revoked
    async with rig.running():
        await rig.until(lambda: rig.health.progress is not None)
        rig.crm.answers(revoked())
        async with rig.running("heartbeat"):
            await rig.until(lambda: len(rig.crm.asked) == 2 and rig.health.state == "revoked")
    assert rig.health.progress is None
    assert not _holds(rig, b"T-2")


async def test_a_list_that_was_wiped_is_not_mended(tmp_path: Path) -> None:
    async with open_central(tmp_path / "central.db") as central, served(central.app()) as url:
        identity, token = await stocked(central)
        await import_rows(central.db, "e-1", [("CODE-1", None, "T-1")])
        async with open_engine(tmp_path / "gate", url, identity, token, News()) as gate:
            await gate.puller.wipe()
            assert not await gate.puller.heal(gate.connector)
            assert (gate.store.data.cursor, gate.store.data.tickets) == (None, 0)


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
    assert [round(delay) for delay in rig.sleeper.delays] == [1] * 5


@pytest.mark.parametrize("more", [False, True])
async def test_cursors_that_move_and_bring_nothing_are_not_asked_for_without_pause(
    rig: Rig, book: Book, more: bool
) -> None:
    rig.crm.answers(everything(1, book=book), *[[book.cursor(f"t-{n}", more=more)] for n in range(5)])
    async with rig.running():
        await rig.until_asked(7)
    assert [round(delay) for delay in rig.sleeper.delays] == [1] * 5


async def test_changes_that_come_without_end_are_asked_for_with_a_least_period(rig: Rig, book: Book) -> None:
    rig.engine.period_s = 30.0
    rig.crm.answers(everything(1, book=book), *[[book.tickets(n), book.cursor(f"k-{n}")] for n in range(2, 5)])
    async with rig.running():
        await rig.until_asked(5)
    assert [round(delay) for delay in rig.sleeper.delays] == [30] * 4


async def test_a_gate_that_catches_up_is_not_slowed(rig: Rig, book: Book) -> None:
    rig.engine.period_s = 30.0
    rig.crm.answers([*everything(1, book=book)[:-1], book.cursor("k-1", more=True)])
    rig.crm.answers(*[[book.tickets(n), book.cursor(f"k-{n}", more=True)] for n in range(2, 5)])
    async with rig.running():
        await rig.until_asked(5)
    assert rig.sleeper.delays == []


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
