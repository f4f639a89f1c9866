"""The kiosk page in a real browser: what is no verdict, and an emergency."""

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Route, expect

from drivers.protocols import Signals
from edge.core.messages import Language
from edge.core.notices import Notice
from tests.edge.web.conftest import Venue, open_venue
from tests.edge.web.kiosk import Kiosk, serve, stand_at

pytestmark = pytest.mark.browser

NOTED = 880.0
REFUSED = [132.0, 110.0]
SIREN = [960.0, 640.0] * 3
FRAME = "new Promise(requestAnimationFrame)"
"""Done once the page has taken in what has come."""
SCREENS = [(1280, 800), (800, 480), (390, 844)]
HELD_OPEN: dict[Language, tuple[str, str]] = {
    "en": ("HELD OPEN", "Emergency contact: let everybody through."),
    "uk": ("ВІДКРИТО АВАРІЙНО", "Аварійний контакт: пропускайте всіх."),
    "ru": ("ОТКРЫТО АВАРИЙНО", "Аварийный контакт: пропускайте всех."),
}


async def test_badge_before_the_page_opens_a_shift_and_ends_it(
    venue: Venue, browser: Browser, server: TestServer
) -> None:
    kiosk = await stand_at(browser, server)
    page = kiosk.page
    await kiosk.shows("ready")
    await kiosk.types("BADGE-1")
    await kiosk.shows("notice", "card", "ON SHIFT")
    await expect(page.locator("#message")).to_have_text("Тарас Шевчук is signed in here.")
    await expect(page.locator("#act")).to_be_hidden()
    await expect(page.locator("#shift")).to_have_text("Тарас Шевчук")
    await kiosk.types("X-1")
    await kiosk.shows("refused", "cross")
    # The notice came by the feed and as the answer: it was shown and heard once, and it is no scan.
    assert await kiosk.tones() == [NOTED, *REFUSED]
    await expect(page.locator("#history li")).to_have_count(1)

    venue.desk_time.ticks += 60
    await kiosk.types("BADGE-1")
    await kiosk.shows("notice", "card", "SHIFT ENDED")
    await expect(page.locator("#shift")).to_have_text("Sign in")
    assert [row.reason for row in await venue.box.store.scans_after(0, 10)] == ["unknown_ticket"]
    assert kiosk.errors == []


async def test_notices_of_other_readers_are_shown_for_a_while(
    venue: Venue, browser: Browser, server: TestServer
) -> None:
    lane = venue.box.lane("north-1")
    kiosk = await stand_at(browser, server, by_hand=True)
    await kiosk.shows("ready")
    lane.notice(Notice.SCAN_AGAIN)
    await kiosk.shows("notice", "eye", "SCAN AGAIN")
    venue.box.lane("north-2").notice(Notice.SHIFT_OPENED, name="Іван")  # another lane's is no business of this page
    lane.notice(Notice.NOT_ASSIGNED, name="<b>Олена</b>")
    await kiosk.shows("notice", "cross", "NOT ASSIGNED HERE")
    await expect(kiosk.page.locator("#message")).to_contain_text("<b>Олена</b> is not assigned")
    assert (await kiosk.states()).count("notice") == 2
    await kiosk.passes(7)
    await kiosk.shows("ready", "frame", "Ready")
    assert kiosk.errors == []


async def test_enrolment_is_shown_until_it_has_ended(venue: Venue, browser: Browser, server: TestServer) -> None:
    lane = venue.box.lane("north-1")
    kiosk = await stand_at(browser, server, by_hand=True)
    await kiosk.shows("ready")
    lane.notice(Notice.ENROLLING, organiser="https://crm.example")
    await kiosk.shows("notice", "card", "ENROLLING")
    await kiosk.passes(7)
    await kiosk.shows("notice", "card", "ENROLLING")
    lane.notice(Notice.ENROLLED, organiser="Kyiv Concerts", name="North 1")
    await kiosk.shows("notice", "card", "ENROLLED")
    await kiosk.types('{"brama":1,"url":"https://crm.example","code":"ABC"}')
    await kiosk.shows("notice", "cross", "ALREADY ENROLLED")
    assert kiosk.errors == []


