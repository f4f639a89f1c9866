"""Scans that the CRM would not take: shown, sent again, or given up."""

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from edge.store.outbox import Reject, acknowledge
from edge.web.answers import DroppedAnswer, ParkedAnswer, RetriedAnswer

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

PATH = "/api/v1/sync/parked"


@pytest.fixture
async def client(venue: "Venue", aiohttp_client: AiohttpClient) -> TestClient[Any, Any]:
    """Two of three scans are parked."""
    client = await aiohttp_client(venue.app())
    for number in (1, 2, 3):
        await client.post("/api/v1/scans", json={"code": f"T-{number}", "scan_id": f"s-{number}"})
    rejects = [Reject(f"s-{number}", "invalid", "lane: unknown") for number in (1, 3)]
    await venue.box.store.write(lambda tx: acknowledge(tx, 3, rejects, venue.box.clock.now()))
    return client


async def parked(client: TestClient[Any, Any]) -> dict[str, bool]:
    """Return the ids of what is parked, and whether each is to be sent again."""
    body = ParkedAnswer.model_validate(await (await client.get(PATH)).json())
    return {each.scan_id: each.retry for each in body.parked}


async def test_parked_scans_are_shown_as_they_were_sent(client: TestClient[Any, Any]) -> None:
    body = ParkedAnswer.model_validate(await (await client.get(PATH)).json())
    first = body.parked[0]
    assert (first.seq, first.scan_id, first.code, first.message) == (1, "s-1", "invalid", "lane: unknown")
    assert (first.scan["code"], first.scan["reason"]) == ("T-1", "unknown_ticket")


async def test_one_or_all_are_sent_again(client: TestClient[Any, Any]) -> None:
    one = await client.post(f"{PATH}/s-3/retry")
    assert (one.status, RetriedAnswer.model_validate(await one.json()).retried) == (202, 1)
    assert await parked(client) == {"s-1": False, "s-3": True}
    both = await client.post(f"{PATH}/retry")
    assert RetriedAnswer.model_validate(await both.json()).retried == 2
    assert await parked(client) == {"s-1": True, "s-3": True}


async def test_one_is_dropped_with_its_reason(client: TestClient[Any, Any], venue: "Venue") -> None:
    bare = await client.post(f"{PATH}/s-1/drop", json={})
    assert (bare.status, (await bare.json())["error"]["field"]) == (400, "reason")
    done = await client.post(f"{PATH}/s-1/drop", json={"reason": "a test ticket\n"})
    assert DroppedAnswer.model_validate(await done.json()).dropped == "s-1"
    assert await parked(client) == {"s-3": False}
    rows = await venue.box.store.read(lambda tx: tx.journal.execute("SELECT scan_id, reason FROM dropped").fetchall())
    assert rows == [("s-1", "a test ticket")]


@pytest.mark.parametrize(("call", "body"), [("retry", None), ("drop", {"reason": "why"})])
async def test_what_is_not_parked_is_not_found(client: TestClient[Any, Any], call: str, body: Any) -> None:
    answer = await client.post(f"{PATH}/s-2/{call}", json=body)
    assert (answer.status, (await answer.json())["error"]["code"]) == (404, "not_found")
    assert await parked(client) == {"s-1": False, "s-3": False}
