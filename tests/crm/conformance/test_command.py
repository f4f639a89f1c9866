"""The command, as the maker of a CRM runs it."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner, Result

from crm import enrolment
from crm.central import Central, open_central
from crm.cli import app
from crm.conformance.run import CHECKS
from crm.web import make_app
from sync.wire import DeviceModel
from tests.crm.conformance.conftest import SMALL
from tests.crm.conftest import make_event, sell
from tests.sync.rig import served


@pytest.fixture
async def real(db_path: Path) -> AsyncIterator[Central]:
    """A central that goes by this machine's clock, as the command does."""
    async with open_central(db_path) as central:
        await make_event(central.db)
        await sell(central.db, 9)
        yield central


async def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return await asyncio.to_thread(
        CliRunner().invoke, app, ["conformance", *args], env={"COLUMNS": "100", **(env or {})}
    )


async def code_of(central: Central) -> str:
    return (await enrolment.make_enrolment_code(central.db, "http://x")).code


async def test_a_crm_that_keeps_the_contract_is_told_so(real: Central) -> None:
    async with served(make_app(real.db, SMALL)) as address:
        result = await run(address, await code_of(real), "--wait", "1")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"At {address} this will enrol 1 device, record some 520 refused scans")
    shown = [line.split()[0] for line in result.stdout.splitlines() if re.match(r"[a-z0-9-]+ +(MUST|MAY) ", line)]
    assert shown == [check.name for check in CHECKS]
    assert " ".join(result.stdout.split()).endswith("0 failed (0 MUST), 13 skipped (12 MUST).")
    assert "The Gate API is kept" in result.stdout


async def test_strict_counts_what_was_skipped(real: Central) -> None:
    async with served(make_app(real.db, SMALL)) as address:
        result = await run(address, await code_of(real), "--wait", "1", "--strict", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["kept"] is False


@web.middleware
async def odd_time(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    answer = await handler(request)
    if request.path.endswith("/heartbeat") and answer.status == 200:
        return web.json_response({"time": "noon\u2028[red]\ud800"})
    return answer


async def test_a_failed_check_says_what_came_and_what_mends_it(real: Central) -> None:
    wrong = make_app(real.db, SMALL)
    wrong.middlewares.append(odd_time)
    async with served(wrong) as address:
        table = await run(address, await code_of(real), "--wait", "1")
        machine = await run(address, await code_of(real), "--wait", "1", "--json")
    assert table.exit_code == machine.exit_code == 1
    words = " ".join(table.stdout.split())
    assert "heartbeat-time MUST failed `time` is an instant with Z. see: docs/gate-api.md, Heartbeat got: time" in words
    assert "mend: write it in UTC as 2026-05-01T18:00:00Z" in words
    assert "The Gate API is not kept" in words
    found = json.loads(machine.stdout)
    failed = [check for check in found["checks"] if check["result"] == "failed" and check["level"] == "MUST"]
    assert [check["name"] for check in failed] == ["heartbeat-time"]
    assert all(check["said"] and check["mend"] and check["wants"] and check["section"] for check in failed)


async def test_an_enrolled_device_is_given_by_its_token(real: Central) -> None:
    made = await enrolment.enrol(real.db, await code_of(real), DeviceModel(name="North 1"))
    key = base64.b64encode(real.db.organiser.lookup_key).decode()
    given = {"CONFORMANCE_TOKEN": made.token, "CONFORMANCE_LOOKUP_KEY": key}
    async with served(make_app(real.db, SMALL)) as address:
        result = await run(
            address, "--device-id", made.id, "--wait", "1", "--known-code", "CODE-3", "--json", env=given
        )
    assert result.exit_code == 0, result.output
    found = {check["name"]: check["result"] for check in json.loads(result.stdout)["checks"]}
    assert (found["enrol-answer"], found["lookup-of-code"]) == ("skipped", "passed")


async def test_interactive_asks_for_a_change_and_hears_of_it(real: Central) -> None:
    @web.middleware
    async def somebody_sells(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.query.get("wait") == "60":
            await sell(real.db, 1, first=900)
        return await handler(request)

    busy = make_app(real.db, SMALL)
    busy.middlewares.append(somebody_sells)
    async with served(busy) as address:
        result = await run(address, await code_of(real), "--wait", "1", "--interactive", "--json")
    assert "Within 60 s, change something in the CRM" in result.stderr
    found = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert found["live-change"]["said"].startswith("1 tickets, 1 cursor after ")


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ([], "CODE: give an enrolment code"),
        (["CODE", "--token", "x"], "CODE: give an enrolment code"),
        (["--token", "x", "--device-id", "d-1"], "CODE: give an enrolment code"),
        (["--token", "x", "--device-id", "d-1", "--lookup-key", "AAAA"], "--lookup-key: 32 bytes"),
        (["--token", "x", "--device-id", "d-1", "--lookup-key", "ї"], "--lookup-key: 32 bytes"),
        (["CODE"], "URL: the CRM cannot be reached"),
    ],
)
async def test_errors_are_one_line(args: list[str], complaint: str) -> None:
    result = await run("http://127.0.0.1:1", *args)
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines()[-1].startswith(f"error: {complaint}")
