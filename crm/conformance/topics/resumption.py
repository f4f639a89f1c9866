"""Resumption: a stream is cut in its middle, and the list comes out the same."""

from functools import partial

from crm.conformance.checks import may, must
from crm.conformance.errors import Broken, Skipped
from crm.conformance.gate import Gate
from crm.conformance.held import difference
from crm.conformance.reading import Reading
from crm.conformance.subject import Subject

_SECTION = "Cursors and transactions"
_TRIES = 3


@must("cut-stream", _SECTION, "An answer that is cut off does no harm: asked again, the whole list comes.")
async def cut_stream(subject: Subject) -> str | None:
    """Close the connection before any cursor has come, and start again."""
    subject.need_tickets()
    cut = subject.follow(subject.need_me().box)
    await cut.everything(until=partial(_has_lines, 2))
    await cut.everything()
    await _same(subject, cut, "keep nothing of a gate's stream: what it asks for is in the request")
    return None


@must("resume-same-list", _SECTION, 'After a cut the feed goes on from any cursor with "more": true, to the same list.')
async def same_list(subject: Subject) -> str | None:
    """Close the connection after the first, a middle and the last such cursor, and go on from there."""
    subject.need_tickets()
    many = sum(more for _, more in subject.need_snapshot().cursors)
    if not many:
        raise Skipped("the whole list came before its only cursor: put more tickets on it, or cursors between them")
    for at in sorted({1, (many + 1) // 2, many}):
        cut = subject.follow(subject.need_me().box)
        await cut.everything(until=partial(_has_cursors, at))
        before = len(subject.since)
        await cut.catch_up()
        subject.resumed.append(subject.since[before])
        mend = "send all after that cursor: what was not sent before it, and what changed since"
        await _same(subject, cut, mend, f"cut after cursor {at}: ")
    return f"cut {len(subject.resumed)} times"


@may("resume-goes-on", _SECTION, "After a cut nothing is sent anew that came before the cursor.")
async def goes_on(subject: Subject) -> str | None:
    """Look for a reset in the answers after the cuts."""
    if not subject.resumed:
        raise Skipped("nothing was resumed: see resume-same-list")
    if any(reading.kinds["reset"] for reading in subject.resumed):
        raise Broken("a reset since a cursor just given", "go on: over a bad network a gate never gets to the end")
    return None


CHECKS = (cut_stream, same_list, goes_on)


def _has_lines(many: int, reading: Reading) -> bool:
    return reading.lines >= many


def _has_cursors(many: int, reading: Reading) -> bool:
    return len(reading.cursors) >= many


async def _same(subject: Subject, cut: Gate, mend: str, where: str = "") -> None:
    """Check that a list is the one that came uncut, once both have caught up.

    Raises:
        Broken: it is not, though both were asked for several times.
    """
    me, odd = subject.need_me(), None
    for _ in range(_TRIES):
        await me.catch_up()
        await cut.catch_up()
        odd = difference(me.held, cut.held)
        if odd is None:
            return
    raise Broken(f"{where}{odd}", mend)
