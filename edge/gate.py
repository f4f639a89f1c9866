"""One lane: read, decide and record in one transaction, then turnstile and screen.

The verdict is on disk before anything moves or shows.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from config.settings import LaneSettings
from drivers.protocols import DeviceLost, DeviceRefused, Scanner, Turnstile
from edge.clock import GateClock
from edge.core.admission import Reason, decide
from edge.core.messages import Language, Message, explain
from edge.core.model import Checkpoint, Controller, Direction, Event, Ticket, TicketType
from edge.hub import Hub
from edge.store.records import Scan, uuid7
from edge.store.store import Store
from edge.store.tx import Offer, StoreRefusal, Tx
from edge.store.writer import CannotRecord

log = logging.getLogger(__name__)

_MARKS = {"admitted": "\N{HEAVY CHECK MARK}", "exited": "\N{RIGHTWARDS ARROW}", "refused": "\N{BALLOT X}"}


class NotFound(StoreRefusal):
    """No such thing here."""


class NotAllowed(StoreRefusal):
    """The thing is there, but this may not be done with it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A recorded scan and what the screen needs beside it."""

    scan: Scan
    ticket: Ticket | None
    ticket_type: TicketType | None
    event: Event | None
    checkpoint: Checkpoint | None
    fresh: bool = True
    """False: nothing was recorded, this is an earlier scan's answer shown again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a read leads to; `took_ms` from the offer to the verdict on disk."""

    judged: Judged
    message: Message
    took_ms: float

    @property
    def scan(self) -> Scan:
        """The journal row."""
        return self.judged.scan

    def line(self) -> str:
        """Return the answer as one line, for a terminal."""
        scan, again = self.scan, "" if self.judged.fresh else " (shown again)"
        words = f"{self.message.title}{again}. {self.message.text}"
        return f"{_MARKS[scan.verdict]} {words} [{scan.reason}, {self.took_ms:.1f} ms]"

    def body(self) -> dict[str, Any]:
        """Return the answer as the API gives it (design section 8)."""
        scan, ticket, judged = self.scan, self.judged.ticket, self.judged
        shown = ticket and {
            "id": ticket.id,
            "event": ticket.event,
            "type": ticket.type,
            "type_name": judged.ticket_type.name if judged.ticket_type else None,
            "state": ticket.state.value,
            "holder": ticket.holder,
            "seat": ticket.seat,
            "source": ticket.source,
        }
        return {
            "scan_id": scan.scan_id,
            "verdict": scan.verdict,
            "reason": scan.reason,
            "title": self.message.title,
            "message": self.message.text,
            "detail": scan.facts,
            "ticket": shown,
            "event_name": judged.event.name if judged.event else None,
            "checkpoint": scan.checkpoint,
            "checkpoint_name": judged.checkpoint.name if judged.checkpoint else None,
            "lane": scan.lane,
            "direction": scan.direction,
            "at": scan.at,
            "clock": scan.clock,
            "passage": scan.passage,
            "note": scan.note,
            "of": scan.of,
            "repeat": not judged.fresh,
            "took_ms": round(self.took_ms, 3),
        }


class _Entropy:
    """Random bytes from the system, fetched many at a time: a call for each scan costs as much as a lookup."""

    def __init__(self) -> None:
        self._bytes, self._at = b"", 0

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._bytes):
            self._bytes, self._at = os.urandom(256 * count), 0
        self._at += count
        return self._bytes[self._at - count : self._at]


