"""What a job may read and write inside one journal transaction.

Everything here runs in the decision thread, over plain sqlite3 (docs/adr/0003).
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from edge.core.admission import Admitted, Detail, Exited, Facts, Reason, Refused, Verdict, choose_ticket, instant_text
from edge.core.barcodes import MAX_CODE_CHARS, is_readable, lookup_of_normalised, normalise
from edge.core.model import Checkpoint, ClockTrust, Direction, Plan, Ticket, Use
from edge.store.records import (
    FIRST_PREV,
    INSERT_SCAN,
    SELECT_SCAN,
    Scan,
    chain_hash,
    instant_of,
    microseconds,
    scan_of,
)
from edge.store.whitelist_reader import WhitelistReader

_NOT_LONG_AGO = 5000
"""Rows: what is looked through at a start, where no index helps."""

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class StoreRefusal(Exception):
    """A job was asked for something that the journal's state does not allow; nothing of it was written."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this device is to the CRM, once enrolled."""

    device_id: str
    lookup_key: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """One code offered at a lane, with the time at which it was read and how far that is believed."""

    code: str
    lane: str
    direction: Direction
    at: datetime
    clock: ClockTrust
    scan_id: str
    named: bool = False
    """The caller named the scan, so the journal may have it."""
    doubtful: bool = False
    """It may have been misread: if nobody knows it, it is to be read again before anything is said of it."""
    checkpoint: str | None = None
    clock_skew_s: int | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """An offer's facts, and what its code came to: normalised, and its lookup where it has one."""

    facts: Facts
    code: str
    lookup: bytes | None


