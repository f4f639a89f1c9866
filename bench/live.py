"""From a change committed in the central to its being in force at twenty gates, all on this machine.

The gates are real stores with real sync engines, in one process; the central serves from another. The change is made
by a third party to the server, as the organiser's commands are: it has to hear of it from the database.
"""

import asyncio
import os
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from bench.centrals import central_to_watch, free_port
from bench.figures import Figures, kept
from bench.load import enrolled, stocked, ticket_id
from crm import service
from crm.central import open_central
from crm.database import Database
from edge.store.tx import Identity
from sync.engine import SyncEngine
from tests.crm.postgres import postgres
from tests.sync.rig import News, OpenEngine, open_engine

GATES = 20
TICKETS = 2_000
CHANGES = 80
PAUSE_S = (0.1, 0.5)
"""Between a change that is in force everywhere and the next."""
ROUND_TRIPS = 300
GOAL_MS = 300
TIMEOUT_S = 60.0
List = tuple[int, str]
"""A list's count and fingerprint."""


class Watch(News):
    """Notes since when its gate holds each list."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: OpenEngine | None = None
        self.seen_at: dict[List, float] = {}
        self.news = asyncio.Event()

    @property
    def engine(self) -> SyncEngine:
        """The gate's."""
        assert self.gate is not None
        return self.gate.engine

    def poke(self) -> None:
        """Look at the list in force, since something has changed."""
        if self.gate is not None:
            data = self.gate.store.data
            self.seen_at.setdefault((data.tickets, data.fingerprint), time.monotonic())
            self.news.set()


def run(folder: Path) -> None:
    """Measure and print, once with SQLite and once with PostgreSQL."""
    load = os.getloadavg()[0]
    asyncio.run(_measured("SQLite", str(folder / "central.db"), folder / "sqlite"))
    with postgres() as server:
        asyncio.run(_measured("PostgreSQL", server.url(server.create()), folder / "postgresql"))
    print(f"  load before: {load:.1f} on {os.cpu_count()} cores")


async def _measured(name: str, db_url: str, folder: Path) -> None:
    async with open_central(db_url) as central, AsyncExitStack() as opened:
        db = central.db
        await stocked(db, TICKETS)
        devices = await enrolled(db, GATES)
        url, _ = opened.enter_context(central_to_watch(db_url, free_port()))
        watches = [Watch() for _ in devices]
        for watch, (device, token) in zip(watches, devices, strict=True):
            home = folder / device
            await asyncio.to_thread(home.mkdir, parents=True)
            identity = Identity(device, db.organiser.lookup_key)
            watch.gate = await opened.enter_async_context(open_engine(home, url, identity, token, watch))
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(watch.engine.run_changes()) for watch in watches]
            await _held_since(watches, await _listed(db))
            took = await _changed(db, watches)
            floor = await _round_trips(url)
            for job in jobs:
                job.cancel()
    every = Figures(took)
    print(
        f"change in the central ({name}, by another process) -> in force at {GATES} gates: p50 {every.p50_ms:.0f} ms,"
        f" p99 {every.p99_ms:.0f} ms of {len(took)}; floor, one HTTP round trip: p50 {floor.p50_ms:.1f} ms,"
        f" p99 {floor.p99_ms:.1f} ms (goal {GOAL_MS} ms: {kept(every.p99_ms <= GOAL_MS)})"
    )


async def _changed(db: Database, watches: list[Watch]) -> list[float]:
    """Revoke tickets one after the other; return how much later each gate had each revocation in force, in seconds."""
    took = []
    for number in range(CHANGES):
        await asyncio.sleep(random.uniform(*PAUSE_S))
        await service.set_ticket_state(db, ticket_id(number), "revoked")
        committed = time.monotonic()
        # A gate may have it before the call that made it has returned.
        took += [max(0.0, at - committed) for at in await _held_since(watches, await _listed(db))]
    return took


async def _listed(db: Database) -> List:
    async with db.read() as tx:
        return tx.listed.count, tx.listed.hex()


async def _held_since(watches: list[Watch], listed: List) -> list[float]:
    """Wait until every gate holds this list; return since when each does."""
    async with asyncio.timeout(TIMEOUT_S):
        for watch in watches:
            while listed not in watch.seen_at:
                await watch.news.wait()
                watch.news.clear()
    return [watch.seen_at[listed] for watch in watches]


async def _round_trips(url: str) -> Figures:
    """Time requests that the central refuses at once, on a connection that is open."""
    took = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(ROUND_TRIPS):
            started = time.perf_counter()
            await client.get(f"{url}/gate/v1/changes")
            took.append(time.perf_counter() - started)
    return Figures(took)
