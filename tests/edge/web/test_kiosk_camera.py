"""The kiosk page in a real browser: a lane's camera beside its verdicts, which takes nothing from them."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Locator, Route, expect

from drivers.protocols import Signals
from tests.edge.web.cameras import a_jpeg, filming, looked_on_by, put_up
from tests.edge.web.kiosk import serve, stand_at

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

pytestmark = pytest.mark.browser

SCREENS = [(1280, 800), (800, 480), (390, 844)]
SIZES = """() => ["#title", "#message", "#ticket", "#holder"].map((each) => {
    const node = document.querySelector(each);
    return node.hidden ? 0 : parseFloat(getComputedStyle(node).fontSize);
})"""
FRAME = "new Promise(requestAnimationFrame)"


async def test_picture_of_the_lanes_camera_stands_beside_its_verdicts(
    venue: "Venue", browser: Browser, server: TestServer
) -> None:
    await venue.sells("T-1")
    camera, _health = put_up(venue, on_page=True)
    hidden, _health = put_up(venue, "north-1.3")
    other, _health = put_up(venue, "north-2.1", on_page=True)
    kiosk = await stand_at(browser, server)
    await kiosk.shows("ready")
    await looked_on_by(camera, 1)
    await expect(kiosk.page.locator("figure")).to_be_hidden()  # there is nothing to show yet
    data, outline = a_jpeg("T-1")
    assert outline is not None
    async with filming(camera, data, outline):
        await expect(kiosk.page.locator("figure")).to_be_visible()
        await expect(kiosk.page.locator("figure polygon")).to_have_count(1)
        await kiosk.types("T-1")
        await kiosk.shows("admitted", "tick")
        await expect(kiosk.page.locator("figure canvas")).to_be_visible()
        await expect(kiosk.page.locator("figcaption")).to_be_hidden()
    assert camera.onlookers == [("jpeg", 320)]
    assert hidden.onlookers == other.onlookers == []
    assert kiosk.errors == []


async def test_words_keep_their_room_on_every_screen(kyiv_venue: "Venue", browser: Browser) -> None:
    await kyiv_venue.sells("T-1", seat="Сектор B, ряд 12, місце 34", holder="Іван Франко-Костянтинівський")
    await kyiv_venue.box.lane("north-2").offer("T-1")
    camera, _health = put_up(kyiv_venue, on_page=True)
    server = await serve(kyiv_venue.app())
    kiosk = await stand_at(browser, server)
    page = kiosk.page
    await kiosk.shows("ready")
    await kiosk.types("T-1")
    await kiosk.shows("refused", "cross", "ВЖЕ ВИКОРИСТАНО")
    # The verdict stays for as long as this looks at it.
    await page.evaluate("for (let id = setTimeout(() => {}); id > 0; id -= 1) clearTimeout(id)")
    bare = {}
    for width, height in SCREENS:
        await page.set_viewport_size({"width": width, "height": height})
        await page.evaluate(FRAME)
        bare[width] = await page.evaluate(SIZES)
    async with filming(camera, a_jpeg()[0]):
        await expect(page.locator("figure")).to_be_visible()
        for width, height in SCREENS:
            await page.set_viewport_size({"width": width, "height": height})
            await page.evaluate(FRAME)
            await kiosk.keeps_on_stage("#title", "#message", "#ticket", "#holder", "#act", "figure")
            for words in (".words", ".shape > svg"):
                await _stands_apart(page.locator("figure"), page.locator(words))
            with_picture = await page.evaluate(SIZES)
            assert all(now >= 0.9 * before for now, before in zip(with_picture, bare[width], strict=True)), width
            box = await page.locator("figure").bounding_box()
            assert box is not None
            assert box["width"] >= 80
    await server.close()
    assert kiosk.errors == []


async def _stands_apart(one: Locator, other: Locator) -> None:
    first, second = await one.bounding_box(), await other.bounding_box()
    assert first is not None
    assert second is not None
    across = min(first["x"] + first["width"], second["x"] + second["width"]) - max(first["x"], second["x"])
    down = min(first["y"] + first["height"], second["y"] + second["height"]) - max(first["y"], second["y"])
    assert min(across, down) <= 0


async def test_camera_that_is_lost_says_so_and_goes(venue: "Venue", browser: Browser, server: TestServer) -> None:
    camera, health = put_up(venue, on_page=True)
    kiosk = await stand_at(browser, server, by_hand=True)
    page = kiosk.page
    await kiosk.shows("ready")
    async with filming(camera, a_jpeg()[0]):
        await expect(page.locator("figure canvas")).to_be_visible()
    health.set("lost", "/dev/video0: unplugged; plug it in again")
    await expect(page.locator("figcaption")).to_have_text("Camera lost")
    await expect(page.locator("figcaption")).to_be_visible()
    await expect(page.locator("figure canvas")).to_be_hidden()
    await expect(page.locator(".banner")).to_contain_text("plug it in again")
    await kiosk.passes(9)
    await expect(page.locator("figure")).to_be_hidden()
    health.set("running")
    async with filming(camera, a_jpeg()[0]):
        await expect(page.locator("figure canvas")).to_be_visible()
    assert kiosk.errors == []


async def test_picture_that_is_old_goes(venue: "Venue", browser: Browser, server: TestServer) -> None:
    camera, _health = put_up(venue, on_page=True)
    kiosk = await stand_at(browser, server, by_hand=True)
    await kiosk.shows("ready")
    async with filming(camera, a_jpeg()[0]):
        await expect(kiosk.page.locator("figure")).to_be_visible()
    await kiosk.passes(4)
    await expect(kiosk.page.locator("figure")).to_be_hidden()
    assert kiosk.errors == []


async def test_answer_that_comes_late_doubles_no_picture(venue: "Venue", browser: Browser, server: TestServer) -> None:
    """The page asked, lost the gate, and asked again when it was back; both answers come."""
    camera, _health = put_up(venue, on_page=True)
    page = await browser.new_page()
    held: list[Route] = []
    second = asyncio.Event()

    async def hold_the_first(route: Route) -> None:
        if not held:
            held.append(route)
            return
        await route.continue_()
        second.set()

    await page.route("**/api/v1/cameras", hold_the_first)
    await page.goto(f"http://127.0.0.1:{server.port}/")
    async with asyncio.timeout(20), filming(camera, a_jpeg()[0]):
        while not held:
            await asyncio.sleep(0.01)
        await page.evaluate("window.dispatchEvent(new Event('offline'))")
        await second.wait()
        await expect(page.locator("figure")).to_have_count(1)
        async with page.expect_response("**/api/v1/cameras"):
            await held[0].continue_()
        await page.evaluate(FRAME)
        await expect(page.locator("figure")).to_have_count(1)
        assert len(camera.onlookers) == 1
        await page.close()


async def test_emergency_and_a_gate_that_is_not_heard_have_the_stage_alone(venue: "Venue", browser: Browser) -> None:
    camera, _health = put_up(venue, "north-2.1", on_page=True)
    server = await serve(venue.app())
    kiosk = await stand_at(browser, server, "?lane=north-2")
    figure = kiosk.page.locator("figure")
    await kiosk.shows("ready")
    async with filming(camera, a_jpeg()[0]), venue.turnstile_heard():
        await expect(figure).to_be_visible()
        venue.turnstile.say(Signals(held_open=True))
        await kiosk.shows("held-open", "door")
        await expect(figure).to_be_hidden()
        venue.turnstile.say(Signals())
        await kiosk.shows("ready")
        await expect(figure).to_be_visible()
        await server.close()
        await kiosk.shows("disconnected", "plug")
        await expect(figure).to_have_count(0)
    assert kiosk.errors == []


async def test_lane_without_a_camera_looks_as_it_did(venue: "Venue", browser: Browser, server: TestServer) -> None:
    put_up(venue)
    kiosk = await stand_at(browser, server)
    async with kiosk.page.expect_response("**/api/v1/cameras"):
        await kiosk.shows("ready")
    for width, height in SCREENS:
        await kiosk.page.set_viewport_size({"width": width, "height": height})
        await expect(kiosk.page.locator("#views")).to_be_hidden()
        stage = await kiosk.page.locator("#stage").bounding_box()
        shape = await kiosk.page.locator(".shape > svg").bounding_box()
        assert stage is not None
        assert shape is not None
        style = "getComputedStyle(document.getElementById('stage'))"
        room = [
            await kiosk.page.evaluate(f"document.getElementById('stage').{side} - 2 * parseFloat({style}.paddingTop)")
            for side in ("clientWidth", "clientHeight")
        ]
        parts = (0.56, 0.36) if width < 640 else (0.27, 0.74)
        wanted = min(room[0] * parts[0], room[1] * parts[1])
        assert abs(shape["width"] - wanted) < 1
    assert kiosk.errors == []
