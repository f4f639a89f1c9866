"""Fingerprints and tickets by prefix: optional, and if offered, right."""

import httpx

from crm.conformance.checks import must
from crm.conformance.client import bearer
from crm.conformance.errors import Broken, Skipped
from crm.conformance.gate import Gate
from crm.conformance.held import HeldList
from crm.conformance.lines import Aspect
from crm.conformance.reading import Reading, read_feed
from crm.conformance.subject import Subject
from edge.core.barcodes import LOOKUP_BYTES, parse_lookup
from edge.core.fingerprint import Fingerprint
from sync.wire import FingerprintModel, FingerprintsAnswer

_SECTION = "Fingerprints by prefix"
_DIGITS = "0123456789abcdef"
_TRIES = 3
_LIES = "compute it of the lookup's 16 bytes in hex; a gate heals by it and would take away rows that are right"


@must("fingerprints-whole", _SECTION, "If offered: without a prefix, count and fingerprint are of the whole list.")
async def whole(subject: Subject) -> str | None:
    """Ask for the sums of everything."""
    await _agree(subject, "")
    return None


@must("fingerprints-children", _SECTION, "If offered: sixteen children, `0` to `f`, come to the whole of their range.")
async def children(subject: Subject) -> str | None:
    """Add the parts up, at the top and one digit further."""
    me = subject.need_tickets()
    for prefix in ("", _sample(me)[:1]):
        answer = await _sums(subject, prefix)
        if sorted(answer.children) != list(_DIGITS):
            raise Broken(f"prefix {prefix!r}: children {''.join(sorted(answer.children))}", "send all sixteen")
        total = Fingerprint.of_parts([_parsed(part) for part in answer.children.values()])
        if total != _parsed(answer):
            raise Broken(f"prefix {prefix!r}: the children come to {total.count} tickets, {total.hex()}", _LIES)
    return None


@must("fingerprints-rows", _SECTION, "If offered: any prefix up to 32 digits, in either case, tells of its rows.")
async def rows(subject: Subject) -> str | None:
    """Ask for ranges down to one lookup, and for one without tickets."""
    me = subject.need_tickets()
    sample = _sample(me)
    for prefix in (sample[:1], sample[:2], sample, sample.upper(), _absent(me)):
        await _agree(subject, prefix)
    if (await _sums(subject, sample)).children:
        raise Broken("a prefix of 32 digits has children", "send none: there is no next digit")
    return None


@must("tickets-range", _SECTION, "If offered: `tickets` lines with the rows of the range, then one cursor line.")
async def tickets_range(subject: Subject) -> str | None:
    """Ask for a range with tickets and for one without."""
    me = subject.need_tickets()
    for prefix in (_sample(me)[:2], _absent(me)):
        reading = await _same_rows(subject, prefix)
        if set(reading.kinds) - {"tickets", "cursor"} or reading.kinds["cursor"] != 1:
            raise Broken(f"prefix {prefix}: {reading.said()}", "send `tickets` lines and one cursor line")
        if (last := reading.last["kind"]) != "cursor":
            raise Broken(f"prefix {prefix}: the last line is {last}", "close the range with the present cursor")
    return None


@must("tickets-range-cursor", _SECTION, "If offered: its cursor is the present one, with the sums of the whole list.")
async def range_cursor(subject: Subject) -> str | None:
    """Look at the cursor of a range, and go on from it."""
    me = subject.need_tickets()
    wrong: list[str] = []
    for _ in range(_TRIES):
        reading, _ = await _range(subject, _sample(me)[:2])
        last = reading.last
        if last["kind"] != "cursor":
            raise Skipped("the range does not end in a cursor: see tickets-range")
        await me.catch_up()
        truth = {"tickets": me.held.total.count, "fingerprint": me.held.total.hex()}
        said = {name: last[name] for name in truth if last.get(name) is not None}
        wrong = [f"{name} {said[name]}, the list has {truth[name]}" for name in said if said[name] != truth[name]]
        onward = await Gate(subject.client, me.box, cursor=last["cursor"]).changes()
        wrong += ["tickets come since that cursor"] if onward.kinds["tickets"] else []
        if not wrong:
            return None
    raise Broken("; ".join(wrong), "send the present cursor, with count and fingerprint of the whole list")


CHECKS = (whole, children, rows, tickets_range, range_cursor)


async def _sums(subject: Subject, prefix: str) -> FingerprintsAnswer:
    token = bearer(subject.need_me().box.token)
    answer = await subject.client.call("GET", "/fingerprints", authorization=token, params={"prefix": prefix})
    if answer.status == httpx.codes.NOT_FOUND:
        raise Skipped("not offered, which is allowed: gates take a new snapshot in its place")
    return answer.read(FingerprintsAnswer)


async def _agree(subject: Subject, prefix: str) -> None:
    """Check that the sums of a range are those of the list.

    Raises:
        Broken: they are not, though they were asked for several times.
    """
    me, said, truth = subject.need_tickets(), Fingerprint(), Fingerprint()
    for _ in range(_TRIES):
        said = _parsed(await _sums(subject, prefix))
        await me.catch_up()
        truth = me.held.sum_of(prefix.lower())
        if said == truth:
            return
    both = " and ".join(f"{each.count} tickets, {each.hex()}" for each in (said, truth))
    raise Broken(f"prefix {prefix!r}: the answer and the list differ: {both}", _LIES)


async def _same_rows(subject: Subject, prefix: str) -> Reading:
    """Read a range, and check that its rows are those of the list.

    Raises:
        Broken: they are not, though they were asked for several times.
    """
    me, ours, theirs = subject.need_tickets(), {}, {}
    for _ in range(_TRIES):
        reading, held = await _range(subject, prefix)
        await me.catch_up()
        ours, theirs = me.held.of_range(prefix), held.of_range("")
        if ours == theirs:
            return reading
    odd = [lookup for event, lookup in {*ours, *theirs} if ours.get((event, lookup)) != theirs.get((event, lookup))]
    raise Broken(f"prefix {prefix}: {len(odd)} rows differ, such as {min(odd)}", "send the rows as the feed does")


async def _range(subject: Subject, prefix: str) -> tuple[Reading, HeldList]:
    me, held = subject.need_me(), HeldList()
    params = {"prefix": prefix}
    reading = await read_feed(subject.client, "/tickets", me.box.token, params, held, vouches=False)
    if reading.status == httpx.codes.NOT_FOUND:
        raise Skipped("not offered, which is allowed: gates take a new snapshot in its place")
    if reading.status != httpx.codes.OK:
        raise Broken(f"prefix {prefix}: {reading.status}", "answer 200, or 404 to every prefix where it is not offered")
    for aspect in (Aspect.LINES, Aspect.FIELDS):
        if found := reading.complaints.get(aspect):
            raise Broken(f"prefix {prefix}: {found}", "send the lines as the feed sends them")
    return reading, held


def _sample(me: Gate) -> str:
    """Return a lookup of the list in hex."""
    return parse_lookup(min(me.held.tickets)[1]).hex()


def _absent(me: Gate) -> str:
    """Return a prefix that no lookup of the list begins with."""
    sample, taken = _sample(me), {parse_lookup(lookup).hex() for _, lookup in me.held.tickets}
    number = int(sample, 16)
    digits = LOOKUP_BYTES * 2
    while f"{number:0{digits}x}" in taken:
        number = (number + 1) % (1 << 4 * digits)
    return f"{number:0{digits}x}"


def _parsed(part: FingerprintModel) -> Fingerprint:
    return Fingerprint.parse(part.count, part.fingerprint)
