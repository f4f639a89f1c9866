"""A central with one thing wrong fails the checks of that thing by name, and no others."""

import pytest
from aiohttp import web

from crm.conformance.checks import Outcome
from crm.conformance.gate import Box
from crm.conformance.run import CHECKS, keeps_it
from crm.conformance.session import examine
from crm.conformance.subject import Options
from sync.wire import NDJSON
from tests.crm.conformance import faults_calls, faults_feed, faults_scans
from tests.crm.conformance.conftest import Maker, of_outcome
from tests.crm.conformance.faulty import Case, behind_a_fault
from tests.sync.rig import served

CASES = [*faults_feed.CASES, *faults_scans.CASES, *faults_calls.CASES]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_fault_fails_its_checks_and_no_others(maker: Maker, case: Case) -> None:
    async with behind_a_fault(maker.address, case.make()) as address:
        results = await maker.examine(address, **case.options)
    failed = {name: results[name].said for name in of_outcome(results, Outcome.FAILED)}
    assert failed.keys() == case.fails, failed
    assert all(results[name].said and results[name].mend for name in failed)


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {check.name for check in CHECKS} == {name for case in CASES for name in case.fails}


@pytest.mark.parametrize(
    ("status", "type_", "body"),
    [
        (200, "text/html", b"<html>Log in</html>"),
        (200, NDJSON, b'{"kind":"reset"}\n{"kind":"cursor"}\n[]\n\n'),
        (200, NDJSON, b'{"kind":"cursor","cursor":"1","at":"2026-05-01T18:00:00Z","more":true}\n'),
        (200, "application/json", b"[7]"),
        (200, "application/json", b"{}"),
        (204, "application/json", b""),
        (302, "text/html", b"over there"),
        (500, "application/json", b'{"error":"\\ud800"}'),
    ],
)
async def test_what_is_no_gate_api_at_all_is_judged_to_the_end(status: int, type_: str, body: bytes) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type=type_)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with served(app) as address:
        options = Options(other_code="X", known_code="X", admit=True, wait_s=0.2)
        results = await examine(address, options, Box("d-1", "token", bytes(32)))
    assert len(results) == len(CHECKS)
    assert not keeps_it(results)
    named = {result.check.name for result in results if result.outcome is Outcome.FAILED}
    assert {"token-none", "scans-acked", "heartbeat-answer", "unknown-path"} <= named
