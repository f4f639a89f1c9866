"""The kiosk page in a real browser: what a controller sees, does and is kept from believing."""

from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect

from edge.core.model import Checkpoint
from tests.edge.web.kiosk import serve, stand_at

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

pytestmark = pytest.mark.browser


async def test_an_evening_at_the_gate(venue: "Venue", browser: Browser, server: TestServer) -> None:
    await venue.sells("T-1", seat="Row 12", holder="<b>Іван</b>")
    kiosk = await stand_at(browser, server)
    page = kiosk.page
    await kiosk.shows("ready", "frame", "Ready")
    await expect(page.locator("#checkpoint")).to_have_text("Північний вхід")
    await expect(page.locator("#open")).to_have_text("Open")
    await expect(page.locator("#clock")).to_have_text("19:02")

    await kiosk.types("T-1")
    await kiosk.shows("admitted", "tick", "ADMITTED")
    await expect(page.locator("#ticket")).to_have_text("Фан-зона · Row 12")
    await expect(page.locator("#holder")).to_have_text("<b>Іван</b>")  # as text, whatever a guest is called
    await kiosk.types("T-1")
    await expect(page.locator("#again")).to_have_text("shown again")

    await venue.box.lane("north-2").offer("T-1")  # another lane's verdict is no business of this page
    await kiosk.types("X-1")
    await kiosk.shows("refused", "cross", "UNKNOWN TICKET")
    await expect(page.locator("#message")).to_contain_text("Send the guest to the ticket desk")
    await expect(page.locator("#history li")).to_have_count(2)
    await expect(page.locator("#history li b")).to_have_text(["UNKNOWN TICKET", "ADMITTED"])
    await expect(page.locator("#facts")).to_contain_text("Unsent 3")
    await kiosk.shows("ready", "frame", "Ready")  # the verdict goes by itself
    assert kiosk.errors == []


async def test_controller_signs_in_and_supervisor_admits(venue: "Venue", browser: Browser, server: TestServer) -> None:
    kiosk = await stand_at(browser, server)
    page = kiosk.page
    await kiosk.shows("ready")
    await page.click("#shift")
    await page.get_by_role("button", name="Олена Коваль").click()
    for digit in venue.pin:  # by touch
        await page.get_by_role("button", name=digit, exact=True).click()
    await page.get_by_role("button", name="✓").click()
    await expect(page.locator("#panel")).to_be_hidden()
    await expect(page.locator("#shift")).to_have_text("Олена Коваль")
    await expect(page.locator("#when")).to_have_text("On shift: Олена Коваль")

    await kiosk.types("X-1")
    await kiosk.shows("refused", "cross")
    await page.click("#act")
    await page.get_by_role("button", name="Ticket desk error").click()
    await page.fill("#badge", "BADGE-9")
    await page.press("#badge", "Enter")
    await expect(page.locator("#panel-error")).to_contain_text("not that of a controller")
    await page.fill("#badge", "BADGE-1")
    await page.press("#badge", "Enter")
    await kiosk.shows("admitted", "tick", "ADMITTED BY SUPERVISOR")
    rows = await venue.box.store.scans_after(0, 10)
    assert [(row.reason, row.note, row.controller) for row in rows] == [
        ("unknown_ticket", None, "olena"),
        ("override", "Ticket desk error", "taras"),
    ]
    await page.click("#shift")
    await page.get_by_role("button", name="End the shift of Олена Коваль").click()
    await expect(page.locator("#shift")).to_have_text("Sign in")
    assert kiosk.errors == []


async def test_old_green_goes_when_the_gate_is_not_heard(venue: "Venue", browser: Browser) -> None:
    await venue.sells("T-1")
    server = await serve(venue.app())
    kiosk = await stand_at(browser, server)
    await kiosk.shows("ready")
    await kiosk.types("T-1")
    await kiosk.shows("admitted", "tick")
    port = server.port
    assert port is not None
    await server.close()
    await kiosk.shows("disconnected", "plug", "Page not connected")
    await expect(kiosk.page.locator("#ticket")).to_be_hidden()
    again = await serve(venue.app(), port)
    await kiosk.shows("ready")
    await expect(kiosk.page.locator("#history li")).to_have_count(1)
    await again.close()
    assert kiosk.errors == []


async def test_faults_are_loud(venue: "Venue", browser: Browser, server: TestServer) -> None:
    kiosk = await stand_at(browser, server)
    page = kiosk.page
    await kiosk.shows("ready")
    venue.box.store.hold("the new list has 3 tickets, this one 5,000")
    next(iter(venue.box.healths.values())).set("lost", "unplugged; plug it in again")
    venue.box.lane("north-2").door._set_unanswered("turnstile: does not answer")
    venue.box.publish_status()
    await expect(page.locator(".banner")).to_have_count(2)
    await expect(page.locator("#banners")).to_contain_text("5,000")
    await expect(page.locator("#banners")).to_contain_text("plug it in again")
    lane = venue.box.lane("north-1")
    lane.set_cannot_record("the journal cannot be written: disk full")
    await kiosk.shows("cannot-record", "warn", "Cannot record")
    lane.set_cannot_record(None)
    await kiosk.shows("ready")
    assert kiosk.errors == []


async def test_page_says_when_the_gate_is_closed(venue: "Venue", browser: Browser, server: TestServer) -> None:
    kiosk = await stand_at(browser, server)
    await venue.puts("checkpoint", "c-north", Checkpoint("c-north", "concert", "North gate", hours=()))
    await kiosk.shows("closed", "lock", "Closed")
    strict = Checkpoint("c-north", "concert", "North gate", requires_controller=True)
    await venue.puts("checkpoint", "c-north", strict)
    await kiosk.shows("closed", "lock", "Sign in first")
    lost = await stand_at(browser, server, "?lane=south")
    await lost.shows("fault", "warn", "No such lane")
    assert kiosk.errors == lost.errors == []


async def test_exit_lane_shows_the_way_out(venue: "Venue", browser: Browser, server: TestServer) -> None:
    await venue.sells("P-1", type="pass")
    await venue.box.lane("north-1").offer("P-1")
    kiosk = await stand_at(browser, server, "?lane=out")
    await kiosk.shows("ready")
    await kiosk.types("P-1")
    await kiosk.shows("exited", "out", "EXIT")
    await venue.box.lane("out").offer("")
    await kiosk.shows("refused", "eye", "SCAN AGAIN")
    await expect(kiosk.page.locator("#act")).to_be_hidden()
    assert kiosk.errors == []


@pytest.mark.parametrize("width", [800, 390])
async def test_long_words_stay_on_the_screen(kyiv_venue: "Venue", browser: Browser, width: int) -> None:
    await kyiv_venue.sells("T-1", seat="Сектор B, ряд 12, місце 34", holder="Іван Франко-Костянтинівський")
    await kyiv_venue.box.lane("north-2").offer("T-1")
    server = await serve(kyiv_venue.app())
    kiosk = await stand_at(browser, server)
    page = kiosk.page
    await page.set_viewport_size({"width": width, "height": 480 if width == 800 else 844})
    await kiosk.shows("ready", title="Готово")
    await kiosk.types("T-1")
    await kiosk.shows("refused", "cross", "ВЖЕ ВИКОРИСТАНО")
    await kiosk.keeps_on_stage("#title", "#message", "#ticket", "#holder", "#act")
    await server.close()
    assert kiosk.errors == []
