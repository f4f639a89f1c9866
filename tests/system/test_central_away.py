"""Gates and a central as processes: the gates do not notice when it goes, and all is told when it is back."""

import asyncio
import sqlite3
from contextlib import closing

from tests.system.centrals import CentralProcess
from tests.system.processes import GateProcess, brama


async def pulled(*gates: GateProcess) -> None:
    """Start gates and wait until each has its list."""
    async with asyncio.TaskGroup() as group:
        for gate in gates:
            group.create_task(gate.start())
    for gate in gates:
        await gate.until(lambda status: status["data"]["tickets"])


async def test_scans_go_on_while_the_central_is_away_and_arrive_once_in_order(
    central: CentralProcess, gates: list[GateProcess]
) -> None:
    gate = gates[0]
    await central.stock(50, gate)
    await central.start()
    await pulled(gate)
    made = [await gate.scan(f"CODE-{n}", scan_id=f"before-{n}") for n in range(1, 6)]
    await gate.until(lambda status: status["backlog"]["unsent"] == 0)
    assert await central.stop() == 0

    made += [await gate.scan(f"CODE-{n}", scan_id=f"away-{n}") for n in [*range(4, 40), 60]]
    assert {each["reason"] for each in made} == {"admitted", "already_used", "unknown_ticket"}
    away = await gate.until(lambda status: status["crm"]["state"] == "away")
    assert away["backlog"]["unsent"] == 37
    assert "the CRM cannot be reached" in away["crm"]["error"]

    await central.start()
    await gate.sync_now()
    back = await gate.until(lambda status: status["backlog"]["unsent"] == 0)
    assert back["backlog"]["acked_seq"] == 42
    await gate.until(lambda status: status["crm"]["state"] == "connected")
    assert await gate.stop() == 0
    assert await central.stop() == 0
    with closing(sqlite3.connect(central.db)) as db:
        rows = db.execute("SELECT seq, scan_id FROM scan ORDER BY rowid").fetchall()
        faults = db.execute("SELECT last_seq, faults FROM device").fetchall()
    assert rows == [(seq, each["scan_id"]) for seq, each in enumerate(made, 1)]
    assert faults == [(42, 0)]


async def test_a_ticket_admitted_at_two_gates_is_a_conflict_everywhere(
    central: CentralProcess, gates: list[GateProcess]
) -> None:
    await central.stock(5, *gates)
    await central.start()
    await pulled(*gates)
    assert await central.stop() == 0
    answers = [await gate.scan("CODE-1") for gate in gates]
    assert [each["verdict"] for each in answers] == ["admitted", "admitted"]

    await central.start()
    for gate in gates:
        await gate.sync_now()
    for gate in gates:
        status = await gate.until(lambda status: status["conflicts"])
        (conflict,) = status["conflicts"]
        assert (conflict["ticket_id"], conflict["scan_id"]) == ("T-1", answers[1]["scan_id"])
        assert [scan["scan_id"] for scan in conflict["scans"]] == [each["scan_id"] for each in answers]
    async with central.http.get(f"{central.url}/api/report") as report:
        (found,) = (await report.json())["conflicts"]
    assert [scan["checkpoint_name"] for scan in found["scans"]] == ["North", "South"]
    code, out, err = await brama(central.db.parent, "crm", "report", "--figures", "--db", str(central.db))
    assert (code, err) == (1, "error: 1 conflicts: tickets admitted too often, see the page or /api/report\n")
    assert "North" in out


async def test_an_admission_reaches_the_other_gate(central: CentralProcess, gates: list[GateProcess]) -> None:
    north, south = gates
    await central.stock(5, north, south)
    await central.start()
    await pulled(north, south)
    cursor = (await south.status())["data"]["cursor"]
    assert (await north.scan("CODE-1"))["verdict"] == "admitted"
    await south.until(lambda status: status["data"]["cursor"] != cursor)
    assert (await south.scan("CODE-1"))["reason"] == "already_used"
