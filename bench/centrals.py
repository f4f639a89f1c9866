"""A real central and a real gate as processes, to measure what goes between them."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.stock import CHECKPOINT, EVENT, KIND, code_of
from crm import enrolment, service
from crm.central import open_central
from edge.clock import wall_clock
from edge.core.barcodes import lookup_of, lookup_text
from edge.core.fingerprint import Fingerprint, row_digests
from edge.store.credentials import Credentials, save_credentials
from sync.wire import DeviceModel

START_TIMEOUT_S = 60.0
Row = tuple[bytes, str, str, str, str, str | None, str | None, str, str, str]
"""lookup, event, id, type, state, valid_from, valid_until, holder, seat, source: a row of the gate's table."""


@dataclass(frozen=True)
class Stocked:
    """A central's database with tickets, and a device that is enrolled with it."""

    path: Path
    credentials: Credentials


def make_central(folder: Path, tickets: int, scannable: int, devices: int = 1) -> list[Stocked]:
    """Make a central's SQLite database with so many tickets of one event; `scannable` of them have known codes."""
    path = folder / "central.db"
    found = asyncio.run(_founded(path, devices))
    key = found[0].lookup_key
    with closing(sqlite3.connect(path)) as db, db:
        parts = [Fingerprint()] * 256
        for rows in _chunks(key, tickets, scannable):
            texts = [(lookup_text(row[0]), *row[2:7]) for row in rows]
            for row, digest in zip(rows, row_digests(texts), strict=True):
                parts[row[0][0]] = parts[row[0][0]].plus(digest)
            db.executemany(
                "INSERT INTO ticket (lookup, event, id, type, state, valid_from, valid_until, holder, seat, source)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        db.executemany(
            "INSERT OR REPLACE INTO bucket (first_byte, tickets, fingerprint) VALUES (?, ?, ?)",
            [(first, part.count, part.hex()) for first, part in enumerate(parts)],
        )
        whole = Fingerprint.of_parts(parts)
        db.execute("UPDATE feed_state SET tickets = ?, fingerprint = ?", (whole.count, whole.hex()))
    return [Stocked(path, each) for each in found]


def rows_of(path: Path, at_once: int = 10_000) -> Iterator[list[Row]]:
    """Yield the tickets of a central as rows of the gate's table, in order of lookup."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT lookup, event, id, type, state, valid_from, valid_until, holder, seat, source FROM ticket"
            " ORDER BY lookup"
        )
        while part := rows.fetchmany(at_once):
            yield part


async def _founded(path: Path, devices: int) -> list[Credentials]:
    async with open_central(path) as central:
        db, now = central.db, wall_clock()
        await service.put_event(
            db, id=EVENT, name="Bench", tz="Europe/Kyiv", starts_at=now, ends_at=now + timedelta(hours=3)
        )
        await service.put_ticket_type(db, id=KIND, event=EVENT, name="Standard")
        await service.put_checkpoint(db, id=CHECKPOINT, event=EVENT, name="North")
        found = []
        for number in range(devices):
            code = (await enrolment.make_enrolment_code(db, "http://bench")).code
            made = await enrolment.enrol(db, code, DeviceModel(name=f"Gate {number}"))
            found.append(
                Credentials(
                    url="",
                    device_id=made.id,
                    name=made.name,
                    organiser=db.organiser.name,
                    token=made.token,
                    lookup_key=db.organiser.lookup_key,
                )
            )
    return found


def _chunks(key: bytes, tickets: int, scannable: int, at_once: int = 10_000) -> Iterator[list[Row]]:
    known = {lookup_of(key, code_of(number)): number for number in range(scannable)}
    lookups = sorted([*known, *(os.urandom(16) for _ in range(tickets - scannable))])
    for start in range(0, tickets, at_once):
        rows: list[Row] = []
        for at, lookup in enumerate(lookups[start : start + at_once], start):
            number = known.get(lookup, at + scannable)
            window = ("2026-05-01T16:00:00Z", "2099-05-02T02:00:00Z")
            seat = f"Row {number // 40} seat {number % 40}"
            rows.append((lookup, EVENT, f"tk-{number:08}", KIND, "valid", *window, f"Guest {number}", seat, "bench"))
        yield rows


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def central_process(path: Path, port: int) -> Iterator[str]:
    """Serve a central; yield its address once it answers."""
    with central_to_watch(str(path), port) as (url, _):
        yield url


@contextmanager
def central_to_watch(db: str, port: int) -> Iterator[tuple[str, psutil.Process]]:
    """Serve the central at a path or database URL; yield its address and its process once it answers."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "edge", "crm", "serve", "--db", db, "--port", str(port)]
    with _process(command) as process:
        until(lambda: _answers(f"{url}/gate/v1/fingerprints"), "the central did not start")
        yield url, psutil.Process(process.pid)


@dataclass(frozen=True)
class GateProcess:
    """A running `brama run`."""

    process: subprocess.Popen[bytes]
    client: httpx.Client

    def status(self) -> dict[str, Any]:
        """Return what the gate says of itself."""
        body: dict[str, Any] = self.client.get("/api/v1/status").raise_for_status().json()
        return body

    def scan(self, number: int) -> float:
        """Scan one of the known codes; return the time from the offer to the verdict on disk, in seconds."""
        body = self.client.post("/api/v1/scans", json={"code": code_of(number)}).raise_for_status().json()
        return float(body["took_ms"]) / 1000

    def memory_mib(self) -> float:
        """Return what the gate and its child processes take (PSS: what is shared is shared out)."""
        whole = psutil.Process(self.process.pid)
        return sum(_pss_mib(each.pid) for each in (whole, *whole.children(recursive=True)))


@contextmanager
def gate_process(folder: Path, credentials: Credentials, url: str) -> Iterator[GateProcess]:
    """Run a gate in a folder, enrolled with a central at `url`; yield once it is ready."""
    folder.mkdir(exist_ok=True)
    save_credentials(folder, credentials.model_copy(update={"url": url}))
    port = free_port()
    config = folder / "gate.toml"
    config.write_text(
        f'[device]\nname = "Bench"\ndata_path = "{folder}"\nlanguage = "en"\n[crm]\nurl = "{url}"\n'
        f'[web]\nport = {port}\n[[lane]]\nid = "bench"\ncheckpoint = "{CHECKPOINT}"\n'
    )
    with (
        _process([sys.executable, "-m", "edge", "run", "-c", str(config)]) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):
        until(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), "the gate did not start")
        yield GateProcess(process, client)


def until(fact: Callable[[], bool], complaint: str, every_s: float = 0.05, timeout_s: float = START_TIMEOUT_S) -> None:
    """Look until it is so.

    Raises:
        AssertionError: it never is.
    """
    end = time.monotonic() + timeout_s
    while not fact():
        if time.monotonic() > end:
            raise AssertionError(complaint)
        time.sleep(every_s)


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def _pss_mib(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0  # it has just ended
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
