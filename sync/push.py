"""Push mode: a CRM on the same network sends the feed's lines to the device, and reads the scans there.

What is pushed goes the way of a pulled feed. The gate can ask for nothing, so its answers say where it stands and what
it wants; and the CRM says what it has by where it reads on (docs/adr/0020).
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from edge.store.database import NewerSchema
from edge.store.outbox import acked_seq, acknowledge, given_seq, note_given
from edge.store.store import Store
from edge.store.tx import Tx
from edge.store.writer import CannotRecord
from sync.connector import Feed
from sync.errors import BadFeed, LinkDown
from sync.pull import Mismatch, Puller
from sync.push_body import PacedBody, PushRefused, after, begins_with_reset, head_of

PATIENCE_S = 30.0
"""How long a body may keep the gate waiting: a sender that is gone must not keep the next one out."""
QUIET_S = 300.0
"""A CRM that pushes should read scans far more often than this."""
AUDIT_EVERY_S = 1.0
CANNOT_WRITE = (sqlite3.Error, OSError, NewerSchema, CannotRecord)
"""The box's own disk is at fault."""
_SILENT = f"nothing was pushed here and no scan read for {QUIET_S / 60:.0f} minutes; see whether the CRM runs"
_ANEW = "push the whole list anew, which begins with reset"
_GOING_ON = (
    "going on from the last cursor",
    "send again what follows the cursor; each line ends with a line feed, the last one too",
)
"""What a feed's error says that a gate will do, and what one that pushes must."""
_NO_LIST = "there is no ticket list here; push the whole list, which begins with reset"


class Busy(PushRefused):
    """Another push is being applied."""


class Elsewhere(PushRefused):
    """The list does not stand where these lines go on from; none was applied."""


class WholeListWanted(PushRefused):
    """The list here is not the CRM's, or there is none. Changes to one that is there were applied all the same."""


class Differs(PushRefused):
    """By the last cursor line, gate and CRM do not hold the same list; the message has both sums."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a digest of the token shown, if one was, and the address."""

    token: str | None
    address: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the next push goes on from (`cursor`), what list is in use, and what it waits for.

    `held` says why a newer list waits for a person, `wanted` why the whole list must be pushed anew; None: it is fine.
    """

    cursor: str | None
    tickets: int
    fingerprint: str
    held: str | None
    wanted: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a push of so many lines; `refusal`: why it was not taken, or not all of it."""

    lines: int
    standing: Standing
    refusal: PushRefused | BadFeed | None = None


