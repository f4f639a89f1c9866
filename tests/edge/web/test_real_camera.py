"""A real camera at a lane, from its stream to the pages: codes are read, judged, outlined; its process is killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect

from drivers.scanner_camera import CameraScanner
from edge.supervise import Health, supervise
from tests.drivers.cameras import NOTHING, a_camera, a_scanner, a_scene, until
from tests.edge.web.cameras import put_up
from tests.edge.web.kiosk import stand_at
from tests.edge.web.test_camera_page import aim

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

pytestmark = pytest.mark.browser


@asynccontextmanager
async def at_work(venue: "Venue", scanner: CameraScanner, health: Health) -> AsyncIterator[None]:
    """Let a lane read its camera, as the gate does."""
    lane = venue.box.lane("north-1")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervise("camera", partial(lane.pump, scanner), health), name="camera")
        try:
            yield
        finally:
            task.cancel()


async def test_ticket_held_to_the_camera_is_judged_and_seen(
    venue: "Venue", browser: Browser, server: TestServer
) -> None:
    await venue.sells("T-1")
    async with a_camera() as camera:
        scanner = a_scanner(camera.stream())
        _camera, health = put_up(venue, camera=scanner, on_page=True)
        kiosk, aimer = await stand_at(browser, server), await aim(browser, server)
        async with at_work(venue, scanner, health):
            await aimer.shows("live")
            await expect(kiosk.page.locator("figure canvas")).to_be_visible()
            camera.shows(a_scene("T-1"))
            await kiosk.shows("admitted", "tick")
            await expect(kiosk.page.locator("figure polygon")).to_have_count(1)
            await expect(aimer.page.locator("#labels span")).to_have_text("QR T-1")
            await expect(aimer.page.locator("#reads b")).to_have_text("T-1")
            camera.shows(NOTHING)
            await expect(aimer.page.locator("#labels span")).to_have_count(0)
        assert [row.verdict for row in await venue.box.store.scans_after(0, 10)] == ["admitted"]
    assert kiosk.errors == aimer.errors == []


async def test_pages_outlive_the_cameras_process(venue: "Venue", browser: Browser, server: TestServer) -> None:
    async with a_camera() as camera:
        scanner = a_scanner(camera.stream())
        _camera, health = put_up(venue, camera=scanner, on_page=True)
        kiosk, aimer = await stand_at(browser, server), await aim(browser, server)
        label = aimer.page.locator("#labels span")
        async with at_work(venue, scanner, health):
            for number in range(3):
                camera.shows(a_scene(f"T-{number}"))
                await expect(label).to_have_text(f"QR T-{number}", timeout=15_000)
                await expect(kiosk.page.locator("figure polygon")).to_have_count(1)
                pid = scanner.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                await until(lambda before=pid: scanner.pid not in {None, before})  # type: ignore[misc]
    assert kiosk.errors == aimer.errors == []


async def test_pages_say_that_the_stream_is_gone_until_it_is_back(
    venue: "Venue", browser: Browser, server: TestServer
) -> None:
    async with a_camera() as camera:
        scanner = a_scanner(camera.stream())
        _camera, health = put_up(venue, camera=scanner, on_page=True)
        kiosk, aimer = await stand_at(browser, server), await aim(browser, server)
        async with at_work(venue, scanner, health):
            await aimer.shows("live")
            await expect(kiosk.page.locator("figure canvas")).to_be_visible()
            await camera.switched_off()
            await aimer.shows("lost", camera.url())
            await expect(kiosk.page.locator("figcaption")).to_be_visible()
            await camera.switched_on()
            await aimer.shows("live")
            await expect(kiosk.page.locator("figure canvas")).to_be_visible()
    assert kiosk.errors == aimer.errors == []
