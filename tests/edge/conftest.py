"""A gate at one concert in Kyiv on 1 May 2026: real files, time by hand, no sockets.

What a story does not name is in order: the North gate is open, its tickets admit once, and the clock is believed.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import LaneSettings
from drivers.protocols import Turnstile
from edge.clock import GateClock
from edge.core.barcodes import lookup_of, lookup_text
from edge.core.model import Checkpoint, Direction, EntryPolicy, Event, EventStatus, Interval, Reentry, TicketType
from edge.gate import Answer, Lane
from edge.hub import Hub
from edge.store.database import connect_read_only
from edge.store.records import Scan
from edge.store.store import Store, open_store
from edge.store.tx import Identity, Tx
from edge.store.whitelist_writer import TicketTexts

KEY = bytes(range(32))
NOW = datetime(2026, 5, 1, 16, 2, tzinfo=UTC)
"""19:02 in Kyiv."""
EVENING = Interval(datetime(2026, 5, 1, 15, tzinfo=UTC), datetime(2026, 5, 1, 20, tzinfo=UTC))


@dataclass
class HandClock:
    """The wall and the monotonic clock of one box, which only the test moves."""

    wall: datetime = NOW
    ticks: float = 0.0
    synchronised: bool = True

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds

    def gate_clock(self, last_written_at: datetime | None = None) -> GateClock:
        """Make the gate's clock over this one."""
        return GateClock(
            last_written_at,
            wall=lambda: self.wall,
            monotonic=lambda: self.ticks,
            synchronised=lambda: self.synchronised,
        )


def ticket_row(code: str, **changes: Any) -> TicketTexts:
    """Return one ticket as the wire has it; `changes` are columns by name."""
    row = {"id": f"t-{code}", "type": "standard", "state": "valid", **changes}
    return (
        lookup_text(lookup_of(KEY, code)),
        row["id"],
        row["type"],
        row["state"],
        row.get("valid_from"),
        row.get("valid_until"),
        row.get("holder"),
        row.get("seat"),
        row.get("source"),
    )


@dataclass
class Venue:
    """The open gate, and what its CRM, its guests and its staff do."""

    folder: Path
    store: Store
    hand: HandClock
    clock: GateClock
    hub: Hub = field(default_factory=Hub)
    defects: list[BaseException] = field(default_factory=list)
    """What the decision thread could not name; a test that expects one empties it."""

    def lane(self, lane_id: str = "north-1", turnstile: Turnstile | None = None, **settings: Any) -> Lane:
        """Open a lane: at the North gate, for entry, unless told otherwise."""
        chosen = LaneSettings(**{"id": lane_id, "checkpoint": "c-north", **settings})
        return Lane(chosen, "en", self.store, self.clock, self.hub, turnstile)

    async def sells(self, *codes: str, event: str = "concert", **changes: Any) -> None:
        """Put tickets on the list."""
        async with self.store.session(building=False) as session:
            await session.put_tickets(event, [ticket_row(code, **changes) for code in codes])
            await session.commit(None, self.clock.now())

    async def puts(self, kind: str, *values: Any) -> None:
        """Add things to the plan, or change them."""
        async with self.store.session(building=False) as session:
            for value in values:
                await session.put_entity(kind, value.id, value)
            await session.commit(None, self.clock.now())

    async def hears_of(self, code: str, scan_id: str, direction: str = "entry", checkpoint: str = "c-south") -> None:
        """Take in, from the feed, that another device let the holder of `code` through."""
        async with self.store.session(building=False) as session:
            row = (scan_id, f"t-{code}", checkpoint, direction, self.clock.now(), "South box")
            await session.put_admissions([row])
            await session.commit(None, self.clock.now())

    async def journal(self) -> list[Scan]:
        """Return all rows, oldest first, with what the turnstile saw."""
        return await self.store.scans_after(0, 10_000)

    async def admissions(self) -> list[Scan]:
        """Return the rows that let someone in."""
        return [scan for scan in await self.journal() if scan.verdict == "admitted"]

    async def sql(self, statement: str) -> list[Any]:
        """Ask the journal in the decision thread, between transactions."""
        return await self.store.read(lambda tx: tx.journal.execute(statement).fetchall())

    async def sql_whitelist(self, statement: str) -> list[Any]:
        """Ask the list in use, over a connection of our own."""
        with closing(connect_read_only(self.store.whitelist_path)) as db:
            return db.execute(statement).fetchall()

    async def in_thread(self, job: Callable[[Tx], Any]) -> Any:
        """Run a job in the decision thread, between transactions."""
        return await self.store.read(job)


def said(answer: Answer) -> tuple[str, str]:
    """Return what an answer comes to."""
    return answer.scan.verdict, answer.scan.reason


ADMITTED = ("admitted", "admitted")
ALREADY_USED = ("refused", "already_used")


def concert() -> Event:
    """Return the event of the evening."""
    return Event(
        "concert",
        "Океан Ельзи",
        "Палац спорту",
        "Europe/Kyiv",
        EventStatus.CONFIRMED,
        datetime(2026, 5, 1, 16, tzinfo=UTC),
        datetime(2026, 5, 1, 20, tzinfo=UTC),
    )


async def fill(store: Store, now: datetime) -> None:
    """Bring the plan in as the change feed would."""
    entities: list[tuple[str, Any]] = [
        ("event", concert()),
        ("ticket_type", TicketType("standard", "concert", "Fan zone")),
        ("ticket_type", TicketType("pass", "concert", "Pass", EntryPolicy(reentry=Reentry.AFTER_EXIT))),
        ("checkpoint", Checkpoint("c-north", "concert", "North gate", hours=(EVENING,))),
        ("checkpoint", Checkpoint("c-south", "concert", "South gate", hours=(EVENING,))),
        ("checkpoint", Checkpoint("c-exit", "concert", "Way out", direction=Direction.EXIT)),
    ]
    async with store.session(building=False) as session:
        for kind, value in entities:
            await session.put_entity(kind, value.id, value)
        await session.commit("cursor-1", now)


@asynccontextmanager
async def open_venue(
    folder: Path, hand: HandClock | None = None, *, enrolled: bool = True, filled: bool = True
) -> AsyncIterator[Venue]:
    """Open a gate in a folder, as after a start; `filled` False: with the list that is there."""
    hand = hand or HandClock()
    clock = hand.gate_clock()
    defects: list[BaseException] = []
    identity = Identity("device-1", KEY) if enrolled else None
    async with open_store(folder, identity, clock.now, defects.append) as store:
        if filled:
            await fill(store, clock.now())
        yield Venue(folder, store, hand, clock, Hub(), defects)
    assert defects == []


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Venue]:
    async with open_venue(tmp_path / "data") as opened:
        yield opened
