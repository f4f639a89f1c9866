"""Commands that go wrong say so in a clear line, with an exit code that a script can tell, and never with a trace."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web

from tests.sync.book import everything
from tests.sync.rig import served
from tests.system.processes import GateProcess, brama, free_ports

BAD = """
[device]
nam = "North"
language = "fr"
[crm]
url = "crm.example"
[web]
port = 123456
[[lane]]
id = "north 1"
readers = [{ driver = "telepathy" }]
"""
PROBLEMS = (
    "device.name: missing; add it",
    "device.language: input should be 'uk', 'en' or 'ru' (found 'fr')",
    "device.nam: no such key; did you mean name?",
    "crm.url: ",
    "web.port: input should be less than or equal to 65535 (found 123456)",
    "lane.0.id: ",
    "lane.0.readers.0.driver: telepathy; use one of 'terminal', 'serial'",
)


async def said(gate: GateProcess, *arguments: str) -> tuple[int, str]:
    """Run a command on the gate's settings; return its exit code and what it said of what is wrong."""
    code, out, err = await brama(gate.folder, *arguments, "-c", str(gate.config))
    assert not (out and err) or arguments[0] == "export", (out, err)
    return code, err


@pytest.mark.parametrize("command", [("run",), ("status",), ("enrol", "http://x", "C"), ("doctor",), ("export",)])
async def test_bad_settings_are_all_named_at_once(gate: GateProcess, command: tuple[str, ...]) -> None:
    gate.config.write_text(BAD)
    code, err = await said(gate, *command)
    assert code == 78
    first, *rest = err.splitlines()
    assert first == f"brama: {gate.config}: {len(PROBLEMS)} problems"
    assert_each_begins(sorted(line.strip() for line in rest), sorted(PROBLEMS))


def assert_each_begins(lines: Iterable[str], starts: Iterable[str]) -> None:
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)


async def test_settings_that_are_not_there_are_named(gate: GateProcess) -> None:
    gate.config.unlink()
    assert await said(gate, "run") == (
        78,
        f"brama: {gate.config}: no such file; name one with -c, or copy one of config/*.toml there\n",
    )


@pytest.mark.parametrize("command", [("status",), ("sync", "now"), ("sync", "accept")])
async def test_with_no_gate_running_the_command_says_so(gate: GateProcess, command: tuple[str, ...]) -> None:
    code, err = await said(gate, *command)
    assert code == 1
    assert err.startswith(f"brama: no gate answers at {gate.url}/api/v1/")
    assert err.endswith("; is it running? systemctl status brama\n")


@pytest.mark.parametrize("body", ["<html></html>", "[1]", '{"error": 5}'])
@pytest.mark.parametrize("status", [200, 500])
async def test_something_else_on_the_gates_port_is_told_apart(gate: GateProcess, body: str, status: int) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=body, status=status)

    app = web.Application()
    app.router.add_get("/api/v1/status", answer)
    async with served(app, gate.port):
        code, err = await said(gate, "status")
    assert (code, err) == (
        1,
        f"brama: what answers at {gate.url}/api/v1/status is no gate; check web.port\n",
    )


@pytest.mark.parametrize("command", [("check", "CODE-1"), ("export",), ("journal", "verify")])
async def test_before_the_first_start_the_command_says_so(gate: GateProcess, command: tuple[str, ...]) -> None:
    code, err = await said(gate, *command)
    journal = gate.data / "journal.db"
    assert (code, err) == (1, f"brama: {journal}: no such file; start the gate once, or name its settings with -c\n")


async def test_doctor_names_each_fault_and_its_mend(gate: GateProcess) -> None:
    gate.crm = f"http://127.0.0.1:{free_ports(1)[0]}"
    gate.configure()
    code, out, err = await brama(gate.folder, "doctor", "-c", str(gate.config))
    assert (code, err) == (1, "")
    assert f"FAULT {gate.data / 'journal.db'}: no such file; start the gate once" in out
    assert "FAULT crm: the CRM cannot be reached: no connection" in out
    assert "note  lane a: no reader of its own -> it takes codes from its page and the API" in out


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("http://127.0.0.1:9", "ABCD", "the CRM cannot be reached: no connection"),
        ("crm.example", "ABCD", "URL: crm.example is no address of a CRM; write it as https://crm.example"),
        ("http://[crm", "ABCD", "URL: http://[crm is no address"),
        ("http://127.0.0.1:99999", "ABCD", "URL: http://127.0.0.1:99999 is no address"),
        ("http://127.0.0.1:9", "", "the CRM did not take the code: code: "),
        ("http://127.0.0.1:9", "A" * 201, "the CRM did not take the code: code: "),
    ],
)
async def test_an_enrolment_that_cannot_be_says_why(gate: GateProcess, url: str, code: str, says: str) -> None:
    exit_code, err = await said(gate, "enrol", url, code)
    assert exit_code == 1
    assert err.startswith(f"brama: {says}")
    assert len(err.splitlines()) == 1


async def test_a_crm_url_with_no_such_port_is_a_bad_setting(gate: GateProcess) -> None:
    gate.crm = "http://127.0.0.1:99999"
    gate.configure("c-1")
    code, err = await said(gate, "run")
    assert code == 78
    assert err.splitlines()[1].startswith("  crm.url: Port out of range 0-65535; write it as")


