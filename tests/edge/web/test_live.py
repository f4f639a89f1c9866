"""The live feed: what happens reaches whoever looks on, and who is too slow is let go."""

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

from aiohttp import ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import BaseTestServer, TestClient, TestServer
from pytest_aiohttp import AiohttpClient

from drivers.protocols import Signals
from edge.web.answers import NoticeAnswer, ScanAnswer, StatusAnswer
from edge.web.live import LiveFeed

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

HANDSHAKE = (
    "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n"
)


async def next_of(feed: "ClientWebSocketResponse[bool]", kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = await feed.receive_json()
            if message["kind"] == kind:
                return message


async def test_feed_begins_with_the_status_and_goes_on_with_verdicts(
    venue: "Venue", aiohttp_client: AiohttpClient
) -> None:
    await venue.sells("T-1")
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/live") as feed:
        first = await feed.receive_json()
        assert first.pop("kind") == "status"
        StatusAnswer.model_validate(first)
        posted = await (await client.post("/api/v1/scans", json={"code": "T-1"})).json()
        told = await next_of(feed, "verdict")
        assert told == {"kind": "verdict", **posted}
        told.pop("kind")
        ScanAnswer.model_validate(told)
        after = await next_of(feed, "status")
        assert after["backlog"]["unsent"] == 1


async def test_lane_that_cannot_record_is_told_at_once(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/live") as feed:
        await feed.receive_json()
        venue.box.lane("north-1").set_cannot_record("the journal cannot be written: disk full")
        status = await next_of(feed, "status")
        assert "disk full" in status["faults"][0]
        assert (await client.get("/readyz")).status == 503
        venue.box.lane("north-1").set_cannot_record(None)
        assert (await next_of(feed, "status"))["faults"] == []


async def test_badge_is_told_as_a_notice_and_its_shift_as_a_status(
    venue: "Venue", aiohttp_client: AiohttpClient
) -> None:
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/live") as feed:
        await feed.receive_json()
        posted = await (await client.post("/api/v1/scans", json={"code": "BADGE-1"})).json()
        told = await next_of(feed, "notice")
        assert told == {"kind": "notice", **posted}
        NoticeAnswer.model_validate(posted)
        assert (await next_of(feed, "status"))["shift"]["north-1"] == ["taras"]


async def test_lane_that_is_held_open_is_told_at_once(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/live") as feed, venue.turnstile_heard():
        await feed.receive_json()
        venue.turnstile.say(Signals(held_open=True))
        status = await next_of(feed, "status")
        assert [lane["turnstile"] for lane in status["lanes"]] == [None, {"fault": None, "held_open": True}, None]
        assert status["faults"][0].startswith("lane north-2: held open: ")
        venue.turnstile.say(Signals(fault=True))
        status = await next_of(feed, "status")
        assert status["lanes"][1]["turnstile"]["held_open"] is False
        assert status["faults"] == ["lane north-2: turnstile: it reports a fault; look at it"]


async def test_burst_of_changes_gives_few_statuses(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/live") as feed:
        await feed.receive_json()
        kinds: list[str] = []
        for number in range(200):
            venue.box.publish_status()
            if number % 100 == 99:
                venue.box.hub.publish({"kind": "passage", "scan_id": str(number), "lane": "out", "passage": "passed"})
        while kinds.count("status") < 1 or kinds.count("passage") < 2:
            kinds.append((await feed.receive_json())["kind"])
        assert kinds.count("status") == 1


async def test_several_onlookers_all_see_each_verdict(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/live") as one, client.ws_connect("/api/v1/live") as other:
        for feed in (one, other):
            await feed.receive_json()
        await client.post("/api/v1/scans", json={"code": "X-1"})
        seen = [(await next_of(feed, "verdict"))["scan_id"] for feed in (one, other)]
        assert seen[0] == seen[1]


async def test_client_that_talks_is_not_listened_to(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/live") as feed:
        await feed.receive_json()
        await feed.send_str("{")
        await feed.send_bytes(b"\xff")
        await client.post("/api/v1/scans", json={"code": "X-1"})
        assert (await next_of(feed, "verdict"))["reason"] == "unknown_ticket"
        await feed.send_str("x" * 100_000)
        while (message := await feed.receive()).type is WSMsgType.TEXT:
            pass
        assert message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR}
    assert (await client.get("/healthz")).status == 200


async def test_plain_get_is_told_that_this_is_a_feed(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    response = await client.get("/api/v1/live")
    assert response.status == 400
    assert "error" in await response.json()


async def test_feed_ends_when_the_gate_stops(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    server = TestServer(venue.app())
    client: TestClient[Any, Any] = await aiohttp_client(server)
    feed = await client.ws_connect("/api/v1/live")
    await feed.receive_json()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(server.close(), name="the gate stops")
        assert (await feed.receive()).type is WSMsgType.CLOSE


async def _stuck_client(server: BaseTestServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open the feed and, once it has begun, take nothing from it."""
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=4096)
    writer.write(HANDSHAKE.encode())
    await reader.readuntil(b'"kind"')
    return reader, writer


def _verdict_of_a_kilobyte(number: int) -> dict[str, Any]:
    return {"kind": "verdict", "repeat": True, "scan_id": str(number), "padding": "x" * 50_000}


async def test_slow_client_is_dropped_and_the_others_are_not(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    server = TestServer(venue.app())
    client: TestClient[Any, Any] = await aiohttp_client(server)
    hub = venue.box.hub
    async with client.ws_connect("/api/v1/live") as feed:
        await feed.receive_json()
        reader, writer = await _stuck_client(server)
        async with asyncio.timeout(60):
            for number in range(10_000):
                hub.publish(_verdict_of_a_kilobyte(number))
                assert (await next_of(feed, "verdict"))["scan_id"] == str(number)
                if len(hub._queues) == 1:
                    break
            assert len(hub._queues) == 1
            # Once it reads again, it finds that nothing follows.
            last = b""
            while chunk := await reader.read(1_000_000):
                last = (last + chunk)[-100:]
            assert b"connect again" in last
        writer.close()


async def test_client_that_takes_nothing_is_cut_off(venue: "Venue") -> None:
    feed = LiveFeed(venue.box, send_s=0.05)
    app = web.Application()
    app.add_routes([web.get("/api/v1/live", feed.handle)])
    hub = venue.box.hub
    async with TestServer(app) as server:
        reader, writer = await _stuck_client(server)
        async with asyncio.timeout(30):
            number = 0
            while hub._queues:
                number += 1
                if next(iter(hub._queues)).qsize() < 200:
                    hub.publish(_verdict_of_a_kilobyte(number))
                await asyncio.sleep(0)
        writer.close()
        assert not feed._sockets._open
        del reader


async def test_verdicts_come_as_json_in_plain_letters(kyiv_venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(kyiv_venue.app())
    async with client.ws_connect("/api/v1/live") as feed:
        await feed.receive()
        await client.post("/api/v1/scans", json={"code": "X-1"})
        text = (await feed.receive()).data
        assert "КВИТОК НЕВІДОМИЙ" in text
        assert json.loads(text)["reason"] == "unknown_ticket"
