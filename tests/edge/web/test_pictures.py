"""Pictures of refused scans over the API and on the page: there while they are kept, to whoever may call the gate."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from aiohttp import hdrs
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect
from pytest_aiohttp import AiohttpClient

from drivers.protocols import Read, Spoiled
from tests.edge.web.conftest import NOW
from tests.edge.web.kiosk import serve, stand_at

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

JPEG = cv2.imencode(".jpg", np.tile(np.arange(0, 240, dtype=np.uint8), (135, 1)))[1].tobytes()
SIZE = (240, 135)


@dataclass
class Camera:
    """Sees one code, and the guest who holds it."""

    code: str
    at: datetime = NOW

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        yield Read(self.code, self.at, "]Q1", picture=JPEG)


async def refused(venue: "Venue", code: str = "X-1") -> str:
    """Have a camera see a code that is refused, and return the scan's id."""
    venue.box.store.pictures.allow(lambda: 48, lambda: True)
    lane = venue.box.lane("north-1")
    await lane.pump(Camera(code), keep_h=24)
    return (await venue.box.history(lane))[0]["scan_id"]  # type: ignore[no-any-return]


async def test_the_picture_of_a_refusal_is_had_by_its_scan(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    scan_id = await refused(venue)
    for _written in (False, True):
        answer = await client.get(f"/api/v1/scans/{scan_id}/picture")
        assert (answer.status, answer.content_type, await answer.read()) == (200, "image/jpeg", JPEG)
        assert answer.headers[hdrs.CACHE_CONTROL] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        await venue.box.store.pictures.write()


@pytest.mark.parametrize("scan_id", ["01a207bd-7807-7eed-95cb-1fcaf4eb07d7", "..%2F..%2Fjournal.db", "%00", "x" * 5000])
async def test_of_a_scan_without_one_that_is_said(venue: "Venue", aiohttp_client: AiohttpClient, scan_id: str) -> None:
    client = await aiohttp_client(venue.app())
    answer = await client.get(f"/api/v1/scans/{scan_id}/picture")
    error = (await answer.json())["error"]
    assert (answer.status, error["code"], error["field"]) == (404, "not_found", "id")
    assert error["message"] == "id: no picture of that scan is kept; keep_refused_h of the camera says for how long"


async def test_a_picture_that_has_gone_is_no_longer_had(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    scan_id = await refused(venue)
    await venue.box.store.pictures.wipe()
    assert (await client.get(f"/api/v1/scans/{scan_id}/picture")).status == 404


async def test_the_history_says_of_which_there_is_one(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    await venue.sells("T-1")
    lane = venue.box.lane("north-1")
    await refused(venue)
    await lane.pump(Camera("T-1"), keep_h=24)
    await lane.offer("X-2")
    history = await (await client.get("/api/v1/history?lane=north-1")).json()
    assert [(each["reason"], each["picture"]) for each in history["scans"]] == [
        ("unknown_ticket", False),
        ("admitted", False),
        ("unknown_ticket", True),
    ]


async def test_from_the_network_it_takes_a_token(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    scan_id = await refused(venue)
    path, proxied = f"/api/v1/scans/{scan_id}/picture", {"X-Forwarded-For": "10.0.0.9"}
    assert (await client.get(path, headers=proxied)).status == 401
    token = venue.tokens.make("phone", NOW)
    assert (await client.get(path, headers={**proxied, "Authorization": f"Bearer {token}"})).status == 200


async def test_a_disk_that_takes_no_picture_is_a_fault_of_the_box(venue: "Venue") -> None:
    (venue.box.settings.device.data_path / "pictures").write_text("a file in its place")
    await refused(venue)
    await venue.box.store.pictures.write()
    assert [fault for fault in venue.box.faults() if fault.startswith("pictures of refused scans cannot be kept")]
    assert venue.box.ready() is None


# --- on the page ----------------------------------------------------------------------------------------------------


@pytest.mark.browser
async def test_the_list_of_the_page_opens_it(venue: "Venue", browser: Browser, server: TestServer) -> None:
    await venue.sells("T-1")
    kiosk = await stand_at(browser, server)
    page = kiosk.page
    await kiosk.shows("ready")
    await refused(venue)
    await kiosk.shows("refused", "cross", "UNKNOWN TICKET")
    await page.get_by_role("button", name="Picture").click()
    await expect(page.locator("#panel-title")).to_have_text("UNKNOWN TICKET")
    picture = page.locator("img.picture")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("(img) => img.decode().then(() => [img.naturalWidth, img.naturalHeight])") == [*SIZE]
    await kiosk.types("T-1")  # a scanner that types into the page has its way with no picture in it
    await kiosk.shows("admitted", "tick", "ADMITTED")
    await expect(page.locator("#panel")).to_be_hidden()
    await expect(page.locator("#history li")).to_have_count(2)
    await expect(page.get_by_role("button", name="Picture")).to_have_count(1)
    await page.reload()  # then the list comes from the gate's history
    await expect(page.get_by_role("button", name="Picture")).to_have_count(1)
    assert kiosk.errors == []


@pytest.mark.browser
async def test_a_picture_that_has_gone_meanwhile_is_said_to_be(kyiv_venue: "Venue", browser: Browser) -> None:
    server = await serve(kyiv_venue.app())
    kiosk = await stand_at(browser, server)
    await kiosk.shows("ready")
    await refused(kyiv_venue)
    await kiosk.shows("refused", "cross")
    await kyiv_venue.box.store.pictures.wipe()
    await kiosk.page.get_by_role("button", name="Знімок").click()
    await expect(kiosk.page.locator("#panel-body")).to_have_text("Цей знімок уже не зберігається.")
    await server.close()
    assert kiosk.errors == []
