"""The page for aiming a camera, in a real browser: what it sees, what it reads, what is wrong."""

from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from drivers.protocols import Outline
from edge.web.app import make_viewer
from tests.edge.web.cameras import ALIVE, a_jpeg, filming, looked_on_by, put_up
from tests.edge.web.kiosk import serve

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

pytestmark = pytest.mark.browser

SCREENS = [(1280, 800), (800, 480), (390, 844)]
HOSTILE = "A\u202eB\x1dC\u00a0<img src=x onerror=alert(1)>\u200f"
HOSTILE_SHOWN = "A<U+202E>B<GS>C<U+00A0><img src=x onerror=alert(1)><U+200F>"

RECTANGLES = """["#outlines polygon", "#picture"].map((each) => {
    const { x, y, width, height } = document.querySelector(each).getBoundingClientRect();
    return { x, y, width, height };
})"""


class Aimer:
    """A page at which somebody aims a camera."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def shows(self, state: str, text: str | None = None) -> None:
        """Wait until the picture's place is in a state, and then says this."""
        await expect(self.page.locator("#view")).to_have_attribute("data-state", state, timeout=15_000)
        if text is not None:
            await expect(self.page.locator("#instead")).to_contain_text(text)

    async def brightness(self) -> float:
        """Return the mean of what is painted."""
        found: float = await self.page.evaluate(
            """() => {
                const canvas = document.getElementById("picture");
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let sum = 0;
                for (let at = 0; at < data.length; at += 4) sum += data[at];
                return sum / (data.length / 4);
            }"""
        )
        return found


async def aim(browser: Browser, server: TestServer, query: str = "") -> Aimer:
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    aimer = Aimer(page)
    await page.goto(f"http://127.0.0.1:{server.port}/camera{query}")
    return aimer


async def test_code_held_to_the_camera_is_outlined_and_listed(
    venue: "Venue", browser: Browser, server: TestServer
) -> None:
    camera, _health = put_up(venue)
    aimer = await aim(browser, server)
    page = aimer.page
    await aimer.shows("waiting", "Waiting for a picture")
    await looked_on_by(camera, 1)
    data, outline = a_jpeg("T-2026-1")
    assert outline is not None
    async with filming(camera, a_jpeg(grey=90)[0]):
        await aimer.shows("live")
        await expect(page.locator("#outlines polygon")).to_have_count(0)
        await expect(page.locator("#hint")).to_have_text("Hold a code to the camera")
        assert abs(await aimer.brightness() - 90) < 3
    async with filming(camera, data, outline):
        await expect(page.locator("#labels span")).to_have_text("QR T-2026-1")
        await expect(page.locator("#state")).to_have_text("Reads")
        await expect(page.locator("#hint")).to_have_text("Light and focus are good.")
        await expect(page.locator("#reads li")).to_have_count(1)
        await expect(page.locator("#reads b")).to_have_text("T-2026-1")
        await expect(page.locator("#reads small")).to_contain_text("QR · ]Q1 · 640 · 1.5 ms")
        await expect(page.locator("#figures")).to_contain_text("30frames/s")
        await expect(page.locator("#figures")).to_contain_text("19 %width of the code")
        drawn, picture = await page.evaluate(RECTANGLES)
        # The outline lies where the code is: in the middle, 120 of the picture's 640 pixels wide.
        assert abs(drawn["width"] / picture["width"] - 120 / 640) < 0.01
        assert abs(drawn["x"] + drawn["width"] / 2 - picture["x"] - picture["width"] / 2) < 2
        assert abs(drawn["y"] + drawn["height"] / 2 - picture["y"] - picture["height"] / 2) < 2
    assert aimer.errors == []


async def test_codes_are_text_whatever_they_say(venue: "Venue", browser: Browser, server: TestServer) -> None:
    camera, _health = put_up(venue)
    aimer = await aim(browser, server)
    data, outline = a_jpeg("x")
    assert outline is not None
    async with filming(camera, data, Outline(HOSTILE, "]d2", outline.corners)):
        await expect(aimer.page.locator("#reads b")).to_have_text(HOSTILE_SHOWN)
        await expect(aimer.page.locator("#labels span")).to_have_text("Data Matrix A<U+202E>B<GS>C<U+00A0><img src…")
        await expect(aimer.page.locator("main img")).to_have_count(0)
    assert aimer.errors == []


async def test_what_spoils_the_picture_is_said(venue: "Venue", browser: Browser, server: TestServer) -> None:
    camera, health = put_up(venue)
    aimer = await aim(browser, server)
    said = {
        "too dark": (type(ALIVE)(300, 2, 100, 29.9, 2.4, brightness=9.0, sharpness=200.0), "Too dark"),
        "too bright": (type(ALIVE)(300, 2, 100, 29.9, 2.4, brightness=250.0, sharpness=200.0), "Too bright"),
        "blurred": (type(ALIVE)(300, 2, 100, 29.9, 2.4, brightness=120.0, sharpness=4.0), "Out of focus"),
    }
    async with filming(camera, a_jpeg()[0]):
        await aimer.shows("live")
        for camera.alive, text in said.values():
            await expect(aimer.page.locator("#hint")).to_contain_text(text)
    health.set("lost", "/dev/video0: unplugged; plug it in again")
    await aimer.shows("lost", "/dev/video0: unplugged; plug it in again")
    await expect(aimer.page.locator("#hint")).to_have_text("")
    await expect(aimer.page.locator("#picture")).to_be_hidden()
    health.set("running")
    async with filming(camera, a_jpeg()[0]):
        await aimer.shows("live")
    await aimer.shows("stalled", "No new picture for 3 s")
    assert aimer.errors == []


