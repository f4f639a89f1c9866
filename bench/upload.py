"""A night's backlog from a gate to a central, both real processes on this machine: how long, and who waits meanwhile.

The gate is started with a journal of scans that the central has not got, and guests are scanned all the while.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from bench.centrals import GateProcess, central_to_watch, free_port, gate_process, until
from bench.figures import Figures, kept
from bench.load import enrolled, stocked
from bench.stock import CHECKPOINT, code_of
from crm import schema
from crm.central import open_central
from crm.database import Database
from edge.clock import wall_clock
from edge.core.model import ClockTrust, Direction
from edge.judging import Judged, judge
from edge.store.credentials import Credentials
from edge.store.database import connect_read_only
from edge.store.records import new_scan_id
from edge.store.store import open_store
from edge.store.tx import Identity, Offer, Tx
from tests.crm.postgres import postgres

SCANS = 100_000
MEANWHILE = 10_000
"""Tickets beyond those, of the guests who come meanwhile: enough for 100 s, after which nobody comes."""
AT_REST = 2_000
"""Tickets beyond those, of the guests who come at rest."""
SCANNABLE = MEANWHILE + AT_REST
AT_ONCE = 1_000
"""Scans of one transaction, when the journal is made."""
GOAL_S = 20.0
GOAL_TIMES_REST = 2
SCAN_EVERY_S = 0.01
REST_S = 15.0
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Scanned:
    """What guests saw: from the offer to the verdict on disk, and from the request to its answer."""

    decided: list[float]
    answered: list[float]

    def scan_while(self, gate: GateProcess, numbers: Iterable[int], going_on: Callable[[], bool]) -> None:
        """Scan guest after guest, until the last of them."""
        for number in numbers:
            if not going_on():
                return
            started = time.perf_counter()
            self.decided.append(gate.scan(number))
            self.answered.append(time.perf_counter() - started)
            time.sleep(SCAN_EVERY_S)


def run(folder: Path) -> None:
    """Measure and print, once with SQLite and once with PostgreSQL."""
    busy = os.getloadavg()[0]
    for name in ("sqlite", "postgresql"):
        (folder / name).mkdir()
    central = folder / "central.db"
    took = [_measured("SQLite", str(central), folder / "sqlite")]
    floor = _floor_s(central, folder / "floor.db")
    with postgres() as server:
        took.append(_measured("PostgreSQL", server.url(server.create()), folder / "postgresql"))
    print(
        f"  floor: plain sqlite3 inserting the same rows as the central keeps them, in one transaction, {floor:.1f} s:"
        f" {took[0] / floor:.0f} floors with SQLite, {took[1] / floor:.0f} with PostgreSQL; load before: {busy:.1f} on"
        f" {os.cpu_count()} cores"
    )


def _measured(name: str, db_url: str, folder: Path) -> float:
    """Measure and print; return how long the upload took, in seconds."""
    credentials = asyncio.run(_founded(db_url))
    port = free_port()
    with central_to_watch(db_url, port) as (url, _), gate_process(folder, credentials, url) as gate:
        whole = SCANS + SCANNABLE
        until(lambda: bool(gate.status()["data"]["tickets"] == whole), "the list did not come", 0.2, TIMEOUT_S)
    asyncio.run(_journalled(folder, credentials))
    during, rest = Scanned([], []), Scanned([], [])
    with central_to_watch(db_url, port) as (url, central):
        started, central_s = time.monotonic(), _cpu_s(central)
        with gate_process(folder, credentials, url) as gate:
            meanwhile, at_rest = range(SCANS, SCANS + MEANWHILE), range(SCANS + MEANWHILE, SCANS + SCANNABLE)
            took = _uploaded(gate, started, meanwhile, during)
            used = _cpu_s(psutil.Process(gate.process.pid)), _cpu_s(central) - central_s
            until_s = time.monotonic() + REST_S
            rest.scan_while(gate, at_rest, lambda: time.monotonic() < until_s)
            until(lambda: bool(gate.status()["backlog"]["unsent"] == 0), "the last scans did not go", 0.2)
    lost, doubled, faults = asyncio.run(_compared(db_url, folder / "journal.db"))
    print(
        f"upload of {SCANS} scans to a central on {name}: {took:.1f} s from the gate's start (goal {GOAL_S:.0f}:"
        f" {kept(took <= GOAL_S)}); {lost} lost, {doubled} counted twice, {faults} faults in the journal (goal none:"
        f" {kept(not (lost or doubled or faults))}); the gate took {used[0]:.1f} s of a core, the"
        f" central {used[1]:.1f} s"
    )
    _print_decisions(during, rest)
    return took


def _print_decisions(during: Scanned, rest: Scanned) -> None:
    decided, at_rest = Figures(during.decided), Figures(rest.decided)
    answered, answered_at_rest = Figures(during.answered), Figures(rest.answered)
    print(
        f"  decisions meanwhile: p50 {decided.p50_ms:.2f} ms, p99 {decided.p99_ms:.2f} ms of {len(during.decided)};"
        f" at rest p50 {at_rest.p50_ms:.2f} ms, p99 {at_rest.p99_ms:.2f} ms of {len(rest.decided)}:"
        f" {decided.p99_ms / at_rest.p99_ms:.1f} times (goal {GOAL_TIMES_REST}:"
        f" {kept(decided.p99_ms <= GOAL_TIMES_REST * at_rest.p99_ms)})\n"
        f"  from request to answer: p50 {answered.p50_ms:.2f} ms, p99 {answered.p99_ms:.2f} ms; at rest p50"
        f" {answered_at_rest.p50_ms:.2f} ms, p99 {answered_at_rest.p99_ms:.2f} ms"
    )


def _uploaded(gate: GateProcess, started: float, numbers: Iterable[int], during: Scanned) -> float:
    """Scan until the central has the backlog; return how long that took since `started`."""
    ended: list[float] = []

    def watch() -> None:
        until(lambda: bool(gate.status()["backlog"]["acked_seq"] >= SCANS), "the scans did not go", 0.2, TIMEOUT_S)
        ended.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    during.scan_while(gate, numbers, watcher.is_alive)
    watcher.join()
    return ended[0] - started


async def _founded(db_url: str) -> Credentials:
    """Make a central with a list, and a device that is enrolled with it."""
    async with open_central(db_url) as central:
        await stocked(central.db, SCANS + SCANNABLE)
        ((device, token),) = await enrolled(central.db, 1)
        organiser = central.db.organiser
        return Credentials(
            url="",
            device_id=device,
            name=device,
            organiser=organiser.name,
            token=token,
            lookup_key=organiser.lookup_key,
        )


async def _journalled(folder: Path, credentials: Credentials) -> None:
    """Admit guests at a gate that hears nothing of its central."""
    defects: list[BaseException] = []
    identity = Identity(credentials.device_id, credentials.lookup_key)
    async with open_store(folder, identity, wall_clock, defects.append) as store:
        for first in range(0, SCANS, AT_ONCE):
            offers = [_offer(number) for number in range(first, first + AT_ONCE)]
            await store.write(partial(_admit, offers=offers), refusable=False)
    if defects:
        raise defects[0]


def _offer(number: int) -> Offer:
    at = wall_clock()
    return Offer(
        code_of(number), "bench", Direction.ENTRY, at, ClockTrust.TRUSTED, new_scan_id(at), checkpoint=CHECKPOINT
    )


def _admit(tx: Tx, offers: list[Offer]) -> None:
    for offer in offers:
        judged = judge(tx, offer, 0.0, "passed")
        if not isinstance(judged, Judged) or judged.scan.verdict != "admitted":
            raise AssertionError(judged)


async def _compared(db_url: str, journal_path: Path) -> tuple[int, int, int]:
    """Compare the central with the gate's journal: return scans lost, scans counted twice, and faults it found."""
    with closing(connect_read_only(journal_path)) as journal:
        made = {row[0] for row in journal.execute("SELECT scan_id FROM scan")}
    async with open_central(db_url) as central:
        stored, entries, faults = await _stored(central.db)
    return len(made - set(stored)), len(stored) - len(made) + abs(entries - len(stored)), faults


async def _stored(db: Database) -> tuple[list[str], int, int]:
    """Return the scans that a central has, how many entries it shows, and the faults of journals."""
    async with db.read() as tx:
        stored = [row.scan_id for row in await tx.rows(sa.select(schema.scan.c.scan_id))]
        (entries,) = (await tx.rows(sa.select(sa.func.sum(schema.tally.c.entries))))[0]
        (faults,) = (await tx.rows(sa.select(sa.func.sum(schema.device.c.faults))))[0]
    return stored, int(entries), int(faults)


def _floor_s(central: Path, path: Path) -> float:
    """Time plain sqlite3 inserting the central's scans and admissions into the same tables, in one transaction."""
    with closing(sqlite3.connect(central)) as source, closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        for (sql,) in source.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name IN ('scan', 'admission') AND sql IS NOT NULL ORDER BY rowid"
        ).fetchall():
            db.execute(sql)
        # As they came: in the order of the journal.
        rows: dict[str, list[Any]] = {
            "scan": source.execute("SELECT * FROM scan ORDER BY seq LIMIT ?", (SCANS,)).fetchall(),
            "admission": source.execute("SELECT * FROM admission ORDER BY at LIMIT ?", (SCANS,)).fetchall(),
        }
        started = time.perf_counter()
        db.execute("BEGIN")
        for table, found in rows.items():
            marks = ", ".join("?" * len(found[0]))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", found)  # noqa: S608 (names of our own)
        db.execute("COMMIT")
        return time.perf_counter() - started


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
