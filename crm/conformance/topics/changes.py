"""All answers to cursors, looked at together at the end: they keep the same rules as the snapshot."""

from crm.conformance.checks import must
from crm.conformance.errors import Broken, Skipped
from crm.conformance.lines import Aspect
from crm.conformance.reading import Reading
from crm.conformance.subject import Subject
from sync.wire import NDJSON

_FEED = "The change feed"
_SUMS = (Aspect.COUNT, Aspect.FINGERPRINT)


@must("changes-form", _FEED, "Answers to a cursor keep the rules of the snapshot: type, lines, fields, cursor last.")
async def form(subject: Subject) -> str | None:
    """Look at every answer to a cursor."""
    for reading in _answers(subject):
        if wrong := _wrong(reading):
            raise Broken(wrong, "write all lines of the feed alike; see the checks of the snapshot")
    return f"{len(subject.since)} answers"


@must("changes-sums", "Fingerprint", "`tickets` and `fingerprint` after a change are those of the changed list.")
async def sums(subject: Subject) -> str | None:
    """Look at the cursors of every answer to a cursor."""
    answers = _answers(subject)
    for reading in answers:
        for aspect in _SUMS:
            if found := reading.complaints.get(aspect):
                raise Broken(str(found), "carry both along with each row that comes or goes, or leave them out")
    if not any(reading.vouched for reading in answers):
        raise Skipped("left out of the cursor lines, or the list could not be read")
    return None


CHECKS = (form, sums)


def _answers(subject: Subject) -> list[Reading]:
    if not subject.since:
        raise Skipped("no cursor was answered: see since-last")
    return subject.since


def _wrong(reading: Reading) -> str | None:
    for aspect in Aspect:
        if aspect not in {*_SUMS, Aspect.WORDS} and (found := reading.complaints.get(aspect)):
            return f"{aspect}: {found}"
    if reading.content_type != NDJSON:
        return f"content type {reading.content_type or 'missing'}"
    if not reading.ended:
        return "no line feed at the end"
    last = reading.last
    if last["kind"] != "cursor" or last.get("more", False):
        return f"the last line is {last['kind']}{', with more' if last.get('more') else ''}"
    return None
