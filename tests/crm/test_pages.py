"""What organisers see, and who may see it."""

import csv
import io
from typing import Any

import pytest

from crm import service
from crm.database import Database
from crm.pages import is_local
from crm.reports import backlog_of, figures, safe_cell
from tests.crm.conftest import Gate, HandClock, make_event, sell


async def test_the_report_has_what_the_page_shows(db: Database, gate: Gate, other: Gate, clock: HandClock) -> None:
    await sell(db, 2)
    await gate.send(gate.scan("s-1"), gate.scan("s-2", "T-?", verdict="refused", reason="unknown_ticket"))
    await other.send(other.scan("s-3", at="2026-05-01T18:05:00Z"))
    clock.advance(minutes=10)
    async with gate.client.post("/gate/v1/heartbeat", json={"backlog": 3}, headers=gate.headers) as answer:
        assert answer.status == 200
    async with gate.client.get("/api/report", params={"event": "e-1"}) as answer:
        found = await answer.json()
    (point,) = found["checkpoints"]
    assert [point[name] for name in ("entries", "exits", "inside", "refused")] == [2, 0, 2, 1]
    assert sorted((each["name"], each["last_seen"], each["backlog"]) for each in found["devices"]) == [
        ("North 1", "2026-05-01T18:10:00Z", 3),
        ("South 1", "2026-05-01T18:00:00Z", None),
    ]
    assert [each["scan_id"] for each in found["scans"]] == ["s-3", "s-2", "s-1"]
    assert [scan["device_name"] for scan in found["conflicts"][0]["scans"]] == ["North 1", "South 1"]
    assert (found["organiser"], found["tickets"]) == ("Palace", 2)


async def test_a_zones_figures_are_those_of_all_its_checkpoints(db: Database, gate: Gate) -> None:
    await service.put_checkpoint(db, id="c-9", event="e-1", name="South", zone="hall", capacity=5)
    out = gate.scan("s-3", "T-3", checkpoint="c-9", direction="exit", verdict="exited")
    await gate.send(gate.scan("s-1"), gate.scan("s-2", "T-2"), out)
    points = {each["id"]: each for each in (await figures(db))["checkpoints"]}
    assert [(points[name]["inside"], points[name]["zone_inside"]) for name in ("c-1", "c-9")] == [(2, 1), (0, 1)]


async def test_an_unknown_event_is_404(gate: Gate) -> None:
    for path in ("/api/report", "/reports/scans.csv"):
        async with gate.client.get(path, params={"event": "e-9"}) as answer:
            assert answer.status == 404
            assert "event" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js"])
async def test_the_page_is_there(gate: Gate, path: str) -> None:
    async with gate.client.get(path) as answer:
        assert answer.status == 200
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/report", "/reports/scans.csv"])
@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "203.0.113.9"}, {"Host": "evil.example"}, {"Host": "[bad"}])
async def test_the_page_is_for_this_machine_only(gate: Gate, path: str, headers: dict[str, str]) -> None:
    async with gate.client.get(path, headers=headers) as answer:
        assert answer.status == 403
        assert (await answer.json())["error"]["code"] == "local_only"


@pytest.mark.parametrize(
    ("remote", "host", "local"),
    [
        ("127.0.0.1", "localhost", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("192.0.2.7", "localhost", False),
        ("127.0.0.1", "brama.example", False),
        (None, "localhost", False),
    ],
)
def test_what_is_local(remote: str | None, host: str, local: bool) -> None:
    assert is_local(remote, host, {}) is local


async def test_scans_come_as_csv_that_no_spreadsheet_runs(db: Database, gate: Gate) -> None:
    await make_event(db, "e-2")
    nasty = ["=1+1", "+1", "-1", "@x", "\tx", 'a"b', "a,b", "a\r\nb", "Ключ"]
    scans = [
        gate.scan(f"s-{n}", None, code=code, verdict="refused", reason="unknown_ticket", note=code)
        for n, code in enumerate(nasty)
    ]
    await gate.send(*scans, gate.scan("x-1", checkpoint="c-2"))
    async with gate.client.get("/reports/scans.csv", params={"event": "e-1"}) as answer:
        text = (await answer.read()).decode()
        assert answer.headers["Content-Type"].startswith("text/csv")
    assert all(
        line.endswith("\r\n") for line in text.splitlines(keepends=True) if "s-7" not in line and line[:1] != "b"
    )
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["scan_id"] for row in rows] == [f"s-{n}" for n in range(len(nasty))]
    expected = [f"'{code}" if code[0] in "=+-@\t" else code for code in nasty]
    assert [row["code"] for row in rows] == expected
    assert [row["note"] for row in rows] == expected
    async with gate.client.get("/reports/scans.csv") as answer:
        assert len(list(csv.reader(io.StringIO(await answer.text(), newline="")))) == len(nasty) + 2


async def test_a_long_csv_is_whole(gate: Gate) -> None:
    for start in range(0, 2500, 500):
        await gate.send(*[gate.scan(f"s-{n:05}", None) for n in range(start, start + 500)])
    async with gate.client.get("/reports/scans.csv") as answer:
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert [row["scan_id"] for row in rows] == [f"s-{n:05}" for n in range(2500)]


def test_cells() -> None:
    assert safe_cell(None) == ""
    assert safe_cell("=cmd") == "'=cmd"
    assert safe_cell(HandClock()()) == "2026-05-01T18:00:00Z"


@pytest.mark.parametrize(
    ("health", "backlog"),
    [
        ({}, None),
        ({"backlog": 4}, 4),
        ({"backlog": {"scans": 5}}, 5),
        ({"backlog": "x"}, None),
        ({"backlog": True}, None),
    ],
)
def test_backlogs(health: dict[str, Any], backlog: int | None) -> None:
    assert backlog_of(health) == backlog
