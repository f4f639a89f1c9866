"""The admission decision: facts in, a verdict out.

`decide` is pure and total. Being offline changes the facts passed in, not the path. The first rule that applies wins,
in the order of `RULES`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from edge.core.hours import is_open, local_day, next_opening
from edge.core.model import (
    Checkpoint,
    ClockTrust,
    Direction,
    EntryPolicy,
    Event,
    EventStatus,
    OnDoubt,
    Per,
    Plan,
    Reentry,
    Ticket,
    TicketState,
    TicketType,
    Use,
)

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)

Detail = Mapping[str, str | int | list[str] | None]
"""What a refusal shows beside its reason; JSON values only, instants as ISO 8601 UTC with `Z`."""


class Reason(StrEnum):
    """Why a verdict is what it is; a verdict has exactly one."""

    UNREADABLE = "unreadable"
    UNKNOWN_TICKET = "unknown_ticket"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    REVOKED = "revoked"
    UNPAID = "unpaid"
    EVENT_NOT_OPEN = "event_not_open"
    WRONG_EVENT = "wrong_event"
    WRONG_CHECKPOINT = "wrong_checkpoint"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    CHECKPOINT_CLOSED = "checkpoint_closed"
    NO_CONTROLLER = "no_controller"
    ALREADY_USED = "already_used"
    PASSBACK = "passback"
    TOO_SOON = "too_soon"
    ZONE_FULL = "zone_full"
    DATA_STALE = "data_stale"
    CLOCK_UNTRUSTED = "clock_untrusted"
    ADMITTED = "admitted"
    EXITED = "exited"
    OVERRIDE = "override"
    NOT_PASSED = "not_passed"
    """The turnstile did not turn after an admission, which is thereby released; never the answer to a read."""
    EMERGENCY_OPEN = "emergency_open"
    """The fire contact, or another emergency, opened the lane; never the answer to a read."""
    EMERGENCY_OVER = "emergency_over"
    """It no longer holds the lane open; never the answer to a read."""


NOT_A_VERDICT = frozenset({Reason.NOT_PASSED, Reason.EMERGENCY_OPEN, Reason.EMERGENCY_OVER})
"""What the journal tells of a lane beside its verdicts: no read is answered with these, and they refuse nobody."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Let in. `marks` are the doubts that the checkpoint's policy lets pass: `data_stale`, `clock_untrusted`."""

    ticket: Ticket | None
    reason: Reason = Reason.ADMITTED
    marks: tuple[Reason, ...] = ()
    detail: Detail = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exited:
    """Let out."""

    ticket: Ticket
    reason: Reason = Reason.EXITED
    marks: tuple[Reason, ...] = ()
    detail: Detail = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """Turned away, with the fact that matters in `detail`."""

    reason: Reason
    detail: Detail = field(default_factory=dict)
    ticket: Ticket | None = None
    marks: tuple[Reason, ...] = ()


Verdict = Admitted | Exited | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a decision rests on.

    `ticket` is the row chosen by `choose_ticket`; `uses` are all of that ticket's at its event, oldest first, made at
    any device; `inside` is the number of guests in the checkpoint's zone.
    `data_age_s` None: this gate has never had a ticket list.
    """

    readable: bool = True
    direction: Direction = Direction.ENTRY
    ticket: Ticket | None = None
    checkpoint: Checkpoint | None = None
    plan: Plan = field(default_factory=Plan)
    uses: tuple[Use, ...] = ()
    inside: int = 0
    on_shift: frozenset[str] = frozenset()
    data_age_s: int | None = 0
    clock: ClockTrust = ClockTrust.TRUSTED
    clock_skew_s: int | None = None

    @property
    def event(self) -> Event | None:
        """The checkpoint's event."""
        return self.plan.events.get(self.checkpoint.event) if self.checkpoint else None

    @property
    def ticket_type(self) -> TicketType | None:
        """The ticket's type."""
        return self.plan.ticket_types.get(self.ticket.type) if self.ticket else None


def choose_ticket(tickets: Iterable[Ticket], checkpoint: Checkpoint | None, plan: Plan, now: datetime) -> Ticket | None:
    """Of the tickets that one code stands for, take the one for this checkpoint's event.

    Where there is none, take the one to speak of: a valid one first, then the one whose event is nearest in time.
    """

    found = list(tickets)
    if len(found) < 2:
        return found[0] if found else None

    def distance(ticket: Ticket) -> tuple[bool, bool, timedelta, str]:
        event = plan.events.get(ticket.event)
        away = abs(event.starts_at - now) if event else timedelta.max
        elsewhere = checkpoint is None or ticket.event != checkpoint.event
        return elsewhere, ticket.state != TicketState.VALID, away, ticket.event

    return min(found, key=distance)


