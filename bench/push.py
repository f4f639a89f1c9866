"""A whole list pushed to a gate that has no CRM to pull from: how long, how much memory, who waits meanwhile."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.centrals import GateProcess, Row, free_port, make_central, rows_of, until
from bench.figures import Figures, kept
from bench.snapshot import GOAL_FLOORS, GOAL_MIB, GOAL_TIMES_REST, floor_s
from bench.stock import CHECKPOINT, EVENT, KIND
from edge.core.barcodes import lookup_text
from edge.core.fingerprint import Fingerprint, row_digests
from edge.store.credentials import Credentials, save_credentials

TICKETS = 300_000
SCANNABLE = 20_000
CURSOR_EVERY = 10
"""Lines of tickets."""
SCAN_EVERY_S = 0.01
REST_S = 15.0
AT = "2026-05-01T16:00:00Z"


def run(folder: Path) -> None:
    """Measure and print."""
    stocked = make_central(folder, TICKETS, SCANNABLE)[0]
    floor = floor_s(folder, stocked.path)
    body = folder / "list.ndjson"
    _write(body, rows_of(stocked.path, 1000))
    with _pushed(folder / "gate", stocked.credentials) as gate:
        took, peak = _watched(gate, body)
        print(
            f"push of {TICKETS} tickets: {took:.1f} s, floor {floor:.1f} s, {took / floor:.1f} floors"
            f" (goal {GOAL_FLOORS}: {kept(took <= GOAL_FLOORS * floor)}); gate and builder {peak:.0f} MiB at most"
            f" (goal {GOAL_MIB}: {kept(peak <= GOAL_MIB)})"
        )
        numbers = iter(range(SCANNABLE))
        busy = Figures(_scanned_while(gate, _thread(lambda: _push(gate, body, 3)), numbers))
        time.sleep(2)  # the builder has gone: now it is at rest
        rest = Figures(_scanned_while(gate, _thread(lambda: time.sleep(REST_S)), numbers))
    print(
        f"decisions while it is pushed anew, three times: p50 {busy.p50_ms:.2f} ms, p99 {busy.p99_ms:.2f} ms; at rest"
        f" p50 {rest.p50_ms:.2f} ms, p99 {rest.p99_ms:.2f} ms: {busy.p99_ms / rest.p99_ms:.1f} times"
        f" (goal {GOAL_TIMES_REST}: {kept(busy.p99_ms <= GOAL_TIMES_REST * rest.p99_ms)})"
    )


def _watched(gate: GateProcess, body: Path) -> tuple[float, float]:
    """Push; return how long that took and the most memory seen meanwhile."""
    started, peak = time.monotonic(), 0.0
    pushing = _thread(lambda: _push(gate, body))
    while pushing.is_alive():
        peak = max(peak, gate.memory_mib())
        time.sleep(0.1)
    took = time.monotonic() - started
    assert gate.status()["data"]["tickets"] == TICKETS, "the list did not come"
    return took, peak


def _scanned_while(gate: GateProcess, work: threading.Thread, numbers: Iterator[int]) -> list[float]:
    found = []
    while work.is_alive():
        found.append(gate.scan(next(numbers)))
        time.sleep(SCAN_EVERY_S)
    return found


def _thread(job: Any) -> threading.Thread:
    thread = threading.Thread(target=job)
    thread.start()
    return thread


def _push(gate: GateProcess, body: Path, times: int = 1) -> None:
    kind = {"Content-Type": "application/x-ndjson"}
    for _ in range(times):
        with body.open("rb") as file:
            chunks = iter(lambda: file.read(65536), b"")
            gate.client.post("/api/v1/changes", content=chunks, headers=kind, timeout=600).raise_for_status()


def _write(path: Path, parts: Iterator[list[Row]]) -> None:
    """Write the list as a CRM sends it, with true sums at each cursor."""
    event = {"id": EVENT, "name": "Bench", "tz": "Europe/Kyiv", "status": "confirmed", "starts_at": AT, "ends_at": AT}
    plan = [
        {"kind": "reset"},
        {"kind": "event", **event},
        {"kind": "ticket_type", "id": KIND, "event": EVENT, "name": "Standard"},
        {"kind": "checkpoint", "id": CHECKPOINT, "event": EVENT, "name": "North"},
    ]
    sum_, lines = Fingerprint(), 0
    with path.open("w") as file:

        def write(*found: dict[str, Any]) -> None:
            file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in found)

        write(*plan)
        for part in parts:
            rows = [(lookup_text(row[0]), *row[2:]) for row in part]
            for digest in row_digests([row[:6] for row in rows]):
                sum_ = sum_.plus(digest)
            write({"kind": "tickets", "event": EVENT, "rows": rows})
            lines += 1
            more = sum_.count < TICKETS
            if lines % CURSOR_EVERY == 0 or not more:
                vouched = {"tickets": sum_.count, "fingerprint": sum_.hex()}
                write({"kind": "cursor", "cursor": f"k-{lines}", "at": AT, "more": more, **vouched})


@contextmanager
def _pushed(folder: Path, credentials: Credentials) -> Iterator[GateProcess]:
    """Run a gate that knows no CRM; yield once it is ready."""
    folder.mkdir()
    save_credentials(folder, credentials)
    port, config = free_port(), folder / "gate.toml"
    config.write_text(
        f'[device]\nname = "Bench"\ndata_path = "{folder}"\nlanguage = "en"\n[web]\nport = {port}\n'
        f'[[lane]]\nid = "bench"\ncheckpoint = "{CHECKPOINT}"\n'
    )
    command = [sys.executable, "-m", "edge", "run", "-c", str(config)]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,
        closing(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)) as client,
    ):
        try:
            until(lambda: _is_ready(client), "the gate did not start")
            yield GateProcess(process, client)
        finally:
            process.terminate()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
