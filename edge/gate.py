"""One lane: read, decide and record in one transaction, then turnstile and screen.

The verdict is on disk before anything moves or shows.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from config.settings import LaneSettings
from drivers.protocols import Lights, Look, Scanner, Spoiled, Turnstile
from edge.clock import GateClock
from edge.core.admission import Reason, instant_text
from edge.core.doubts import Doubts
from edge.core.enrolment import EnrolmentCode, enrolment_of
from edge.core.messages import Language, Message, explain
from edge.core.model import Controller, Direction
from edge.core.notices import Notice, explain_notice
from edge.door import Door
from edge.hub import Hub
from edge.judging import Judged, Misread, NotAllowed, judge, override
from edge.store.pictures import Taken
from edge.store.records import Scan, new_scan_id
from edge.store.store import Store
from edge.store.tx import Offer, Tx
from edge.store.writer import CannotRecord

T = TypeVar("T")

log = logging.getLogger(__name__)

_MARKS = {"admitted": "\N{HEAVY CHECK MARK}", "exited": "\N{RIGHTWARDS ARROW}", "refused": "\N{BALLOT X}"}


MISREAD = "nobody knows it, and its kind of barcode is easily misread: it is believed when read a second time"

LOOKS = {
    Notice.SHIFT_OPENED: Look.NOTED,
    Notice.SHIFT_CLOSED: Look.NOTED,
    Notice.NOT_ASSIGNED: Look.REFUSED,
    Notice.ENROLLING: Look.NOTED,
    Notice.ENROLLED: Look.NOTED,
    Notice.NOT_ENROLLED: Look.REFUSED,
    Notice.ALREADY_ENROLLED: Look.REFUSED,
    Notice.SCAN_AGAIN: Look.AGAIN,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a read leads to; `took_ms` from the offer to the verdict on disk."""

    judged: Judged
    message: Message
    took_ms: float
    has_picture: bool = False
    """A picture of it is kept."""

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
            "picture": self.has_picture,
            "took_ms": round(self.took_ms, 3),
        }


class NotATicket(Exception):
    """What was read is no ticket's code but another kind that a gate knows; nothing was recorded."""