class Lane:
    """One scanning position: its readers offer codes, its turnstile lets through, its screen shows.

    `on_change` is called when what the lane shows of itself has changed.
    """

    def __init__(
        self,
        settings: LaneSettings,
        language: Language,
        store: Store,
        clock: GateClock,
        hub: Hub,
        turnstile: Turnstile | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._language = language
        self._store = store
        self._clock = clock
        self._hub = hub
        self._turnstile = turnstile
        self._on_change = on_change
        self._admissions: asyncio.Queue[Scan] = asyncio.Queue()
        self._entropy = _Entropy()
        self.turnstile_fault: str | None = None
        self.cannot_record: str | None = None

    @property
    def id(self) -> str:
        """The lane's name in the settings."""
        return self.settings.id

    @property
    def _passage_at_once(self) -> str:
        """A lane without a sensor counts an admission as passed."""
        return "unknown" if self._turnstile and self._turnstile.passage_timeout_s is not None else "passed"

    def way(self, asked: str | None) -> Direction:
        """Return the direction of a scan; `both` lanes take an entry unless told otherwise.

        Raises:
            NotAllowed: the lane does not go that way.
        """
        mine = Direction(self.settings.direction)
        if asked is None:
            return Direction.ENTRY if mine is Direction.BOTH else mine
        if asked not in {"entry", "exit"} or not mine.allows(Direction(asked)):
            raise NotAllowed(f"direction: lane {self.id} is for {mine.value}; leave direction out or name that")
        return Direction(asked)

    async def offer(
        self, code: str, direction: str | None = None, scan_id: str | None = None, at: datetime | None = None
    ) -> Answer:
        """Judge a code; the answer is on disk.

        A `scan_id` that the journal has gives that scan's answer again. Without one, another frame of the code just
        admitted here is no second scan; whoever names a scan says that it is one.

        Raises:
            CannotRecord: the journal cannot be written, so nobody is admitted.
            NotAllowed: the lane does not go that way.
        """
        started = time.perf_counter()
        at = at or self._clock.now()
        offer = Offer(
            code=code,
            lane=self.id,
            direction=self.way(direction),
            at=at,
            clock=self._clock.trust,
            scan_id=scan_id or self._new_id(at),
            named=scan_id is not None,
            checkpoint=self.settings.checkpoint,
            clock_skew_s=round(self._clock.skew_s) if self._clock.skew_s is not None else None,
        )
        repeat_s = self.settings.repeat_s if scan_id is None else 0.0
        judged = await self._write(lambda tx: judge(tx, offer, repeat_s, self._passage_at_once), refusable=False)
        return self._show(judged, started)

    async def override(self, scan_id: str, supervisor: Controller, why: str) -> Answer:
        """Admit after a refusal, by a supervisor's word.

        Raises:
            NotFound: no such scan at this lane.
            NotAllowed: not a refusal, or one that cannot be overridden.
            CannotRecord: the journal cannot be written.
        """
        started = time.perf_counter()
        at = self._clock.now()
        new_id = self._new_id(at)
        judged = await self._write(
            lambda tx: override(
                tx, scan_id, new_id, supervisor, why, at, self._clock.trust, passage=self._passage_at_once
            )
        )
        return self._show(judged, started)

    async def _write(self, job: Callable[[Tx], Judged], *, refusable: bool = True) -> Judged:
        try:
            judged = await self._store.write(job, refusable=refusable)
        except CannotRecord as exc:
            self.set_cannot_record(str(exc))
            raise
        self.set_cannot_record(None)
        return judged

    def set_cannot_record(self, why: str | None) -> None:
        """Show, or no longer show, that this lane cannot admit because it cannot record."""
        if why != self.cannot_record:
            self.cannot_record = why
            self._on_change()

    def _show(self, judged: Judged, started: float) -> Answer:
        answer = self.answer(judged, (time.perf_counter() - started) * 1000)
        if judged.fresh and judged.scan.verdict != "refused" and self._turnstile is not None:
            self._admissions.put_nowait(judged.scan)
        # The screen is told a moment after whoever asked, so that neither waits for the other's words.
        asyncio.get_running_loop().call_soon(self._publish, answer)
        return answer

    def _publish(self, answer: Answer) -> None:
        if self._hub.has_listeners:
            self._hub.publish({"kind": "verdict", **answer.body()})

    def answer(self, judged: Judged, took_ms: float = 0.0) -> Answer:
        """Put a recorded scan into words."""
        scan = judged.scan
        zone = ZoneInfo(judged.event.tz) if judged.event else ZoneInfo("UTC")
        message = explain(Reason(scan.reason), scan.facts, self._language, zone, datetime.fromisoformat(scan.at))
        return Answer(judged, message, took_ms)

    def _new_id(self, at: datetime) -> str:
        return uuid7(at, self._entropy.take(10))

    # --- jobs -------------------------------------------------------------------------------------------------------

    async def pump(
        self, scanner: Scanner, direction: str | None = None, shown: Callable[[Answer], None] = lambda _: None
    ) -> None:
        """Offer what a reader reads, for as long as it reads; `shown` gets each answer, for a reader with a face."""
        async with aclosing(scanner.reads()) as reads:
            async for read in reads:
                try:
                    shown(await self.offer(read.code, direction, at=read.at))
                except CannotRecord as exc:
                    log.error("lane %s: %s", self.id, exc)  # noqa: TRY400 (shown on the lane; the trace says no more)

    async def run_turnstile(self) -> None:
        """Release the turnstile for each admission, one at a time, and settle what it saw."""
        turnstile = self._turnstile
        while turnstile is not None:
            scan = await self._admissions.get()
            try:
                await turnstile.release()
            except (DeviceLost, DeviceRefused) as exc:
                self._set_turnstile_fault(f"turnstile: {exc}")
                continue
            self._set_turnstile_fault(None)
            if turnstile.passage_timeout_s is not None:
                await self._settle(scan, turnstile, turnstile.passage_timeout_s)
        await asyncio.Event().wait()

    async def _settle(self, scan: Scan, turnstile: Turnstile, timeout_s: float) -> None:
        """Wait for the guest to pass; who does not gets the ticket back."""
        passed = True
        try:
            async with asyncio.timeout(timeout_s):
                await turnstile.passed()
        except TimeoutError:
            passed = False
        at, trust = self._clock.now(), self._clock.trust
        new_id = self._new_id(at)
        try:
            if passed:
                await self._store.write(lambda tx: tx.passed(scan.scan_id, at))
            else:
                await self._store.write(lambda tx: tx.release(scan.scan_id, new_id, at, trust))
        except CannotRecord as exc:
            self.set_cannot_record(str(exc))
            return
        word = "passed" if passed else "not_passed"
        self._hub.publish({"kind": "passage", "scan_id": scan.scan_id, "lane": self.id, "passage": word})

    def _set_turnstile_fault(self, fault: str | None) -> None:
        if fault != self.turnstile_fault:
            self.turnstile_fault = fault
            self._on_change()


# --- what happens inside the transaction ----------------------------------------------------------------------------


def judge(tx: Tx, offer: Offer, repeat_s: float, passage: str) -> Judged:
    """Decide on an offer and record it; runs in the decision thread."""
    if offer.named and (known := tx.find(offer.scan_id)):
        return shown_again(tx, known)
    gathered = tx.gather(offer)
    facts = gathered.facts
    if repeat_s and (earlier := tx.repeat_of(facts, offer, repeat_s)):
        return shown_again(tx, earlier)
    verdict = decide(facts, offer.at)
    scan = tx.record(offer, gathered, verdict, passage=passage)
    return Judged(scan, verdict.ticket, facts.ticket_type, facts.event, facts.checkpoint)


def shown_again(tx: Tx, scan: Scan) -> Judged:
    """Return an earlier scan with what the whitelist now says beside it."""
    tickets = tx.whitelist.tickets(scan.lookup) if scan.lookup and scan.ticket_id else []
    ticket = next((each for each in tickets if each.id == scan.ticket_id), None)
    checkpoint = tx.plan.checkpoints.get(scan.checkpoint) if scan.checkpoint else None
    return Judged(
        scan,
        ticket,
        tx.plan.ticket_types.get(ticket.type) if ticket else None,
        tx.plan.events.get(checkpoint.event) if checkpoint else None,
        checkpoint,
        fresh=False,
    )


def override(
    tx: Tx,
    scan_id: str,
    new_id: str,
    supervisor: Controller,
    why: str,
    at: datetime,
    clock: str,
    *,
    passage: str,
) -> Judged:
    """Record a supervisor's admission after a refusal; a second one gives the first one's answer.

    Where the guest did not pass after the first, it was taken back, and the second admits anew.
    """
    refused = tx.find(scan_id)
    if refused is None:
        raise NotFound(f"id: no scan {scan_id} in this gate's journal")
    earlier = tx.override_of(refused)
    if earlier is not None and tx.passage_of(earlier.scan_id) != "not_passed":
        return shown_again(tx, earlier)
    if refused.verdict != "refused" or refused.reason in {Reason.UNREADABLE, Reason.NOT_PASSED}:
        raise NotAllowed(
            f"id: {refused.verdict} ({refused.reason}) cannot be overridden; only a refusal of a ticket can"
        )
    scan = tx.append(
        scan_id=new_id,
        lane=refused.lane,
        checkpoint=refused.checkpoint,
        controller=supervisor.id,
        ticket_id=refused.ticket_id,
        event=refused.event,
        lookup=refused.lookup,
        code=refused.code,
        direction=refused.direction,
        verdict="admitted",
        reason=Reason.OVERRIDE,
        at=at,
        clock=clock,
        passage=passage,
        note=why,
        of=refused.scan_id,
        detail={"refused": refused.reason, "supervisor": supervisor.name},
    )
    again = shown_again(tx, scan)
    return Judged(scan, again.ticket, again.ticket_type, again.event, again.checkpoint)