async def test_folder_is_not_said_to_have_stalled(venue: "Venue", browser: Browser, server: TestServer) -> None:
    """Nobody knows when the next picture is put there."""
    camera, _health = put_up(venue)
    camera.alive = None
    page = await browser.new_page()
    await page.clock.install()
    aimer = Aimer(page)
    await page.goto(f"http://127.0.0.1:{server.port}/camera")
    async with filming(camera, a_jpeg()[0]):
        await aimer.shows("live")
    await page.clock.fast_forward(4_000)
    async with page.expect_console_message(lambda said: said.text == "rendered"):
        await page.evaluate("setTimeout(() => console.log('rendered'), 1000)")
    await aimer.shows("live")
    assert aimer.errors == []


async def test_one_of_several_cameras_is_chosen(venue: "Venue", browser: Browser, server: TestServer) -> None:
    first, _health = put_up(venue)
    second, _health = put_up(venue, "north-2.1")
    aimer = await aim(browser, server, "?camera=north-2.1")
    page = aimer.page
    async with filming(first, a_jpeg(grey=40)[0]), filming(second, a_jpeg(grey=200)[0]):
        await aimer.shows("live")
        await expect(page.locator("#title")).to_have_text("Camera · north-2 · /dev/video0")
        assert abs(await aimer.brightness() - 200) < 3
        await page.get_by_role("button", name="north-1.2").click()
        await looked_on_by(second, 0)
        await aimer.shows("live")
        await expect(page.locator('[aria-pressed="true"]')).to_have_text("north-1.2")
        assert abs(await aimer.brightness() - 40) < 3
        assert page.url.endswith("?camera=north-1.2")
    assert aimer.errors == []


async def test_page_finds_a_camera_that_comes_later(venue: "Venue", browser: Browser, server: TestServer) -> None:
    aimer = await aim(browser, server)
    await aimer.shows("none", "brama devices lists what is connected")
    camera, _health = put_up(venue)
    async with filming(camera, a_jpeg()[0]):
        await aimer.shows("live")
    assert aimer.errors == []


async def test_page_says_when_the_gate_is_gone_and_comes_back(venue: "Venue", browser: Browser) -> None:
    camera, _health = put_up(venue)
    server = await serve(venue.app())
    port = server.port
    assert port is not None
    aimer = await aim(browser, server)
    async with filming(camera, a_jpeg()[0]):
        await aimer.shows("live")
        await server.close()
        await aimer.shows("offline", "Not connected")
        again = await serve(venue.app(), port)
        await aimer.shows("live")
        await again.close()
    assert aimer.errors == []


async def test_page_that_nobody_sees_asks_for_nothing(venue: "Venue", browser: Browser, server: TestServer) -> None:
    camera, _health = put_up(venue)
    aimer = await aim(browser, server)
    turn = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    async with filming(camera, a_jpeg()[0]):
        await aimer.shows("live")
        await aimer.page.evaluate(turn, True)
        await looked_on_by(camera, 0)
        await aimer.page.evaluate(turn, False)
        await looked_on_by(camera, 1)
        await aimer.shows("live")
    assert aimer.errors == []


@pytest.mark.parametrize("language", ["en", "uk", "ru"])
async def test_every_language_has_room_on_every_screen(venue: "Venue", browser: Browser, language: str) -> None:
    camera, health = put_up(venue)
    put_up(venue, "north-2.1")
    server = await serve(make_viewer(venue.box.cameras, venue.box.healths, language))
    aimer = await aim(browser, server)
    data, outline = a_jpeg("T-2026-1")
    assert outline is not None
    async with filming(camera, data, outline, Outline("W" * 300, "]C0", ((0.9, 0.9), (1, 0.9), (1, 1), (0.9, 1)))):
        await expect(aimer.page.locator("#reads li")).to_have_count(2)
        await _fits_everywhere(aimer.page)
    health.set("lost", "usb 046d:0825 port 1-1.2: not connected; plug it in, or see brama devices for what is")
    await aimer.shows("lost")
    await _fits_everywhere(aimer.page)
    await server.close()
    assert aimer.errors == []


async def _fits_everywhere(page: Page) -> None:
    for width, height in SCREENS:
        await page.set_viewport_size({"width": width, "height": height})
        await page.evaluate("new Promise(requestAnimationFrame)")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        view = await page.locator("#view").bounding_box()
        assert view is not None
        assert view["width"] >= width * 0.6
        assert view["y"] + view["height"] <= height
