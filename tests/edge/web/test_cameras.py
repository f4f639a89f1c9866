"""The cameras' feeds: each onlooker gets the newest picture when it asks for one, and nobody can hold the gate up."""

import asyncio
import base64
import json
import struct
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import BaseTestServer, TestClient, TestServer
from pytest_aiohttp import AiohttpClient

from edge.web.answers import CamerasAnswer, CameraStatus
from edge.web.app import make_viewer
from edge.web.cameras import MOST_ONLOOKERS, MOST_TEXT, Cameras
from tests.edge.web.cameras import ALIVE, HANG_S, OUTLINE, looked_on_by, put_up
from tests.edge.web.conftest import open_venue

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

LIVE = "/api/v1/cameras/north-1.2/live"
HANDSHAKE = (
    f"GET {LIVE} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n"
)

Feed = ClientWebSocketResponse[bool]


async def picture_of(feed: Feed) -> tuple[dict[str, Any], bytes]:
    """Return the next picture: its header and its JPEG."""
    async with asyncio.timeout(HANG_S):
        while (message := await feed.receive()).type is not WSMsgType.BINARY:
            assert message.type is WSMsgType.TEXT, message
    (size,) = struct.unpack_from(">I", message.data)
    return json.loads(message.data[4 : 4 + size]), message.data[4 + size :]


async def state_of(feed: Feed) -> dict[str, Any]:
    """Return the next state."""
    async with asyncio.timeout(HANG_S):
        while (message := await feed.receive()).type is not WSMsgType.TEXT:
            assert message.type is WSMsgType.BINARY, message
    state: dict[str, Any] = json.loads(message.data)
    return state


