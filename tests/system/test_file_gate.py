"""A gate as a process with no CRM: a folder of barcode files, the lane, and CSV files of what was scanned."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.processes import GateProcess, brama, poll


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    made = tmp_path / "stick"
    made.mkdir()
    (made / "box-office.csv").write_text("code,type,id,holder\nA-1,Standard,T-1,Olha\nA-2,VIP,T-2,\nA-3,VIP,T-3,\n")
    return made


@pytest.fixture
def gate(gates: list[GateProcess], stick: Path) -> GateProcess:
    """Configured as a person would, and never enrolled."""
    found = gates[0]
    found.configure()
    with found.config.open("a") as file:
        file.write(f'[crm]\nkind = "file"\npath = "{stick}"\ntz = "Europe/Kyiv"\n')
    return found


def written(gate: GateProcess) -> list[dict[str, str]]:
    """Return the rows of all files of scans."""
    rows: list[dict[str, str]] = []
    for path in sorted((gate.data / "scans").glob("scans-????-??-??.csv")):
        with path.open(newline="") as file:
            rows += csv.DictReader(file, strict=True)
    return rows


async def until_written(gate: GateProcess, count: int) -> None:
    async def look() -> bool:
        return (gate.data / "scans").exists() and len(written(gate)) == count

    await poll(look)


async def test_a_day_at_a_gate_with_a_folder_and_nothing_else(gate: GateProcess, stick: Path, tmp_path: Path) -> None:
    await gate.start()
    await gate.until(lambda status: status["data"]["tickets"] == 3)
    answers = [await gate.scan(code) for code in ("A-1", "A-2", "NOPE")]
    assert [each["reason"] for each in answers] == ["admitted", "admitted", "unknown_ticket"]
    assert answers[0]["ticket"]["holder"] == "Olha"

    cursor = (await gate.status())["data"]["cursor"]
    (stick / "refunds.csv").write_text("code,type,id,state\nA-3,VIP,T-3,cancelled\n")
    status = await gate.until(lambda status: status["data"]["cursor"] != cursor)
    assert "codes in more than one file: 1" in status["crm"]["note"]
    answers.append(await gate.scan("A-3"))
    assert answers[-1]["reason"] == "cancelled"
    await until_written(gate, 4)

    (stick / "refunds.csv").write_text("code,state\nA-1,refunded\n")
    status = await gate.until(lambda status: status["crm"]["state"] == "away")
    assert "refunds.csv: line 2: state: 'refunded' is none of" in status["crm"]["error"]
    answers.append(await gate.scan("A-3"))
    assert answers[-1]["reason"] == "cancelled", "the list in use serves on"
    (stick / "refunds.csv").write_text("code,type,id,state\nA-3,VIP,T-3,cancelled\n")
    await gate.until(lambda status: status["crm"]["state"] == "connected")

    device = (await gate.status())["device"]["id"]
    await gate.kill()
    await gate.start()
    status = await gate.until(lambda status: status["crm"]["state"] == "connected")
    assert (status["device"]["id"], status["data"]["tickets"]) == (device, 3)
    answers += [await gate.scan(code) for code in ("A-1", "A-3")]
    assert [each["reason"] for each in answers[-2:]] == ["already_used", "cancelled"]

    await until_written(gate, len(answers))
    assert [(row["scan_id"], row["reason"]) for row in written(gate)] == [
        (each["scan_id"], each["reason"]) for each in answers
    ]
    code, out, _ = await brama(tmp_path, "export", "-c", str(gate.config))
    assert code == 0
    assert list(csv.DictReader(io.StringIO(out))) == written(gate)
    assert await gate.stop() == 0


async def test_the_commands_know_a_gate_without_a_crm(gate: GateProcess, stick: Path, tmp_path: Path) -> None:
    async def said(*arguments: str) -> tuple[int, str]:
        code, out, err = await brama(tmp_path, *arguments, "-c", str(gate.config))
        return code, out + err

    await gate.start()
    await gate.until(lambda status: status["data"]["tickets"] == 3)
    code, text = await said("doctor")
    assert f"ok    crm: {stick}: tickets 3, files 1\n" in text
    assert "FAULT" not in text
    assert code == 0
    assert (await said("check", "A-1"))[1].startswith("admitted: admitted\n")
    assert f"{stick}: connected" in (await said("status"))[1]
    assert await said("enrol", "http://127.0.0.1:9", "CODE") == (
        1,
        'brama: crm.kind: this box reads its tickets from files; for a CRM set crm.kind = "brama" first\n',
    )
    (stick / "box-office.csv").write_text("code,state\nA-1,lost\n")
    code, text = await said("doctor")
    assert code == 1
    assert "FAULT crm: 1 of 1 rows are bad: box-office.csv: line 2: state: 'lost' is none of" in text
    assert await gate.stop() == 0


async def test_a_plan_says_who_works_where_and_when(gate: GateProcess, stick: Path) -> None:
    plan: dict[str, Any] = {
        "event": {"name": "Concert", "tz": "Europe/Kyiv"},
        "ticket_type": [{"id": "vip", "name": "VIP"}, {"id": "standard", "name": "Standard"}],
        "checkpoint": [
            {"id": "north", "name": "North gate", "ticket_types": ["vip"], "lanes": ["a"], "requires_controller": True},
            {"id": "south", "name": "South gate"},
        ],
        "controller": [{"id": "taras", "name": "Taras", "pin": "2468", "badge": "BADGE-1"}],
    }
    (stick / "plan.json").write_text(json.dumps(plan))
    await gate.start()
    await gate.until(lambda status: status["lanes"][0]["checkpoint"] == "north")
    assert (await gate.scan("A-2"))["reason"] == "no_controller"
    body = {"lane": "a", "controller": "taras", "pin": "2468"}
    async with gate.http.post(f"{gate.url}/api/v1/shift", json=body) as answer:
        assert answer.status in {200, 201}, await answer.text()
    assert (await gate.scan("A-2"))["reason"] == "admitted"
    refused = await gate.scan("A-1")
    assert (refused["reason"], refused["checkpoint_name"]) == ("wrong_checkpoint", "North gate")
    assert "South gate" in refused["message"]
    assert await gate.stop() == 0


async def test_a_wrong_table_keeps_the_gate_shut(gate: GateProcess, tmp_path: Path) -> None:
    gate.config.write_text(gate.config.read_text().replace('kind = "file"', 'kind = "pretix"'))
    code, _, err = await brama(tmp_path, "run", "-c", str(gate.config))
    assert code == 78
    assert "crm.kind: pretix is not there yet; use one of 'brama', 'file'" in err