def decide(facts: Facts, now: datetime) -> Verdict:
    """Judge one read at `now`, aware UTC; the first rule that applies wins."""
    if not facts.readable:
        return Refused(Reason.UNREADABLE)
    ticket = facts.ticket
    if ticket is None:
        return Refused(Reason.UNKNOWN_TICKET, {"data_age_s": facts.data_age_s})
    marks = _doubts(facts, OnDoubt.ADMIT)
    for rule in RULES:
        if refusal := rule(facts, ticket, now):
            return Refused(refusal.reason, refusal.detail, ticket, marks)
    if facts.direction is Direction.EXIT:
        return Exited(ticket, marks=marks)
    return Admitted(ticket, marks=marks)


def _ticket_state(_facts: Facts, ticket: Ticket, _now: datetime) -> Refused | None:
    return None if ticket.state is TicketState.VALID else Refused(Reason(ticket.state.value))


def _event_open(facts: Facts, _ticket: Ticket, _now: datetime) -> Refused | None:
    if facts.checkpoint is None or (facts.event and facts.event.status is EventStatus.CONFIRMED):
        return None
    status = facts.event.status.value if facts.event else "unknown"
    return Refused(Reason.EVENT_NOT_OPEN, {"status": status, **_event_detail(facts.event)})


def _right_event(facts: Facts, ticket: Ticket, _now: datetime) -> Refused | None:
    if facts.checkpoint is None or ticket.event == facts.checkpoint.event:
        return None
    theirs = facts.plan.events.get(ticket.event)
    return Refused(Reason.WRONG_EVENT, _event_detail(theirs) or {"event": ticket.event})


def _right_checkpoint(facts: Facts, ticket: Ticket, _now: datetime) -> Refused | None:
    here = facts.checkpoint
    if here is not None and _admits(here, ticket, facts.direction):
        return None
    elsewhere = sorted(
        each.name
        for each in facts.plan.checkpoints.values()
        if each.event == ticket.event and _admits(each, ticket, facts.direction)
    )
    return Refused(Reason.WRONG_CHECKPOINT, {"checkpoints": elsewhere, "unassigned": int(here is None)})


def _admits(checkpoint: Checkpoint, ticket: Ticket, direction: Direction) -> bool:
    types = checkpoint.ticket_types
    return checkpoint.direction.allows(direction) and (types is None or ticket.type in types)


def _ticket_window(facts: Facts, ticket: Ticket, now: datetime) -> Refused | None:
    if facts.direction is Direction.EXIT:
        return None
    if ticket.valid_from is not None and now < ticket.valid_from:
        return Refused(Reason.NOT_YET_VALID, {"valid_from": instant_text(ticket.valid_from)})
    if ticket.valid_until is not None and now >= ticket.valid_until:
        return Refused(Reason.EXPIRED, {"valid_until": instant_text(ticket.valid_until)})
    return None


def _checkpoint_open(facts: Facts, _ticket: Ticket, now: datetime) -> Refused | None:
    here = facts.checkpoint
    if here is None or facts.direction is Direction.EXIT or is_open(here.hours, now):
        return None
    opens_at = next_opening(here.hours or (), now)
    return Refused(Reason.CHECKPOINT_CLOSED, {"opens_at": instant_text(opens_at) if opens_at else None})


def _controller_on_shift(facts: Facts, _ticket: Ticket, _now: datetime) -> Refused | None:
    here = facts.checkpoint
    if here is None or not here.requires_controller:
        return None
    if any(here.controllers is None or each in here.controllers for each in facts.on_shift):
        return None
    people = facts.plan.controllers
    assigned = people.keys() if here.controllers is None else here.controllers
    names = sorted(people[each].name for each in assigned if each in people)
    return Refused(Reason.NO_CONTROLLER, {"controllers": names})


