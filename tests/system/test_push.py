"""A gate as a process in push mode, and a CRM on its network: it pushes, reads scans, and is cut off now and then."""

import asyncio
import base64
import gzip
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.sync.book import AT, PLAN, Book, Line, packed
from tests.system.processes import GateProcess, brama, poll

NDJSON = "application/x-ndjson"
PART = 500


def whole(book: Book, count: int, cursor: str) -> list[Line]:
    """A list with a cursor after every part, as a CRM should send it."""
    lines: list[Line] = [{"kind": "reset"}, *PLAN]
    for first in range(1, count + 1, PART):
        last = min(first + PART - 1, count)
        lines += [book.tickets(*range(first, last + 1)), book.cursor(f"{cursor}/{last}", more=last < count)]
    return lines


@dataclass
class Crm:
    """What a CRM's maker would write: it keeps the gate's cursor, and the last seq that it has."""

    gate: GateProcess
    token: str
    url: str
    book: Book
    scans: list[dict[str, Any]]

    async def push(self, data: bytes, since: str | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
        head = {"Authorization": f"Bearer {self.token}", "Content-Type": NDJSON, **headers}
        query = {"since": since} if since else {}
        async with self.gate.http.post(f"{self.url}/api/v1/changes", data=data, headers=head, params=query) as answer:
            return answer.status, await answer.json()

    async def sends(self, lines: list[Line], since: str | None = None) -> dict[str, Any]:
        status, body = await self.push(packed(lines), since)
        assert status == 200, body
        return body

    async def is_let_in(self) -> bool:
        """Ask whether the gate has done with the push before, as one does that is told to come back."""
        status, body = await self.push(b"")
        assert (status, body.get("error", {}).get("code")) in {(200, None), (409, "busy")}
        return status == 200

    async def reads(self, limit: int = 1000) -> None:
        """Read the scans that follow those that it has."""
        after = self.scans[-1]["seq"] if self.scans else 0
        head = {"Authorization": f"Bearer {self.token}"}
        where = f"{self.url}/api/v1/scans?after={after}&limit={limit}"
        async with self.gate.http.get(where, headers=head, raise_for_status=True) as answer:
            self.scans += (await answer.json())["scans"]


async def a_crm(gate: GateProcess, folder: Path, url: str | None = None) -> Crm:
    code, out, _ = await brama(folder, "token", "crm", "-c", str(gate.config))
    assert code == 0
    return Crm(gate, out.strip(), url or gate.url, Book(), [])


@pytest.fixture
async def crm(gate: GateProcess, tmp_path: Path) -> Crm:
    found = await a_crm(gate, tmp_path)
    await gate.start()
    return found


async def test_a_day_in_push_mode(crm: Crm, gate: GateProcess) -> None:
    book = crm.book
    answer = await crm.sends(whole(book, 5000, "day"))
    assert (answer["tickets"], answer["fingerprint"]) == (5000, book.fingerprint.hex())
    reasons = [
        (await gate.scan(f"CODE-{number}", scan_id=f"s-{at}"))["reason"] for at, number in enumerate((1, 4999, 1, 5001))
    ]
    assert reasons == ["admitted", "admitted", "already_used", "unknown_ticket"]
    await crm.sends([book.tickets(2, state="cancelled"), book.tickets(5001), book.cursor("day/5001")])
    assert [(await gate.scan(f"CODE-{number}"))["reason"] for number in (2, 5001)] == ["cancelled", "admitted"]

    await crm.reads(limit=3)
    assert (await gate.status())["backlog"]["unsent"] == (await gate.status())["backlog"]["head_seq"]
    await crm.reads()
    assert (await gate.status())["backlog"]["acked_seq"] == 3
    await gate.kill()
    await gate.start()
    status = await gate.status()
    assert (status["data"]["cursor"], status["data"]["tickets"]) == ("day/5001", 5001)
    await crm.reads()
    backlog = (await gate.status())["backlog"]
    assert (backlog["unsent"], backlog["acked_seq"]) == (0, len(crm.scans))
    assert [scan["seq"] for scan in crm.scans] == list(range(1, len(crm.scans) + 1))
    assert await gate.stop() == 0


async def test_a_list_cut_by_crm_and_gate_is_there_to_the_row(crm: Crm, gate: GateProcess) -> None:
    book = crm.book
    lines = whole(book, 20 * PART, "long")
    whole_body = packed(lines)
    for share, kill in ((0.3, False), (0.6, True), (0.8, False)):
        _, answer = await crm.push(b"")
        body = after(lines, answer["cursor"])
        since = answer["cursor"]
        sent = body[: int(len(whole_body) * share) - (len(whole_body) - len(body))]
        await broken_off(crm, sent, since)
        if kill:
            await gate.kill()
            await gate.start()
    _, answer = await crm.push(b"")
    assert answer["tickets"] == 0, "nothing is used before the last cursor"
    at = int(answer["cursor"].partition("/")[2])
    assert at >= 12 * PART
    status, refused = await crm.push(packed([Book().tickets(9), {"kind": "cursor", "cursor": "x", "at": AT}]))
    assert (status, refused["error"]["code"]) == (409, "wrong_cursor")
    status, answer = await crm.push(gzip.compress(after(lines, answer["cursor"])), answer["cursor"], **GZIP)
    assert (status, answer["tickets"], answer["fingerprint"]) == (200, 20 * PART, book.fingerprint.hex())
    assert (await gate.scan(f"CODE-{20 * PART}"))["reason"] == "admitted"


GZIP = {"Content-Encoding": "gzip"}


def after(lines: list[Line], cursor: str | None) -> bytes:
    """What follows a cursor, as a CRM sends it on."""
    at = next((number for number, line in enumerate(lines, 1) if line.get("cursor") == cursor), 0) if cursor else 0
    return packed(lines[at:])


async def broken_off(crm: Crm, body: bytes, since: str | None) -> None:
    """Send part of a longer body, and go away once the gate has taken it up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", crm.gate.port)
    query = f"?since={since}" if since else ""
    head = f"POST /api/v1/changes{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {crm.token}\r\n"
    writer.write(f"{head}Content-Type: {NDJSON}\r\nContent-Length: 99999999\r\n\r\n".encode() + body)
    await writer.drain()
    last = body.rindex(b'"kind": "cursor"')
    tickets = int(body[last:].partition(b'"tickets": ')[2].partition(b",")[0])

    def taken(status: dict[str, Any]) -> bool:
        progress = status["crm"]["progress"]
        return progress is not None and progress["tickets"] >= tickets

    await crm.gate.until(taken)
    writer.transport.abort()
    await poll(crm.is_let_in)
    del reader


async def test_what_happens_at_one_gate_is_pushed_to_the_other(gates: list[GateProcess], tmp_path: Path) -> None:
    crms = []
    for number, gate in enumerate(gates, 1):
        gate.configure("c-1")
        gate.enrol(f"d-{number}")
        crms.append(await a_crm(gate, tmp_path))
        await gate.start()
        await crms[-1].sends(whole(crms[-1].book, 3, "k"))
    north, south = crms
    assert (await gates[0].scan("CODE-1"))["reason"] == "admitted"
    await north.reads()
    made = north.scans[0]
    row = [made["scan_id"], made["ticket_id"], made["checkpoint"], made["direction"], made["at"], "d-1"]
    await south.sends([{"kind": "admissions", "rows": [row]}, south.book.cursor("k-2")])
    refused = await gates[1].scan("CODE-1")
    assert (refused["reason"], refused["detail"]["first_device"]) == ("already_used", "d-1")

    scans = [{"scan_id": made["scan_id"], "device": "d-1", "checkpoint": "c-1", "at": made["at"]}]
    conflict = {"kind": "conflict", "scan_id": made["scan_id"], "ticket_id": "T-1", "event": "e-1", "scans": scans}
    await south.sends([conflict, south.book.cursor("k-3")])
    assert [each["ticket_id"] for each in (await gates[1].status())["conflicts"]] == ["T-1"]


def network_address() -> str | None:
    """Return an address of this machine that is not its loopback."""
    cards = psutil.net_if_addrs().values()
    found = (each.address for card in cards for each in card if each.family is socket.AF_INET)
    return next((address for address in found if not address.startswith("127.")), None)


@pytest.mark.skipif(network_address() is None, reason="this machine has no network")
async def test_the_same_over_the_network_and_only_with_a_token(gate: GateProcess, tmp_path: Path) -> None:
    gate.config.write_text(gate.config.read_text().replace("[web]", '[web]\nhost = "0.0.0.0"'))
    crm = await a_crm(gate, tmp_path, f"http://{network_address()}:{gate.port}")
    await gate.start()
    good, crm.token = crm.token, "wrong"
    assert (await crm.push(packed(whole(Book(), 3, "k"))))[0] == 401
    with pytest.raises(aiohttp.ClientResponseError, match="401"):
        await crm.reads()
    crm.token = good
    await crm.sends(whole(crm.book, 3, "k"))
    await gate.scan("CODE-1")
    await crm.reads()
    await crm.reads()
    status = await gate.status()
    assert status["backlog"]["unsent"] == 0
    assert network_address() in status["crm"]["note"]
    code, out, _ = await brama(tmp_path, "status", "-c", str(gate.config))
    assert code == 0
    assert f"changes are pushed here by {network_address()}" in out


async def test_a_row_changed_by_hand_is_found_and_mended_by_the_next_whole_list(crm: Crm, gate: GateProcess) -> None:
    await crm.sends(whole(crm.book, 3000, "k"))
    first = min(crm.book.rows.values(), key=lambda row: base64.urlsafe_b64decode(row[0] + "=="))
    with closing(sqlite3.connect(gate.data / "whitelist.db")) as db, db:
        db.execute("UPDATE ticket SET state = 'blocked' WHERE id = ?", (first[1],))
    status = await gate.until(lambda status: status["crm"]["error"])
    assert "tickets were changed in the list here, and not by the CRM" in status["crm"]["error"]
    code, answer = await crm.push(packed([crm.book.cursor("k-2", tickets=None, fingerprint=None)]))
    assert (code, answer["error"]["code"]) == (409, "whole_list_wanted")
    await crm.sends(whole(crm.book, 3000, "l"))
    assert (await gate.status())["crm"]["error"] is None


async def test_a_held_list_outlives_the_gate_and_waits_for_a_person(
    crm: Crm, gate: GateProcess, tmp_path: Path
) -> None:
    await crm.sends(whole(Book(), 9, "k"))
    held = (await crm.sends(whole(crm.book, 3, "l")))["held"]
    assert "held back" in held
    await gate.kill()
    await gate.start()
    status = await gate.status()
    assert (status["data"]["held"], status["data"]["tickets"], status["crm"]["error"]) == (held, 9, None)
    assert (await brama(tmp_path, "sync", "accept", "-c", str(gate.config)))[0] == 0
    data = (await gate.status())["data"]
    assert (data["held"], data["tickets"], data["cursor"]) == (None, 3, "l/3")


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate"])
async def test_what_is_packed_as_nobody_reads_it_is_told_the_mend(crm: Crm, gate: GateProcess, encoding: str) -> None:
    status, answer = await crm.push(b"\x1b\x00", **{"Content-Encoding": encoding})
    assert (status, answer["error"]["field"]) == (415, "content-encoding")
    head = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    async with gate.http.post(f"{crm.url}/api/v1/scans", data=b"\x1b\x00", headers=head) as response:
        assert (response.status, (await response.json())["error"]["field"]) == (415, "content-encoding")
    assert await gate.stop() == 0
    assert "Traceback" not in (gate.folder.parent / f"{gate.name}.log").read_text()
