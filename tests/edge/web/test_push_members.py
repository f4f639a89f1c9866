"""Pushed bodies that are packed in very many small pieces."""

import asyncio
import gzip
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pytest_aiohttp import AiohttpClient

from edge.web import pushes
from sync.cutting import MOST_EMPTY, Unpacker
from tests.edge.web.pushing import a_sink
from tests.sync.book import everything, packed

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

Client = TestClient[Any, Any]


@pytest.fixture
async def client(venue: "Venue", aiohttp_client: AiohttpClient) -> Client:
    server = TestServer(venue.app(a_sink(venue)))
    await server.start_server(auto_decompress=False)  # as the gate's own
    token = venue.tokens.make("crm", venue.box.clock.now())
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    return await aiohttp_client(server, headers=head)


async def test_members_that_hold_nothing_are_refused_in_words(client: Client) -> None:
    nothing = gzip.compress(b"")
    body = gzip.compress(packed(everything(2))) + nothing * (MOST_EMPTY + 1)
    answer = await client.post("/api/v1/changes", data=body)
    assert answer.status == 400
    error = (await answer.json())["error"]
    assert error["code"] == "bad_feed"
    assert f"more than {MOST_EMPTY} gzip members in a row hold nothing" in error["message"]


async def test_very_many_members_do_not_hold_the_loop(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_row, most = 0, 0

    class Counted(Unpacker):
        def unpack(self, chunk: bytes) -> Iterator[bytes]:
            nonlocal in_a_row, most
            for part in super().unpack(chunk):
                in_a_row += 1
                most = max(most, in_a_row)
                yield part

    async def others() -> None:
        nonlocal in_a_row
        while True:
            in_a_row = 0
            await asyncio.sleep(0)

    monkeypatch.setattr(pushes, "Unpacker", Counted)

    lines = packed(everything(2))
    members = gzip.compress(lines[:-1]) + gzip.compress(b" ") * 10_000 + gzip.compress(lines[-1:])
    task = asyncio.create_task(others())
    answer = await client.post("/api/v1/changes", data=members)
    task.cancel()
    assert (answer.status, (await answer.json())["tickets"]) == (200, 2)
    assert 0 < most <= 2, "parts between two turns of the others"