@pytest.mark.parametrize("name", ["file", "file/data", "/proc/nowhere"])
async def test_a_data_folder_that_cannot_be_is_named(gate: GateProcess, name: str) -> None:
    (gate.folder / "file").write_text("")
    path = str(gate.folder / name)
    gate.config.write_text(gate.config.read_text().replace(str(gate.data), path))
    for command, exit_code in (("run", 78), ("token", 1)):
        code, err = await said(gate, command)
        assert (code, len(err.splitlines())) == (exit_code, 1)
        assert path in err


async def test_damaged_tokens_and_credentials_are_named(gate: GateProcess) -> None:
    (gate.data / "tokens.json").write_text("{")
    code, err = await said(gate, "token")
    assert (code, err.startswith(f"brama: {gate.data / 'tokens.json'}: cannot be read")) == (1, True)
    (gate.data / "credentials.json").write_text("{}")
    code, err = await said(gate, "run")
    assert (code, err.startswith(f"brama: {gate.data / 'credentials.json'}: url is damaged; enrol this box")) == (
        78,
        True,
    )


async def test_commands_beside_a_running_gate(gate: GateProcess, tmp_path: Path) -> None:
    await gate.start()
    await gate.push(everything(2))
    await gate.scan("CODE-1")
    await gate.scan("=1+1")
    here = ("-c", str(gate.config))
    results = [
        await brama(tmp_path, *each, *here)
        for each in (("check", "CODE-2"), ("check", "CODE-2", "--lane", "z"), ("export",), ("journal", "verify"))
    ]
    assert results[0][1].startswith("admitted: admitted\n")
    assert results[1] == (1, "", "brama: --lane: no lane z; use one of a\n")
    code, csv, err = results[2]
    assert (code, err, csv.count("\r\n")) == (0, "brama: 2 scans\n", 3)
    assert ",'=1+1," in csv
    assert results[3] == (0, "2 scans, seq 1 to 2\nthe chain is whole\n", "")
    assert await said(gate, "sync", "accept") == (
        1,
        "brama: data: no list is held back; there is nothing to accept\n",
    )
    assert (await gate.status())["backlog"]["head_seq"] == 2


async def test_parked_scans_are_shown_retried_and_dropped(gate: GateProcess, tmp_path: Path) -> None:
    await gate.start()
    await gate.push(everything(2))
    ids = [(await gate.scan(code))["scan_id"] for code in ("CODE-1", "\u202eCODE-9")]
    with closing(sqlite3.connect(gate.data / "journal.db")) as journal, journal:
        journal.execute(
            "INSERT INTO parked (seq, scan_id, code, message, at)"
            " SELECT seq, scan_id, 'invalid', 'lane: unknown', at FROM scan"
        )
    here = ("-c", str(gate.config))

    async def parked() -> str:
        code, out, err = await brama(tmp_path, "sync", "parked", *here)
        assert (code, err) == (0, "")
        return out

    shown = await parked()
    assert all(each in shown for each in (*ids, "invalid: lane: unknown", "<U+202E>CODE-9", "brama sync retry"))
    assert (await brama(tmp_path, "sync", "retry", ids[0], *here))[1].startswith("1 to be sent again")
    assert f"{ids[0]}  seq 1" in await parked()
    assert "to be sent again" in await parked()
    dropped = await brama(tmp_path, "sync", "drop", ids[1], "--reason", "a test", *here)
    assert dropped == (0, f"{ids[1]} is dropped; the journal keeps its row.\n", "")
    assert ids[1] not in await parked()
    assert await said(gate, "sync", "drop", ids[1], "--reason", "again") == (
        1,
        f"brama: id: no parked scan {ids[1]}; see brama sync parked\n",
    )
    assert (await said(gate, "sync", "drop", ids[0]))[0] == 2


async def test_a_token_opens_the_gate_to_the_network(gate: GateProcess) -> None:
    gate.config.write_text(gate.config.read_text().replace("[web]", '[web]\nhost = "0.0.0.0"'))
    code, out, err = await brama(gate.folder, "token", "phone", "-c", str(gate.config))
    assert (code, err) == (0, "")
    assert out.strip() not in (gate.data / "tokens.json").read_text()
    await gate.start()
    asked = {"X-Forwarded-For": "203.0.113.9"}
    for token, status in ((None, 401), ("wrong", 401), (out.strip(), 200)):
        headers = asked | ({"Authorization": f"Bearer {token}"} if token else {})
        async with gate.http.get(f"{gate.url}/api/v1/status", headers=headers) as answer:
            assert answer.status == status


async def test_export_into_a_pipe_that_closes_says_nothing_odd(gate: GateProcess) -> None:
    await gate.start()
    reads, writes = os.pipe()
    os.close(reads)
    child = gate.children.start(
        sys.executable, "-m", "edge", "export", "-c", str(gate.config), log="export", stdout=writes
    )
    os.close(writes)
    assert await asyncio.to_thread(child.wait, 20) == 1
    assert "Traceback" not in (gate.folder.parent / "export.log").read_text()
