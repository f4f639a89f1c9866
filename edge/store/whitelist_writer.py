"""A session on the whitelist: what one answer of the CRM brings, applied off the loop.

What a session applies becomes visible with the cursor that follows it, in one transaction, or not at all. Whoever
applies it is a `ListWriter`: in a thread of this process, or in one that builds a new list.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from edge.core.fingerprint import Fingerprint
from edge.store.database import Kind, connect
from edge.store.list_writer import ListWriter, TicketTexts
from edge.store.records import microseconds
from edge.store.whitelist_reader import ENTITIES

__all__ = ["AdmissionTimes", "ListCall", "TicketTexts", "WhitelistSession", "whitelist_session"]

AdmissionTimes = tuple[str, str | None, str | None, str, datetime, str]
"""scan_id, ticket_id, checkpoint, direction, at, device."""


class ListCall(Protocol):
    """Has a `ListWriter` do something, wherever that is."""

    async def __call__(self, method: str, *args: Any) -> Any:
        """Call a method by its name; return what it returns and raise what it raises."""


class WhitelistSession:
    """Applies lines to one list; `fingerprint` is that of the list as of the last cursor."""

    def __init__(self, call: ListCall, meta: dict[str, str], on_commit: Callable[[], None] = lambda: None) -> None:
        self._call = call
        self._meta = meta
        self._on_commit = on_commit
        self.committing = False
        """A commit was begun and has not been heard of: given up half-way, it goes on where it is done."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Count and sum of the list, as of the last cursor."""
        return Fingerprint.parse(int(self._meta.get("count", "0")), self._meta.get("fingerprint", "0"))

    @property
    def cursor(self) -> str | None:
        """The last cursor applied; None: there is none, or it is not to be gone on from."""
        return self._meta.get("cursor") or None

    def meta(self, key: str) -> str | None:
        """Return what was kept under `key` with the last cursor."""
        return self._meta.get(key)

    async def rollback(self) -> None:
        """Forget what was applied since the last cursor."""
        await self._call("rollback")

    async def commit(self, cursor: str | None, synced_at: datetime | None, **meta: str) -> None:
        """Make what was applied visible, with its cursor and when the CRM vouched for it (this gate's clock)."""
        changes = dict(meta)
        if synced_at is not None:
            changes["synced_at"] = str(microseconds(synced_at))
        if cursor is not None:
            changes["cursor"] = cursor
        self.committing = True
        self._meta = await self._call("commit", changes)
        self.committing = False
        self._on_commit()

    async def put_entity(self, kind: str, entity_id: str, value: object) -> None:
        """Add or replace an event, ticket type, checkpoint, controller or assignment."""
        await self._call("put_entity", kind, entity_id, ENTITIES[kind].dump_json(value).decode())

    async def delete_entities(self, kind: str, ids: Sequence[str]) -> None:
        """Take things of the plan away; unknown ids are no error."""
        await self._call("delete_entities", kind, list(ids))

    async def put_tickets(self, event: str, rows: Sequence[TicketTexts]) -> None:
        """Add or replace tickets of one event; the last of several rows with one lookup stays."""
        await self._call("put_tickets", event, list(rows))

    async def delete_tickets(self, ids: Iterable[str]) -> None:
        """Take tickets away by id; unknown ids are no error."""
        await self._call("delete_tickets", list(ids))

    async def put_admissions(self, rows: Sequence[AdmissionTimes]) -> None:
        """Add what other devices let in and out; a scan_id that is there stays as it is."""
        await self._call("put_admissions", [(*row[:4], microseconds(row[4]), row[5]) for row in rows])

    async def delete_admissions(self, scan_ids: Sequence[str]) -> None:
        """Take back admissions that other devices released."""
        await self._call("delete_admissions", list(scan_ids))

    async def sums(self, prefix: str) -> dict[str, Fingerprint]:
        """Return the sums of the tickets by the next hex digit of their lookup after `prefix`."""
        found: dict[str, tuple[int, str]] = await self._call("sums", prefix)
        return {digit: Fingerprint.parse(*each) for digit, each in found.items()}

    async def clear_range(self, prefix: str) -> None:
        """Take away the tickets whose lookup begins with these hex digits, two at least, to be put anew."""
        await self._call("clear_range", prefix)

    async def audit(self, first: int) -> bool:
        """Count the rows under a first byte anew; False: they are not what was applied, which now shows."""
        self.committing = True
        same = bool(await self._call("audit", first))
        self.committing = False
        if not same:
            self._meta = await self._call("meta")
            self._on_commit()
        return same


@asynccontextmanager
async def whitelist_session(
    path: Path, on_commit: Callable[[], None] = lambda: None, *, kind: Kind = "whitelist"
) -> AsyncIterator[WhitelistSession]:
    """Open a session on a whitelist file, made if missing; what has no cursor when it ends is rolled back.

    `kind`: whether it is in use. `on_commit` is called after each cursor that was made visible.

    Raises:
        sqlite3.DatabaseError: damaged.
    """
    session: WhitelistSession | None = None
    try:
        async with _in_a_thread(path, kind) as call:
            session = WhitelistSession(call, await call("meta"), on_commit)
            yield session
    finally:
        if session is not None and session.committing:
            on_commit()


@asynccontextmanager
async def _in_a_thread(path: Path, kind: Kind) -> AsyncIterator[ListCall]:
    """Do the work in a thread of its own, one thing after another; the connection is closed there at the end."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as held:
        thread = ThreadPoolExecutor(1, thread_name_prefix="list")
        # What was begun goes on when the session is given up; the thread closes the connection after it and ends.
        held.callback(thread.shutdown, wait=False)
        opened: list[ListWriter] = []

        def close() -> None:
            for each in opened:
                each.close()

        held.callback(thread.submit, close)

        def open_() -> None:
            opened.append(ListWriter(connect(path, kind), path.name))

        async def call(method: str, *args: Any) -> Any:
            return await loop.run_in_executor(thread, partial(getattr(opened[0], method), *args))

        await loop.run_in_executor(thread, open_)
        try:
            yield call
        finally:
            await loop.run_in_executor(thread, close)
