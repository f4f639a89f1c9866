"""Writing the whitelist: what the change feed brings, with count and fingerprint kept up row by row.

A session holds one connection (aiosqlite) for one answer of the CRM. What a session applies becomes visible with the
cursor that follows it, in one transaction, or not at all.
"""

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiosqlite

from edge.core.barcodes import lookup_text, parse_lookup
from edge.core.fingerprint import Fingerprint, row_digest
from edge.store.database import connect, is_busy
from edge.store.records import microseconds
from edge.store.whitelist_reader import ENTITIES

log = logging.getLogger(__name__)

TicketTexts = tuple[str, str, str, str, str | None, str | None, str | None, str | None, str | None]
"""lookup, id, type, state, valid_from, valid_until, holder, seat, source: as the wire has them."""
AdmissionValues = tuple[str, str | None, str | None, str, datetime, str]
"""scan_id, ticket_id, checkpoint, direction, at, device."""

_UPSERT = (
    "INSERT INTO ticket (lookup, event, id, type, state, valid_from, valid_until, holder, seat, source)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (lookup, event) DO "
)
_REPLACE = _UPSERT + (
    "UPDATE SET id = excluded.id, type = excluded.type, state = excluded.state, valid_from = excluded.valid_from,"
    " valid_until = excluded.valid_until, holder = excluded.holder, seat = excluded.seat, source = excluded.source"
)
_ADD = _UPSERT + "NOTHING"
_DIGESTED = "SELECT lookup, id, type, state, valid_from, valid_until FROM ticket WHERE "


