"""What a CRM can get wrong at enrolment, with tokens, in heartbeats and in its errors."""

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.crm.conformance.faulty import Answered, Asked, Case, Fault, answering, asking, at, refused, said

KEY = base64.b64encode(bytes(32)).decode()
KNOWN = {"/enrol", "/changes", "/scans", "/heartbeat", "/fingerprints", "/tickets"}


def is_first(asked: Asked) -> bool:
    """Whether this enrols the first device: the second tells only its name."""
    return asked.path == "/enrol" and "serial" in asked.body.get("device", {})


def at_enrolment(first: bool | None = None, **changed: Any) -> Any:
    def answer(asked: Asked, answered: Answered) -> None:
        if asked.path == "/enrol" and answered.status == 200 and first in {None, is_first(asked)}:
            body = {**answered.body, **changed}
            answered.body = {name: value for name, value in body.items() if value is not ...}

    return answer


@dataclass
class Enrolling(Fault):
    """Keeps what it has answered to each code."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, asked: Asked, answered: Answered) -> None:
        if asked.path == "/enrol" and answered.status == 200:
            self.answers[asked.body["code"]] = answered.body


class CodeForAll(Enrolling):
    """Lets a code enrol any number of boxes."""

    def ask(self, asked: Asked) -> Answered | None:
        known = self.answers.get(str(asked.body.get("code"))) if asked.path == "/enrol" else None
        return None if known is None else said(known)


class SameDevice(Enrolling):
    """Takes every box for the first one."""

    def answer(self, asked: Asked, answered: Answered) -> None:
        super().answer(asked, answered)
        if asked.path == "/enrol" and answered.status == 200:
            answered.body |= {"device_id": next(iter(self.answers.values()))["device_id"]}


class Trusting(Enrolling):
    """Lets a call in that has not the token it should have."""

    def __init__(self, authorization: str | None) -> None:
        super().__init__()
        self.authorization = authorization

    def ask(self, asked: Asked) -> Answered | None:
        given = asked.headers.get("Authorization")
        tokens = [answer["token"] for answer in self.answers.values()]
        kind = "none" if given is None else "right" if given.removeprefix("Bearer ") in tokens else "wrong"
        kind = "scheme" if given and kind == "wrong" and given.split()[-1] in tokens else kind
        if tokens and kind == self.authorization:
            asked.headers["Authorization"] = f"Bearer {tokens[0]}"
        return None


def any_code(asked: Asked) -> Answered | None:
    if asked.path != "/enrol" or not str(asked.body.get("code")).startswith("NO-SUCH"):
        return None
    token = secrets.token_urlsafe(16)
    return said({"device_id": "d-x", "name": "x", "organiser": "x", "token": token, "lookup_key": KEY})


def needs_hardware(asked: Asked) -> Answered | None:
    device = asked.body.get("device")
    return refused(400) if isinstance(device, dict) and "hardware" not in device else None


def revoked(_asked: Asked, answered: Answered) -> None:
    if answered.status == 401:
        answered.body = {"error": {"code": "token_revoked", "message": "no"}}


def without_time(answered: Answered) -> None:
    answered.body = {"now": answered.body["time"]}


def timed(text: str) -> Any:
    return at("/heartbeat", lambda answered: setattr(answered, "body", {"time": text}))


def no_big_health(asked: Asked) -> Answered | None:
    return refused(413) if asked.path == "/heartbeat" and len(asked.raw) > 16_384 else None


def garbage_breaks_it(asked: Asked) -> Answered | None:
    try:
        good = isinstance(json.loads(asked.raw or b"{}"), dict)
    except (ValueError, RecursionError):
        good = False
    return None if good else refused(500, "internal")


def garbage_is_fine(asked: Asked) -> Answered | None:
    return said({"time": "2026-05-01T18:00:00Z"}) if asked.path == "/heartbeat" and asked.raw == b"[]" else None


def query_breaks_it(asked: Asked) -> Answered | None:
    return refused(500, "internal") if asked.query.get("wait") == "soon" else None


def any_path(asked: Asked) -> Answered | None:
    return None if asked.path in KNOWN else said({})


def html_errors(asked: Asked, answered: Answered) -> None:
    if answered.status >= 400 and asked.path in KNOWN:
        answered.type, answered.raw = "text/html", b"<h1>Forbidden</h1>"


def message_only(asked: Asked, answered: Answered) -> None:
    if answered.status >= 400 and asked.path in KNOWN:
        answered.body = {"error": "no"}


def html_for_unknown_paths(asked: Asked, answered: Answered) -> None:
    if asked.path not in KNOWN:
        answered.type, answered.raw = "text/html", b"<h1>Not found</h1>"


CASES = [
    answering("organiser left out", at_enrolment(organiser=...), "enrol-answer", "enrol-name-only"),
    answering("a short key", at_enrolment(first=True, lookup_key=base64.b64encode(bytes(16)).decode()), "enrol-key"),
    answering("a key without padding", at_enrolment(first=True, lookup_key=KEY.rstrip("=")), "enrol-key"),
    Case("a code for all", {"enrol-code-once"}, CodeForAll),
    asking("any code", any_code, "enrol-wrong-code"),
    asking("hardware needed", needs_hardware, "enrol-name-only"),
    Case("one device for all", {"enrol-new-device"}, SameDevice),
    answering("a key for each", at_enrolment(first=False, lookup_key=KEY), "enrol-same-key"),
    answering("a key not used", at_enrolment(lookup_key=KEY), "lookup-of-code"),
    Case("no token needed", {"token-none"}, lambda: Trusting("none")),
    Case("any token", {"token-wrong"}, lambda: Trusting("wrong")),
    Case("any scheme", {"token-scheme"}, lambda: Trusting("scheme")),
    answering("all revoked", revoked, "token-not-revoked"),
    answering("no time", at("/heartbeat", without_time), "heartbeat-answer"),
    answering("time as +00:00", timed("2026-05-01T18:00:00+00:00"), "heartbeat-time"),
    answering("an hour ahead", timed("2026-05-01T19:00:00Z"), "heartbeat-clock"),
    asking("no big health", no_big_health, "heartbeat-any-object"),
    asking("garbage breaks it", garbage_breaks_it, "garbage-body"),
    asking("garbage is fine", garbage_is_fine, "garbage-body"),
    asking("a query breaks it", query_breaks_it, "garbage-query"),
    asking("any path", any_path, "unknown-path"),
    answering("errors in HTML", html_errors, "error-form"),
    answering("errors without code", message_only, "error-form"),
    answering("HTML for unknown paths", html_for_unknown_paths, "error-form-404"),
]
