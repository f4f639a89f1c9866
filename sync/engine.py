"""The jobs that keep gate and CRM together: changes in, scans out, heartbeat; each with its own backoff.

No lane ever waits for any of them.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NoReturn

from edge.store.database import NewerSchema
from edge.store.outbox import Parked, Reject, acked_seq, acknowledge, parked_scans, settle_retried
from edge.store.records import Scan
from edge.store.store import Store
from edge.store.tx import Tx
from edge.store.writer import CannotRecord
from sync.connector import Connector, Feed
from sync.errors import Again, CursorExpired, LinkDown, Refused, TokenRefused
from sync.host import Host, tell_conflicts
from sync.pull import Mismatch, Puller
from sync.state import CrmHealth
from sync.wire import Rejected, ScansAnswer

log = logging.getLogger(__name__)

WAIT_S = 30
"""How long the CRM may hold a request for changes."""
HEARTBEAT_S = 30.0
BATCH = 500
"""Scans at a time: what the Gate API allows."""
BATCH_BYTES = 1024 * 1024
FIRST_DELAY_S = 1.0
MOST_DELAY_S = 60.0
MOST_MENDS = 2
"""How often a list is mended range by range before it is pulled anew."""
AUDIT_EVERY_S = 1.0
AUDIT_SHARE = 50
"""Counting takes at most a fiftieth of the time."""
CANNOT_WRITE = (sqlite3.Error, OSError, NewerSchema, CannotRecord)
"""The box's own disk is at fault, which is no reason to ask a CRM the same without pause."""
UNWELL_DELAY_S = 60.0
"""How often a refused token is tried again: somebody may have mended it in the CRM."""


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
    ) -> None:
        self._store = store
        self._connector = connector
        self._puller = puller
        self._host = host
        self._health = health
        self._now = now
        self._sync_now = sync_now
        self._accept = accept
        self._sleep = sleep
        self._mends = 0
        """How often in a row the list was mended and still differed."""
        self._differs: str | None = None
        """What the audit found."""

    # --- changes in -------------------------------------------------------------------------------------------------

    async def run_changes(self) -> NoReturn:
        """Keep the whitelist at what the CRM says."""
        backoff = Backoff()
        while True:
            try:
                # A request that the CRM holds must not keep those waiting who ask for something now.
                await unless_woken(self._pull(), [self._sync_now, self._accept, self._store.whitelist_damaged])
                backoff.reset()
            except CursorExpired as exc:
                log.warning("changes: %s; pulling everything anew", exc)
                await self._puller.start_over()
                await self._pause(backoff.next())
            except Mismatch as exc:
                self._say("connected", str(exc))
                await self._mend()
                await self._pause(backoff.next())
            except LinkDown as exc:
                self._say("away", str(exc))
                await self._pause(backoff.next(exc.retry_after_s), exc.again)
            except CANNOT_WRITE as exc:
                self._say(self._health.state, f"what the CRM sends cannot be kept: {exc}; see what the box is short of")
                await self._pause(backoff.next())
            except TokenRefused as exc:
                await self._token_refused(exc)
                await self._pause(UNWELL_DELAY_S)
            self._sync_now.clear()
            self._store.whitelist_damaged.clear()
            if self._store.data.held is None:
                self._accept.clear()

    async def _pull(self) -> None:
        """Ask for what follows the cursor and apply it."""
        if self._differs is not None:
            why, self._differs = self._differs, None
            if not self._puller.is_building():  # else a new list is to take its place, and would be given up for it
                raise Mismatch(why)
        if self._accept.is_set() and self._store.data.held:
            await self._puller.try_promote()
        cursor = await self._puller.cursor()
        was_connected = self._health.state == "connected"
        if not was_connected:
            self._say("connecting", self._health.error)
        # A CRM that was away is asked for an answer at once, so that its return shows now and not when it has news; so
        # is one whose list waits for its last cursor to take its place (not for a person's word), or was mended.
        unfinished = self._puller.is_building() and self._store.data.held is None
        wait_s = WAIT_S if cursor and was_connected and not (self._mends or unfinished) else 0
        total = await self._total() if cursor is None or self._puller.is_building() else None
        asked_at = asyncio.get_running_loop().time()
        async with self._connector.changes(cursor, wait_s) as feed:
            await self._puller.apply(Feed(self._heard(feed.chunks), feed.encoding), whole=cursor is None, total=total)
        self._mends = 0
        if self._health.error is not None:
            self._say("connected", None)
        quick = asyncio.get_running_loop().time() - asked_at < FIRST_DELAY_S
        returned = not was_connected and self._health.state == "connected"
        if quick and not returned and await self._puller.cursor() == cursor:
            # One that does not hold requests, or answers with nothing, must not be asked without pause.
            await self._sleep(FIRST_DELAY_S)

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
                self._say("connected", None)
            self._health.heard_at = self._now()
            yield chunk

    async def _mend(self) -> None:
        """Mend a list that is not the CRM's: where it differs, or if that does not help, by pulling it anew."""
        self._mends += 1
        try:
            if self._mends <= MOST_MENDS and await self._puller.heal(self._connector):
                return
        except (LinkDown, TokenRefused, *CANNOT_WRITE) as exc:
            log.warning("changes: the ranges that differ could not be pulled: %s", exc)
            return  # the next answer shows whether they still do
        log.warning("changes: pulling everything anew")
        self._mends = 0
        await self._puller.start_over()

    # --- the list itself --------------------------------------------------------------------------------------------

    async def run_audit(self) -> NoReturn:
        """Count the list in use anew, part by part and without end.

        So a row that was changed behind the gate's back is found, and mended as any other difference is.
        """
        while True:
            for first in range(256):
                started = asyncio.get_running_loop().time()
                if not await self._puller.audit(first):
                    # Where one part is not as it was left, others may not be.
                    parts = 1 + sum([not await self._puller.audit(other) for other in range(256) if other != first])
                    self._differs = (
                        f"tickets were changed in the list here, and not by the CRM, in {parts} of 256 parts"
                    )
                    self._sync_now.set()
                took = asyncio.get_running_loop().time() - started
                await self._sleep(max(AUDIT_EVERY_S, took * AUDIT_SHARE))

    async def _token_refused(self, exc: TokenRefused) -> None:
        self._say("revoked" if exc.revoked else "refused", str(exc))
        if exc.revoked and (self._store.data.cursor is not None or self._puller.is_building()):
            log.error("this box was revoked: its ticket list is wiped, its journal kept")
            await self._store.wipe_whitelist()
            await self._store.write(lambda tx: _seal(tx, self._now()))

    async def _pause(self, delay_s: float, again: Again | None = None) -> None:
        """Wait, unless somebody asks for a pull or accepts a held list now, or what was amiss has changed."""
        await unless_woken(self._sleep(delay_s), [self._sync_now, self._accept], again)

    # --- scans out --------------------------------------------------------------------------------------------------

    async def run_scans(self) -> NoReturn:
        """Send journal rows in order, as they come."""
        backoff, batch = Backoff(), BATCH
        while True:
            self._store.recorded.clear()
            try:
                if not await self._send_some(batch):
                    await self._store.recorded.wait()
                backoff.reset()
                # One that cannot take many at once must not be offered as many each time.
                batch = min(BATCH, batch * 2)
            except LinkDown as exc:
                # A batch that the CRM cannot take whole may be taken in smaller parts.
                batch = max(1, batch // 2)
                log.info("scans: %s", exc)
                await self._sleep(backoff.next(exc.retry_after_s))
            except CANNOT_WRITE as exc:
                log.warning("scans: what the CRM answered cannot be kept: %s; sending again", exc)
                await self._sleep(backoff.next())
            except TokenRefused as exc:
                await self._token_refused(exc)
                await self._sleep(UNWELL_DELAY_S)

    async def _send_some(self, most: int) -> bool:
        """Send one batch; False: there was nothing to send."""
        acked = await self._store.read(lambda tx: acked_seq(tx.journal))
        scans = _batch(await self._store.scans_after(acked, most))
        if not scans:
            return await self._send_retried(most)  # last: what the CRM fails at again must not be in the way of others
        try:
            answer = await self._send([scan.wire() for scan in scans])
        except Refused as exc:
            if len(scans) > 1:
                raise
            # It is this very scan that the CRM will not have, in whatever words.
            answer = ScansAnswer(acked=scans[0].seq, rejected=[_rejected(scans[0], exc)])
        taken = _taken(scans, answer.acked)
        if not taken:
            raise LinkDown(f"/scans: the CRM acknowledged {answer.acked}, before seq {scans[0].seq}; sending again")
        rejects = _rejects(answer)
        await self._store.write(lambda tx: acknowledge(tx, taken, rejects, self._now()))
        await self._heard_of_scans(answer, rejects)
        return True

    async def _send_retried(self, most: int) -> bool:
        """Send parked scans again for which a person has asked; False: there are none."""
        parked = await self._store.read(lambda tx: parked_scans(tx.journal, to_retry=True, most=most))
        if not parked:
            return False
        try:
            answer = await self._send([each.body for each in parked])
        except Refused as exc:
            if len(parked) > 1:
                raise
            answer = ScansAnswer(acked=0, rejected=[_rejected(parked[0], exc)])
        rejects, sent = _rejects(answer), [each.scan_id for each in parked]
        await self._store.write(lambda tx: settle_retried(tx, sent, rejects, self._now()))
        await self._heard_of_scans(answer, rejects)
        return True

    async def _send(self, bodies: Sequence[dict[str, Any]]) -> ScansAnswer:
        identity = self._store.identity
        assert identity is not None, "scans are sent by an enrolled box"  # noqa: S101
        return await self._connector.send_scans(identity.device_id, bodies)

    async def _heard_of_scans(self, answer: ScansAnswer, rejects: Sequence[Reject]) -> None:
        for reject in rejects:
            log.warning("scans: the CRM refused %s: %s: %s", reject.scan_id, reject.code, reject.message)
        await tell_conflicts(self._store, self._host, answer.conflicts, self._now())
        self._host.changed()

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


class Backoff:
    """Waiting times after failures: from one second, doubled, up to a minute, with jitter."""

    def __init__(self) -> None:
        self._delay_s = FIRST_DELAY_S

    def reset(self) -> None:
        """Begin again after a success."""
        self._delay_s = FIRST_DELAY_S

    def next(self, asked_s: float | None = None) -> float:
        """Return the next delay in seconds; never less than was asked for, up to five minutes of that."""
        delay = self._delay_s * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, not a secret)
        self._delay_s = min(MOST_DELAY_S, self._delay_s * 2)
        return max(delay, min(asked_s or 0.0, 5 * MOST_DELAY_S))


def _batch(scans: Sequence[Scan]) -> Sequence[Scan]:
    """Cut a batch where it grows long: a code may have 4,096 characters, a note 1,000."""
    size = 0
    for count, scan in enumerate(scans):
        size += 600 + 4 * (len(scan.code or "") + len(scan.note or ""))
        if size > BATCH_BYTES and count:
            return scans[:count]
    return scans


def _rejects(answer: ScansAnswer) -> list[Reject]:
    return [Reject(each.scan_id, each.code[:100], each.message[:1000]) for each in answer.rejected]


def _rejected(scan: Scan | Parked, exc: Refused) -> Rejected:
    return Rejected(scan_id=scan.scan_id, code=f"http_{exc.status}", message=str(exc))


def _taken(scans: Sequence[Scan], acked: int) -> int:
    """Return the highest seq of ours that the CRM says it has; it cannot have more than was sent."""
    return max((scan.seq for scan in scans if scan.seq <= acked), default=0)


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