class Tx:
    """One open transaction on the journal, and the whitelist beside it.

    The chain's head, the open shifts and the flow by checkpoint are kept in memory and follow a rollback by `reset`.
    """

    def __init__(self, journal: sqlite3.Connection, whitelist: WhitelistReader, identity: Identity | None) -> None:
        self.journal = journal
        self.whitelist = whitelist
        self.identity = identity
        self._head: tuple[int, bytes] | None = None
        self._shifts: dict[str, list[str]] = {}
        self._flows: Counter[str] | None = None

    @property
    def plan(self) -> Plan:
        """What the CRM says of events, checkpoints and people."""
        return self.whitelist.plan

    @property
    def head(self) -> tuple[int, bytes]:
        """The last row's seq and hash; (0, 32 zero bytes) where there is none."""
        if self._head is None:
            self._head = _head_of(self.journal)
        return self._head

    def reset(self, head: tuple[int, bytes] | None = None) -> None:
        """Go back to `head` after a rollback; None has it read from the file when next asked for."""
        self._head = head
        self._shifts.clear()
        self._flows = None

    # --- deciding -----------------------------------------------------------------------------------------------

    def checkpoint_of(self, lane: str, configured: str | None) -> Checkpoint | None:
        """Return where a lane works: as its settings say, else as the CRM assigns it."""
        assigned = configured
        if assigned is None and self.identity is not None:
            assigned = self.plan.assigned(self.identity.device_id, lane)
        return self.plan.checkpoints.get(assigned) if assigned else None

    def gather(self, offer: Offer) -> Gathered:
        """Gather what the decision on `offer` rests on."""
        checkpoint = self.checkpoint_of(offer.lane, offer.checkpoint)
        code = normalise(offer.code) if len(offer.code) <= MAX_CODE_CHARS else ""
        readable = is_readable(offer.code, code)
        lookup: bytes | None = None
        ticket: Ticket | None = None
        uses: tuple[Use, ...] = ()
        inside = 0
        if readable and self.identity is not None:
            lookup = lookup_of_normalised(self.identity.lookup_key, code)
            ticket = choose_ticket(self.whitelist.tickets(lookup), checkpoint, self.plan, offer.at)
        if ticket is not None:
            uses = self.uses(ticket.id, ticket.event)
            inside = self.inside(checkpoint) if checkpoint and checkpoint.capacity is not None else 0
        facts = Facts(
            readable=readable,
            direction=offer.direction,
            ticket=ticket,
            checkpoint=checkpoint,
            plan=self.plan,
            uses=uses,
            inside=inside,
            on_shift=frozenset(self.on_shift(offer.lane)),
            data_age_s=self.data_age_s(offer.at),
            clock=offer.clock,
            clock_skew_s=offer.clock_skew_s,
        )
        return Gathered(facts, code, lookup)

    def data_age_s(self, now: datetime) -> int | None:
        """Return the seconds since the CRM last confirmed the list; None: there has never been one."""
        synced_at = self.whitelist.synced_at
        return max(0, int((now - synced_at).total_seconds())) if synced_at else None

    def uses(self, ticket_id: str, event: str) -> tuple[Use, ...]:
        """Return a ticket's uses that stand, here and elsewhere, oldest first."""
        rows = self.journal.execute(
            "SELECT at, direction, checkpoint, scan_id FROM usage WHERE ticket_id = ? AND event = ?", (ticket_id, event)
        )
        local = [Use(instant_of(at), Direction(way), point, None, scan_id) for at, way, point, scan_id in rows]
        mine = {use.scan_id for use in local}
        remote = [use for use in self.whitelist.uses(ticket_id, event) if use.scan_id not in mine]
        return tuple(sorted(local + remote, key=lambda use: use.at)) if remote else tuple(local)

    def inside(self, checkpoint: Checkpoint) -> int:
        """Return how many guests are in the checkpoint's zone, by this device's count and the others'."""
        doors: Iterable[str] = (checkpoint.id,)
        if checkpoint.zone is not None:
            doors = (
                each.id
                for each in self.plan.checkpoints.values()
                if each.zone == checkpoint.zone and each.event == checkpoint.event
            )
        return max(0, sum(self._flow(door) + self.whitelist.flow(door) for door in doors))

    def _flow(self, checkpoint: str) -> int:
        """Return entries less exits that stand at a checkpoint, counted once and then kept up in memory."""
        if self._flows is None:
            rows = self.journal.execute(
                "SELECT checkpoint, sum(CASE direction WHEN 'entry' THEN 1 ELSE -1 END) FROM usage GROUP BY checkpoint"
            )
            self._flows = Counter(dict(rows.fetchall()))
        return self._flows[checkpoint]

    def _add_flow(self, scan: Scan, by: int) -> None:
        if self._flows is not None and scan.checkpoint is not None:
            self._flows[scan.checkpoint] += by if scan.direction == Direction.ENTRY else -by

    def repeat_of(self, facts: Facts, offer: Offer, repeat_s: float) -> Scan | None:
        """Return the admission or exit of which this read is but another frame, if it is one.

        The same code at the same lane and way within `repeat_s`, and the turnstile has not turned since.
        """
        last = next((use for use in reversed(facts.uses) if use.device is None), None)
        if last is None or last.direction is not offer.direction:
            return None
        if abs((offer.at - last.at).total_seconds()) >= repeat_s:
            return None
        scan = self.find(last.scan_id)
        if scan is None or scan.lane != offer.lane:
            return None
        return None if self.passage_of(scan.scan_id) is not None else scan

    # --- recording ----------------------------------------------------------------------------------------------

    def record(self, offer: Offer, gathered: Gathered, verdict: Verdict, *, passage: str | None) -> Scan:
        """Append the verdict on `offer` to the journal; an admission or exit counts from here."""
        facts, ticket = gathered.facts, verdict.ticket
        return self.append(
            scan_id=offer.scan_id,
            lane=offer.lane,
            checkpoint=facts.checkpoint.id if facts.checkpoint else None,
            controller=min(facts.on_shift, default=None),
            ticket_id=ticket.id if ticket else None,
            event=ticket.event if ticket else None,
            lookup=gathered.lookup,
            code=gathered.code if verdict.reason is Reason.UNKNOWN_TICKET else None,
            direction=offer.direction,
            verdict=verdict_word(verdict),
            reason=verdict.reason,
            at=offer.at,
            clock=offer.clock,
            passage=None if isinstance(verdict, Refused) else passage,
            note=", ".join(verdict.marks) or None,
            of=None,
            detail=verdict.detail,
        )

    def append(
        self,
        *,
        scan_id: str,
        lane: str,
        checkpoint: str | None,
        controller: str | None,
        ticket_id: str | None,
        event: str | None,
        lookup: bytes | None,
        code: str | None,
        direction: str,
        verdict: str,
        reason: str,
        at: datetime,
        clock: str,
        passage: str | None,
        note: str | None,
        of: str | None,
        detail: Detail,
    ) -> Scan:
        """Append one row and, for an admission or exit of a known ticket, the use that it is."""
        seq, prev = self.head[0] + 1, self.head[1]
        scan = Scan(
            seq=seq,
            scan_id=scan_id,
            prev=prev,
            hash=b"",
            lane=lane,
            checkpoint=checkpoint,
            controller=controller,
            ticket_id=ticket_id,
            event=event,
            lookup=lookup,
            code=code,
            direction=str(direction),
            verdict=verdict,
            reason=str(reason),
            at=instant_text(at),
            clock=str(clock),
            passage=passage,
            note=note,
            of=of,
            detail=_COMPACT.encode(detail) if detail else "{}",
        )
        scan = scan._replace(hash=chain_hash(prev, scan.wire()))
        self.journal.execute(INSERT_SCAN, scan)
        if verdict != "refused":
            count_use(self.journal, scan)
            self._add_flow(scan, 1)
        self._head = (seq, scan.hash)
        return scan

    def find(self, scan_id: str) -> Scan | None:
        """Return the journal's row of that id, if it is there."""
        row = self.journal.execute(f"{SELECT_SCAN} WHERE scan_id = ?", (scan_id,)).fetchone()
        return scan_of(row) if row else None

    def override_of(self, refused: Scan) -> Scan | None:
        """Return the last override that admits after `refused`, if there is one; it can only be later."""
        row = self.journal.execute(
            f"{SELECT_SCAN} WHERE seq > ? AND of = ? AND reason = ? ORDER BY seq DESC LIMIT 1",
            (refused.seq, refused.scan_id, str(Reason.OVERRIDE)),
        ).fetchone()
        return scan_of(row) if row else None

    def passage_of(self, scan_id: str) -> str | None:
        """Return what the turnstile saw after the scan was recorded; None: it has not said."""
        row = self.journal.execute("SELECT passage FROM passage WHERE scan_id = ?", (scan_id,)).fetchone()
        return str(row[0]) if row else None

    def passed(self, scan_id: str, at: datetime) -> None:
        """Note that the turnstile turned after this scan."""
        self.journal.execute("INSERT OR IGNORE INTO passage VALUES (?, 'passed', ?)", (scan_id, instant_text(at)))

    def release(self, scan_id: str, new_scan_id: str, at: datetime, clock: ClockTrust) -> Scan:
        """Take back an admission that nobody passed on: the ticket can be used again.

        Raises:
            StoreRefusal: no such admission, or already settled.
        """
        scan = self.find(scan_id)
        if scan is None or scan.verdict == "refused":
            raise StoreRefusal(f"{scan_id}: no admission of that id in the journal")
        if self.passage_of(scan_id) is not None:
            raise StoreRefusal(f"{scan_id}: its passage is already settled")
        self.journal.execute("INSERT INTO passage VALUES (?, 'not_passed', ?)", (scan_id, instant_text(at)))
        self.journal.execute("DELETE FROM usage WHERE ticket_id = ? AND scan_id = ?", (scan.ticket_id or "", scan_id))
        self._add_flow(scan, -1)
        return self.append(
            scan_id=new_scan_id,
            lane=scan.lane,
            checkpoint=scan.checkpoint,
            controller=scan.controller,
            ticket_id=scan.ticket_id,
            event=scan.event,
            lookup=scan.lookup,
            code=None,
            direction=scan.direction,
            verdict="refused",
            reason=Reason.NOT_PASSED,
            at=at,
            clock=clock,
            passage="not_passed",
            note=None,
            of=scan_id,
            detail={},
        )

    def stands_open(self, lane: str) -> bool:
        """Tell whether the last that was written down of emergencies at a lane, not long ago, is that one began."""
        row = self.journal.execute(
            "SELECT reason FROM scan WHERE seq > ? AND lane = ? AND reason IN (?, ?) ORDER BY seq DESC LIMIT 1",
            (self.head[0] - _NOT_LONG_AGO, lane, str(Reason.EMERGENCY_OPEN), str(Reason.EMERGENCY_OVER)),
        ).fetchone()
        return row is not None and row[0] == Reason.EMERGENCY_OPEN

    def note_event(
        self,
        scan_id: str,
        lane: str,
        configured: str | None,
        direction: Direction,
        reason: Reason,
        at: datetime,
        clock: ClockTrust,
    ) -> Scan:
        """Write down what happened at a lane without a read; it stands in the chain among the scans."""
        checkpoint = self.checkpoint_of(lane, configured)
        return self.append(
            scan_id=scan_id,
            lane=lane,
            checkpoint=checkpoint.id if checkpoint else None,
            controller=min(self.on_shift(lane), default=None),
            ticket_id=None,
            event=None,
            lookup=None,
            code=None,
            direction=direction,
            verdict="refused",
            reason=reason,
            at=at,
            clock=clock,
            passage=None,
            note=None,
            of=None,
            detail={},
        )

    # --- shifts -------------------------------------------------------------------------------------------------

    def on_shift(self, lane: str) -> list[str]:
        """Return the ids of the controllers signed in at a lane."""
        if lane not in self._shifts:
            rows = self.journal.execute("SELECT controller FROM shift WHERE lane = ? AND closed_at IS NULL", (lane,))
            self._shifts[lane] = [row[0] for row in rows]
        return self._shifts[lane]

    def open_shift(self, lane: str, controller: str, at: datetime) -> None:
        """Sign a controller in at a lane, which relieves whoever was there; again is no change."""
        if controller in self.on_shift(lane):
            return
        self.close_shift(lane, at)
        self.journal.execute(
            "INSERT INTO shift (lane, controller, opened_at) VALUES (?, ?, ?)", (lane, controller, instant_text(at))
        )
        self._shifts.pop(lane, None)

    def close_shift(self, lane: str, at: datetime) -> None:
        """Sign out whoever is signed in at a lane."""
        self.journal.execute(
            "UPDATE shift SET closed_at = ? WHERE lane = ? AND closed_at IS NULL", (instant_text(at), lane)
        )
        self._shifts.pop(lane, None)


