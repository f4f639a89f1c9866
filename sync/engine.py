"""The jobs that keep gate and CRM together: changes in, scans out, heartbeat; each with its own backoff.

No lane ever waits for any of them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import NoReturn

from edge.store.store import Store
from edge.store.tx import Tx
from sync.backoff import CANNOT_WRITE, FIRST_DELAY_S, UNWELL_DELAY_S, Backoff
from sync.connector import Connector, Feed
from sync.errors import Again, CursorExpired, LinkDown, TokenRefused
from sync.host import Host
from sync.patience import Patience, TooSoon
from sync.promotion import Mismatch
from sync.pull import Puller
from sync.state import CrmHealth
from sync.upload import Uploader

log = logging.getLogger(__name__)

WAIT_S = 30
"""How long the CRM may hold a request for changes."""
LEAST_PERIOD_S = 0.05
"""From one request for changes to the next: with many changes each answer so has more of them."""
HEARTBEAT_S = 30.0
MOST_MENDS = 2
"""How often a list is mended range by range before it is pulled anew."""
AUDIT_EVERY_S = 1.0
AUDIT_SHARE = 50
"""Counting takes at most a fiftieth of the time."""


class SyncEngine:
    """Keeps one store and one CRM together; what begins with `run_` is a job."""

    def __init__(
        self,
        store: Store,
        connector: Connector,
        puller: Puller,
        host: Host,
        health: CrmHealth,
        now: Callable[[], datetime],
        *,
        sync_now: asyncio.Event,
        accept: asyncio.Event,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        period_s: float = LEAST_PERIOD_S,
    ) -> None:
        """`period_s`: from one request for changes to the next, at least."""
        self._store = store
        self._connector = connector
        self._puller = puller
        self._host = host
        self._health = health
        self._now = now
        self._sync_now = sync_now
        self._accept = accept
        self._sleep = sleep
        self.period_s = period_s
        self._uploader = Uploader(store, connector, host, now, token_refused=self._token_refused, sleep=sleep)
        self._mends = 0
        """How often in a row the list was mended and still differed."""
        self._differs: str | None = None
        """What the audit found."""
        self.patience = Patience()
        """How often everything is pulled anew where that does not help."""

    # --- changes in -------------------------------------------------------------------------------------------------

    async def run_changes(self) -> NoReturn:
        """Keep the whitelist at what the CRM says."""
        backoff = Backoff()
        while True:
            try:
                # A request that the CRM holds must not keep those waiting who ask for something now.
                wakes = [self._sync_now, self._accept, self._store.whitelist_damaged, self._puller.wiped]
                await unless_woken(self._pull(), wakes)
                backoff.reset()
            except (CursorExpired, TooSoon) as exc:
                await self._pause(await self._have_all_pulled(exc, backoff.next()))
            except Mismatch as exc:
                self._say("connected", self._unproven or str(exc))
                delay_s = backoff.next() if await self._mend() else FIRST_DELAY_S
                self._say("connected", self._unproven or str(exc))
                await self._pause(delay_s)
            except LinkDown as exc:
                self._say("away", str(exc))
                await self._pause(backoff.next(exc.retry_after_s), exc.again)
            except CANNOT_WRITE as exc:
                self._say(self._health.state, f"what the CRM sends cannot be kept: {exc}; see what the box is short of")
                await self._pause(backoff.next())
            except TokenRefused as exc:
                await self._token_refused(exc)
                await self._pause(UNWELL_DELAY_S)
            if self._sync_now.is_set() and self._differs is None:
                self.patience.asked()
            self._sync_now.clear()
            self._store.whitelist_damaged.clear()
            self._puller.wiped.clear()
            if self._store.data.held is None:
                self._accept.clear()

    async def _pull(self) -> None:
        """Ask for what follows the cursor and apply it."""
        if self._differs is not None:
            why, self._differs = self._differs, None
            if not self._puller.is_building():  # else a new list is to take its place, and would be given up for it
                raise Mismatch(why)
        if self._accept.is_set() and self._store.data.held:
            await self._puller.accept()
            self._say(self._health.state, self._unproven or self._health.error)
        if self.patience.hopeless and self.patience.may_begin() and not self._is_coming:
            await self._begin_anew()
        cursor = await self._puller.cursor()
        wipes = self._puller.wipes
        was_connected = self._health.state == "connected"
        if not was_connected:
            self._say("connecting", self._health.error)
        # A CRM that was away is asked for an answer at once, so that its return shows now and not when it has news; so
        # is one whose list waits for its last cursor to take its place (not for a person's word), or was mended.
        wait_s = WAIT_S if cursor and was_connected and not (self._mends or self._is_coming) else 0
        total = await self._total() if cursor is None or self._puller.is_building() else None
        asked_at, promotions = asyncio.get_running_loop().time(), self._puller.promotions
        async with self._connector.changes(cursor, wait_s) as feed:
            heard = Feed(self._heard(feed.chunks), feed.encoding)
            await self._puller.apply(heard, whole=cursor is None, total=total, begins=self._begins, wipes=wipes)
        self._mends = 0
        if self._puller.proven or self._puller.promotions > promotions:
            self.patience.proved()
        if self._health.error is not None:
            self._say("connected", self._unproven)
        moved = self._puller.brought and await self._puller.cursor() != cursor
        returned = not was_connected and self._health.state == "connected"
        await self._keep_pace(asked_at, moved=moved, returned=returned)

    @property
    def _is_coming(self) -> bool:
        """A whole list is being pulled, and does not wait for a person."""
        return self._puller.is_building() and self._store.data.held is None

    async def _keep_pace(self, asked_at: float, *, moved: bool, returned: bool) -> None:
        """Let time pass between two requests, most of all where nothing came: not every CRM holds them."""
        if moved and self._puller.more:
            return
        period_s = self.period_s if moved or returned else FIRST_DELAY_S
        left_s = asked_at + period_s - asyncio.get_running_loop().time()
        if left_s > 0:
            await self._sleep(left_s)

    def _begins(self, asked: bool) -> None:
        """Take note that a whole list begins.

        Raises:
            TooSoon: it was not asked for, and others have just been pulled.
        """
        if not asked:
            self.patience.expired()
            if not self.patience.may_begin():
                raise TooSoon("the CRM sends everything without being asked for it")
        self.patience.began()

    async def _have_all_pulled(self, exc: CursorExpired | TooSoon, delay_s: float) -> float:
        """Pull everything anew as the CRM wants it, or see to it later if that was done just now; return the delay."""
        self.patience.expired()
        if self.patience.may_begin():
            log.warning("changes: %s; pulling everything anew", exc)
            await self._puller.start_over()
            return delay_s
        why = f"{exc}; everything was pulled just now, and is pulled ever more seldom, or at once by brama sync now"
        self._say("connected", self._unproven or why)
        return max(delay_s, self.patience.rest_s)

    async def _total(self) -> int | None:
        """Ask how many tickets there are, for those who watch the list come; None: nobody says."""
        try:
            answer = await self._connector.fingerprints("")
        except (LinkDown, TokenRefused):
            return None  # the feed itself will say what is wrong
        return None if answer is None else answer.count

    async def _heard(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Note with the first chunk that the CRM is there."""
        async for chunk in chunks:
            if self._health.state != "connected":
                self.patience.returned()
                self._say("connected", self._unproven)
            self._health.heard_at = self._now()
            yield chunk

    async def _mend(self) -> bool:
        """Mend a list that is not the CRM's: where it differs, or if that does not help, by pulling it anew.

        False: neither helps, as far as is known, and the gate makes do with what it has.
        """
        self._mends += 1
        try:
            if not self.patience.hopeless and self._mends <= MOST_MENDS and await self._heal():
                return True
        except (LinkDown, TokenRefused, *CANNOT_WRITE) as exc:
            log.warning("changes: the ranges that differ could not be pulled: %s", exc)
            return True  # the next answer shows whether they still do
        if self._puller.is_building():
            self.patience.failed()
        if self.patience.may_begin():
            await self._begin_anew()
            return True
        await self._make_do()
        return False

    async def _heal(self) -> bool:
        healed = False

        async def heal() -> None:
            nonlocal healed
            healed = await self._puller.heal(self._connector)

        await unless_woken(heal(), [self._puller.wiped])  # which must not wait for a CRM that is slow to answer
        return healed

    async def _begin_anew(self) -> None:
        log.warning("changes: pulling everything anew")
        self._mends = 0
        await self._puller.start_over()

    async def _make_do(self) -> None:
        """Go on with the list in use, to which each change is applied; where there is none, a person may take the new.

        None takes its place by itself that is not what the CRM vouches for: it may have been cut short on the way.
        """
        self._mends = 0
        if self._store.data.cursor is not None:
            await self._puller.give_up_new()
        elif self._store.data.held is None:
            self._store.hold(
                "the list that was pulled is not what the CRM vouches for, and is not used;"
                " run brama sync accept to judge by it all the same"
            )

    @property
    def _unproven(self) -> str | None:
        """Say that the CRM vouches for none of what it sends, where that is so."""
        if not self.patience.hopeless:
            return None
        data = self._store.data
        has = "goes on with its old list" if data.tickets else "has no list"
        follows = "goes on with the list that it has, and with each change to it"
        meanwhile = follows if data.cursor is not None else f"{has} until one matches or is accepted"
        return (
            "everything was pulled anew, and still its count and fingerprint are not those of the CRM; its maker"
            f" finds out why by brama crm conformance {self._health.url or 'URL'}; the gate {meanwhile}, and pulls"
            " everything ever more seldom, or now by brama sync now"
        )

    # --- the list itself --------------------------------------------------------------------------------------------

    async def run_audit(self) -> NoReturn:
        """Count the list in use anew, part by part and without end.

        So a row that was changed behind the gate's back is found, and mended as any other difference is.
        """
        while True:
            for first in range(256):
                started = asyncio.get_running_loop().time()
                if why := await self._puller.changed_behind(first):
                    self._differs = why
                    self._sync_now.set()
                took = asyncio.get_running_loop().time() - started
                await self._sleep(max(AUDIT_EVERY_S, took * AUDIT_SHARE))

    async def _token_refused(self, exc: TokenRefused) -> None:
        self._say("revoked" if exc.revoked else "refused", str(exc))
        data = self._store.data
        if exc.revoked and (data.cursor is not None or data.tickets or self._puller.is_building()):
            log.error("this box was revoked: its ticket list is wiped, its journal kept")
            await self._puller.wipe()
            await self._store.write(lambda tx: _seal(tx, self._now()))

    async def _pause(self, delay_s: float, again: Again | None = None) -> None:
        """Wait, unless somebody asks for a pull or accepts a held list now, or what was amiss has changed."""
        await unless_woken(self._sleep(delay_s), [self._sync_now, self._accept], again)

    # --- scans out --------------------------------------------------------------------------------------------------

    async def run_scans(self) -> NoReturn:
        """Send journal rows in order, as they come."""
        await self._uploader.run()

    # --- heartbeat --------------------------------------------------------------------------------------------------

    async def run_heartbeat(self) -> NoReturn:
        """Tell the CRM how this device fares, and hear its time."""
        backoff = Backoff()
        while True:
            delay = HEARTBEAT_S
            try:
                heard = await self._connector.heartbeat(await self._host.health())
                if heard is not None:
                    answer, round_trip_s = heard
                    self._host.hear(answer.time, round_trip_s)
                backoff.reset()
            except LinkDown as exc:
                log.info("heartbeat: %s", exc)
                delay = backoff.next(exc.retry_after_s)
            except TokenRefused as exc:
                await self._token_refused(exc)
                delay = UNWELL_DELAY_S
            await self._sleep(delay)

    def _say(self, state: str, error: str | None) -> None:
        if (state, error) == (self._health.state, self._health.error):
            return
        if error:
            log.warning("crm: %s", error)
        self._health.state, self._health.error = state, error  # type: ignore[assignment]
        self._host.changed()


