"""The OpenAPI document, the metrics, and the calls that say how the gate fares."""

import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import hdrs
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp import AiohttpClient

from drivers.protocols import Signals
from edge.gate import ReaderCount
from edge.web.answers import ErrorAnswer, StatusAnswer
from sync.push import Caller, Outcome, PushSink
from sync.state import Progress
from tests.edge.web.pushing import a_puller

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue


async def test_every_route_is_described_and_every_description_has_its_route(
    venue: "Venue", aiohttp_client: AiohttpClient
) -> None:
    app = venue.app()
    client = await aiohttp_client(app)
    response = await client.get("/api/v1/openapi.json")
    document = await response.json()
    described = {(path, method.upper()) for path, calls in document["paths"].items() for method in calls}
    routes = {
        (route.resource.canonical, route.method)
        for route in app.router.routes()
        if route.resource is not None and route.method != hdrs.METH_HEAD and route.resource.canonical != "/static"
    }
    assert described == routes
    assert document["openapi"].startswith("3.1")
    assert await (await client.get("/api/v1/openapi.json")).json() == document


async def test_every_reference_in_the_document_leads_somewhere(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    document = await (await client.get("/api/v1/openapi.json")).json()

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if "$ref" in node else set()
            return own.union(*(references(each) for each in node.values()))
        return set().union(*(references(each) for each in node)) if isinstance(node, list) else set()

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


async def test_code_that_is_no_ticket_has_an_answer_of_its_own(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    document = await (await client.get("/api/v1/openapi.json")).json()
    answers = document["paths"]["/api/v1/scans"]["post"]["responses"]
    named = {status: answers[status]["content"]["application/json"]["schema"]["$ref"] for status in ("200", "202")}
    assert {status: ref.rpartition("/")[2] for status, ref in named.items()} == {
        "200": "ScanAnswer",
        "202": "NoticeAnswer",
    }
    assert "shift_opened" in document["components"]["schemas"]["NoticeAnswer"]["properties"]["notice"]["enum"]


def test_gate_at_work_does_not_carry_the_contract_along() -> None:
    code = "import sys, edge.web.app; print([m for m in ('edge.web.openapi', 'edge.web.answers') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


async def test_status_is_as_described(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    status = StatusAnswer.model_validate(await (await client.get("/api/v1/status")).json())
    assert [(lane.id, lane.open) for lane in status.lanes] == [("north-1", True), ("north-2", True), ("out", True)]
    assert (status.readers[0].lane, status.readers[0].driver) == ("north-1", "serial")
    assert (status.readers[0].reads, status.readers[0].spoiled, status.readers[0].spoiled_why) == (0, 0, None)
    assert [lane.turnstile and lane.turnstile.held_open for lane in status.lanes] == [None, False, None]
    assert status.clock.trust == "trusted"


@pytest.mark.parametrize("progress", [Progress(10, None, 5.0, None), Progress(10, 100, 5.0, 18.0)])
async def test_a_list_that_comes_is_told_with_its_progress(
    venue: "Venue", aiohttp_client: AiohttpClient, progress: Progress
) -> None:
    client = await aiohttp_client(venue.app())
    venue.box.crm.progress = progress
    status = StatusAnswer.model_validate(await (await client.get("/api/v1/status")).json())
    assert status.crm.progress is not None
    assert status.crm.progress.model_dump() == asdict(progress)


async def test_metrics_are_read_by_prometheus(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    await venue.sells("T-1")
    client = await aiohttp_client(venue.app())
    for code in ("T-1", "T-1", "X-1"):  # the second is the first shown again
        await client.post("/api/v1/scans", json={"code": code})
    reader, health = next(iter(venue.box.healths.items()))
    health.set("running")
    venue.box.readers[reader] = ReaderCount(reads=7, spoiled=2, spoiled_why="no suffix", symbology="]Q3")
    samples, kinds = await _metrics(client)
    assert samples["brama_scans_total", "admitted", "admitted", "north-1"] == 1
    assert samples["brama_scans_total", "north-1", "refused", "unknown_ticket"] == 1
    assert samples["brama_decision_seconds_count", "north-1"] == 2
    assert samples["brama_backlog_scans",] == 2
    assert samples["brama_data_tickets",] == 1
    assert samples["brama_reader_up", "/dev/ttyACM0", "north-1", "serial"] == 1
    assert samples["brama_reader_reads_total", "/dev/ttyACM0", "north-1", "serial"] == 7
    assert samples["brama_reader_spoiled_total", "/dev/ttyACM0", "north-1", "serial"] == 2
    assert kinds["brama_reader_reads"] == kinds["brama_reader_spoiled"] == "counter"
    assert samples["brama_lane_can_record", "north-1"] == 1
    assert samples["brama_crm_connected",] == 1


async def test_metrics_tell_which_lane_is_held_open(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    async with client.ws_connect("/api/v1/live") as feed, venue.turnstile_heard():
        await feed.receive_json()
        venue.turnstile.say(Signals(held_open=True))
        await feed.receive_json()
        samples, _kinds = await _metrics(client)
    assert {lane: samples["brama_lane_held_open", lane] for lane in ("north-1", "north-2", "out")} == {
        "north-1": 0,
        "north-2": 1,
        "out": 0,
    }


async def _metrics(client: TestClient[Any, Any]) -> tuple[dict[tuple[str, ...], float], dict[str, str]]:
    """Read the metrics as Prometheus does: each sample by its name and labels, each family's type."""
    families = list(text_string_to_metric_families(await (await client.get("/metrics")).text()))
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }
    return samples, {family.name: family.type for family in families}


async def test_two_gates_in_one_process_count_apart(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    one, other = await aiohttp_client(venue.app()), await aiohttp_client(venue.app())
    assert (await one.get("/metrics")).status == (await other.get("/metrics")).status == 200


async def test_gate_without_a_sink_takes_no_push(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    response = await client.post("/api/v1/changes", data=b"", headers={"Content-Type": "application/x-ndjson"})
    assert (response.status, (await response.json())["error"]["code"]) == (404, "no_push")


async def test_sync_is_asked_for(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    assert (await client.post("/api/v1/sync/now")).status == 202
    assert venue.box.sync_now.is_set()
    assert (await client.post("/api/v1/sync/accept")).status == 409
    assert not venue.box.accept.is_set()
    venue.box.store.hold("the new list has 3 tickets, this one 5,000")
    assert (await client.post("/api/v1/sync/accept", json={})).status == 202
    assert venue.box.accept.is_set()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/api/v1/scans", 405),
        ("POST", "/api/v1/status", 405),
        ("GET", "/api/v1/scans/x/override", 405),
        ("OPTIONS", "/api/v1/scans", 405),
        ("GET", "/api/v2/scans", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/static/", 403),
        ("GET", "/" + "x" * 4000, 404),
    ],
)
async def test_wrong_calls_are_answered_in_the_one_form(
    venue: "Venue", aiohttp_client: AiohttpClient, method: str, path: str, status: int
) -> None:
    client = await aiohttp_client(venue.app())
    response = await client.request(method, path)
    assert response.status == status
    answer = ErrorAnswer.model_validate(await response.json())
    assert len(answer.error.message) < 600
    if status == 405:
        assert response.headers["Allow"]


async def test_defect_is_logged_and_not_shown(
    venue: "Venue", aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(PushSink):
        async def apply(self, chunks: AsyncIterator[bytes], by: Caller, since: str | None = None) -> Outcome:
            raise RuntimeError("the secret of the house")

    client = await aiohttp_client(venue.app(Broken(a_puller(venue), venue.box.store)))
    with caplog.at_level(logging.ERROR):
        response = await client.post("/api/v1/changes", data=b"{}\n", headers={"Content-Type": "application/x-ndjson"})
    text = await response.text()
    assert (response.status, (await response.json())["error"]["code"]) == (500, "defect")
    assert "secret" not in text
    assert "the secret of the house" in caplog.text