class PushSink:
    """Takes bodies of feed lines, one at a time, and what the CRM that sends them says by reading scans."""

    def __init__(
        self,
        puller: Puller,
        store: Store,
        *,
        patience_s: float = PATIENCE_S,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._puller = puller
        self._store = store
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._busy = False
        self._differs: tuple[int, str] | None = None
        """The number of the list in use, by promotions, and how it is not the CRM's."""
        self._trouble: str | None = None
        """What became of the last push."""

    # --- changes in -------------------------------------------------------------------------------------------------

    async def apply(self, chunks: AsyncIterator[bytes], by: Caller, since: str | None = None) -> Outcome:
        """Apply the lines and tell where the list now stands; `since` is the cursor that they go on from.

        What an earlier cursor line closed stays applied, whatever becomes of the rest.

        Raises:
            Busy: another push is being applied.
            LinkDown, sqlite3.Error, OSError, NewerSchema, CannotRecord: this box is short of something.
        """
        if self._busy:
            raise Busy("another push is being applied; send this one again when that has had its answer")
        self._busy = True
        try:
            return await self._outcome(PacedBody(chunks, self._patience_s, self._monotonic), by, since)
        finally:
            self._busy = False

    async def _outcome(self, body: PacedBody, by: Caller, since: str | None) -> Outcome:
        lines = 0
        refusal: PushRefused | BadFeed | None = None
        try:
            lines = await self._apply(body, since)
            if lines:
                await self._store.write(lambda tx: _note_crm(tx, by.token))
            self._trouble = None
        except Mismatch as exc:
            refusal = await self._differing(exc)
        except (PushRefused, BadFeed) as exc:
            refusal = BadFeed(str(exc).replace(*_GOING_ON)) if isinstance(exc, BadFeed) else exc
            self._trouble = f"what was pushed was refused: {refusal}"
        except ConnectionError:
            self._trouble = "the last push was cut before its end"
            raise
        except (LinkDown, *CANNOT_WRITE) as exc:
            self._trouble = f"what was pushed cannot be kept: {exc}"
            raise
        finally:
            self._puller.rest()
            self._puller.tell(self._amiss(), f"changes are pushed here by {by.address}")
        if lines and self.wanted and not self._puller.is_building():
            refusal = WholeListWanted(self.wanted)
        return Outcome(lines, await self._standing(), refusal)

    async def _apply(self, body: PacedBody, since: str | None) -> int:
        head = await head_of(body)
        if not head.strip():
            return 0
        whole = begins_with_reset(head)
        if not whole:
            await self._check_place(since)
        return await self._puller.apply(Feed(after(head, body)), whole=whole)

    async def _check_place(self, since: str | None) -> None:
        """See to it that lines which do not replace everything go on from what is here."""
        cursor = await self._cursor()
        if cursor is None:
            raise WholeListWanted(_NO_LIST)
        if since is not None and since != cursor:
            raise Elsewhere(f"since: not where the list here stands; send what follows its cursor, or {_ANEW}")
        if since is None and (unfinished := self._unfinished()):
            raise Elsewhere(f"since: missing, and needed now, as {unfinished}")

    async def _cursor(self) -> str | None:
        """Return where the next push goes on from; a list of which nothing was closed is none."""
        cursor = await self._puller.cursor()
        if cursor is None and self._puller.is_building():
            self._store.discard_building()
            cursor = await self._puller.cursor()
        return cursor

    def _unfinished(self) -> str | None:
        # A short list must not take its place by somebody's next change: nothing else may tell that it is short.
        if self._store.data.held or not self._puller.is_building():
            return None
        return f"a whole list was begun and not ended; go on with ?since=CURSOR, or {_ANEW}"

    async def _differing(self, exc: Mismatch) -> Differs:
        """Give up a new list that is not the CRM's; one in use is better than none, and another is asked for."""
        sums = str(exc).partition(";")[0]
        if self._puller.is_building():
            await self._puller.give_up_new()
            self._trouble = f"what was pushed was refused: {sums}"
        else:
            self._differs = (self._puller.promotions, sums)
        return Differs(f"fingerprint: {sums}; {_ANEW}")

    @property
    def wanted(self) -> str | None:
        """Why the whole list is wanted anew; None: it is not."""
        if self._differs is None or self._differs[0] != self._puller.promotions:
            return None
        return f"{self._differs[1]}; {_ANEW}"

    def _amiss(self) -> str | None:
        return self.wanted or self._trouble or self._unfinished()

    async def _standing(self) -> Standing:
        cursor, data = await self._cursor(), self._store.data
        wanted = _NO_LIST if cursor is None else self.wanted
        return Standing(cursor, data.tickets, data.fingerprint, data.held, wanted)

    async def accept(self) -> None:
        """Let a held list take its place, as a person has said; one that is being added to does so when that ends."""
        if self._busy or self._store.data.held is None:
            return
        self._busy = True
        try:
            await self._puller.try_promote()
        finally:
            self._busy = False

    # --- scans out --------------------------------------------------------------------------------------------------

    async def scans_read(self, by: Caller, after_seq: int, last_seq: int, now: datetime) -> bool:
        """Take note that somebody reads scans after a seq and is about to be given those up to `last_seq` (0: none).

        The CRM, which is whoever pushed last by its token, so acknowledges what it was given before. True: more than
        it had acknowledged.

        Raises:
            CannotRecord: the disk takes nothing; nothing was acknowledged.
        """
        if by.token is None or by.token != await self._store.read(lambda tx: _kept(tx, "pusher")):
            return False
        self._puller.tell(self._amiss())
        given, acked = await self._store.read(lambda tx: (given_seq(tx.journal), acked_seq(tx.journal)))
        has = min(after_seq, given)
        if has <= acked and last_seq <= given:
            return False

        def job(tx: Tx) -> None:
            acknowledge(tx, has, (), now)
            note_given(tx, last_seq)

        await self._store.write(job)
        return has > acked

    # --- the list itself --------------------------------------------------------------------------------------------

    async def run(self, is_on: Callable[[], bool]) -> NoReturn:
        """Count the list in use anew, part by part and without end, and say when the CRM falls silent.

        `is_on` tells whether this gate takes pushes: it may be enrolled with a CRM to pull from while it runs.
        """
        while True:
            for first in range(256):
                await self._sleep(AUDIT_EVERY_S)
                if not is_on():
                    continue
                self._puller.note_silence(QUIET_S, _SILENT)
                if not await self._puller.audit(first):
                    parts = 1 + sum([not await self._puller.audit(other) for other in range(256) if other != first])
                    why = f"tickets were changed in the list here, and not by the CRM, in {parts} of 256 parts"
                    self._differs = (self._puller.promotions, why)
                    self._puller.tell(self.wanted, heard=False)


def _note_crm(tx: Tx, token: str | None) -> None:
    """Keep by which token the CRM is known, which is that of whoever pushes."""
    if token is not None and token != _kept(tx, "pusher"):
        _keep(tx, "pusher", token)


def _kept(tx: Tx, key: str) -> str | None:
    row = tx.journal.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def _keep(tx: Tx, key: str, value: str) -> None:
    tx.journal.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )
