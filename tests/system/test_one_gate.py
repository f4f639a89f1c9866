"""One gate as a process: many clients at once, and stopping while some are still there."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import aiohttp
import psutil
import pytest

from edge.run import NICENESS
from tests.sync.book import everything
from tests.system.centrals import CentralProcess
from tests.system.processes import GateProcess

STOP_S = 8.0
"""Well above the two seconds that the gate gives its clients to let go."""


@pytest.mark.parametrize("named", [True, False])
async def test_two_lanes_and_ten_clients_make_one_admission(gate: GateProcess, named: bool) -> None:
    gate.lanes = ("a", "b")
    gate.configure("c-1")
    await gate.start()
    await gate.push(everything(20))

    async def all_at_once(code: str) -> list[dict[str, Any]]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    gate.scan(code, lane="ab"[number % 2], **({"scan_id": f"{code}-{number}"} if named else {}))
                )
                for number in range(10)
            ]
        return [task.result() for task in tasks]

    for number in range(1, 21):
        answers = await all_at_once(f"CODE-{number}")
        admitted = [each for each in answers if each["verdict"] == "admitted"]
        assert len({each["scan_id"] for each in admitted}) == 1
        assert sum(not each["repeat"] for each in admitted) == 1
        assert {each["reason"] for each in answers} == {"admitted", "already_used"}
        if named:
            assert len(admitted) == 1
    assert await gate.stop() == 0
    assert counted(gate, "SELECT ticket_id FROM scan WHERE verdict = 'admitted'") == {f"T-{n}": 1 for n in range(1, 21)}


async def test_it_comes_first_where_the_system_lets_it(gate: GateProcess) -> None:
    allowed = may_come_first()
    gate.configure("c-1")
    await gate.start()
    assert psutil.Process(gate.pid).nice() == (NICENESS if allowed else os.getpriority(os.PRIO_PROCESS, 0))


def may_come_first() -> bool:
    code = f"import os; os.setpriority(os.PRIO_PROCESS, 0, {NICENESS})"
    return subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL).returncode == 0


def counted(gate: GateProcess, query: str) -> Counter[str]:
    with closing(sqlite3.connect(gate.data / "journal.db")) as journal:
        rows: Iterable[tuple[str]] = journal.execute(query)
        return Counter(row[0] for row in rows)


async def test_it_stops_while_a_page_a_slow_client_and_the_crm_hold_on(
    central: CentralProcess, gates: list[GateProcess]
) -> None:
    gate = gates[0]
    await central.stock(3, gate)
    await central.start()
    await gate.start()
    await gate.until(lambda status: status["data"]["tickets"] == 3)
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(b"POST /api/v1/scans HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    async with gate.http.ws_connect(f"{gate.url}/api/v1/live") as page:
        assert (await page.receive_json())["kind"] == "status"
        answer = await gate.scan("CODE-1")
        started = time.monotonic()
        stopping = asyncio.create_task(gate.stop())
        seen = [message async for message in page]
        assert {message.type for message in seen} <= {aiohttp.WSMsgType.TEXT}
        assert await stopping == 0
        assert time.monotonic() - started < STOP_S
    writer.close()
    assert answer["verdict"] == "admitted"
    assert not (gate.data / "journal.db-wal").exists() or not (gate.data / "journal.db-wal").stat().st_size
    del reader


async def test_a_second_gate_on_the_same_folder_or_port_is_refused(gate: GateProcess, gates: list[GateProcess]) -> None:
    await gate.start()
    other = gates[1]
    other.configure("c-1")
    text = other.config.read_text()
    other.config.write_text(text.replace(str(other.data), str(gate.data)))
    child = other.children.start(sys.executable, "-m", "edge", "run", "-c", str(other.config), log="other")
    assert await asyncio.to_thread(child.wait, STOP_S) == 78
    other.config.write_text(text.replace(str(other.port), str(gate.port)))
    child = other.children.start(sys.executable, "-m", "edge", "run", "-c", str(other.config), log="other")
    assert await asyncio.to_thread(child.wait, STOP_S) == 78
    said = (gate.folder.parent / "other.log").read_text().splitlines()
    assert said == [
        f"brama: device.data_path: {gate.data}: another gate is running on this data folder; stop it first",
        f"brama: web.port: 127.0.0.1:{gate.port} cannot be listened on (Address already in use); choose another",
    ]
    assert (await gate.scan("CODE-1"))["reason"] == "unknown_ticket"
