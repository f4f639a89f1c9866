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
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from edge.store.store import Store
from edge.store.whitelist_writer import WhitelistSession
from sync.apply import apply_change
from sync.builder import open_builder
from sync.connector import Connector, Feed
from sync.heal import heal_list
from sync.host import Host, tell_conflicts
from sync.lines import parsed
from sync.promotion import Promotion, check, ended
from sync.state import CrmHealth, Pace, Progress
from sync.target import Target, open_live
from sync.wire import ConflictLine, CursorLine, ResetLine

MOST_CONFLICT_BYTES = 64 * 1024
"""Of lines in memory at once, where they take ten times as much: a feed has no end that must come."""
_RESET = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"kind"\s*:\s*"reset"')


Begins = Callable[[bool], None]
"""Hears that a whole list begins, and whether it was asked for; raises where it is not to be taken."""


def _may_begin(_asked: bool) -> None:
    """Take each list that comes."""


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
        self._promotion = Promotion(store, now, health, host, accept)
        self._monotonic = monotonic
        self.proven = False
        """By the last cursor of the last feed the list has the CRM's fingerprint; not so where it names none."""
        self.brought = False
        """The last feed had more in it than cursors."""
        self.more = False
        """More is to follow the last feed at once, as it said itself."""
        self.wiped = asyncio.Event()
        """Set when the lists are wiped: what was asked for before is given up."""
        self.wipes = 0
        """How often that was done since the start."""

    @property
    def promotions(self) -> int:
        """How often a new list has taken its place since the start."""
        return self._promotion.count

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
        async with self._lock, self._store.session(building=self.is_building()) as session:
            return session.cursor

    async def apply(
        self,
        feed: Feed,
        *,
        whole: bool = False,
        total: int | None = None,
        begins: Begins = _may_begin,
        wipes: int | None = None,
    ) -> int:
        """Apply one feed and return its number of lines; `whole`: it was asked for from the beginning. One at a time.

        `total` is how many tickets the whole list has, where that is known; `begins` hears of each list that begins.
        `wipes` is what `self.wipes` was when it was asked for: after another wipe nothing is applied.

        Raises:
            BadFeed: a line that breaks the contract, or a list that is not the one that the CRM vouches for; what was
                applied with an earlier cursor stays.
        """
        self.proven = self.brought = self.more = False
        first = await anext(feed.chunks, None)  # which the CRM may hold back: nobody need wait for that
        if first is None:
            return 0
        async with self._lock:
            if wipes not in (None, self.wipes):
                return 0
            begun = whole or _begins_with_reset(first, feed)
            if begun:
                begins(whole)
            building = begun or self.is_building()
            resumed = Feed(_from(first, feed.chunks), feed.encoding)
            return await self._apply(resumed, total, _Resets(begins, heard=not begun), building=building)

    async def _apply(self, feed: Feed, total: int | None, resets: "_Resets", *, building: bool) -> int:
        finished, conflicts, held, idle = False, list[ConflictLine](), 0, 0
        try:
            async with self._target(feed, building=building) as target:
                pace = Pace(total, target.session.fingerprint.count, self._monotonic())
                async for raw in target.lines(feed.chunks):
                    line = await parsed(raw, target.number)
                    self._health.unknown += 1 if line is None else line.unknown_fields()
                    match line:
                        case None:
                            idle += 1
                        case ResetLine():
                            finished = False
                            idle += 1
                            resets.hear()
                            self._promotion.drop_held()
                            await target.start_over()
                            pace = Pace(total, 0, self._monotonic())
                        case CursorLine():
                            await self._tell(conflicts)  # first: once the cursor is kept they do not come again
                            marks = self._store.owner.mark() | ended(line)
                            await target.session.commit(line.cursor, self._now(), **marks)
                            finished, self.more = not line.more, line.more
                            idle += 1
                            self.brought = target.number > idle
                            self._show_progress(pace, target.session.fingerprint.count)
                            if finished:
                                self._compare(target.session, line)
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
            await self._promotion.attempt()
        self._host.changed()
        return target.number

    def _compare(self, session: WhitelistSession, line: CursorLine) -> None:
        self.proven = False
        check(session, line.tickets, line.fingerprint)
        self.proven = line.fingerprint is not None

    async def _tell(self, conflicts: list[ConflictLine]) -> None:
        """Keep and show conflicts, and empty the list of them."""
        await tell_conflicts(self._store, self._host, conflicts, self._now())
        conflicts.clear()

    def _target(self, feed: Feed, *, building: bool) -> AbstractAsyncContextManager[Target]:
        if building:
            return open_builder(self._store.building_path, feed.encoding)
        return open_live(self._store, feed)

    def _show_progress(self, pace: "Pace", count: int) -> None:
        self._health.progress = pace.at(count, self._monotonic()) if self.is_building() else None
        self._host.changed()

    async def start_over(self) -> None:
        """Have the next feed asked for from the beginning, into a new file; the list in use serves on."""
        async with self._lock:
            self._store.discard_building()
            self._promotion.drop_held()
            async with self._store.session(building=True):
                pass

    async def give_up_new(self) -> None:
        """Give up the list that is being built, and go on with the one in use, from its own cursor."""
        async with self._lock:
            self._store.discard_building()
            self._promotion.drop_held()
            self._health.progress = None
        self._host.changed()

    async def heal(self, connector: Connector) -> bool:
        """Pull those ranges of the list alone in which it differs from the CRM's; False: only a new list mends it.

        Raises:
            LinkDown, TokenRefused: the CRM was lost over it; the ranges already pulled stay.
        """
        async with self._lock, self._store.session(building=self.is_building()) as session:
            if session.cursor is None:  # it was wiped or lost meanwhile, and there is nothing to mend
                return False
            healed = await heal_list(session, connector)
        self._host.changed()
        return healed

    async def wipe(self) -> None:
        """Give up both lists, as this box was revoked, and whatever is on its way to them."""
        self.wiped.set()  # or whatever is being applied would keep the lists for as long as it comes
        async with self._lock:
            try:
                await self._store.wipe_whitelist()
            finally:
                self.wipes += 1
            self._health.progress = None
        self._host.changed()

    async def audit(self, first: int) -> bool:
        """Count the rows under one first byte of the lookup in the list in use; False: it is not as it was applied."""
        async with self._lock, self._store.session(building=False) as session:
            return await session.audit(first)

    async def changed_behind(self, first: int) -> str | None:
        """Count the rows under one first byte, and where they are not as applied all others; say in how many parts.

        None: it is as it was applied, or another list has taken its place meanwhile, and that one is.
        """
        parts, number = 0, self.promotions
        for part in (first, *(other for other in range(256) if other != first)):
            sound = await self.audit(part)
            if number != self.promotions:  # what was found is of a list that is no more
                parts, number = 0, self.promotions
            parts += not sound
            if part == first and sound:
                return None
        return f"tickets were changed in the list here, and not by the CRM, in {parts} of 256 parts" if parts else None

    async def accept(self) -> None:
        """Let a held list take its place if a person has said so."""
        async with self._lock:
            await self._promotion.settle()

    async def judge_again(self) -> None:
        """Judge a list that had ended before a restart: it takes its place, or is held.

        Raises:
            Mismatch: it is not the one that the CRM vouched for.
        """
        async with self._lock:
            await self._promotion.judge_again()

    async def difference(self) -> str | None:
        """Return what was kept of how the list in use differs from the CRM's."""
        async with self._lock, self._store.session(building=False) as session:
            return session.meta("differs") or None

    async def keep_difference(self, what: str | None, number: int) -> None:
        """Keep with the list in use how it differs; nothing, if it is no more the one of this number, by promotions."""
        async with self._lock, self._store.session(building=False) as session:
            if number == self.promotions and (session.meta("differs") or None) != what:
                await session.commit(None, None, differs=what or "")


@dataclass(slots=True)
class _Resets:
    """Tells of each list that begins within one feed, but of the first only if nobody was told of it before it came."""

    begins: Begins
    heard: bool

    def hear(self) -> None:
        """Take note of a reset."""
        if self.heard:
            self.begins(False)
        self.heard = True


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
