"""A box is enrolled once, and known by its token until it is revoked."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from crm import enrolment, service
from crm.database import Database
from crm.errors import BadInput, NotFound
from tests.crm.conftest import Client, Gate, HandClock, make_event

BOX = {"name": "Box 7", "hardware": "Pi 5", "serial": "100", "software": "0.1"}


async def ask(client: Client, code: str) -> tuple[int, dict[str, Any]]:
    async with client.post("/gate/v1/enrol", json={"code": code, "device": BOX}) as answer:
        return answer.status, await answer.json()


async def test_a_code_enrols_one_box_and_assigns_it(db: Database, client: Client) -> None:
    await make_event(db)
    made = await enrolment.make_enrolment_code(db, "http://crm", name="North 1", checkpoint="c-1")
    status, answer = await ask(client, made.code.lower().replace("-", " "))
    assert status == 200
    assert (answer["name"], answer["organiser"]) == ("North 1", "Palace")
    assert len(base64.b64decode(answer["lookup_key"])) == 32
    held = await Gate(client, answer["device_id"], answer["token"]).sync()
    assert held.things["assignment", f"{answer['device_id']}/"]["checkpoint"] == "c-1"


async def test_a_code_is_used_once(db: Database, client: Client) -> None:
    made = await enrolment.make_enrolment_code(db, "http://crm")
    assert (await ask(client, made.code))[0] == 200
    status, answer = await ask(client, made.code)
    assert (status, answer["error"]["code"]) == (403, "code_used")


async def test_a_code_expires(db: Database, client: Client, clock: HandClock) -> None:
    made = await enrolment.make_enrolment_code(db, "http://crm", lifetime=timedelta(hours=1))
    clock.advance(hours=1)
    status, answer = await ask(client, made.code)
    assert (status, answer["error"]["code"]) == (403, "code_expired")


async def test_an_unknown_code_is_refused(client: Client) -> None:
    status, answer = await ask(client, "WHAT-EVER")
    assert (status, answer["error"]["code"]) == (403, "code_unknown")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"code": NaN}', "body"),
        (b"[" * 100_000, "body"),
        (b"\xff", "body"),
        (b'{"code": "x"}', "device"),
        (b'{"code": "", "device": {"name": "x"}}', "code"),
        (b'{"code": "x", "device": {"name": 7}}', "device.name"),
        (b'{"code": "\\ud800", "device": {"name": "x"}}', "code"),
    ],
)
async def test_garbage_is_named(client: Client, body: bytes, field: str) -> None:
    async with client.post("/gate/v1/enrol", data=body) as answer:
        error = (await answer.json())["error"]
        assert answer.status in {400, 413}
        assert error["message"].startswith(f"{field}:"), error


async def test_a_long_body_is_refused(client: Client) -> None:
    async with client.post("/gate/v1/enrol", data=b" " * 20_000) as answer:
        assert answer.status == 413


async def test_tokens_unknown_revoked_and_missing(db: Database, gate: Gate) -> None:
    async def code(headers: dict[str, str]) -> tuple[int, str]:
        async with gate.client.get("/gate/v1/changes", headers=headers) as answer:
            return answer.status, (await answer.json())["error"]["code"]

    assert await code({}) == (401, "token_unknown")
    assert await code({"Authorization": "Basic eDp5"}) == (401, "token_unknown")
    assert await code({"Authorization": "Bearer nobody"}) == (401, "token_unknown")
    await enrolment.revoke_device(db, gate.id)
    assert await code(gate.headers) == (401, "token_revoked")


async def test_the_heartbeat_tells_the_time(gate: Gate, clock: HandClock) -> None:
    clock.advance(seconds=90)
    async with gate.client.post("/gate/v1/heartbeat", json={"backlog": 3}, headers=gate.headers) as answer:
        assert await answer.json() == {"time": "2026-05-01T18:01:30Z"}
    async with gate.client.post("/gate/v1/heartbeat", data=b"{}" + b" " * 70_000, headers=gate.headers) as answer:
        assert answer.status == 413


async def test_codes_and_revocations_name_what_is_not_there(db: Database) -> None:
    with pytest.raises(NotFound, match="checkpoint"):
        await enrolment.make_enrolment_code(db, "http://crm", checkpoint="c-9")
    with pytest.raises(NotFound, match="device"):
        await enrolment.revoke_device(db, "d-9")
    for name in ("n" * 201, "Gate\0", "Gate\ud800"):
        with pytest.raises(BadInput, match="name: at most 200 characters"):
            await enrolment.make_enrolment_code(db, "http://crm", name=name)
    with pytest.raises(BadInput, match="lifetime"):
        await enrolment.make_enrolment_code(db, "http://crm", lifetime=timedelta(0))


async def test_neither_token_nor_code_is_kept(db: Database, client: Client, all_bytes: Callable[[], bytes]) -> None:
    made = await enrolment.make_enrolment_code(db, "http://crm")
    _, answer = await ask(client, made.code)
    await service.put_controller(db, name="Olha", badge="BADGE-77", pin="4711")
    files = all_bytes()
    assert b"Olha" in files
    for secret in (answer["token"], made.code, made.code.replace("-", ""), "BADGE-77"):
        assert secret.encode() not in files
    assert b"$argon2id$v=19$m=19456,t=2,p=1$" in files
