"""Admissions: told to the other devices once, and taken back. Only where the maker allows one."""

from typing import Any

from crm.conformance.checks import may, must
from crm.conformance.errors import Broken, Skipped
from crm.conformance.gate import Gate
from crm.conformance.subject import Admission, Subject
from crm.conformance.topics.sending import post, taken
from sync.wire import ScansAnswer

_SCANS = "Scans"
_FEED = "Kinds of lines"
_TRIES = 3
_COPIED = ("checkpoint", "ticket_id", "lookup", "direction")


@must("admission-acked", _SCANS, "An admission is taken; sent again it is acknowledged, and no conflict.")
async def acked(subject: Subject) -> str | None:
    """Admit one ticket, and send the scan twice."""
    row = _admission(subject)
    if subject.other:
        await subject.other.everything()
    subject.admission = Admission(row)
    first = await taken(subject, [row], "store it")
    answer = await post(subject, [row])
    answer.want_ok()
    if (second := answer.read(ScansAnswer)) != first:
        both = f"{second.model_dump_json()} after {first.model_dump_json()}"
        raise Broken(both[:300], "drop a scan_id that you have: counted twice it is a conflict that never was")
    return f"ticket {row['ticket_id']}"


@must("admission-told", _FEED, "The other devices hear of an admission.")
async def told(subject: Subject) -> str | None:
    """Look for it in the feed of the second device."""
    made, other = _made(subject), subject.need_other()
    for _ in range(_TRIES):
        await other.catch_up(subject.options.wait_s)
        if made.row["scan_id"] in other.held.admissions:
            made.told = True
            return None
    raise Broken("not in the other device's feed", "send a line `admissions` to all devices but the one that made it")


@must("admission-once", _FEED, "An admission that was sent twice is told once.")
async def once(subject: Subject) -> str | None:
    """Count what the second device has heard of that ticket, at that time, from that device."""
    row, other = _told(subject).row, subject.need_other()
    ticket, at, mine = row["ticket_id"], row["at"], subject.need_me().box.device_id
    found = [each[0] for each in other.held.admissions.values() if (each[1], each[4], each[5]) == (ticket, at, mine)]
    if len(found) > 1:
        mend = "know a scan by its scan_id: gates send at least once, and may send twice"
        raise Broken(f"{len(found)} admissions of one scan: {', '.join(found)}", mend)
    return None


@must("admission-in-snapshot", _FEED, "Everything includes the admissions of the other devices that stand.")
async def in_snapshot(subject: Subject) -> str | None:
    """Let the second device ask for everything."""
    made = _made(subject)
    if made.row["scan_id"] not in (await _anew(subject)).held.admissions:
        mend = "send them after `reset`, too: a gate that was replaced would admit the same tickets again"
        raise Broken("not in the other device's snapshot", mend)
    made.listed = True
    return None


@may("admission-not-own", _FEED, "A device is not told of its own admissions.")
async def not_own(subject: Subject) -> str | None:
    """Look for it in the device's own feed."""
    made, me = _made(subject), subject.need_me()
    await me.catch_up()
    if made.row["scan_id"] in me.held.admissions:
        raise Broken("in the feed of the device that made it", "leave its own out: the gate has them")
    return None


@must("release-acked", _SCANS, "A `not_passed` row that takes an admission back is taken.")
async def release_acked(subject: Subject) -> str | None:
    """Take the admission back."""
    made = _made(subject)
    copied = {name: made.row[name] for name in _COPIED}
    row = subject.need_journal().row(**copied, reason="not_passed", passage="not_passed", of=made.row["scan_id"])
    await taken(subject, [row], "store it, and let the admission that `of` names count no more")
    made.released = True
    return None


@must("release-told", _FEED, "The other devices hear that an admission was taken back.")
async def release_told(subject: Subject) -> str | None:
    """Look for the delete in the feed of the second device."""
    made, other = _released(_told(subject)), subject.need_other()
    for _ in range(_TRIES):
        await other.catch_up(subject.options.wait_s)
        if made.row["scan_id"] not in other.held.admissions:
            return None
    raise Broken("it still stands in the other device's feed", "send a `delete` of `admissions` with that scan_id")


@must("release-in-snapshot", _FEED, "Everything leaves out the admissions that were taken back.")
async def release_in_snapshot(subject: Subject) -> str | None:
    """Let the second device ask for everything."""
    made = _released(_made(subject))
    subject.need_other()
    if not made.listed:
        raise Skipped("it was not in a snapshot before: see admission-in-snapshot")
    if made.row["scan_id"] in (await _anew(subject)).held.admissions:
        raise Broken("still in the other device's snapshot", "forget an admission that a `not_passed` row names")
    return None


CHECKS = (acked, told, once, in_snapshot, not_own, release_acked, release_told, release_in_snapshot)


def _admission(subject: Subject) -> dict[str, Any]:
    """Make the row of an admission of the ticket that may be used."""
    journal = subject.need_journal()
    if not subject.options.admit:
        raise Skipped("admits a ticket and takes it back: allow that with --admit")
    held, wanted = subject.need_tickets().held, subject.options.ticket
    fit = [key for key, each in held.tickets.items() if (each.id == wanted if wanted else each.state == "valid")]
    if not fit:
        raise Skipped(f"no ticket {wanted} is on the list" if wanted else "no valid ticket is on the list")
    event, lookup = min(fit)
    points = [thing for (kind, _), thing in sorted(held.things.items()) if kind == "checkpoint"]
    fitting = [each["id"] for each in points if each["event"] == event and each.get("direction", "both") != "exit"]
    return journal.row(
        checkpoint=fitting[0] if fitting else None,
        ticket_id=held.tickets[event, lookup].id,
        lookup=lookup,
        verdict="admitted",
        reason="admitted",
        passage="unknown",
    )


def _made(subject: Subject) -> Admission:
    if subject.admission is None:
        raise Skipped("nothing was admitted: see admission-acked")
    return subject.admission


def _told(subject: Subject) -> Admission:
    made = _made(subject)
    subject.need_other()
    if not made.told:
        raise Skipped("the other device has not heard of it: see admission-told")
    return made


def _released(made: Admission) -> Admission:
    if not made.released:
        raise Skipped("nothing was taken back: see release-acked")
    return made


async def _anew(subject: Subject) -> Gate:
    gate = subject.follow(subject.need_other().box)
    await gate.everything()
    return gate
