"""The change feed in: a new list is built beside the list in use, changes are applied to it.

What lies between two cursor lines becomes visible with the second one, or not at all. A feed that ends early goes on
from the last cursor applied, whichever file that was.
"""

import asyncio
import re
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edge.core.hours import is_open
from edge.core.model import EventStatus, Plan
from edge.store.store import Store
from edge.store.whitelist_writer import WhitelistSession
from sync.apply import apply_change
from sync.builder import open_builder
from sync.connector import Connector, Feed
from sync.cutting import whole_lines
from sync.errors import BadFeed
from sync.heal import heal_list
from sync.host import Host, tell_conflicts
from sync.lines import parsed
from sync.state import CrmHealth, Progress
from sync.wire import ConflictLine, CursorLine, ResetLine

MOST_CONFLICT_BYTES = 64 * 1024
"""Of lines in memory at once, where they take ten times as much: a feed has no end that must come."""
_RESET = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"kind"\s*:\s*"reset"')


class Target(Protocol):
    """Where a feed goes; `unknown` counts what this release does not know in lines that it kept for itself."""

    @property
    def session(self) -> WhitelistSession:
        """What the lines that `lines` yields are applied to."""

    @property
    def number(self) -> int:
        """Lines so far."""

    @property
    def unknown(self) -> int:
        """Fields and columns so far that were skipped in lines that `lines` did not yield."""

    def lines(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield those lines that the caller must apply, each at its place."""

    async def start_over(self) -> None:
        """Have what follows build a new list from nothing."""

    async def close(self) -> None:
        """Close the list whole, after the feed's end."""


class Puller:
    """Applies feeds to the store. Held lists wait for `accept` to be set."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], datetime],
        health: CrmHealth,
        host: Host,
        accept: asyncio.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._now = now
        self._health = health
        self._host = host
        self._lock = asyncio.Lock()
        self._accept = accept
        self._monotonic = monotonic
        self.promotions = 0
        """How often a new list has taken its place since the start."""
        self.matched = False
        """The list was what the CRM vouches for, at the last cursor at which that was asked."""

    def tell(self, error: str | None, note: str | None = None, *, heard: bool = True) -> None:
        """Show what is amiss with what a CRM pushes; `heard`: it has just been heard of."""
        health = self._health
        before = (health.state, health.error, health.note)
        if heard:
            health.state, health.heard_at = "connected", self._now()
        health.error, health.note = error, note or health.note
        if (health.state, health.error, health.note) != before:
            self._host.changed()

    def note_silence(self, most_s: float, error: str) -> None:
        """Show that a CRM which pushes is away, where it was heard of and has not been for so long."""
        health = self._health
        if health.heard_at is None or (self._now() - health.heard_at).total_seconds() <= most_s:
            return
        if (health.state, health.error) != ("away", error):
            health.state, health.error = "away", error
            self._host.changed()

    def rest(self) -> None:
        """Show that nothing more comes for now of a list that is being built; it may be gone on with."""
        if found := self._health.progress:
            self._health.progress = Progress(found.tickets, None, 0.0, None) if self.is_building() else None
            self._host.changed()

    def is_building(self) -> bool:
        """Tell whether a list is being built beside the one in use."""
        return self._store.building_path.exists()

    async def cursor(self) -> str | None:
        """Return where the next feed must go on from: that of the list being built, where there is one."""
        async with self._store.session(building=self.is_building()) as session:
            return session.cursor

    async def apply(self, feed: Feed, *, whole: bool = False, total: int | None = None) -> int:
        """Apply one feed and return its number of lines; `whole`: it was asked for from the beginning. One at a time.

        `total` is how many tickets the whole list has, where that is known.

        Raises:
            BadFeed: a line that breaks the contract, or a list that is not the one that the CRM vouches for; what was
                applied with an earlier cursor stays.
        """
        first = await anext(feed.chunks, None)  # which the CRM may hold back: nobody need wait for that
        if first is None:
            return 0
        async with self._lock:
            building = whole or self.is_building() or _begins_with_reset(first, feed)
            return await self._apply(Feed(_from(first, feed.chunks), feed.encoding), total, building=building)

    async def _apply(self, feed: Feed, total: int | None, *, building: bool) -> int:
        finished, conflicts, held = False, list[ConflictLine](), 0
        try:
            async with self._target(feed, building=building) as target:
                pace = Pace(total, target.session.fingerprint.count, self._monotonic())
                async for raw in target.lines(feed.chunks):
                    line = await parsed(raw, target.number)
                    self._health.unknown += 1 if line is None else line.unknown_fields()
                    match line:
                        case None:
                            pass
                        case ResetLine():
                            finished = False
                            self._store.hold(None)
                            await target.start_over()
                            pace = Pace(total, 0, self._monotonic())
                        case CursorLine():
                            await self._tell(conflicts)  # first: once the cursor is kept they do not come again
                            await target.session.commit(line.cursor, self._now(), **self._store.owner.mark())
                            finished = not line.more
                            self._show_progress(pace, target.session.fingerprint.count)
                            if finished:
                                self.matched = False
                                _check(target.session, line)
                                self.matched = True
                        case ConflictLine():
                            conflicts.append(line)
                            held += len(raw)
                            if held > MOST_CONFLICT_BYTES:
                                await self._tell(conflicts)
                                held = 0
                        case _:
                            finished = False
                            await apply_change(target.session, line)
                self._health.unknown += target.unknown
                await target.close()
        except sqlite3.DatabaseError as exc:
            if building:  # in the process that builds it, and not in a session of the store
                await self._store.give_up_damaged(exc, building=True)
            raise
        if finished and self.is_building():
            await self.try_promote()
        self._host.changed()
        return target.number

    async def _tell(self, conflicts: list[ConflictLine]) -> None:
        """Keep and show conflicts, and empty the list of them."""
        await tell_conflicts(self._store, self._host, conflicts, self._now())
        conflicts.clear()

    def _target(self, feed: Feed, *, building: bool) -> AbstractAsyncContextManager[Target]:
        if building:
            return open_builder(self._store.building_path, feed.encoding)
        return _open_live(self._store, feed)

    def _show_progress(self, pace: "Pace", count: int) -> None:
        self._health.progress = pace.at(count, self._monotonic()) if self.is_building() else None
        self._host.changed()

    async def start_over(self) -> None:
        """Have the next feed asked for from the beginning, into a new file; the list in use serves on."""
        async with self._lock:
            self._store.discard_building()
            self._store.hold(None)
            async with self._store.session(building=True):
                pass

    async def give_up_new(self) -> None:
        """Give up the list that is being built, and go on with the one in use, from its own cursor."""
        async with self._lock:
            self._store.discard_building()
            self._store.hold(None)
            self._health.progress = None
        self._host.changed()

    async def heal(self, connector: Connector) -> bool:
        """Pull those ranges of the list alone in which it differs from the CRM's; False: only a new list mends it.

        Raises:
            LinkDown, TokenRefused: the CRM was lost over it; the ranges already pulled stay.
        """
        async with self._lock, self._store.session(building=self.is_building()) as session:
            healed = await heal_list(session, connector)
        self._host.changed()
        return healed

    async def audit(self, first: int) -> bool:
        """Count the rows under one first byte of the lookup in the list in use; False: it is not as it was applied."""
        async with self._lock, self._store.session(building=False) as session:
            return await session.audit(first)

    async def try_promote(self) -> None:
        """Put the built list in place, unless it is so small that a person must look first."""
        async with self._store.session(building=True) as session:
            count = session.fingerprint.count
        why = None if self._accept.is_set() else await self._doubt(count)
        if why is None:
            await self._store.promote()
            self.promotions += 1
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


@dataclass(frozen=True, slots=True)
class Pace:
    """From where and when a list is pulled on, by which its progress is told; `began_s` is monotonic."""

    total: int | None
    had: int
    began_s: float

    def at(self, count: int, now_s: float) -> Progress:
        """Return how far it is with `count` tickets."""
        per_s = (count - self.had) / max(now_s - self.began_s, 1e-3)
        left_s = max(0, self.total - count) / per_s if self.total is not None and per_s > 0 else None
        return Progress(count, self.total, round(per_s, 1), None if left_s is None else round(left_s, 1))


class Mismatch(BadFeed):
    """Gate and CRM do not hold the same list."""


class _Live:
    """The list in use, to which changes are applied in this process."""

    unknown = 0
    """Every line is yielded."""

    def __init__(self, store: Store, feed: Feed, stack: AsyncExitStack, session: WhitelistSession) -> None:
        self._store = store
        self._feed = feed
        self._stack = stack
        self.session = session
        self.number = 0

    async def lines(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for raw in whole_lines(chunks, self._feed.encoding):
            self.number += 1
            yield raw

    async def start_over(self) -> None:
        await self._stack.aclose()
        self._store.discard_building()
        self.session = await self._stack.enter_async_context(self._store.session(building=True))

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def _open_live(store: Store, feed: Feed) -> AsyncIterator[_Live]:
    async with AsyncExitStack() as stack:
        yield _Live(store, feed, stack, await stack.enter_async_context(store.session(building=False)))


def _check(session: WhitelistSession, line: CursorLine) -> None:
    """Compare count and fingerprint with the CRM's.

    Raises:
        Mismatch: they differ.
    """
    mine = session.fingerprint
    if line.fingerprint in (None, mine.hex()) and line.tickets in (None, mine.count):
        return
    raise Mismatch(
        f"the ticket list here ({mine.count}, {mine.hex()}) is not the CRM's ({line.tickets}, {line.fingerprint});"
        " looking where they differ"
    )


def _begins_with_reset(first: bytes, feed: Feed) -> bool:
    """Tell by its first chunk whether a feed is everything; one that says so later is applied all the same."""
    if feed.encoding == "gzip":
        try:
            first = zlib.decompressobj(wbits=31).decompress(first, 64)
        except zlib.error:
            return False  # which whoever unpacks it will say
    return _RESET.match(first) is not None


async def _from(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _anything_open(plan: Plan, now: datetime) -> bool:
    return any(
        is_open(each.hours, now)
        for each in plan.checkpoints.values()
        if each.event in plan.events and plan.events[each.event].status is EventStatus.CONFIRMED
    )
