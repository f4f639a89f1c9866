"""The change feed in: a snapshot is built beside the list in use, changes are applied to it.

What lies between two cursor lines becomes visible with the second one, or not at all. A feed that ends early goes on
from the last cursor applied, whichever file that was.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime

from edge.core.hours import is_open
from edge.core.model import EventStatus, Plan
from edge.store.store import Store
from edge.store.whitelist_writer import WhitelistSession
from sync.apply import apply_change
from sync.errors import BadFeed
from sync.host import Host, tell_conflicts
from sync.lines import parse_line
from sync.state import CrmHealth
from sync.wire import ConflictLine, CursorLine, Line, ResetLine

BIG_LINE_BYTES = 16 * 1024
"""A line from this size on is read in another thread, so that the loop is free for the lanes."""


class Puller:
    """Applies feeds to the store. Held lists wait for `accept` to be set."""

    def __init__(
        self, store: Store, now: Callable[[], datetime], health: CrmHealth, host: Host, accept: asyncio.Event
    ) -> None:
        self._store = store
        self._now = now
        self._health = health
        self._host = host
        self._lock = asyncio.Lock()
        self._accept = accept

    def is_building(self) -> bool:
        """Tell whether a list is being built beside the one in use."""
        return self._store.building_path.exists()

    async def cursor(self) -> str | None:
        """Return where the next feed must go on from: that of the list being built, where there is one."""
        async with self._store.session(building=self.is_building()) as session:
            return session.cursor

    async def apply(self, lines: AsyncIterator[bytes], *, whole: bool = False) -> int:
        """Apply one feed and return its number of lines; `whole`: it was asked for from the beginning. One at a time.

        Raises:
            BadFeed: a line that breaks the contract, or a list that is not the one that the CRM vouches for; what was
                applied with an earlier cursor stays.
        """
        async with self._lock:
            return await self._apply(lines, whole=whole)

    async def _apply(self, lines: AsyncIterator[bytes], *, whole: bool) -> int:
        number, finished, conflicts = 0, False, list[ConflictLine]()
        try:
            async with AsyncExitStack() as stack:
                session = await self._open(stack, whole=whole)
                async for raw in lines:
                    number += 1
                    line = await _parsed(raw, number)
                    self._health.unknown += 1 if line is None else line.unknown_fields()
                    match line:
                        case None:
                            pass
                        case ResetLine():
                            await stack.aclose()
                            self._give_up_building()
                            session = await self._open(stack, whole=True)
                        case CursorLine():
                            await session.commit(line.cursor, self._now())
                            finished = not line.more
                            self._show_progress(session)
                            if finished:
                                _check(session, line)
                        case ConflictLine():
                            conflicts.append(line)
                        case _:
                            finished = False
                            await apply_change(session, line)
        finally:
            await tell_conflicts(self._store, self._host, conflicts, self._now())
        if finished and self.is_building():
            await self.try_promote()
        self._host.changed()
        return number

    async def _open(self, stack: AsyncExitStack, *, whole: bool) -> WhitelistSession:
        building = whole or self.is_building()
        return await stack.enter_async_context(self._store.session(building=building))

    def _show_progress(self, session: WhitelistSession) -> None:
        self._health.progress = session.fingerprint.count if self.is_building() else None
        self._host.changed()

    async def start_over(self) -> None:
        """Have the next feed asked for from the beginning, into a new file; the list in use serves on."""
        self._give_up_building()
        async with self._store.session(building=True) as session:
            await session.rollback()

    def _give_up_building(self) -> None:
        """Drop the list that was being built; one that was held for a person's word cannot be accepted any more."""
        self._store.discard_building()
        self._store.hold(None)

    async def try_promote(self) -> None:
        """Put the built list in place, unless it is so small that a person must look first."""
        async with self._store.session(building=True) as session:
            count = session.fingerprint.count
        why = None if self._accept.is_set() else await self._doubt(count)
        if why is None:
            await self._store.promote()
            self._accept.clear()
            self._health.progress = None
        self._store.hold(why)
        self._host.changed()

    async def _doubt(self, new_count: int) -> str | None:
        old = self._store.data.tickets
        if old == 0 or new_count * 2 >= old:
            return None
        plan = await self._store.read(lambda tx: tx.plan)
        if not _anything_open(plan, self._now()):
            return None
        return (
            f"a new list of {new_count} tickets is held back, since the one in use has {old} and a checkpoint is open;"
            " run brama sync accept if that is right"
        )


class Mismatch(BadFeed):
    """Gate and CRM do not hold the same list."""


def _check(session: WhitelistSession, line: CursorLine) -> None:
    """Compare count and fingerprint with the CRM's.

    Raises:
        Mismatch: they differ; the list must be pulled anew.
    """
    mine = session.fingerprint
    if line.fingerprint in (None, mine.hex()) and line.tickets in (None, mine.count):
        return
    raise Mismatch(
        f"the ticket list here ({mine.count}, {mine.hex()}) is not the CRM's ({line.tickets}, {line.fingerprint});"
        " pulling it anew"
    )


async def _parsed(raw: bytes, number: int) -> Line | None:
    if len(raw) < BIG_LINE_BYTES:
        return parse_line(raw, number)
    return await asyncio.to_thread(parse_line, raw, number)


def _anything_open(plan: Plan, now: datetime) -> bool:
    return any(
        is_open(each.hours, now)
        for each in plan.checkpoints.values()
        if each.event in plan.events and plan.events[each.event].status is EventStatus.CONFIRMED
    )
