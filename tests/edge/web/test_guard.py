"""Who may talk to the gate: loopback, tokens, and pages of other sites."""

import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from edge.web.guard import COOKIE, host_allowed, is_loopback, origin_allowed, own_names

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

PATHS = (
    "/",
    "/camera",
    "/api/v1/cameras",
    "/api/v1/status",
    "/api/v1/scans",
    "/metrics",
    "/readyz",
    "/static/kiosk.js",
    "/no/such",
)


@pytest.fixture
async def client(venue: "Venue", aiohttp_client: AiohttpClient) -> "TestClient[Any, Any]":
    return await aiohttp_client(venue.app())


def _address() -> str | None:
    """Find an address of this machine that is not its loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if is_loopback(address) else address


@pytest.fixture
async def from_network(venue: "Venue") -> AsyncIterator[str]:
    """The gate's base URL as the network sees it."""
    address = _address()
    if address is None:
        pytest.skip("this machine has no address but its loopback")
    runner = web.AppRunner(venue.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, address, 0)
    await site.start()
    yield f"http://{address}:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_network_needs_a_token_for_all_but_health(venue: "Venue", from_network: str) -> None:
    token = venue.tokens.make("crm", venue.box.clock.now())
    async with aiohttp.ClientSession() as session:
        assert (await session.get(f"{from_network}/healthz")).status == 200
        for path in PATHS:
            response = await session.get(from_network + path)
            assert response.status == 401
            assert "brama token" in (await response.json())["error"]["message"]
        for header in (f"Bearer {token}x", "Bearer", f"Basic {token}", "Bearer \xff", "Bearer " + "x" * 5000):
            response = await session.get(f"{from_network}/api/v1/status", headers={"Authorization": header})
            assert response.status == 401
        good = {"Authorization": f"Bearer {token}"}
        assert (await session.get(f"{from_network}/api/v1/status", headers=good)).status == 200
        assert (await session.post(f"{from_network}/api/v1/scans", json={"code": "X"}, headers=good)).status == 200
        assert (await session.post(f"{from_network}/api/v1/scans", json={"code": "X"})).status == 401


async def test_network_feed_takes_the_token_in_the_query(venue: "Venue", from_network: str) -> None:
    token = venue.tokens.make("phone", venue.box.clock.now())
    live = f"{from_network}/api/v1/live"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(live)
        assert refused.value.status == 401
        async with session.ws_connect(f"{live}?token={token}") as feed:
            assert (await feed.receive_json())["kind"] == "status"
        async with session.ws_connect(live, headers={"Authorization": f"Bearer {token}"}) as feed:
            assert (await feed.receive_json())["kind"] == "status"
        assert (await session.get(f"{from_network}/api/v1/status?token={token}")).status == 401


async def test_phone_opens_the_page_with_a_token_that_leaves_the_address(venue: "Venue", from_network: str) -> None:
    token = venue.tokens.make("phone", venue.box.clock.now())
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        response = await session.get(f"{from_network}/?lane=north-2&token={token}")
        assert (response.status, response.url.query_string) == (200, "lane=north-2")
        assert (await session.get(f"{from_network}/static/kiosk.js")).status == 200
        assert (await session.get(f"{from_network}/api/v1/status")).status == 200
        (cookie,) = response.history[0].cookies.values()
        assert (cookie.key, cookie["httponly"], cookie["samesite"]) == (COOKIE, True, "Strict")


async def test_what_a_proxy_passes_on_comes_from_the_network(client: "TestClient[Any, Any]") -> None:
    response = await client.get("/api/v1/status", headers={"X-Forwarded-For": "203.0.113.9"})
    assert response.status == 401


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),  # noqa: S104
        ("", False),
        ("localhost", False),
        (None, False),
    ],
)
def test_loopback_is_told_by_address(peer: str | None, loopback: bool) -> None:
    assert is_loopback(peer) is loopback


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("localhost.:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("10.1.2.3", True),
        ("gate.lan", True),
        (socket.gethostname(), True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@localhost", False),
        ("localhost/evil", False),
        ("localhost:evil", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_host_is_a_name_of_this_machine(host: str, allowed: bool) -> None:
    assert host_allowed(host, own_names("Gate.LAN")) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:8080", True),
        ("HTTP://LOCALHOST:8080", True),
        ("http://localhost", False),
        ("http://localhost:8081", False),
        ("https://evil.example", False),
        ("http://evil.example:8080", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("http://localhost:8080@evil.example", False),
        ("http://[::1", False),
    ],
)
def test_origin_is_the_gate_itself(origin: str, allowed: bool) -> None:
    assert origin_allowed(origin, "localhost:8080") is allowed


async def test_page_of_another_site_is_refused(venue: "Venue", client: "TestClient[Any, Any]") -> None:
    evil = {"Origin": "https://evil.example"}
    for path in PATHS:
        assert (await client.get(path, headers=evil)).status == 403
    response = await client.post("/api/v1/scans", json={"code": "X"}, headers=evil)
    assert (response.status, (await response.json())["error"]["code"]) == (403, "wrong_origin")
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await client.ws_connect("/api/v1/live", headers=evil)
    rebound = await client.get("/api/v1/status", headers={"Host": "evil.example"})
    assert (rebound.status, (await rebound.json())["error"]["code"]) == (403, "wrong_host")
    assert (await venue.box.store.backlog()).head_seq == 0


async def test_own_page_and_token_under_any_name_are_let_in(venue: "Venue", client: "TestClient[Any, Any]") -> None:
    own = {"Origin": f"http://{client.host}:{client.port}"}
    assert (await client.post("/api/v1/scans", json={"code": "X"}, headers=own)).status == 200
    token = venue.tokens.make("crm", venue.box.clock.now())
    named = {"Host": "gate.venue.example", "Authorization": f"Bearer {token}"}
    assert (await client.get("/api/v1/status", headers=named)).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_forms_are_not_read(client: "TestClient[Any, Any]", kind: str) -> None:
    response = await client.post("/api/v1/scans", data=b'{"code": "X"}', headers={"Content-Type": kind})
    assert (response.status, (await response.json())["error"]["field"]) == (415, "content-type")


async def test_client_that_names_no_type_is_read(client: "TestClient[Any, Any]") -> None:
    response = await client.post("/api/v1/scans", data=b'{"code": "X"}', skip_auto_headers={"Content-Type"})
    assert response.status == 200


async def test_damaged_tokens_let_nobody_in_and_harm_nobody_else(venue: "Venue", from_network: str) -> None:
    (venue.box.settings.device.data_path / "tokens.json").write_text("{")
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as session:
        assert (await session.get(f"{from_network}/api/v1/status")).status == 401


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/status", "/no/such", "/static/kiosk.css"])
async def test_every_answer_carries_the_security_headers(client: "TestClient[Any, Any]", path: str) -> None:
    headers = (await client.get(path)).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert "aiohttp" not in headers["Server"]
