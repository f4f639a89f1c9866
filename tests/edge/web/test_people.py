"""Shifts and overrides: who may do what at a lane."""

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from edge.web.answers import ControllersAnswer, ScanAnswer, ShiftAnswer

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

Client = TestClient[Any, Any]
TARAS = {"controller": "taras", "pin": "2468"}
OLENA = {"controller": "olena", "pin": "2468"}


@pytest.fixture
async def client(venue: "Venue", aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(venue.app())


async def refusal(client: Client, lane: str = "north-1", code: str = "X-1") -> str:
    answer = await (await client.post("/api/v1/scans", json={"code": code, "lane": lane})).json()
    assert answer["verdict"] == "refused"
    return str(answer["scan_id"])


async def test_controllers_are_offered_without_their_secrets(client: Client) -> None:
    response = await client.get("/api/v1/controllers")
    found = ControllersAnswer.model_validate(await response.json())
    assert [(each.id, each.supervisor) for each in found.controllers] == [("olena", False), ("taras", True)]
    assert "argon2" not in await response.text()


@pytest.mark.parametrize("who", [{"badge": "BADGE-1"}, TARAS])
async def test_controller_signs_in_and_out(client: Client, who: dict[str, str]) -> None:
    response = await client.post("/api/v1/shift", json={**who, "lane": "north-2"})
    answer = ShiftAnswer.model_validate(await response.json())
    assert (answer.lane, answer.controller.id, answer.controller.supervisor) == ("north-2", "taras", True)
    assert (await (await client.get("/api/v1/status")).json())["shift"]["north-2"] == ["taras"]
    assert (await client.delete("/api/v1/shift?lane=north-2")).status == 204
    assert (await (await client.get("/api/v1/status")).json())["shift"]["north-2"] == []
    assert (await client.delete("/api/v1/shift?lane=south")).status == 404


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "controller"),
        ({"controller": "taras"}, 400, "pin"),
        ({"pin": "2468"}, 400, "controller"),
        ({"badge": "BADGE-1", **TARAS}, 400, "badge"),
        ({"badge": 1}, 400, "badge"),
        ({"badge": "BADGE-2"}, 403, "badge"),
        ({"controller": "taras", "pin": "0000"}, 403, "pin"),
        ({"controller": "nobody", "pin": "2468"}, 403, "pin"),
        ({"badge": "BADGE-1", "lane": "south"}, 404, "lane"),
    ],
)
async def test_who_is_not_known_does_not_sign_in(client: Client, body: Any, status: int, field: str) -> None:
    response = await client.post("/api/v1/shift", json=body)
    assert (response.status, (await response.json())["error"]["field"]) == (status, field)


async def test_guessing_pins_is_slowed_down(client: Client) -> None:
    for _ in range(5):
        await client.post("/api/v1/shift", json={"controller": "taras", "pin": "0"})
    response = await client.post("/api/v1/shift", json=TARAS)
    assert response.status == 403
    assert "wait a minute" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("who", [{"badge": "BADGE-1"}, TARAS])
async def test_supervisor_admits_after_a_refusal(client: Client, who: dict[str, str]) -> None:
    scan_id = await refusal(client)
    body = {"reason": "lost\nticket\x00 ", **who}
    first = ScanAnswer.model_validate(await (await client.post(f"/api/v1/scans/{scan_id}/override", json=body)).json())
    assert (first.verdict, first.reason, first.of, first.note) == ("admitted", "override", scan_id, "lost ticket")
    again = await (await client.post(f"/api/v1/scans/{scan_id}/override", json=body)).json()
    assert (again["scan_id"], again["repeat"]) == (first.scan_id, True)


async def test_override_is_made_at_the_scans_own_lane_by_who_is_on_shift_there(client: Client) -> None:
    scan_id = await refusal(client, "north-2")
    await client.post("/api/v1/shift", json={**TARAS, "lane": "north-1"})
    path = f"/api/v1/scans/{scan_id}/override"
    response = await client.post(path, json={"reason": "lost ticket"})
    assert response.status == 403
    await client.post("/api/v1/shift", json={**TARAS, "lane": "north-2"})
    assert (await client.post(path, json={"reason": "lost ticket", "lane": "north-1"})).status == 409
    answer = await (await client.post(path, json={"reason": "lost ticket", "lane": "north-2"})).json()
    assert (answer["lane"], answer["reason"]) == ("north-2", "override")


async def test_controller_on_shift_who_is_no_supervisor_cannot_override(client: Client) -> None:
    scan_id = await refusal(client)
    await client.post("/api/v1/shift", json=OLENA)
    for who in ({}, OLENA):
        response = await client.post(f"/api/v1/scans/{scan_id}/override", json={"reason": "friend", **who})
        assert (response.status, (await response.json())["error"]["code"]) == (403, "not_known")


async def test_what_cannot_be_overridden(venue: "Venue", client: Client) -> None:
    await venue.sells("T-1")
    admitted = (await (await client.post("/api/v1/scans", json={"code": "T-1"})).json())["scan_id"]
    unreadable = await refusal(client, code="")
    for scan_id, status in ((admitted, 409), (unreadable, 409), ("no-such", 404)):
        response = await client.post(f"/api/v1/scans/{scan_id}/override", json={"reason": "why not", **TARAS})
        assert response.status == status
    scan_id = await refusal(client)
    for body in ({**TARAS}, {"reason": "", **TARAS}, {"reason": "\x00 \n", **TARAS}, {"reason": "x" * 501, **TARAS}):
        response = await client.post(f"/api/v1/scans/{scan_id}/override", json=body)
        assert (response.status, (await response.json())["error"]["field"]) == (400, "reason")