def _entry_policy(facts: Facts, _ticket: Ticket, now: datetime) -> Refused | None:
    if facts.direction is Direction.EXIT:
        return None
    # A type that the CRM has not described admits once: the strictest reading of what was sold.
    policy = facts.ticket_type.entry_policy if facts.ticket_type else EntryPolicy()
    counted = facts.uses
    if policy.per is Per.DAY and facts.event:
        today = local_day(now, facts.event.zone)
        counted = tuple(use for use in facts.uses if today.opens_at <= use.at < today.closes_at)
    if refusal := over_limit(counted, policy.entries, policy.reentry):
        return _used(refusal, facts, counted)
    last_entry = max((use.at for use in facts.uses if use.direction is Direction.ENTRY), default=None)
    cooldown = timedelta(seconds=policy.cooldown_s)
    if cooldown and last_entry is not None and now - last_entry < cooldown:
        # Bounded, because another device may have sent a time at the end of the calendar.
        again_at = last_entry + min(cooldown, _END_OF_TIME - last_entry)
        return _used(Reason.TOO_SOON, facts, facts.uses, {"again_at": instant_text(again_at)})
    return None


def over_limit(uses: Iterable[Use], entries: int | None, reentry: Reentry) -> Reason | None:
    """Tell why a further entry after `uses` (one period's, oldest first) would break the policy, if it would."""
    entered = inside = 0
    for use in uses:
        if use.direction is Direction.ENTRY:
            entered, inside = entered + 1, inside + 1
        else:
            # An exit of someone not seen to enter opens no credit: exits must not add up to further entries.
            inside = max(0, inside - 1)
    match reentry:
        case Reentry.NEVER:
            return Reason.ALREADY_USED if entries is not None and entered >= entries else None
        case Reentry.AFTER_EXIT:
            if entries == 0:
                return Reason.ALREADY_USED
            return Reason.PASSBACK if inside >= (1 if entries is None else entries) else None
        case Reentry.ALWAYS:
            return Reason.ALREADY_USED if entries == 0 else None


def _used(reason: Reason, facts: Facts, uses: tuple[Use, ...], more: Detail | None = None) -> Refused:
    """Refuse with the first use: when, where, by which device."""
    first = next((use for use in uses if use.direction is Direction.ENTRY), uses[0] if uses else None)
    if first is None:
        return Refused(reason, more or {})
    where = facts.plan.checkpoints.get(first.checkpoint) if first.checkpoint else None
    detail = {
        "first_at": instant_text(first.at),
        "first_checkpoint": where.name if where else first.checkpoint,
        "first_device": first.device,
        "uses": len(uses),
    }
    return Refused(reason, {**detail, **(more or {})})


def _zone_room(facts: Facts, _ticket: Ticket, _now: datetime) -> Refused | None:
    here = facts.checkpoint
    if here is None or facts.direction is Direction.EXIT or here.capacity is None or facts.inside < here.capacity:
        return None
    return Refused(Reason.ZONE_FULL, {"inside": facts.inside, "capacity": here.capacity, "zone": here.zone})


def _beyond_doubt(facts: Facts, _ticket: Ticket, _now: datetime) -> Refused | None:
    for doubt in _doubts(facts, OnDoubt.REFUSE):
        detail = (
            {"data_age_s": facts.data_age_s}
            if doubt is Reason.DATA_STALE
            else {"clock": facts.clock.value, "skew_s": facts.clock_skew_s}
        )
        return Refused(doubt, detail)
    return None


def _doubts(facts: Facts, policy: OnDoubt) -> tuple[Reason, ...]:
    """Return the doubts that exist and for which the checkpoint's policy is `policy`."""
    if facts.checkpoint is None:
        return ()
    policies = facts.checkpoint.policies
    limit = policies.stale_after_s
    stale = limit is not None and (facts.data_age_s is None or facts.data_age_s > limit)
    found = []
    if stale and policies.on_stale is policy:
        found.append(Reason.DATA_STALE)
    if facts.clock is not ClockTrust.TRUSTED and policies.on_clock is policy:
        found.append(Reason.CLOCK_UNTRUSTED)
    return tuple(found)


def _event_detail(event: Event | None) -> Detail:
    if event is None:
        return {}
    return {"event": event.name, "event_at": instant_text(event.starts_at), "event_tz": event.tz}


def instant_text(instant: datetime) -> str:
    """Write an instant as the wire does: ISO 8601 UTC with `Z`."""
    return instant.isoformat().replace("+00:00", "Z")


RULES: tuple[Callable[[Facts, Ticket, datetime], Refused | None], ...] = (
    _ticket_state,
    _event_open,
    _right_event,
    _right_checkpoint,
    _ticket_window,
    _checkpoint_open,
    _controller_on_shift,
    _entry_policy,
    _zone_room,
    _beyond_doubt,
)
