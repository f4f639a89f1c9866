"""Enrolment: a code for an identity, once a box."""

import base64
import json
import secrets
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from crm.conformance.checks import must
from crm.conformance.client import Answer
from crm.conformance.errors import Broken, Skipped
from crm.conformance.gate import Box
from crm.conformance.rows import Journal
from crm.conformance.subject import Subject
from sync.lines import describe
from sync.wire import EnrolAnswer

_SECTION = "Enrolment"
_REFUSED = frozenset({400, 401, 403, 404, 409, 410})
"""What a gate takes for "this code is refused"; anything else is a CRM in trouble."""
_DEVICE = {
    "name": "Conformance suite",
    "hardware": "none",
    "serial": "brama-conformance",
    "software": "brama crm conformance",
}


@must("enrol-answer", _SECTION, "A code is answered with device_id, name, organiser, token and lookup_key.")
async def answer(subject: Subject) -> str | None:
    """Enrol the device that the suite plays; all that follows needs it."""
    code = subject.options.code
    if code is None:
        raise Skipped("the device is enrolled already: give a code in place of --token")
    enrolled = await _enrol(subject, code, _DEVICE)
    if enrolled.status in _REFUSED:
        raise Broken(f"{enrolled.status} {enrolled.start()}", "give a fresh enrolment code, and let it enrol one box")
    enrolled.want_ok()
    subject.enrolled = enrolled
    if box := _box(enrolled):
        subject.me = subject.follow(box)
        subject.journal = Journal(subject.clock, box.lookup_key)
    if wrong := [each for each in _errors(enrolled) if each["loc"][:1] != ("lookup_key",)]:
        raise Broken(describe(wrong[0]), "answer the five fields; docs/gate-api.md has their types")
    return None


@must("enrol-key", _SECTION, "lookup_key is 32 bytes in base64 with padding.")
async def key(subject: Subject) -> str | None:
    """Look at the key of the enrolment."""
    if subject.enrolled is None:
        raise Skipped("no enrolment was answered: see enrol-answer")
    if wrong := [each for each in _errors(subject.enrolled) if each["loc"][:1] == ("lookup_key",)]:
        mend = "make 32 random bytes once for each organiser; send them in base64 (44 characters, the last one '=')"
        raise Broken(describe(wrong[0]), mend)
    return None


@must("enrol-code-once", _SECTION, "A code enrols one box; used again, it is refused.")
async def code_once(subject: Subject) -> str | None:
    """Use the code again."""
    if subject.enrolled is None or subject.options.code is None:
        raise Skipped("no code was used: see enrol-answer")
    again = await _enrol(subject, subject.options.code, _DEVICE)
    again.want_refusal(_REFUSED, "mark a code as used in the transaction that makes the device; answer 403 then")
    return None


@must("enrol-wrong-code", _SECTION, "A code that was never made is refused.")
async def wrong_code(subject: Subject) -> str | None:
    """Use a code that nobody made."""
    found = await _enrol(subject, f"NO-SUCH-{secrets.token_hex(8).upper()}", _DEVICE)
    found.want_refusal(_REFUSED, "answer 403 with code_unknown")
    return None


@must("enrol-name-only", _SECTION, "A box that knows only its name is enrolled: the other fields may be left out.")
async def name_only(subject: Subject) -> str | None:
    """Enrol the second device that the suite plays."""
    code = subject.options.other_code
    if code is None:
        raise Skipped("needs a second device: give an enrolment code for it with --other")
    found = await _enrol(subject, code, {"name": f"{_DEVICE['name']}, second device"})
    found.want_ok()
    found.read(EnrolAnswer)
    if box := _box(found):
        subject.other = subject.follow(box)
    return None


@must("enrol-new-device", _SECTION, "Each enrolment makes a device of its own, with a token of its own.")
async def new_device(subject: Subject) -> str | None:
    """Compare the two devices."""
    me, other = subject.need_me().box, subject.need_other().box
    if me.device_id == other.device_id or me.token == other.token:
        which = "device_id" if me.device_id == other.device_id else "token"
        raise Broken(f"two enrolments with the same {which}", "make both anew at each enrolment")
    return None


@must("enrol-same-key", _SECTION, "All boxes of one organiser get the same lookup_key.")
async def same_key(subject: Subject) -> str | None:
    """Compare the keys of the two devices."""
    me, other = subject.need_me().box, subject.need_other().box
    if me.lookup_key is None or other.lookup_key is None:
        raise Skipped("there are not two keys: see enrol-key")
    if me.lookup_key != other.lookup_key:
        mend = "keep one key for each organiser (both codes given must be of one organiser)"
        raise Broken("two enrolments with different keys", mend)
    return None


CHECKS = (answer, key, code_once, wrong_code, name_only, new_device, same_key)


async def _enrol(subject: Subject, code: str, device: dict[str, Any]) -> Answer:
    return await subject.client.post("/enrol", None, {"code": code, "device": device})


def _errors(answered: Answer) -> list[ErrorDetails]:
    try:
        EnrolAnswer.model_validate_json(answered.body, strict=True)
    except ValidationError as exc:
        return exc.errors(include_url=False, include_input=False)
    return []


def _box(answered: Answer) -> Box | None:
    """Return who the device is; None where the answer does not say."""
    wrong = {each["loc"][:1] for each in _errors(answered)}
    if wrong & {(), ("device_id",), ("token",)}:
        return None
    said = json.loads(answered.body)
    lookup_key = None if ("lookup_key",) in wrong else base64.b64decode(said["lookup_key"])
    return Box(said["device_id"], said["token"], lookup_key)
