"""A page of the gate, in a real browser, and who stands at it."""

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

LISTEN = """
window.tones = [];
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...when) {
  window.tones.push(this.frequency.value);
  return start.apply(this, when);
};
window.states = [];
document.addEventListener("DOMContentLoaded", () => {
  const stage = document.getElementById("stage");
  const note = () => window.states.push(stage.dataset.state);
  new MutationObserver(note).observe(stage, { attributeFilter: ["data-state"] });
});
"""
"""Notes each tone that the page plays, and plays it; and each state of its stage."""


class Kiosk:
    """A page that someone stands at."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def types(self, text: str) -> None:
        """Type as a keyboard-wedge scanner does, wherever the focus is."""
        await self.page.keyboard.type(text)
        await self.page.keyboard.press("Enter")

    async def shows(self, state: str, look: str | None = None, title: str | None = None) -> None:
        """Wait until the stage is in a state, and then has this shape and title."""
        stage = self.page.locator("#stage")
        await expect(stage).to_have_attribute("data-state", state, timeout=15_000)
        if look:
            await expect(stage).to_have_attribute("data-look", look)
            await expect(self.page.locator("#shape")).to_have_attribute("href", f"#{look}")
        if title:
            await expect(self.page.locator("#title")).to_have_text(title)

    async def keeps_on_stage(self, *parts: str) -> None:
        """Check that nothing of these runs over the stage's edge."""
        stage = await self.page.locator("#stage").bounding_box()
        assert stage is not None
        for part in parts:
            box = await self.page.locator(part).bounding_box()
            assert box is not None
            assert box["x"] >= stage["x"]
            assert box["x"] + box["width"] <= stage["x"] + stage["width"]
            assert box["y"] >= stage["y"]
            assert box["y"] + box["height"] <= stage["y"] + stage["height"]
        assert await self.page.evaluate(
            "document.querySelector('#title').scrollWidth <= document.querySelector('#title').clientWidth + 1"
        )

    async def tones(self) -> list[float]:
        """Return the tones played since the page was opened, in Hz."""
        heard: list[float] = await self.page.evaluate("window.tones")
        return heard

    async def states(self) -> list[str]:
        """Return the states that the stage has been in, also those that were gone at once."""
        seen: list[str] = await self.page.evaluate("window.states")
        return seen

    async def passes(self, seconds: float) -> None:
        """Let time pass at a page that was opened with `by_hand`."""
        await self.page.clock.run_for(int(seconds * 1000))


async def serve(app: web.Application, port: int = 0) -> TestServer:
    """Serve a gate's page."""
    server = TestServer(app, port=port)
    await server.start_server()
    return server


async def stand_at(browser: Browser, server: TestServer, query: str = "", *, by_hand: bool = False) -> Kiosk:
    """Open the page; `by_hand`: its timers also obey `Kiosk.passes`."""
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    kiosk = Kiosk(page)
    await page.add_init_script(LISTEN)
    if by_hand:
        await page.clock.install()
    await page.goto(f"http://127.0.0.1:{server.port}/{query}")
    return kiosk