class BadgeRead(NotATicket):
    """A controller's badge."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(f"code: the badge of {controller.name}")
        self.controller = controller


class EnrolmentRead(NotATicket):
    """An enrolment code of a CRM."""

    def __init__(self, asked: EnrolmentCode) -> None:
        super().__init__(f"code: an enrolment code of {asked.url}")
        self.asked = asked


class MaybeMisread(Exception):
    """Nobody knows the code, and it may have been misread; nothing was recorded."""


TakeOther = Callable[["Lane", NotATicket], Awaitable[dict[str, Any]]]
"""Does what is asked for by what is not a ticket, says so at the lane, and returns what was said."""


@dataclass(slots=True)
class ReaderCount:
    """What came from one reader since the start."""

    reads: int = 0
    spoiled: int = 0
    spoiled_why: str | None = None
    """Why the last one was spoiled, and what mends it."""
    symbology: str | None = None
    """AIM identifier of the last code, where the reader tells it."""


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
        lights: Lights | None = None,
    ) -> None:
        self.settings = settings
        self._language = language
        self._store = store
        self._clock = clock
        self._hub = hub
        self._on_change = on_change
        self.lights = lights
        self._lit_open = False
        self._doubts = Doubts()
        self.door = Door(settings, store, clock, hub, turnstile, self._door_changed, self.set_cannot_record)
        self.cannot_record: str | None = None

    @property
    def id(self) -> str:
        """The lane's name in the settings."""
        return self.settings.id

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
        self,
        code: str,
        direction: str | None = None,
        scan_id: str | None = None,
        at: datetime | None = None,
        *,
        doubtful: bool = False,
        taken: Taken | None = None,
    ) -> Answer:
        """Judge a code; the answer is on disk.

        A `scan_id` that the journal has gives that scan's answer again. Without one, another frame of the code just
        admitted here is no second scan; whoever names a scan says that it is one. `taken` is kept if it is refused.

        Raises:
            CannotRecord: the journal cannot be written, so nobody is admitted.
            NotAllowed: the lane does not go that way.
            NotATicket: it is a badge or an enrolment code, for those who know what to do with one.
            MaybeMisread: it is `doubtful`, and nobody knows it.
        """
        started = time.perf_counter()
        if asked := enrolment_of(code):
            raise EnrolmentRead(asked)
        at = at or self._clock.now()
        offer = Offer(
            code=code,
            lane=self.id,
            direction=self.way(direction),
            at=at,
            clock=self._clock.trust,
            scan_id=scan_id or new_scan_id(at),
            named=scan_id is not None,
            doubtful=doubtful,
            checkpoint=self.settings.checkpoint,
            clock_skew_s=round(self._clock.skew_s) if self._clock.skew_s is not None else None,
        )
        repeat_s = self.settings.repeat_s if scan_id is None else 0.0
        judged = await self._write(lambda tx: judge(tx, offer, repeat_s, self.door.passage_at_once), refusable=False)
        if isinstance(judged, Controller):
            raise BadgeRead(judged)
        if isinstance(judged, Misread):
            raise MaybeMisread("code: nobody knows it, and it may have been misread; scan it again")
        return await self._show(judged, started, taken)

    async def override(self, scan_id: str, supervisor: Controller, why: str) -> Answer:
        """Admit after a refusal, by a supervisor's word.

        Raises:
            NotFound: no such scan at this lane.
            NotAllowed: not a refusal, or one that cannot be overridden.
            CannotRecord: the journal cannot be written.
        """
        started = time.perf_counter()
        at = self._clock.now()
        new_id = new_scan_id(at)
        judged = await self._write(
            lambda tx: override(
                tx, scan_id, new_id, supervisor, why, at, self._clock.trust, passage=self.door.passage_at_once
            )
        )
        return await self._show(judged, started)

    async def _write(self, job: Callable[[Tx], T], *, refusable: bool = True) -> T:
        try:
            judged = await self._store.write(job, refusable=refusable)
        except CannotRecord as exc:
            self.set_cannot_record(str(exc))
            raise
        if isinstance(judged, Judged) and judged.fresh:  # else nothing was written, which proves nothing of the disk
            self.set_cannot_record(None)
        return judged

    def set_cannot_record(self, why: str | None) -> None:
        """Show, or no longer show, that this lane cannot admit because it cannot record."""
        if why != self.cannot_record:
            self.cannot_record = why
            self._on_change()

    async def _show(self, judged: Judged, started: float, taken: Taken | None = None) -> Answer:
        took_ms = (time.perf_counter() - started) * 1000
        if judged.fresh and judged.scan.verdict != "refused" and self.door.admit(judged.scan):
            await asyncio.sleep(0)  # the relay first, the words after
        self._light(look_of(judged.scan))
        if taken is not None and judged.fresh and judged.scan.verdict == "refused":
            self._store.pictures.keep(judged.scan.scan_id, taken)
        answer = self.answer(judged, took_ms)
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
        return Answer(judged, message, took_ms, self._store.pictures.has(scan.scan_id))

    def notice(self, kind: Notice, **facts: str) -> dict[str, Any]:
        """Say at this lane what is no verdict: on its page and by its lights; return it as the API gives it."""
        message, look = explain_notice(kind, facts, self._language), LOOKS[kind]
        said = {
            "notice": kind.value,
            "look": look.value,
            "title": message.title,
            "message": message.text,
            "lane": self.id,
            "at": instant_text(self._clock.now()),
        }
        self._hub.publish({"kind": "notice", **said})
        self._light(look)
        return said

    def _light(self, look: Look) -> None:
        if self.lights is not None and not self.door.held_open:
            self.lights.show(look)

    def _door_changed(self) -> None:
        held = self.door.held_open
        if self.lights is not None and held != self._lit_open:
            self.lights.show(Look.HELD_OPEN if held else Look.DARK)
        self._lit_open = held
        self._on_change()

    # --- jobs -------------------------------------------------------------------------------------------------------

    async def pump(
        self,
        scanner: Scanner,
        direction: str | None = None,
        shown: Callable[[Answer], None] = lambda _: None,
        *,
        others: TakeOther | None = None,
        count: ReaderCount | None = None,
        keep_h: int = 0,
    ) -> None:
        """Offer what a reader reads, for as long as it reads.

        `shown` gets each answer, for a reader with a face; `others` takes what is not a ticket; `count` is kept up;
        pictures of what is refused are kept for `keep_h` hours.
        """
        count = count or ReaderCount()
        async with aclosing(scanner.reads()) as reads:
            async for read in reads:
                if isinstance(read, Spoiled):
                    self._spoiled(read.why, count)
                    continue
                doubtful = not (read.certain or self._doubts.settle(read.code, read.at, again=read.again))
                if doubtful and read.again:
                    continue  # it was judged when it came into view
                taken = Taken(read.picture, keep_h) if read.picture is not None and keep_h else None
                count.symbology = read.symbology
                try:
                    offered = self.offer(read.code, direction, at=read.at, doubtful=doubtful, taken=taken)
                    await self._take(offered, shown, others)
                except MaybeMisread:
                    self._doubts.note(read.code, read.at)
                    self._spoiled(MISREAD, count)
                    continue
                except CannotRecord as exc:
                    log.error("lane %s: %s", self.id, exc)  # noqa: TRY400 (shown on the lane; the trace says no more)
                count.reads += 1

    async def _take(
        self, offered: Awaitable[Answer], shown: Callable[[Answer], None], others: TakeOther | None
    ) -> None:
        try:
            shown(await offered)
        except NotATicket as what:
            if others is not None:
                await others(self, what)

    def _spoiled(self, why: str, count: ReaderCount) -> None:
        count.spoiled, count.spoiled_why = count.spoiled + 1, why
        log.warning("lane %s: a code was not read well: %s", self.id, why)
        self.notice(Notice.SCAN_AGAIN)
        self._on_change()


def look_of(scan: Scan) -> Look:
    """Return what the lights say to a verdict."""
    if scan.verdict == "refused":
        return Look.AGAIN if scan.reason == Reason.UNREADABLE else Look.REFUSED
    return Look.ADMITTED if scan.verdict == "admitted" else Look.EXITED
