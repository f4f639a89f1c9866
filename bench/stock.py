"""Whitelists to measure with: an organiser's list of any size, made in order of lookup as a snapshot comes."""

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.core.barcodes import lookup_of
from edge.core.model import Checkpoint, Event, EventStatus, TicketType
from edge.store.database import connect, remove
from edge.store.records import microseconds
from edge.store.whitelist_reader import ENTITIES

KEY = bytes(range(32))
EVENT, KIND, CHECKPOINT = "e-bench", "t-bench", "c-bench"


def code_of(number: int) -> str:
    """Return the code of one of the tickets that can be scanned."""
    return f"BENCH-{number:08}"


def make_whitelist(folder: Path, tickets: int, scannable: int) -> None:
    """Write `whitelist.db` with `tickets` rows, `scannable` of which have known codes."""
    path = folder / "whitelist.db"
    remove(path)
    now = datetime.now(UTC)
    with closing(connect(path, "whitelist")) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        for kind, thing in (
            ("event", Event(EVENT, "Bench", "", "Europe/Kyiv", EventStatus.CONFIRMED, now, now + timedelta(hours=3))),
            ("ticket_type", TicketType(KIND, EVENT, "Standard")),
            ("checkpoint", Checkpoint(CHECKPOINT, EVENT, "North")),
        ):
            body = ENTITIES[kind].dump_json(thing).decode()
            db.execute("INSERT INTO entity VALUES (?, ?, ?)", (kind, thing.id, body))
        db.executemany(
            "INSERT INTO ticket VALUES (?, ?, ?, ?, 'valid', NULL, NULL, ?, ?, 'bench')", _rows(tickets, scannable)
        )
        meta = {"cursor": "bench", "count": str(tickets), "synced_at": str(microseconds(now)), "plan_version": "1"}
        db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        db.execute("COMMIT")


def _rows(tickets: int, scannable: int) -> Iterator[tuple[bytes, str, str, str, str, str]]:
    known = {lookup_of(KEY, code_of(number)): number for number in range(scannable)}
    filler = (os.urandom(16) for _ in range(tickets - scannable))
    for at, lookup in enumerate(sorted([*known, *filler])):
        number = known.get(lookup, at + scannable)
        yield lookup, EVENT, f"tk-{number:08}", KIND, f"Guest Number {number}", f"Row {number // 40} seat {number % 40}"
