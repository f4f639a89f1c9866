"""A box out of its packing: event, tickets and code made by hand, enrolled by command, and its first scan reported."""

import csv
import io
import re
from pathlib import Path

from tests.system.centrals import CentralProcess
from tests.system.processes import GateProcess, brama

OPENING = ("--tz", "Europe/Kyiv", "--starts", "2026-05-01T21:00", "--ends", "2026-05-02T03:00", "--id", "e-1")


async def test_from_enrolment_code_to_report(central: CentralProcess, gates: list[GateProcess], tmp_path: Path) -> None:
    async def good(*arguments: str) -> str:
        code, out, err = await brama(tmp_path, *arguments)
        assert code == 0, err
        return out

    gate, db = gates[0], ("--db", str(central.db))
    gate.crm = central.url
    gate.configure()
    made = await good("crm", "event", "add", "Opening night", *OPENING, *db)
    checkpoint = re.findall(r"^checkpoint (\S+)", made, re.MULTILINE)[0]
    tickets = tmp_path / "seller.csv"
    tickets.write_text("code,id\nABC-1,T-1\nABC-2,T-2\n")
    assert await good("crm", "import", str(tickets), "--event", "e-1", *db) == (
        "2 rows: 2 new, 0 changed, 0 unchanged, 0 bad\n".replace("unchanged", "as before")
    )
    await central.start()
    shown = await good(
        "crm", "device", "code", "--url", central.url, "--name", "North 1", "--checkpoint", checkpoint, *db
    )
    code = re.findall(r"^Code  (\S+)$", shown, re.MULTILINE)[0]

    enrolled = await good("enrol", central.url, code, "-c", str(gate.config))
    assert re.match(r"Enrolled with Organiser as North 1 \(d-[0-9a-f]{8}\)\.\nStart the gate", enrolled)
    assert (gate.data / "credentials.json").stat().st_mode & 0o777 == 0o600
    again = await brama(tmp_path, "enrol", central.url, code, "-c", str(gate.config))
    assert again[0] == 1
    assert again[2].startswith("brama: the CRM did not take the code: code: it has enrolled a device already;")

    await gate.start()
    await gate.until(lambda status: status["data"]["tickets"] == 2)
    answer = await gate.scan("ABC-1")
    assert (answer["verdict"], answer["checkpoint"]) == ("admitted", checkpoint)
    await gate.until(lambda status: status["backlog"]["unsent"] == 0)
    (row,) = csv.DictReader(io.StringIO(await good("crm", "report", *db)))
    assert (row["scan_id"], row["ticket_id"], row["verdict"]) == (answer["scan_id"], "T-1", "admitted")
    assert "confirmed" in await good("status", "-c", str(gate.config))
    assert (await good("check", "ABC-1", "-c", str(gate.config))).startswith("refused: already_used\n")
    assert "FAULT" not in await good("doctor", "-c", str(gate.config))
    assert await good("sync", "now", "-c", str(gate.config)) == "Pulling now; see brama status.\n"
