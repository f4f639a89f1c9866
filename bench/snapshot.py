"""A whole list from a central to a gate, both real processes on this machine: how long, how much memory, who waits."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from bench.centrals import GateProcess, Stocked, central_process, free_port, gate_process, make_central, rows_of, until
from bench.figures import Figures, kept
from edge.store.database import connect

TICKETS = 1_000_000
SIZES = (100_000, 2_000_000)
"""At which memory is compared with that at `TICKETS`."""
SCANNABLE = 20_000
GOAL_FLOORS = 3
GOAL_MIB = 96
GOAL_TIMES_REST = 3
SCAN_EVERY_S = 0.01
REST_S = 15.0


def run(folder: Path) -> None:
    """Measure and print."""
    stocked = _stocked(folder, TICKETS)
    floor = floor_s(folder, stocked.path)
    port = free_port()
    with central_process(stocked.path, port) as url, gate_process(folder / "gate", stocked.credentials, url) as gate:
        took, peak = _watched(gate, TICKETS)
        print(
            f"snapshot of {TICKETS} tickets: {took:.1f} s, floor {floor:.1f} s, {took / floor:.1f} floors"
            f" (goal {GOAL_FLOORS}: {kept(took <= GOAL_FLOORS * floor)}); gate and builder {peak:.0f} MiB at most"
            f" (goal {GOAL_MIB}: {kept(peak <= GOAL_MIB)})"
        )
    _decisions(folder, stocked, port)
    for tickets in SIZES:
        part = folder / str(tickets)
        part.mkdir()
        other = _stocked(part, tickets)
        with central_process(other.path, port) as url, gate_process(part / "gate", other.credentials, url) as gate:
            took, peak = _watched(gate, tickets)
            print(f"snapshot of {tickets} tickets: {took:.1f} s; {peak:.0f} MiB at most")


def _stocked(folder: Path, tickets: int) -> Stocked:
    return make_central(folder, tickets, SCANNABLE)[0]


def _watched(gate: GateProcess, tickets: int) -> tuple[float, float]:
    """Wait until the list is in force; return the time and the most memory seen meanwhile."""
    started, peak, done = time.monotonic(), 0.0, False
    while not done:
        time.sleep(0.1)
        peak = max(peak, gate.memory_mib())
        done = gate.status()["data"]["tickets"] == tickets
        if time.monotonic() - started > 600:
            raise AssertionError("the list did not come")
    return time.monotonic() - started, peak


def floor_s(folder: Path, central: Path) -> float:
    """Time plain sqlite3 inserting the same rows, prepared, in one transaction into the same table."""
    took = 0.0
    with closing(connect(folder / "floor.db", "whitelist")) as db:
        db.execute("BEGIN")
        for rows in rows_of(central):
            started = time.perf_counter()
            db.executemany(
                "INSERT INTO ticket (lookup, event, id, type, state, valid_from, valid_until, holder, seat, source)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            took += time.perf_counter() - started
        started = time.perf_counter()
        db.execute("COMMIT")
        took += time.perf_counter() - started
    return took


def _decisions(folder: Path, stocked: Stocked, port: int) -> None:
    """Scan while a whole list is pulled anew, and at rest; compare."""
    with closing(sqlite3.connect(stocked.path)) as db, db:
        db.execute("UPDATE organiser SET epoch = 'another'")  # every cursor is now one of another central
    with central_process(stocked.path, port) as url, gate_process(folder / "gate", stocked.credentials, url) as gate:
        numbers = iter(range(SCANNABLE))
        busy, at_rest = [gate.scan(next(numbers))], []
        until(lambda: gate.status()["crm"]["progress"] is not None, "the list was not pulled anew")
        over = threading.Event()

        def watch() -> None:
            until(lambda: gate.status()["crm"]["progress"] is None, "the list did not come", 0.5, 600)
            over.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        while not over.is_set():
            busy.append(gate.scan(next(numbers)))
            time.sleep(SCAN_EVERY_S)
        watcher.join()
        time.sleep(2)  # the new list is in its place and the builder has gone: now it is at rest
        until_s = time.monotonic() + REST_S
        while time.monotonic() < until_s:
            at_rest.append(gate.scan(next(numbers)))
            time.sleep(SCAN_EVERY_S)
    during, rest = Figures(busy), Figures(at_rest)
    print(
        f"decisions while a list of {TICKETS} is pulled anew: p50 {during.p50_ms:.2f} ms, p99 {during.p99_ms:.2f} ms of"
        f" {len(busy)}; at rest p50 {rest.p50_ms:.2f} ms, p99 {rest.p99_ms:.2f} ms of {len(at_rest)}:"
        f" {during.p99_ms / rest.p99_ms:.1f} times (goal {GOAL_TIMES_REST}:"
        f" {kept(during.p99_ms <= GOAL_TIMES_REST * rest.p99_ms)})"
    )