class WhitelistSession:
    """One connection that applies lines; `fingerprint` is that of the list as applied so far."""

    def __init__(
        self, db: aiosqlite.Connection, name: str, meta: dict[str, str], on_commit: Callable[[], None]
    ) -> None:
        self._db = db
        self._name = name
        self._meta = meta
        self._on_commit = on_commit
        self._plan_changed = False
        self._begun = False
        self.committing = False
        """A commit was begun and has not been heard of: given up half-way, it goes on in the connection's thread."""
        self.fingerprint = _fingerprint_of(meta)

    @property
    def cursor(self) -> str | None:
        """The last cursor applied."""
        return self._meta.get("cursor")

    def meta(self, key: str) -> str | None:
        """Return what was kept under `key` with the last cursor."""
        return self._meta.get(key)

    async def _begin(self) -> None:
        while not self._begun:
            try:
                await self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if not is_busy(exc):
                    raise
                # A session that was given up goes on ending in its connection's thread, on a slow disk for longer
                # than SQLite is told to wait; nobody else writes here.
                log.info("%s: an earlier session has not ended yet; waiting for it", self._name)
            else:
                self._begun = True
                # What it then committed is what this transaction goes on from.
                self._meta = await _read_meta(self._db)
                self.fingerprint = _fingerprint_of(self._meta)

    async def rollback(self) -> None:
        """Forget what was applied since the last cursor."""
        if self._begun:
            await self._db.execute("ROLLBACK")
        self._begun = self._plan_changed = False
        self.fingerprint = _fingerprint_of(self._meta)

    async def commit(self, cursor: str | None, synced_at: datetime, **meta: str) -> None:
        """Make what was applied visible, with its cursor and when the CRM vouched for it (this gate's clock)."""
        await self._begin()
        new = {
            **self._meta,
            **meta,
            "synced_at": str(microseconds(synced_at)),
            "count": str(self.fingerprint.count),
            "fingerprint": self.fingerprint.hex(),
        }
        if cursor is not None:
            new["cursor"] = cursor
        if self._plan_changed:
            new["plan_version"] = str(int(self._meta.get("plan_version", "0")) + 1)
        changed = [(key, value) for key, value in new.items() if self._meta.get(key) != value]
        await self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", changed)
        self.committing = True
        await self._db.execute("COMMIT")
        self._meta, self._begun, self._plan_changed, self.committing = new, False, False, False
        self._on_commit()

    async def put_entity(self, kind: str, entity_id: str, value: object) -> None:
        """Add or replace an event, ticket type, checkpoint, controller or assignment."""
        await self._begin()
        body = ENTITIES[kind].dump_json(value).decode()
        await self._db.execute("INSERT OR REPLACE INTO entity VALUES (?, ?, ?)", (kind, entity_id, body))
        self._plan_changed = True

    async def delete_entities(self, kind: str, ids: Sequence[str]) -> None:
        """Take things of the plan away; unknown ids are no error."""
        await self._begin()
        await self._db.executemany("DELETE FROM entity WHERE kind = ? AND id = ?", [(kind, each) for each in ids])
        self._plan_changed = True

    async def put_tickets(self, event: str, rows: Sequence[TicketTexts]) -> None:
        """Add or replace tickets of one event; the last of several rows with one lookup stays."""
        await self._begin()
        unique = {row[0]: row for row in rows}
        values = [(parse_lookup(row[0]), event, *row[1:]) for row in unique.values()]
        old = await self._rows_of(event, [value[0] for value in values])
        await self._db.executemany(_REPLACE if old else _ADD, values)
        for row in old:
            self.fingerprint = self.fingerprint.minus(_stored_digest(row))
        for texts in unique.values():
            self.fingerprint = self.fingerprint.plus(row_digest(*texts[:6]))

    async def _rows_of(self, event: str, lookups: Sequence[bytes]) -> list[Sequence[Any]]:
        """Return the rows that are about to be replaced: one range probe where a snapshot comes in order."""
        if not lookups:
            return []
        found: list[Sequence[Any]] = []
        for start in range(0, len(lookups), 500):
            part = lookups[start : start + 500]
            marks = ", ".join("?" * len(part))
            rows = await self._db.execute_fetchall(f"{_DIGESTED} lookup IN ({marks}) AND event = ?", (*part, event))
            found.extend(rows)
        return found

    async def delete_tickets(self, ids: Iterable[str]) -> None:
        """Take tickets away by id: a pass over the table, since ids have no index and deletions are rare."""
        await self._begin()
        wanted = list(ids)
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            clause = f"id IN ({', '.join('?' * len(part))})"
            for row in await self._db.execute_fetchall(_DIGESTED + clause, part):
                self.fingerprint = self.fingerprint.minus(_stored_digest(row))
            await self._db.execute(f"DELETE FROM ticket WHERE {clause}", part)  # noqa: S608 (question marks)

    async def put_admissions(self, rows: Sequence[AdmissionValues]) -> None:
        """Add what other devices let in and out; a scan_id that is there stays as it is."""
        await self._begin()
        values = [(*row[:4], microseconds(row[4]), row[5]) for row in rows]
        await self._db.executemany("INSERT OR IGNORE INTO admission VALUES (?, ?, ?, ?, ?, ?)", values)

    async def delete_admissions(self, scan_ids: Sequence[str]) -> None:
        """Take back admissions that other devices released."""
        await self._begin()
        await self._db.executemany("DELETE FROM admission WHERE scan_id = ?", [(each,) for each in scan_ids])

    async def checkpoints(self) -> list[Any]:
        """Return the checkpoints of this file's plan."""
        rows = await self._db.execute_fetchall("SELECT body FROM entity WHERE kind = 'checkpoint'")
        return [ENTITIES["checkpoint"].validate_json(row[0]) for row in rows]


@asynccontextmanager
async def whitelist_session(
    path: Path, on_commit: Callable[[], None] = lambda: None
) -> AsyncIterator[WhitelistSession]:
    """Open a session on a whitelist file, made if missing; what has no cursor when it ends is rolled back.

    `on_commit` is called after each cursor that was made visible.

    Raises:
        sqlite3.DatabaseError: damaged.
    """
    session: WhitelistSession | None = None
    try:
        # Closing the connection rolls back what is not committed, once all that it was told before is done.
        async with aiosqlite.Connection(lambda: connect(path, "whitelist"), 64) as db:
            session = WhitelistSession(db, path.name, await _read_meta(db), on_commit)
            yield session
    finally:
        if session is not None and session.committing:
            on_commit()


async def _read_meta(db: aiosqlite.Connection) -> dict[str, str]:
    return {str(key): str(value) for key, value in await db.execute_fetchall("SELECT key, value FROM meta")}


def _fingerprint_of(meta: dict[str, str]) -> Fingerprint:
    return Fingerprint.parse(int(meta.get("count", "0")), meta.get("fingerprint", "0"))


def _stored_digest(row: Sequence[Any]) -> int:
    return row_digest(lookup_text(row[0]), *row[1:6])
