"""Push mode: a CRM on the same network sends the feed's lines to the device, and reads the scans there.

What is pushed goes the way of a pulled feed. The gate can ask for nothing, so its answers say where it stands and what
it wants; and the CRM says what it has by where it reads on (docs/adr/0020).
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from edge.store.outbox import note_pusher
from edge.store.store import Store
from sync.backoff import CANNOT_WRITE
from sync.connector import Feed
from sync.errors import BadFeed, LinkDown
from sync.promotion import Mismatch
from sync.pull import Puller
from sync.push_body import PacedBody, PushRefused, after, begins_with_reset, head_of
from sync.push_scans import note_reading, place_of_crm

log = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""How long a body may keep the gate waiting: a sender that is gone must not keep the next one out."""
QUIET_S = 300.0
"""A CRM that pushes should read scans far more often than this."""
AUDIT_EVERY_S = 1.0
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


@dataclass(frozen=True, slots=True)
class _Difference:
    """How the list in use, which is that of this number by promotions, is not the CRM's; `counted`: rows were."""

    number: int
    why: str
    counted: bool


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
        self._differs: _Difference | None = None
        self._trouble: str | None = None
        """What became of the last push."""
        self._astray: str | None = None
        """Why the CRM cannot have the scans that it says it has."""

    async def resume(self) -> None:
        """Take up, at the start, what was held or wanted anew before it; a disk at fault is logged and no more."""
        try:
            if kept := await self._puller.difference():
                self._differs = _Difference(self._puller.promotions, *json.loads(kept))
            await self._puller.judge_again()
        except Mismatch as exc:
            await self._differing(exc)
        except CANNOT_WRITE as exc:
            log.warning("the list that was pushed before the start cannot be looked at: %s", exc)
        self._puller.tell(self._amiss(), heard=False)

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
            if lines := await self._apply(body, since):
                await self._taken(by)
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
            await self._puller.accept()  # a person may have said so meanwhile, of a list that is held still
        if lines and self.wanted and not self._puller.is_building():
            refusal = WholeListWanted(self.wanted)
        return Outcome(lines, await self._standing(), refusal)

    async def _taken(self, by: Caller) -> None:
        """Note what a push says that was taken whole: who the CRM is, and maybe that the list is its own again."""
        if (token := by.token) is not None:
            await self._store.write(lambda tx: note_pusher(tx, token))
        self._trouble = None
        if self.wanted and self._differs and not self._differs.counted and self._is_proven():
            await self._note_difference(None)

    def _is_proven(self) -> bool:
        return self._puller.proven and not self._puller.is_building()

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
            # Whoever changed rows here may have changed what no sum covers: no cursor line takes that back.
            counted = self.wanted is not None and self._differs is not None and self._differs.counted
            await self._note_difference(sums, counted=counted)
        return Differs(f"fingerprint: {sums}; {_ANEW}")

    @property
    def wanted(self) -> str | None:
        """Why the whole list is wanted anew; None: it is not."""
        if self._differs is None or self._differs.number != self._puller.promotions:
            return None
        return f"{self._differs.why}; {_ANEW}"

    async def _note_difference(self, why: str | None, *, counted: bool = False) -> None:
        """Keep how the list in use is not the CRM's, over a restart too if the disk takes it; None: it is."""
        number = self._puller.promotions
        self._differs = _Difference(number, why, counted) if why else None
        try:
            await self._puller.keep_difference(json.dumps([why, counted]) if why else None, number)
        except CANNOT_WRITE as exc:
            log.warning("how the ticket list differs cannot be kept: %s", exc)

    def _amiss(self) -> str | None:
        return self.wanted or self._trouble or self._unfinished() or self._astray

    async def _standing(self) -> Standing:
        cursor, data = await self._cursor(), self._store.data
        wanted = _NO_LIST if cursor is None else self.wanted
        return Standing(cursor, data.tickets, data.fingerprint, data.held, wanted)

    async def accept(self) -> None:
        """Let a held list take its place, as a person has said; one that is being added to does so when that ends."""
        if not self._busy:
            await self._puller.accept()

    # --- scans out --------------------------------------------------------------------------------------------------

    async def scans_read(self, by: Caller, after_seq: int, last_seq: int, now: datetime) -> bool:
        """Take note that somebody reads scans after a seq and is about to be given those up to `last_seq` (0: none).

        The CRM, which is whoever pushed last by its token, so acknowledges what it was given before. True: more than
        it had acknowledged.

        Raises:
            CannotRecord: the disk takes nothing; nothing was acknowledged.
        """
        place = await place_of_crm(self._store)
        if by.token is None or by.token != place.token:
            return False
        self._astray = place.astray(after_seq)
        self._puller.tell(self._amiss())
        return await note_reading(self._store, place, after_seq, last_seq, now)

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
                if why := await self._puller.changed_behind(first):
                    await self._note_difference(why, counted=True)
                    self._puller.tell(self._amiss(), heard=False)
