"""Five hundred gates on one central with PostgreSQL, all on this machine: is a thing lost, and how late is a change?"""

import asyncio
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from bench.centrals import central_to_watch, free_port
from bench.crowd import crowd
from bench.figures import Figures, kept
from bench.stock import CHECKPOINT, EVENT, KIND, code_of
from crm import schema, service
from crm.central import open_central
from crm.database import Database
from crm.devices import hash_of
from crm.importer import import_rows
from edge.clock import wall_clock
from tests.crm.postgres import postgres

TICKETS = 4_000
CHANGED_FROM = 3_500
"""The tickets from this one on are revoked, those before it admitted."""
GOAL_S = 2.0


@dataclass(frozen=True)
class Load:
    """What is put on the central, and for how long."""

    gates: int = 500
    scans_a_s: float = 50.0
    changes_a_s: float = 5.0
    seconds: float = 50.0


@dataclass(frozen=True)
class Used:
    """Processor time of the central and of PostgreSQL, and the time by the clock, in seconds."""

    central: float
    postgres: float
    clock: float

    @classmethod
    def so_far(cls, central: psutil.Process, server: psutil.Process) -> "Used":
        """Read it; PostgreSQL has a process for each connection."""
        return cls(_cpu_s(central), sum(_cpu_s(each) for each in (server, *server.children())), time.monotonic())

    def since(self, before: "Used") -> "Used":
        """Return what was used since another reading."""
        return Used(self.central - before.central, self.postgres - before.postgres, self.clock - before.clock)


@dataclass(frozen=True)
class Outcome:
    """What came of it: what the crowd saw, when each ticket's revocation was committed, what the database has."""

    load: Load
    seen: dict[str, Any]
    committed: dict[str, float]
    lost: int
    doubled: int
    faults: int
    used: Used
    memory_mib: float

    @property
    def late_s(self) -> list[float]:
        """How late each revocation was in force at each gate."""
        return [at - self.committed[ticket] for ticket, times in self.seen["revoked_at"].items() for at in times]

    @property
    def last_s(self) -> list[float]:
        """How late each revocation was in force at the last gate."""
        return [max(times) - self.committed[ticket] for ticket, times in self.seen["revoked_at"].items()]

    @property
    def missing(self) -> int:
        """How many revocations did not reach a gate."""
        return len(self.committed) * self.load.gates - len(self.late_s)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost or doubled anywhere."""
        wrong = self.lost or self.doubled or self.faults or self.missing or self.seen["doubled"]
        return bool(self.seen["settled"]) and not wrong


def run(_folder: Path) -> None:
    """Measure and print; the data lies where the private PostgreSQL server keeps it."""
    busy = os.getloadavg()[0]
    _print(asyncio.run(measured(Load())), busy)


def run_costs(_folder: Path) -> None:
    """Measure what an answer to a waiting gate and what a scan cost the central, and print it."""
    found = [asyncio.run(measured(Load(scans_a_s=scans, seconds=20.0))) for scans in (0.001, 50.0, 150.0)]
    answer_s = found[0].used.central / found[0].seen["requests"]["changes"]
    for each in found:
        load, used, every = each.load, each.used, Figures(each.late_s)
        answers, scans = each.seen["requests"]["changes"], sum(map(len, each.seen["scans"].values()))
        line = (
            f"{load.gates} gates, {load.scans_a_s:.0f} scans/s, {load.changes_a_s:.0f} changes/s: central"
            f" {used.central / used.clock:.0%} of a core, PostgreSQL {used.postgres / used.clock:.0%};"
            f" {answers / used.clock:.0f} answers/s; change in force p50 {every.p50_ms:.0f} ms,"
            f" p99 {every.p99_ms:.0f} ms; an answer costs the central {1000 * answer_s:.2f} ms"
        )
        if scans > load.gates:
            scan_ms = 1000 * (used.central - answers * answer_s) / scans
            line += f", a scan {scan_ms:.1f} ms and PostgreSQL {1000 * used.postgres / scans:.1f} ms"
        print(line)


async def measured(load: Load) -> Outcome:
    """Put the load on a new central, until all have all; return what came of it."""
    with postgres() as server:
        db_url = server.url(server.create())
        async with open_central(db_url) as central:
            db = central.db
            await stocked(db, TICKETS)
            devices = await enrolled(db, load.gates)
            with (
                central_to_watch(db_url, free_port()) as (url, process),
                crowd(url, CHECKPOINT, devices, load.gates / load.scans_a_s) as gates,
            ):
                await asyncio.to_thread(gates.until_listed)
                before = Used.so_far(process, psutil.Process(server.pid))
                committed = await _revoked(db, load)
                async with db.read() as tx:
                    listed = tx.listed
                seen = await asyncio.to_thread(gates.end, listed.count, listed.hex())
                used = Used.so_far(process, psutil.Process(server.pid)).since(before)
                memory_mib = process.memory_full_info().pss / 2**20
            return Outcome(load, seen, committed, *await _compared(db, seen), used, memory_mib)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def stocked(db: Database, tickets: int) -> None:
    """Put an event with so many tickets into a new central; see `ticket_id`."""
    now = wall_clock()
    await service.put_event(db, id=EVENT, name="Bench", tz="Europe/Kyiv", starts_at=now, ends_at=now.replace(year=2099))
    await service.put_ticket_type(db, id=KIND, event=EVENT, name="Standard")
    await service.put_checkpoint(db, id=CHECKPOINT, event=EVENT, name="North")
    await import_rows(db, EVENT, [(code_of(number), None, ticket_id(number)) for number in range(tickets)])


async def enrolled(db: Database, gates: int) -> list[tuple[str, str]]:
    """Enrol gates; return their ids and tokens."""
    devices = [(f"d-{number:04}", secrets.token_urlsafe(32)) for number in range(gates)]
    async with db.write() as tx:
        common = {"enrolled_at": tx.now, "last_seq": 0, "faults": 0}
        rows = [{"id": name, "name": name, "token_hash": hash_of(token), **common} for name, token in devices]
        await tx.connection.execute(sa.insert(schema.device), rows)
        tx.devices += 1
    return devices


def ticket_id(number: int) -> str:
    """Return the id of one of the tickets, counted from 0."""
    return f"tk-{number:08}"


async def _revoked(db: Database, load: Load) -> dict[str, float]:
    """Revoke tickets at a pace, from another process than the one that serves; return when each was committed."""
    committed = {}
    begun = time.monotonic()
    for number in range(int(load.seconds * load.changes_a_s)):
        await asyncio.sleep(max(0.0, begun + number / load.changes_a_s - time.monotonic()))
        ticket = ticket_id(CHANGED_FROM + number)
        await service.set_ticket_state(db, ticket, "revoked")
        committed[ticket] = time.monotonic()
    return committed


async def _compared(db: Database, seen: dict[str, Any]) -> tuple[int, int, int]:
    """Compare the database with what the gates sent: return scans lost, counted twice, and faults of the journals."""
    sent = {(device, scan_id) for device, ids in seen["scans"].items() for scan_id in ids}
    table, tally, faults = schema.scan.c, schema.tally.c, schema.device.c.faults
    async with db.read() as tx:
        stored = {(row.device, row.scan_id) for row in await tx.rows(sa.select(table.device, table.scan_id))}
        (entries,) = (await tx.rows(sa.select(sa.func.coalesce(sa.func.sum(tally.entries), 0))))[0]
        (faulty,) = (await tx.rows(sa.select(sa.func.sum(faults))))[0]
    return len(sent - stored), len(stored - sent) + int(entries) - len(sent), int(faulty)


def _print(found: Outcome, busy: float) -> None:
    load, seen, used = found.load, found.seen, found.used
    every, last, posts = Figures(found.late_s), Figures(found.last_s), Figures(seen["posts_s"])
    scans = sum(len(ids) for ids in seen["scans"].values())
    requests = ", ".join(f"{name} {count / used.clock:.0f}" for name, count in seen["requests"].items())
    goal = f"goal p99 {GOAL_S:.0f} s: {kept(every.p99_ms <= 1000 * GOAL_S)}"
    print(
        f"{load.gates} gates, {scans / load.seconds:.0f} scans/s and {load.changes_a_s:.0f} ticket changes/s for"
        f" {load.seconds:.0f} s on one central with PostgreSQL:\n"
        f"  change in force p50 {every.p50_ms:.0f} ms, p99 {every.p99_ms:.0f} ms, at the last gate p50"
        f" {last.p50_ms:.0f} ms, p99 {last.p99_ms:.0f} ms ({goal})\n"
        f"  {scans} scans: {found.lost} lost, {found.doubled} counted twice, {found.faults} faults in journals;"
        f" {found.missing} changes not heard of, {seen['doubled']} admissions told twice; lists and admissions the same"
        f" everywhere: {seen['settled']} (goal nothing lost: {kept(found.is_whole)})\n"
        f"  upload p50 {posts.p50_ms:.0f} ms, p99 {posts.p99_ms:.0f} ms; requests a second: {requests};"
        f" tried again: {seen['faults'] or 'nothing'}\n"
        f"  the central took {used.central / used.clock:.0%} of a core and {found.memory_mib:.0f} MiB, PostgreSQL"
        f" {used.postgres / used.clock:.0%} of one; load before: {busy:.1f} on {os.cpu_count()} cores"
    )