async def test_enrolment_outlasts_the_call_that_asked_for_it(
    venue: Venue, browser: Browser, server: TestServer
) -> None:
    kiosk = await stand_at(browser, server)
    await kiosk.shows("ready")
    await kiosk.page.route("**/api/v1/scans", lambda route: route.abort())
    venue.box.lane("north-1").notice(Notice.ENROLLING, organiser="https://crm.example")
    await kiosk.shows("notice", title="ENROLLING")
    async with kiosk.page.expect_event("requestfailed"):
        await kiosk.types("T-1")
    await kiosk.page.evaluate(FRAME)
    await kiosk.shows("notice", title="ENROLLING")
    venue.box.lane("north-1").notice(Notice.SCAN_AGAIN)
    await kiosk.shows("notice", "eye")
    await kiosk.types("T-1")
    await kiosk.shows("fault", "warn", "Not scanned")
    assert kiosk.errors == []


@pytest.mark.parametrize("code", ["T-1", "BADGE-1"])
async def test_answer_that_comes_late_does_not_come_over_the_next_guests(
    venue: Venue, browser: Browser, server: TestServer, code: str
) -> None:
    await venue.sells("T-1")
    kiosk = await stand_at(browser, server)
    answered, next_shown = asyncio.Event(), asyncio.Event()

    async def delay(route: Route) -> None:
        response = await route.fetch()
        await next_shown.wait()
        await route.fulfill(response=response)
        answered.set()

    await kiosk.page.route("**/api/v1/scans", delay)
    await kiosk.shows("ready")
    await kiosk.types(code)
    await kiosk.shows("admitted" if code == "T-1" else "notice")  # by the feed
    await venue.box.lane("north-1").offer("X-1")
    await kiosk.shows("refused", "cross")
    async with kiosk.page.expect_response("**/api/v1/scans"):
        next_shown.set()
    await answered.wait()
    await kiosk.page.evaluate(FRAME)
    assert await kiosk.page.get_attribute("#stage", "data-state") == "refused"
    assert kiosk.errors == []


async def test_lane_that_cannot_record_says_that_and_no_notice(
    venue: Venue, browser: Browser, server: TestServer
) -> None:
    lane = venue.box.lane("north-1")
    kiosk = await stand_at(browser, server)
    await kiosk.shows("ready")
    lane.set_cannot_record("the journal cannot be written: disk full")
    await kiosk.shows("cannot-record", "warn")
    lane.notice(Notice.SCAN_AGAIN)
    lane.set_cannot_record(None)  # comes after the notice, on the same feed
    await kiosk.shows("ready")
    assert "notice" not in await kiosk.states()
    assert kiosk.errors == []


async def test_panel_says_above_itself_what_happens_meanwhile(
    venue: Venue, browser: Browser, server: TestServer
) -> None:
    kiosk = await stand_at(browser, server, "?lane=north-2")
    page = kiosk.page
    await kiosk.shows("ready")
    async with venue.turnstile_heard():
        await page.click("#shift")
        await expect(page.locator("#meanwhile")).to_be_hidden()
        venue.box.lane("north-2").notice(Notice.SHIFT_OPENED, name="Іван")
        await expect(page.locator("#meanwhile")).to_have_text("ON SHIFT")
        venue.turnstile.say(Signals(held_open=True))
        await expect(page.locator("#panel")).to_be_hidden()
        await kiosk.shows("held-open")
        await page.click("#shift")
        await expect(page.locator("#panel")).to_be_visible()
        assert await page.is_visible("#meanwhile")
        await expect(page.locator("#meanwhile")).to_have_text("HELD OPEN. Emergency contact: let everybody through.")
        venue.turnstile.say(Signals())
        await expect(page.locator("#meanwhile")).to_be_hidden()
        await expect(page.locator("#panel")).to_be_visible()
    assert kiosk.errors == []


