"""The commands, run as people run them: good news on stdout, one line on stderr otherwise."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner, Result

from crm.cli import app

EVENT = ["event", "add", "Opening night", "--tz", "Europe/Kyiv", "--starts", "2026-05-01T21:00"]


class Shell:
    """Runs `brama crm` on one database."""

    def __init__(self, db: str) -> None:
        self.db = db

    def run(self, *args: str, text: str | None = None) -> Result:
        return CliRunner().invoke(app, [*args, "--db", self.db], input=text)

    def good(self, *args: str, text: str | None = None) -> str:
        result = self.run(*args, text=text)
        assert result.exit_code == 0, result.output
        return result.stdout

    def bad(self, *args: str) -> str:
        result = self.run(*args)
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit)
        return result.stderr.strip().splitlines()[-1]


@pytest.fixture
def shell(db_url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(db_url)


@pytest.fixture
def event(shell: Shell) -> str:
    shell.good(*EVENT, "--ends", "2026-05-01 23:30", "--id", "e-1", "--venue", "Palace")
    return "e-1"


def test_an_event_brings_a_type_and_a_checkpoint(shell: Shell, event: str) -> None:
    listed = shell.good("event", "list")
    assert "2026-05-01T18:00:00Z" in listed
    assert "Opening night" in listed
    assert "Main entrance" in shell.good("checkpoint", "list", "--event", event)
    assert "Standard" in shell.good("ticket-type", "list")
    assert shell.good("event", "status", event, "cancelled") == "e-1 is cancelled\n"


def test_checkpoints_controllers_and_assignments(shell: Shell, event: str) -> None:
    shell.good(
        "controller", "add", "Olha", "--badge", "B-1", "--pin", "--supervisor", "--id", "p-1", text="4711\n4711\n"
    )
    hours = "2026-05-01T20:00/2026-05-02T01:00"
    out = shell.good(
        *(
            "checkpoint",
            "add",
            "[VIP]",
            "--event",
            event,
            "--id",
            "c-1",
            "--controller",
            "p-1",
            "--requires-controller",
        ),
        *("--hours", hours, "--hours", "2026-05-02T17:00:00Z/2026-05-02T21:00:00Z", "--capacity", "90"),
    )
    assert out == "checkpoint c-1  [VIP]\n"
    listed = shell.good("checkpoint", "list")
    assert "[VIP]" in listed
    assert "2026-05-01T17:00:00Z/2026-05-01T22:00:00Z" in listed
    assert "device" in shell.bad("assign", "d-1", "c-1")
    assert "p-1" in shell.good("controller", "list")
    shell.good("checkpoint", "remove", "c-1")
    shell.good("controller", "remove", "p-1")


def test_import_report_and_states(shell: Shell, event: str, tmp_path: Path) -> None:
    path = tmp_path / "seller.csv"
    path.write_text("code,id\nA,1\nB,2\n")
    assert shell.good("import", str(path), "--event", event) == "2 rows: 2 new, 0 changed, 0 as before, 0 bad\n"
    assert shell.good("ticket", "1", "revoked") == "1 is revoked\n"
    assert shell.good("ticket", "1", "revoked") == "1 was revoked already\n"
    path.write_text("code,state\nA,\nB,sold\n")
    result = shell.run("import", str(path), "--event", event)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith("line 3: state: 'sold' is none of valid")
    assert shell.good("report").startswith("scan_id,event,device")
    shell.good("report", "--out", str(tmp_path / "out.csv"), "--event", event)
    assert (tmp_path / "out.csv").read_text().startswith("scan_id")
    assert "Main entrance" in shell.good("report", "--figures")


def test_an_enrolment_code_is_shown_with_its_qr(shell: Shell, event: str) -> None:
    out = shell.good("device", "code", "--url", "http://crm.local:8000", "--name", "North")
    assert "█" in out
    assert re.search(r"brama enrol http://crm.local:8000 [0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\n", out)
    shell.good("device", "list")


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ([*EVENT, "--ends", "2026-05-01T20:00"], "ends_at"),
        ([*EVENT, "--ends", "soon"], "ends"),
        ([*EVENT, "--ends", "2026-05-02T20:00", "--status", "open"], "status"),
        ([*EVENT, "--ends", "2026-05-02T20:00", "--id", "a b"], "id"),
        (["event", "add", "X", "--tz", "Kyiv", "--starts", "2026-05-01", "--ends", "2026-05-02"], "tz"),
        (["event", "status", "e-9", "draft"], "event"),
        (["checkpoint", "add", "X", "--event", "e-9"], "event"),
        (["checkpoint", "add", "X", "--event", "e-1", "--hours", "18:00-20:00"], "hours"),
        (["checkpoint", "add", "X", "--event", "e-1", "--ticket-type", "t-9"], "ticket_type"),
        (["checkpoint", "add", "X", "--event", "e-1", "--direction", "up"], "direction"),
        (["ticket-type", "add", "X", "--event", "e-1", "--per", "week"], "entry_policy.per"),
        (["controller", "add", "X", "--badge", " "], "badge"),
        (["import", "none.csv", "--event", "e-1"], "file"),
        (["ticket", "T-9", "valid"], "ticket"),
        (["device", "revoke", "d-9"], "device"),
        (["device", "code", "--checkpoint", "c-9"], "checkpoint"),
        (["report", "--event", "e-9"], "event"),
        (["report", "--out", "/nowhere/at/all.csv"], "out"),
        (["assign", "d-9"], "checkpoint"),
    ],
)
def test_errors_are_one_line_that_names_the_field(shell: Shell, event: str, args: list[str], field: str) -> None:
    assert shell.bad(*args).startswith(f"error: {field}:")


async def serve(db: str, *args: str) -> asyncio.subprocess.Process:
    code = "from crm.cli import app; app()"
    root = str(Path(__file__).parents[2])
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "serve", "--db", db, *args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_says_where_and_stops_when_asked(db_url: str, number: signal.Signals) -> None:
    process = await serve(db_url, "--port", "0")
    assert process.stdout
    said = (await process.stdout.readline()).decode()
    address = said.removeprefix("Brama central at ").strip()
    async with aiohttp.ClientSession() as session, session.get(f"{address}/api/report") as answer:
        assert answer.status == 200
    port = address.rpartition(":")[2]
    second = await serve(db_url, "--port", port)
    _, errors = await second.communicate()
    assert second.returncode == 1
    assert errors.decode().splitlines()[-1].startswith(f"error: port: cannot listen on 127.0.0.1:{port}")
    process.send_signal(number)
    await process.communicate()
    assert process.returncode == 0