async def test_cameras_are_listed_with_how_each_fares(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    put_up(venue)
    _camera, health = put_up(venue, "north-2.1", on_page=True)
    health.set("lost", "/dev/video0: unplugged; plug it in again")
    client = await aiohttp_client(venue.app())
    answer = CamerasAnswer.model_validate(await (await client.get("/api/v1/cameras")).json())
    up, lost = answer.cameras
    assert (up.id, up.lane, up.device, up.on_page, up.state) == (
        "north-1.2",
        "north-1",
        "/dev/video0",
        False,
        "running",
    )
    assert (up.frames, up.dropped, up.fps, up.median_ms, up.sharpness) == (300, 2, 29.9, 2.4, 250.0)
    assert (lost.id, lost.lane, lost.on_page, lost.state) == ("north-2.1", "north-2", True, "lost")
    assert lost.error == "/dev/video0: unplugged; plug it in again"
    assert (lost.frames, lost.fps, lost.hint) == (None, None, None)


async def test_gate_without_cameras_has_none(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    assert await (await client.get("/api/v1/cameras")).json() == {"cameras": []}
    response = await client.get(LIVE)
    error = (await response.json())["error"]
    assert (response.status, error["field"]) == (404, "id")
    assert "the settings name none" in error["message"]


async def test_feed_begins_with_the_state_and_goes_on_with_pictures(
    venue: "Venue", aiohttp_client: AiohttpClient
) -> None:
    camera, _health = put_up(venue)
    client = await aiohttp_client(venue.app())
    async with client.ws_connect(f"{LIVE}?width=320") as feed:
        first = CameraStatus.model_validate(await state_of(feed))
        assert (first.id, first.state, first.frames) == ("north-1.2", "running", 300)
        await looked_on_by(camera, 1)
        assert camera.onlookers == [("jpeg", 320)]
        await camera.show(b"\xff\xd8picture", OUTLINE)
        header, data = await picture_of(feed)
        assert data == b"\xff\xd8picture"
        assert (header["width"], header["height"], header["took_ms"], header["step"]) == (640, 360, 1.5, "640")
        (code,) = header["outlines"]
        assert (code["text"], code["symbology"]) == ("T-1", "]Q1")
        assert code["corners"] == [[0.25, 0.25], [0.5, 0.25], [0.5, 0.75], [0.25, 0.75]]
    await looked_on_by(camera, 0)


async def test_next_picture_comes_when_it_is_asked_for_and_is_the_newest(
    venue: "Venue", aiohttp_client: AiohttpClient
) -> None:
    camera, _health = put_up(venue)
    client = await aiohttp_client(venue.app())
    async with client.ws_connect(LIVE) as slow, client.ws_connect(LIVE) as quick:
        await looked_on_by(camera, 2)
        for number in range(20):
            await camera.show(f"picture {number}".encode())
            assert (await picture_of(quick))[1] == f"picture {number}".encode()
            await quick.send_str("next")
        assert (await picture_of(slow))[1] == b"picture 0"
        await slow.send_str("next")
        assert (await picture_of(slow))[1] == b"picture 19"


async def test_change_of_state_is_told_at_once(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    camera, health = put_up(venue)
    client = await aiohttp_client(venue.app())
    async with client.ws_connect(LIVE) as feed:
        assert (await state_of(feed))["state"] == "running"
        health.set("lost", "/dev/video0: unplugged; plug it in again")
        state = await state_of(feed)
        while state["state"] == "running":
            state = await state_of(feed)
        assert (state["state"], state["error"]) == ("lost", "/dev/video0: unplugged; plug it in again")
        assert state["fps"] is None
        camera.alive = ALIVE
        health.set("running")
        while state["state"] == "lost":
            state = await state_of(feed)
        assert (state["error"], state["fps"], state["hint"]) == (None, 29.9, None)


async def test_code_of_four_thousand_letters_is_cut(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    camera, _health = put_up(venue)
    client = await aiohttp_client(venue.app())
    async with client.ws_connect(LIVE) as feed:
        await looked_on_by(camera, 1)
        await camera.show(b"x", type(OUTLINE)("\ud800\u202e" * 2000, "]Q1", OUTLINE.corners))
        header, _data = await picture_of(feed)
        assert len(header["outlines"][0]["text"]) == MOST_TEXT


async def test_ninth_onlooker_is_refused_until_another_goes(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    camera, _health = put_up(venue)
    put_up(venue, "north-2.1")
    client = await aiohttp_client(venue.app())
    async with AsyncExitStack() as opened:
        feeds = [await opened.enter_async_context(client.ws_connect(LIVE)) for _ in range(MOST_ONLOOKERS)]
        await looked_on_by(camera, MOST_ONLOOKERS)
        response = await client.get(LIVE)
        assert (response.status, (await response.json())["error"]["code"]) == (503, "too_many")
        async with client.ws_connect("/api/v1/cameras/north-2.1/live") as other:
            assert (await state_of(other))["id"] == "north-2.1"
        await camera.show(b"x")
        for feed in feeds:
            assert (await picture_of(feed))[1] == b"x"
        await feeds[0].close()
        await looked_on_by(camera, MOST_ONLOOKERS - 1)
        async with client.ws_connect(LIVE) as again:
            assert (await state_of(again))["state"] == "running"


async def test_no_onlooker_gets_more_than_it_asked_for(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    camera, health = put_up(venue)
    client = await aiohttp_client(venue.app())
    async with client.ws_connect(f"{LIVE}?every_ms=10000") as calm, client.ws_connect(LIVE) as eager:
        await looked_on_by(camera, 2)
        assert sorted(camera.every_s) == [0.1, 10.0]
        for number in range(5):
            await camera.show(f"picture {number}".encode())
            await picture_of(eager)
            await eager.send_str("next")
            await calm.send_str("next")
        health.set("lost", "/dev/video0: unplugged; plug it in again")
        had: list[bytes] = []
        async with asyncio.timeout(HANG_S):
            while (message := await calm.receive()).type is WSMsgType.BINARY or '"lost"' not in message.data:
                had += [message.data] if message.type is WSMsgType.BINARY else []
        assert [each.endswith(b"picture 0") for each in had] == [True]


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", "79"), ("width", "1921"), ("width", "wide"), ("width", ""), ("every_ms", "99"), ("every_ms", "10001")],
)
async def test_picture_that_cannot_be_is_named(
    venue: "Venue", aiohttp_client: AiohttpClient, name: str, value: str
) -> None:
    put_up(venue)
    client = await aiohttp_client(venue.app())
    response = await client.get(f"{LIVE}?{name}={value}")
    assert (response.status, (await response.json())["error"]["field"]) == (400, name)


async def test_plain_get_is_told_that_this_is_a_feed_and_takes_no_place(
    venue: "Venue", aiohttp_client: AiohttpClient
) -> None:
    camera, _health = put_up(venue)
    client = await aiohttp_client(venue.app())
    for _ in range(2 * MOST_ONLOOKERS):
        assert (await client.get(LIVE)).status == 400
    async with client.ws_connect(LIVE):
        await looked_on_by(camera, 1)


async def test_client_that_floods_the_feed_is_cut_off(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    camera, _health = put_up(venue)
    client = await aiohttp_client(venue.app())
    async with client.ws_connect(LIVE) as feed:
        await feed.send_str("{")
        await feed.send_bytes(b"\xff")
        await feed.send_str("x" * 100_000)
        async with asyncio.timeout(HANG_S):
            while (message := await feed.receive()).type is WSMsgType.TEXT:
                pass
        assert message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR}
    await looked_on_by(camera, 0)


async def test_feeds_end_when_the_gate_stops(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    camera, _health = put_up(venue)
    server = TestServer(venue.app())
    client: TestClient[Any, Any] = await aiohttp_client(server)
    feeds = [await client.ws_connect(LIVE) for _ in range(3)]
    await looked_on_by(camera, 3)
    async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as group:
        group.create_task(server.close(), name="the gate stops")
        for feed in feeds:
            while (message := await feed.receive()).type is WSMsgType.TEXT:
                pass
            assert message.type is WSMsgType.CLOSE
    assert camera.onlookers == []


async def test_defect_of_a_camera_ends_its_feed_alone(
    venue: "Venue", aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    put_up(venue)
    broken, _health = put_up(venue, "north-2.1")
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/cameras/north-2.1/live") as feed, client.ws_connect(LIVE) as other:
        await looked_on_by(broken, 1)
        await broken.show(None)  # type: ignore[arg-type]
        async with asyncio.timeout(HANG_S):
            while (message := await feed.receive()).type is WSMsgType.TEXT:
                pass
        assert message.type is WSMsgType.CLOSE
        assert (await state_of(other))["state"] == "running"
    assert "camera feed: defect" in caplog.text


# --- who takes nothing ----------------------------------------------------------------------------------------------


async def _stuck(server: BaseTestServer) -> asyncio.StreamWriter:
    """Open the feed and, once it has begun, take nothing from it."""
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
    writer.write(HANDSHAKE.encode())
    await reader.readuntil(b'"north-1.2"')
    return writer


def _quick_to_anger(venue: "Venue", *, send_s: float, ask_s: float) -> web.Application:
    cameras = Cameras(venue.box.cameras, venue.box.healths, send_s=send_s, ask_s=ask_s)
    app = web.Application()
    app.add_routes([web.get("/api/v1/cameras/{id}/live", cameras.live)])
    return app


async def test_client_that_takes_nothing_is_cut_off(venue: "Venue") -> None:
    camera, _health = put_up(venue)
    async with TestServer(_quick_to_anger(venue, send_s=0.05, ask_s=HANG_S)) as server:
        writer = await _stuck(server)
        await looked_on_by(camera, 1)
        await camera.show(bytes(50_000_000))
        await looked_on_by(camera, 0)
        writer.close()


async def test_client_that_asks_for_nothing_is_cut_off_and_the_others_are_not(venue: "Venue") -> None:
    camera, _health = put_up(venue)
    server = TestServer(_quick_to_anger(venue, send_s=HANG_S, ask_s=0.2))
    async with TestClient(server) as client:
        idle, busy = await client.ws_connect(LIVE), await client.ws_connect(LIVE)
        await looked_on_by(camera, 2)
        async with asyncio.timeout(HANG_S):
            while len(camera.onlookers) == 2:
                await camera.show(b"x")
                await picture_of(busy)
                await busy.send_str("next")
        await camera.show(b"the last")
        assert (await picture_of(busy))[1] == b"the last"
        assert (await picture_of(idle))[1] == b"x"
        while (message := await idle.receive()).type is WSMsgType.TEXT:
            pass
        assert message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR}


# --- who may look ---------------------------------------------------------------------------------------------------


async def test_page_of_another_site_sees_no_camera(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    put_up(venue)
    client = await aiohttp_client(venue.app())
    evil = {"Origin": "https://evil.example"}
    for path in ("/api/v1/cameras", "/camera"):
        assert (await client.get(path, headers=evil)).status == 403
        assert (await client.get(path, headers={"Host": "evil.example"})).status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await client.ws_connect(LIVE, headers=evil)


async def test_network_sees_a_camera_with_a_token_alone(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    put_up(venue)
    client = await aiohttp_client(venue.app())
    token = venue.tokens.make("phone", venue.box.clock.now())
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    for path in ("/api/v1/cameras", "/camera", LIVE):
        assert (await client.get(path, headers=proxied)).status == 401
    async with client.ws_connect(f"{LIVE}?token={token}", headers=proxied) as feed:
        assert (await state_of(feed))["state"] == "running"
    answer = await client.get(f"/camera?camera=north-1.2&token={token}", headers=proxied, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/camera?camera=north-1.2")
    (cookie,) = answer.cookies.values()
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")


async def test_page_is_in_the_devices_language(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    async with open_venue(tmp_path, "uk") as venue:
        client = await aiohttp_client(venue.app())
        assert '<html lang="uk">' in await (await client.get("/camera")).text()


async def test_viewer_shows_cameras_and_nothing_else_to_this_machine_alone(
    venue: "Venue", aiohttp_client: AiohttpClient
) -> None:
    put_up(venue)
    client = await aiohttp_client(make_viewer(venue.box.cameras, venue.box.healths, "ru"))
    page = await client.get("/camera")
    assert '<html lang="ru">' in await page.text()
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert [each["id"] for each in (await (await client.get("/api/v1/cameras")).json())["cameras"]] == ["north-1.2"]
    async with client.ws_connect(LIVE) as feed:
        assert (await state_of(feed))["state"] == "running"
    assert (await client.get("/api/v1/status")).status == 404
    token = venue.tokens.make("phone", venue.box.clock.now())
    proxied = {"X-Forwarded-For": "203.0.113.9", "Authorization": f"Bearer {token}"}
    assert (await client.get("/api/v1/cameras", headers=proxied)).status == 401
