"""Everything: the answer to `GET /changes` without a cursor."""

import httpx

from crm.conformance.checks import Check, may, must
from crm.conformance.errors import Broken, Skipped
from crm.conformance.lines import Aspect
from crm.conformance.subject import Subject
from edge.core.barcodes import lookup_of, lookup_text
from sync.wire import NDJSON

_FEED = "The change feed"
_KINDS = "Kinds of lines"


@must("snapshot-answer", _FEED, "GET /changes without `since` is answered with 200 and lines.")
async def answer(subject: Subject) -> str | None:
    """Read everything; what follows looks at what came."""
    reading = await subject.need_me().everything()
    if reading.status != httpx.codes.OK:
        raise Broken(f"{reading.status}", "answer 200 and stream the lines; the token is the one of the enrolment")
    if not reading.lines:
        raise Broken("200 and no line", 'send `reset`, what there is, and a cursor line with "more": false')
    subject.snapshot = reading
    return reading.said()


@must("snapshot-content-type", _FEED, "Its content type is application/x-ndjson.")
async def content_type(subject: Subject) -> str | None:
    """Look at the header."""
    if (found := subject.need_snapshot().content_type) != NDJSON:
        raise Broken(found or "no content type", f"send Content-Type: {NDJSON}; a gate takes others for a login page")
    return None


@must("snapshot-line-feed", "Basics", "Each line ends in a line feed, the last one too.")
async def line_feed(subject: Subject) -> str | None:
    """Look at the end of the answer."""
    if not subject.need_snapshot().ended:
        raise Broken("no line feed at the end", "write a line feed after every line: without, it is taken for cut")
    return None


@must("snapshot-reset-first", _FEED, "The first line is `reset`.")
async def reset_first(subject: Subject) -> str | None:
    """Look at the first line."""
    if (first := subject.need_snapshot().first) != "reset":
        raise Broken(f"the first line is {first}", 'send {"kind":"reset"} first, so that nothing old stays on the gate')
    return None


@must("snapshot-cursor-last", _FEED, 'The last line is a cursor with "more": false.')
async def cursor_last(subject: Subject) -> str | None:
    """Look at the last line."""
    last = subject.need_snapshot().last
    if last["kind"] != "cursor":
        mend = "close the answer with a cursor line: what follows the last one is dropped"
        raise Broken(f"the last line is {last['kind']}", mend)
    if last.get("more", False):
        raise Broken('the last cursor says "more": true', 'say "more": false where nothing follows in this answer')
    return None


def of_aspect(aspect: Aspect, mend: str) -> Check:
    """Make the check of one aspect of the snapshot's lines."""
    wants = _WANTS[aspect]
    level = may if aspect is Aspect.WORDS else must

    async def work(subject: Subject) -> str | None:
        reading = subject.need_snapshot()
        if found := reading.complaints.get(aspect):
            raise Broken(str(found), mend)
        if aspect in {Aspect.ROWS, Aspect.COUNT, Aspect.FINGERPRINT}:
            subject.need_tickets()
        if aspect in {Aspect.COUNT, Aspect.FINGERPRINT} and not reading.vouched[aspect]:
            raise Skipped("left out of the cursor lines: nothing to compare")
        if aspect is Aspect.FIELDS and (unseen := _COMMON - reading.kinds.keys()):
            return f"not seen, so not checked: {', '.join(sorted(unseen))}"
        return None

    return level(f"snapshot-{aspect}", "Fingerprint" if aspect is Aspect.FINGERPRINT else _KINDS, wants)(work)


_COMMON = {"event", "ticket_type", "checkpoint", "controller", "assignment", "tickets", "admissions", "cursor"}
_WANTS = {
    Aspect.LINES: "Each line is one JSON object that names its kind.",
    Aspect.FIELDS: "Each field has the type and the range of its kind.",
    Aspect.ROWS: "A line has at most 1,000 rows of tickets, and 4 MiB.",
    Aspect.INSTANTS: "Instants are written as 2026-05-01T18:00:00Z, with up to six decimals.",
    Aspect.COUNT: "A cursor line's `tickets` is the number of rows sent so far, each lookup of an event once.",
    Aspect.FINGERPRINT: "A cursor line's `fingerprint` is that of the rows sent so far.",
    Aspect.WORDS: "Kinds, fields and columns are those of the contract: gates skip all others.",
}


@may("snapshot-lookup-once", _KINDS, "Within an event a lookup stands for one ticket: a later row replaces it.")
async def lookup_once(subject: Subject) -> str | None:
    """Look for lookups with two ids."""
    if replaced := subject.need_tickets().held.replaced:
        mend = (
            "give a code to one ticket of an event only: guests of the others are refused, or admitted on its account"
        )
        raise Broken("; ".join(replaced), mend)
    return None


@may("snapshot-references", _KINDS, "What lines name is sent: events, ticket types, checkpoints, controllers.")
async def references(subject: Subject) -> str | None:
    """Look for names of what is not there."""
    subject.need_snapshot()
    held = subject.need_me().held
    if held.holes:
        raise Skipped("lines of the feed cannot be read: see snapshot-lines and snapshot-fields")
    if not held.things and not held.tickets:
        raise Skipped("nothing is on the list: put an event with tickets there")
    if dangling := list(held.dangling()):
        more = f"; {len(dangling)} in all" if len(dangling) > 3 else ""
        mend = "send a line for each: the gate admits nobody to an unknown event, and a ticket of unknown type once"
        raise Broken("; ".join(dangling[:3]) + more, mend)
    return None


@must("lookup-of-code", "Codes and lookups", "A ticket is found by the lookup of its code.")
async def of_code(subject: Subject) -> str | None:
    """Look for the ticket whose code the maker has given."""
    code = subject.options.known_code
    if code is None:
        raise Skipped("give the code of a ticket on the list with --known-code")
    me = subject.need_tickets()
    if me.box.lookup_key is None:
        raise Skipped("there is no lookup key: see enrol-key")
    lookup = lookup_text(lookup_of(me.box.lookup_key, code))
    if not any(lookup == of for _, of in me.held.tickets):
        mend = "compute lookups as docs/gate-api.md says and try its vectors; is the ticket on this device's list?"
        raise Broken(f"no ticket has the lookup {lookup}", mend)
    return None


CHECKS = (
    answer,
    content_type,
    line_feed,
    of_aspect(Aspect.LINES, "write one JSON object a line, in UTF-8, with `kind`"),
    of_aspect(Aspect.FIELDS, "see the kind's table in docs/gate-api.md: the gate stops at such a line"),
    of_aspect(Aspect.ROWS, "begin a new line after 1,000 rows"),
    of_aspect(Aspect.INSTANTS, "write instants in UTC with Z, and keep that text: fingerprints are taken over it"),
    reset_first,
    cursor_last,
    of_aspect(Aspect.COUNT, "count the rows that a gate then holds, or leave `tickets` out: else it throws them away"),
    of_aspect(Aspect.FINGERPRINT, "take the sum over the very texts that are sent; try the vectors of the contract"),
    of_aspect(Aspect.WORDS, "mend the spelling, or let it be where the CRM knows more than version 1"),
    lookup_once,
    references,
    of_code,
)
