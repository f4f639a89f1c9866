"""Scans: batches stored once, acknowledged as far as they are, and judged one by one."""

from typing import Any

from crm.conformance.checks import must
from crm.conformance.errors import Broken, Skipped
from crm.conformance.subject import Subject
from crm.conformance.topics.sending import post, taken
from sync.wire import MAX_SCANS, ScansAnswer

_SECTION = "Scans"
_LOST = "store a row whatever its seq: a scan that happened is worth more than an order that is whole; tell people"


@must("scans-acked", _SECTION, "A batch is stored and answered with `acked`, the highest seq of the request.")
async def acked(subject: Subject) -> str | None:
    """Send three refused reads of unknown codes."""
    journal = subject.need_journal()
    rows = [journal.unknown() for _ in range(3)]
    answer = await post(subject, rows)
    answer.want_ok()
    subject.sent, subject.sent_answer = rows, answer.read(ScansAnswer)
    if found := subject.sent_answer.rejected:
        raise Broken(
            f"rejected: {found[0].code}: {found[0].message}"[:300], "store refused reads of unknown codes, too"
        )
    if subject.sent_answer.acked != rows[-1]["seq"]:
        mend = "acked is the highest seq up to which every row of the request is stored; a gate forgets those rows"
        raise Broken(f"acked {subject.sent_answer.acked}, sent up to {rows[-1]['seq']}", mend)
    return None


@must("scans-again", _SECTION, "The same batch again is acknowledged the same, and nothing is stored twice.")
async def again(subject: Subject) -> str | None:
    """Send the batch again, whole and in part."""
    if subject.sent_answer is None:
        raise Skipped("nothing was sent before: see scans-acked")
    for rows in (subject.sent, subject.sent[1:]):
        answer = await post(subject, rows)
        answer.want_ok()
        if (found := answer.read(ScansAnswer)) != subject.sent_answer:
            both = f"{found.model_dump_json()} after {subject.sent_answer.model_dump_json()}"
            raise Broken(both[:300], "drop a scan_id that you have from this device, and acknowledge it")
    return None


@must("scans-reject-one", _SECTION, "A row that cannot be stored is rejected by scan_id; the others are taken.")
async def reject_one(subject: Subject) -> str | None:
    """Send a row without time and verdict between two good ones."""
    journal = subject.need_journal()
    before = journal.unknown()
    bad = journal.unknown(at="yesterday", verdict="perhaps", direction=None)
    after = journal.unknown()
    answer = await post(subject, [before, bad, after])
    mend = "answer 200, store the good rows, name the bad one in `rejected`, and count it into `acked`"
    if answer.status != 200:
        raise Broken(f"{answer.status} {answer.start()}", mend)
    found = answer.read(ScansAnswer)
    rejected = [each.scan_id for each in found.rejected]
    if rejected != [bad["scan_id"]]:
        which = "the good rows, too" if len(rejected) > 1 else "not the bad one"
        raise Broken(f"{len(rejected)} rejected, {which}", mend)
    if not found.rejected[0].code or not found.rejected[0].message:
        raise Broken("rejected without code or message", "say why: people at the gate read the message")
    if found.acked < after["seq"]:
        raise Broken(f"acked {found.acked}, sent up to {after['seq']}", mend)
    return None


@must("scans-500", _SECTION, f"A batch of {MAX_SCANS} scans is taken.")
async def many(subject: Subject) -> str | None:
    """Send as many as the contract allows."""
    journal = subject.need_journal()
    rows = [journal.unknown() for _ in range(MAX_SCANS)]
    await taken(subject, rows, "take 500 at a time: some 400 kB; raise the body limit of the server in front, too")
    return None


@must("scans-gap", _SECTION, "Rows after a gap in seq are taken.")
async def gap(subject: Subject) -> str | None:
    """Leave five seqs out, before and inside a batch."""
    journal = subject.need_journal()
    rows: list[dict[str, Any]] = []
    for _ in range(2):
        journal.skip(5)
        rows.append(journal.unknown())
    await taken(subject, rows, _LOST)
    return None


@must("scans-same-seq", _SECTION, "Two different scans with one seq are both taken.")
async def same_seq(subject: Subject) -> str | None:
    """Use a seq twice, as a box does that lost its journal."""
    journal = subject.need_journal()
    await taken(subject, [journal.unknown()], _LOST)
    journal.skip(-1)
    await taken(subject, [journal.unknown()], _LOST)
    return None


@must("scans-own-device", _SECTION, "Scans in another device's name are refused.")
async def own_device(subject: Subject) -> str | None:
    """Send what was sent before, with the device_id of the second device, or one that does not exist."""
    me = subject.need_me().box
    other = subject.other.box.device_id if subject.other else me.device_id
    name = other if other != me.device_id else f"{me.device_id}-not"
    answer = await subject.client.post("/scans", me.token, {"device_id": name, "scans": subject.sent})
    if not 400 <= answer.status < 500:
        mend = "compare device_id with the token's device, and answer 403 wrong_device"
        raise Broken(f"{answer.status} {answer.start()}", mend)
    return None


CHECKS = (acked, again, reject_one, many, gap, same_seq, own_device)