async def test_emergency_has_the_stage_for_as_long_as_it_lasts(
    venue: Venue, browser: Browser, server: TestServer
) -> None:
    await venue.sells("T-1")
    lane = venue.box.lane("north-2")
    kiosk, other = await stand_at(browser, server, "?lane=north-2"), await stand_at(browser, server)
    page = kiosk.page
    for each in (kiosk, other):
        await each.shows("ready")
    async with venue.turnstile_heard():
        await kiosk.types("X-1")
        await kiosk.shows("refused")
        venue.turnstile.say(Signals(held_open=True))
        await kiosk.shows("held-open", "door", "HELD OPEN")
        await expect(page.locator("#open")).to_be_hidden()
        before = len(await kiosk.states())
        await kiosk.types("T-1")
        await expect(page.locator("#history li b")).to_have_text(["ADMITTED", "UNKNOWN TICKET"])
        await kiosk.types("BADGE-1")
        await expect(page.locator("#shift")).to_have_text("Тарас Шевчук")
        lane.set_cannot_record("the journal cannot be written: disk full")
        await expect(page.locator(".banner")).to_have_text(["lane north-2: the journal cannot be written: disk full"])
        assert set((await kiosk.states())[before:]) == {"held-open"}
        lane.set_cannot_record(None)
        await expect(page.locator(".banner")).to_have_count(0)
        await other.shows("ready")
        await expect(other.page.locator(".banner")).to_have_count(0)
        venue.turnstile.say(Signals())
        await kiosk.shows("ready", "frame", "Ready")
        await expect(page.locator("#open")).to_have_text("Open")
    assert kiosk.errors == other.errors == []


async def test_call_that_fails_does_not_take_the_stage_of_an_emergency(
    venue: Venue, browser: Browser, server: TestServer
) -> None:
    kiosk = await stand_at(browser, server, "?lane=north-2")
    await kiosk.shows("ready")
    async with venue.turnstile_heard():
        venue.turnstile.say(Signals(held_open=True))
        await kiosk.shows("held-open")
        await kiosk.page.route("**/api/v1/scans", lambda route: route.abort())
        async with kiosk.page.expect_event("requestfailed"):
            await kiosk.types("T-1")
        await kiosk.page.evaluate(FRAME)
    await kiosk.shows("ready")  # a turnstile that is gone holds nothing open that is known of
    assert "fault" not in await kiosk.states()
    assert kiosk.errors == []


async def test_siren_comes_again_until_the_emergency_is_over(
    venue: Venue, browser: Browser, server: TestServer
) -> None:
    kiosk = await stand_at(browser, server, "?lane=north-2", by_hand=True)
    await kiosk.shows("ready")
    await kiosk.page.click("#checkpoint")  # a browser plays nothing before somebody has touched the page
    async with venue.turnstile_heard():
        venue.turnstile.say(Signals(held_open=True))
        await kiosk.shows("held-open")
        await kiosk.passes(5)
        heard = await kiosk.tones()
        assert heard[:18] == SIREN * 3
        venue.turnstile.say(Signals())
        await kiosk.shows("ready")
        over = await kiosk.tones()
        await kiosk.passes(5)
        assert await kiosk.tones() == over
    assert kiosk.errors == []


@pytest.mark.parametrize("language", ["en", "uk", "ru"])
async def test_every_language_has_room_on_every_screen(browser: Browser, tmp_path: Path, language: Language) -> None:
    async with open_venue(tmp_path, language) as venue, venue.turnstile_heard():
        server = await serve(venue.app())
        kiosk = await stand_at(browser, server, "?lane=north-2")
        await kiosk.shows("ready")
        for kind in Notice:
            said = venue.box.lane("north-2").notice(
                kind, name="Ганна Нечуй-Левицька", organiser="Палац культури", why="code: used, or expired; ask for one"
            )
            await kiosk.shows("notice", title=said["title"])
            await _fits_everywhere(kiosk)
        venue.turnstile.say(Signals(held_open=True))
        title, text = HELD_OPEN[language]
        await kiosk.shows("held-open", "door", title)
        await expect(kiosk.page.locator("#message")).to_have_text(text)
        await _fits_everywhere(kiosk)
        await server.close()
    assert kiosk.errors == []


async def _fits_everywhere(kiosk: Kiosk) -> None:
    for width, height in SCREENS:
        await kiosk.page.set_viewport_size({"width": width, "height": height})
        await kiosk.page.evaluate(FRAME)
        await kiosk.keeps_on_stage("#title", "#message", "#when")