def _seal(tx: Tx, now: datetime) -> None:
    """Write down where the journal of a revoked box stood."""
    seq, digest = tx.head
    tx.journal.execute("INSERT OR IGNORE INTO meta VALUES ('sealed', ?)", (f"{seq} {digest.hex()} {now.isoformat()}",))


async def unless_woken(work: Awaitable[None], wakes: Sequence[asyncio.Event], again: Again | None = None) -> None:
    """Do the work, but give it up as soon as one of the events is set that was not, or `again` returns.

    Raises what the work raises.
    """
    error: list[Exception] = []

    async def guarded() -> None:
        try:
            await work
        except (LinkDown, TokenRefused, CursorExpired, *CANNOT_WRITE) as exc:
            error.append(exc)

    async with asyncio.TaskGroup() as group:
        job = group.create_task(guarded(), name="work")
        waits = [group.create_task(_until(each.wait), name="wake") for each in wakes if not each.is_set()]
        waits += [group.create_task(_until(again), name="again")] if again is not None else []
        await asyncio.wait([job, *waits], return_when=asyncio.FIRST_COMPLETED)
        for task in (job, *waits):
            task.cancel()
    if error:
        raise error[0]


async def _until(fact: Callable[[], Awaitable[object]]) -> None:
    await fact()