def count_use(journal: sqlite3.Connection, scan: Scan) -> None:
    """Let an admission or exit count against its ticket's policy and its zone."""
    at_us = microseconds(datetime.fromisoformat(scan.at))
    journal.execute(
        "INSERT OR IGNORE INTO usage VALUES (?, ?, ?, ?, ?, ?, ?)",
        (scan.ticket_id or "", scan.event or "", at_us, scan.scan_id, scan.direction, scan.checkpoint, scan.lane),
    )


def verdict_word(verdict: Verdict) -> str:
    """Return the verdict as the wire names it."""
    match verdict:
        case Admitted():
            return "admitted"
        case Exited():
            return "exited"
        case Refused():
            return "refused"


def _head_of(journal: sqlite3.Connection) -> tuple[int, bytes]:
    """Read the end of the chain; archived rows, and rows lost to damage, still count."""
    row = journal.execute("SELECT seq, hash FROM scan ORDER BY seq DESC LIMIT 1").fetchone()
    if row is None:
        row = journal.execute("SELECT last_seq, last_hash FROM archive ORDER BY last_seq DESC LIMIT 1").fetchone()
    lost = journal.execute("SELECT coalesce(max(last_seq), 0) FROM lost").fetchone()[0]
    if row is None or lost > row[0]:
        return lost, FIRST_PREV if row is None else row[1]
    return row[0], row[1]
