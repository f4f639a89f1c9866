"""What happens inside the transaction: decide, record, admit after all. Everything here runs in the decision thread."""

from dataclasses import dataclass
from datetime import datetime

from edge.core.admission import NOT_A_VERDICT, Reason, decide
from edge.core.barcodes import lookup_text
from edge.core.model import Checkpoint, Controller, Event, Plan, Ticket, TicketType
from edge.store.records import Scan
from edge.store.tx import Offer, StoreRefusal, Tx


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
class Misread:
    """A code that may have been misread, and that nobody knows: nothing was recorded."""


def judge(tx: Tx, offer: Offer, repeat_s: float, passage: str) -> Judged | Controller | Misread:
    """Decide on an offer and record it, unless it is a controller's badge or has to be read again.

    Runs in the decision thread.
    """
    if offer.named and (known := tx.find(offer.scan_id)):
        return shown_again(tx, known)
    gathered = tx.gather(offer)
    facts = gathered.facts
    if facts.ticket is None and (controller := badge_of(tx.plan, gathered.lookup)):
        return controller
    if facts.ticket is None and facts.readable and offer.doubtful:
        return Misread()
    if repeat_s and (earlier := tx.repeat_of(facts, offer, repeat_s)):
        return shown_again(tx, earlier)
    verdict = decide(facts, offer.at)
    scan = tx.record(offer, gathered, verdict, passage=passage)
    return Judged(scan, verdict.ticket, facts.ticket_type, facts.event, facts.checkpoint)


def badge_of(plan: Plan, lookup: bytes | None) -> Controller | None:
    """Return the controller whose badge has this lookup."""
    text = lookup_text(lookup) if lookup else None
    return next((each for each in plan.controllers.values() if each.badge == text), None) if text else None


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
    if refused.verdict != "refused" or refused.reason in {Reason.UNREADABLE, *NOT_A_VERDICT}:
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
