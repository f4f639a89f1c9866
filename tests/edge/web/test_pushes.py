"""Push mode over HTTP: what a CRM's maker sends, and what comes back."""

import asyncio
import gzip
import json
import logging
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pytest_aiohttp import AiohttpClient

from config.settings import BramaCrmSettings, FileCrmSettings
from edge.web.answers import ChangesAnswer, ErrorAnswer
from edge.web.pushes import takes_pushes
from sync.push import Caller, Outcome, PushSink
from tests.edge.web.conftest import CREDENTIALS
from tests.edge.web.pushing import a_puller, a_sink
from tests.sync.book import Book, Line, everything, packed

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

NDJSON = "application/x-ndjson"
STANDING = {"cursor", "tickets", "fingerprint", "held", "wanted"}


@dataclass
class Crm:
    """A CRM that pushes to the gate, by its token."""

    client: "TestClient[web.Request, Any]"
    token: str

    async def push(
        self, data: Any, status: int, query: str = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Push bytes or lines; return the answer, which has this status."""
        raw = packed(data) if isinstance(data, list) else data
        head = {"Authorization": f"Bearer {self.token}", "Content-Type": NDJSON, **(headers or {})}
        response = await self.client.post(f"/api/v1/changes{query}", data=raw, headers=head)
        body: dict[str, Any] = await response.json()
        assert response.status == status, body
        if status == 200:
            assert set(body) == {"lines", *STANDING}
            ChangesAnswer.model_validate(body)
        else:
            ErrorAnswer.model_validate({"error": body["error"]})
            assert set(body) in ({"error"}, {"error", *STANDING})
        return body

    async def read(self, after: int, token: str | None = "") -> list[int]:
        """Read scans, by its own token where none is named."""
        shown = self.token if token == "" else token
        head = {"Authorization": f"Bearer {shown}"} if shown else {}
        response = await self.client.get(f"/api/v1/scans?after={after}", headers=head)
        body = await response.json()
        assert set(body) == {"scans"}
        return [row["seq"] for row in body["scans"]]

    async def status(self) -> dict[str, Any]:
        body: dict[str, Any] = await (await self.client.get("/api/v1/status")).json()
        return body


@pytest.fixture(params=[True, False], ids=["unpacked by aiohttp", "as it came"])
async def crm(venue: "Venue", aiohttp_client: AiohttpClient, request: pytest.FixtureRequest) -> Crm:
    server = TestServer(venue.app(a_sink(venue)))
    await server.start_server(auto_decompress=request.param)
    return Crm(await aiohttp_client(server), venue.tokens.make("crm", venue.box.clock.now()))


async def as_it_came(venue: "Venue", aiohttp_client: AiohttpClient, sink: PushSink) -> Crm:
    """Serve with no body unpacked by aiohttp, as a gate does; the CRM has no token."""
    server = TestServer(venue.app(sink))
    await server.start_server(auto_decompress=False)
    return Crm(await aiohttp_client(server), "none")


async def in_pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_a_list_comes_plain_chunked_and_packed(crm: Crm, venue: "Venue") -> None:
    for cursor, body, headers in (
        ("k-1", packed(everything(50, "k-1")), {}),
        ("k-2", in_pieces(packed(everything(50, "k-2"))), {}),
        ("k-3", gzip.compress(packed(everything(50, "k-3"))), {"Content-Encoding": "gzip"}),
        ("k-4", in_pieces(gzip.compress(packed(everything(50, "k-4"))), 1), {"Content-Encoding": "GZIP"}),
        ("k-5", packed(everything(50, "k-5")), {"Content-Encoding": "identity"}),
    ):
        answer = await crm.push(body, 200, headers=headers)
        assert (answer["cursor"], answer["tickets"]) == (cursor, 50)
    data = (await crm.status())["data"]
    assert (data["cursor"], data["tickets"]) == ("k-5", 50)


@pytest.mark.parametrize("encoding", ["deflate", "compress", "gzip, gzip", "<script>"])
async def test_what_is_packed_otherwise_is_refused_with_the_mend(crm: Crm, encoding: str) -> None:
    head = {"Authorization": f"Bearer {crm.token}", "Content-Type": NDJSON, "Content-Encoding": encoding}
    response = await crm.client.post("/api/v1/changes", data=zlib.compress(b"x"), headers=head)
    error = (await response.json())["error"]
    assert (response.status, error["code"], error["field"]) == (415, "wrong_encoding", "content-encoding")
    assert "send gzip" in error["message"]
    assert response.headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("keep", [0.5, 0.99])
async def test_a_damaged_packing_keeps_what_a_cursor_closed(crm: Crm, keep: float) -> None:
    await crm.push(everything(2), 200)
    whole = gzip.compress(packed(everything(500, "k-2")))
    answer = await crm.push(whole[: int(len(whole) * keep)], 400, headers={"Content-Encoding": "gzip"})
    assert (answer["error"]["code"], answer["cursor"], answer["tickets"]) == ("bad_feed", "k-1", 2)


async def test_a_packing_without_its_end_is_damaged(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    crm = await as_it_came(venue, aiohttp_client, a_sink(venue))
    trailer = 8  # RFC 1952, section 2.3.1
    whole = gzip.compress(packed([*everything(2)[:-1], Book().cursor("p-1", more=True, tickets=None)]))
    answer = await crm.push(whole[:-trailer], 400, headers={"Content-Encoding": "gzip"})
    assert (answer["error"]["code"], answer["error"]["field"], answer["cursor"]) == ("bad_feed", "body", "p-1")


class Measured(PushSink):
    """A sink that keeps the size of the largest part that came."""

    largest = 0

    async def apply(self, chunks: AsyncIterator[bytes], by: Caller, since: str | None = None) -> Outcome:
        async def measured() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                self.largest = max(self.largest, len(chunk))
                yield chunk

        return await super().apply(measured(), by, since)


async def test_what_unpacks_to_very_much_is_taken_in_parts(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    sink = Measured(a_puller(venue), venue.box.store)
    crm = await as_it_came(venue, aiohttp_client, sink)
    bomb = gzip.compress(b"x" * 50_000_000)
    assert len(bomb) < 100_000
    answer = await crm.push(bomb, 400, headers={"Content-Encoding": "gzip"})
    assert "a feed line is longer than 4194304 bytes" in answer["error"]["message"]
    assert 0 < sink.largest <= 256 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
async def test_the_other_calls_take_nothing_packed_and_say_so(
    venue: "Venue", aiohttp_client: AiohttpClient, encoding: str
) -> None:
    crm = await as_it_came(venue, aiohttp_client, a_sink(venue))
    data = gzip.compress(b'{"code": "X"}')
    head = {"Content-Type": "application/json", "Content-Encoding": encoding}
    response = await crm.client.post("/api/v1/scans", data=data, headers=head)
    error = (await response.json())["error"]
    assert (response.status, error["code"], error["field"]) == (415, "wrong_encoding", "content-encoding")
    assert "send the body as it is" in error["message"]
    head["Content-Encoding"] = "identity"
    assert (await crm.client.post("/api/v1/scans", data=b'{"code": "X"}', headers=head)).status == 200


@pytest.mark.parametrize(
    ("lines", "query", "status", "code", "field"),
    [
        ([{"kind": "tickets", "event": "e-1", "rows": [["x"]]}], "", 400, "bad_feed", "tickets.rows.0.0"),
        ([{"kind": "cursor", "cursor": "k-9", "at": "noon"}], "", 400, "bad_feed", "cursor.at"),
        ([{"id": "x"}], "", 400, "bad_feed", "kind"),
        (b"<html>\n", "", 400, "bad_feed", None),
        (b"\xff\xfe\n", "", 400, "bad_feed", None),
        (b"[" * 100_000 + b"\n", "", 400, "bad_feed", None),
        (b"[" * 4000 + b"\n", "", 400, "bad_feed", None),
        ([Book().cursor("k-9")], "?since=k-8", 409, "wrong_cursor", "since"),
        ([Book().cursor("k-9")], "", 409, "list_differs", "fingerprint"),
        ([], f"?since={'x' * 1001}", 400, "bad_request", "since"),
    ],
)
async def test_what_is_wrong_is_named(
    crm: Crm, lines: list[Line], query: str, status: int, code: str, field: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    await crm.push(everything(3), 200)
    answer = await crm.push(lines, status, query)
    assert (answer["error"]["code"], answer["error"].get("field")) == (code, field)
    if code != "bad_request":
        assert answer["tickets"] == 3
    assert "Traceback" not in caplog.text


async def test_a_list_that_differs_is_told_with_both_sums_and_wanted_until_it_comes(crm: Crm) -> None:
    book = Book()
    await crm.push(everything(3, book=book), 200)
    mine = book.fingerprint.hex()
    answer = await crm.push([book.cursor("k-2", fingerprint="a" * 32)], 409)
    assert answer["error"]["code"] == "list_differs"
    assert mine in answer["error"]["message"]
    assert "a" * 32 in answer["error"]["message"]
    assert (answer["cursor"], answer["fingerprint"]) == ("k-2", mine)
    assert "push the whole list anew" in answer["wanted"]
    assert (await crm.status())["crm"]["error"] == answer["wanted"]
    answer = await crm.push([book.cursor("k-3", fingerprint=None)], 409)
    assert (answer["error"]["code"], answer["cursor"]) == ("whole_list_wanted", "k-3")
    assert (await crm.push(everything(3, "k-4"), 200))["wanted"] is None
    assert (await crm.status())["crm"]["error"] is None


async def test_a_body_that_is_cut_leaves_what_its_last_cursor_closed(crm: Crm, venue: "Venue") -> None:
    await crm.push(everything(3), 200)
    book = Book()
    lines = everything(0, book=book)[:-1]
    lines += [book.tickets(1, 2), book.cursor("p-1", more=True), book.tickets(3, 4), book.cursor("p-2")]
    cut = packed(lines[:-1])
    reader, writer = await asyncio.open_connection(crm.client.host, crm.client.port)
    head = f"POST /api/v1/changes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {crm.token}\r\n"
    writer.write(f"{head}Content-Type: {NDJSON}\r\nContent-Length: 9999999\r\n\r\n".encode() + cut)
    await writer.drain()
    await until(lambda: venue.box.crm.progress is not None)
    writer.transport.abort()
    await until(lambda: venue.box.crm.error is not None)
    answer = await crm.push(b"", 200)
    assert (answer["cursor"], answer["tickets"]) == ("p-1", 3)
    assert (await crm.push(lines[-2:], 200, "?since=p-1"))["tickets"] == 4
    del reader


async def until(fact: Any) -> None:
    """Look until it is so; bounded."""
    async with asyncio.timeout(15):
        while not fact():
            await asyncio.sleep(0.01)


async def test_a_second_push_at_once_is_told_when_to_come_back(crm: Crm, venue: "Venue") -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def held_back() -> AsyncIterator[bytes]:
        yield packed(everything(2)[:-1])
        begun.set()
        await go_on.wait()
        yield packed(everything(2)[-1:])

    async with asyncio.TaskGroup() as group:
        first = group.create_task(crm.push(held_back(), 200))
        await begun.wait()
        await until(venue.box.store.building_path.exists)
        head = {"Authorization": f"Bearer {crm.token}", "Content-Type": NDJSON}
        response = await crm.client.post("/api/v1/changes", data=packed(everything(9)), headers=head)
        assert (response.status, (await response.json())["error"]["code"]) == (409, "busy")
        assert response.headers["Retry-After"] == "5"
        go_on.set()
    assert first.result()["tickets"] == 2


async def test_a_builder_that_dies_is_no_defect(
    crm: Crm, venue: "Venue", caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    await crm.push(everything(2), 200)
    venue.box.store.building_path.mkdir()  # it cannot be made into a file
    answer = await crm.push(everything(3, "k-2"), 503)
    assert answer["error"]["code"] in {"store_failed", "not_kept"}
    assert "defect" not in caplog.text
    venue.box.store.building_path.rmdir()
    assert (await crm.push(everything(3, "k-2"), 200))["tickets"] == 3


# --- scans ----------------------------------------------------------------------------------------------------------


async def test_the_crm_acknowledges_by_reading_on(crm: Crm) -> None:
    await crm.push(everything(2), 200)
    for _ in range(3):
        await crm.client.post("/api/v1/scans", json={"code": "X"})
    assert await crm.read(0) == [1, 2, 3]
    assert (await crm.status())["backlog"]["unsent"] == 3
    for other in ("a-phone", None):
        assert await crm.read(3, other) == []
    assert (await crm.status())["backlog"]["unsent"] == 3
    assert await crm.read(3) == []
    backlog = (await crm.status())["backlog"]
    assert (backlog["unsent"], backlog["acked_seq"], backlog["oldest_at"]) == (0, 3, None)


async def test_what_was_never_made_a_token_is_nobodys(crm: Crm) -> None:
    """From this machine no token is needed, and a wrong one passes for none."""
    crm.token, good = "not-a-token-at-all", crm.token
    await crm.push(everything(2), 200)
    for _ in range(3):
        await crm.client.post("/api/v1/scans", json={"code": "X"})
    for after in (0, 3):
        await crm.read(after)
    assert (await crm.status())["backlog"]["unsent"] == 3
    crm.token = good
    await crm.push([{"kind": "x"}], 200)
    for after in (0, 3):
        await crm.read(after)
    assert (await crm.status())["backlog"]["unsent"] == 0


async def test_the_page_that_was_opened_with_the_crms_token_acknowledges_nothing(crm: Crm) -> None:
    await crm.push(everything(2), 200)
    await crm.client.post("/api/v1/scans", json={"code": "X"})
    await crm.read(0)
    crm.client.session.cookie_jar.update_cookies({"brama_token": crm.token})
    assert await crm.read(1, None) == []
    assert (await crm.status())["backlog"]["unsent"] == 1


async def test_scans_are_given_although_nothing_can_be_written(
    crm: Crm, venue: "Venue", caplog: pytest.LogCaptureFixture
) -> None:
    await crm.push(everything(2), 200)
    await crm.client.post("/api/v1/scans", json={"code": "X"})

    async def protect(on: int) -> None:
        await venue.box.store.read(lambda tx: tx.journal.execute(f"PRAGMA query_only={on}").close())

    await protect(1)
    assert await crm.read(0) == [1]
    assert "what the CRM has cannot be kept" in caplog.text
    await protect(0)
    assert await crm.read(0) == [1]
    await crm.read(1)
    assert (await crm.status())["backlog"]["unsent"] == 0


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "wrong", "", "x" * 5000, "\u00e9"])
async def test_from_the_network_only_with_a_token(crm: Crm, token: str | None) -> None:
    head = {"X-Forwarded-For": "192.0.2.9", "Content-Type": NDJSON}
    if token is not None:
        head["Authorization"] = f"Bearer {token}"
    response = await crm.client.post("/api/v1/changes", data=packed(everything(2)), headers=head)
    assert (response.status, (await response.json())["error"]["field"]) == (401, "authorization")
    head["Authorization"] = f"Bearer {crm.token}"
    assert (await crm.client.post("/api/v1/changes", data=packed(everything(2)), headers=head)).status == 200


async def test_a_box_without_a_key_takes_no_list(crm: Crm, venue: "Venue") -> None:
    venue.box.store._tx.identity = None
    assert (await crm.push(everything(2), 409))["error"]["code"] == "not_enrolled"


async def test_a_gate_that_pulls_takes_no_push_and_no_acknowledgement(crm: Crm, venue: "Venue") -> None:
    await crm.push(everything(2), 200)
    await crm.client.post("/api/v1/scans", json={"code": "X"})
    await crm.read(0)
    pulling = [
        BramaCrmSettings(url="https://crm.example"),
        FileCrmSettings(kind="file", path=Path("/media/stick")),
    ]
    for named in pulling:
        venue.box.settings = venue.box.settings.model_copy(update={"crm": named})
        assert not takes_pushes(venue.box)
        assert (await crm.push(everything(2), 404))["error"]["code"] == "no_push"
        await crm.read(1)
    venue.box.settings = venue.box.settings.model_copy(update={"crm": None})
    venue.box.link.credentials = CREDENTIALS.model_copy(update={"pulls": True})
    assert not takes_pushes(venue.box)
    assert (await crm.status())["backlog"]["unsent"] == 1


async def test_a_held_list_takes_its_place_when_a_person_says_so(crm: Crm, venue: "Venue") -> None:
    await venue.sells(*(f"T-{number}" for number in range(9)))
    answer = await crm.push(everything(2), 200)
    assert (answer["cursor"], answer["tickets"]) == ("k-1", 9)
    assert "held back" in answer["held"]
    assert (await crm.client.post("/api/v1/sync/accept")).status == 202
    data = (await crm.status())["data"]
    assert (data["cursor"], data["tickets"], data["held"]) == ("k-1", 2, None)


async def test_refusals_are_in_the_log_and_no_traces(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    await crm.push(everything(2), 200)
    with caplog.at_level(logging.WARNING):
        await crm.push(json.dumps({"kind": "event"}).encode() + b"\n", 400)
    assert re.search(r"a push by 127\.0\.0\.1 was refused: feed line 1: event\.id: missing", caplog.text)
