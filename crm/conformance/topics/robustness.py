"""What does not belong: garbage is refused in the contract's form, what is new is skipped."""

from collections.abc import Sequence

from crm.conformance.checks import may, must
from crm.conformance.client import ErrorSeen, bearer
from crm.conformance.errors import Broken, Skipped
from crm.conformance.subject import Subject

_ERRORS = "Errors and what the gate does"
_GARBAGE = (b"", b"{", b"[]", b"7", b'"text"', b"null", b"\xff\xfe{}", b'{"code":' + b"[" * 10_000, b"<html></html>")
_ASKED_WRONG = (
    ("/changes", {"wait": "soon"}),
    ("/changes", {"wait": "-1"}),
    ("/fingerprints", {"prefix": "xyz"}),
    ("/tickets", {"prefix": "0" * 40}),
)
_FORM = '{"error": {"code": "...", "message": "..."}}, both text'


@must("garbage-body", _ERRORS, "A body that is not a JSON object is refused with 4xx.")
async def garbage_body(subject: Subject) -> str | None:
    """Post what no gate sends, to each call that takes a body."""
    token = subject.need_me().box.token
    for path in ("/enrol", "/scans", "/heartbeat"):
        for content in _GARBAGE:
            answer = await subject.client.call("POST", path, authorization=bearer(token), content=content)
            if not 400 <= answer.status < 500:
                mend = "answer 400: a gate takes 5xx for a CRM in trouble, and sends the same again"
                raise Broken(f"{path} with {content[:30]!r}: {answer.status} {answer.start()}", mend)
    return None


@must("garbage-query", _ERRORS, "A query that makes no sense is no defect: no 5xx.")
async def garbage_query(subject: Subject) -> str | None:
    """Ask with values that cannot be."""
    me = subject.need_me()
    token, since = bearer(me.box.token), {} if me.cursor is None else {"since": me.cursor}
    for path, params in _ASKED_WRONG:
        asked = params | (since if path == "/changes" else {})
        answer = await subject.client.call("GET", path, authorization=token, params=asked, whole=False)
        if answer.status >= 500:
            raise Broken(f"{path} with {params}: {answer.status}", "answer 400, with the name of the field")
    return None


@must("unknown-path", _ERRORS, "A path that the CRM does not know is answered with 404.")
async def unknown_path(subject: Subject) -> str | None:
    """Ask for what no version has."""
    token = bearer(subject.need_me().box.token)
    for method, content in (("GET", None), ("POST", b"{}")):
        answer = await subject.client.call(method, "/no-such-call", authorization=token, content=content)
        if answer.status != 404:
            mend = "answer 404: so does a gate learn that something optional is not offered"
            raise Broken(f"{method}: {answer.status} {answer.start()}", mend)
    return None


@must("error-form", "Basics", f"Each error is {_FORM}.")
async def error_form(subject: Subject) -> str | None:
    """Look at all errors that the checks so far have caused."""
    return _judged([each for each in subject.client.errors if each.of_the_api and each.status != 404])


@may("error-form-404", "Basics", f"Errors of unknown paths have the same form: {_FORM}.")
async def error_form_404(subject: Subject) -> str | None:
    """Look at the errors of paths that the contract does not have, or does not ask for."""
    return _judged([each for each in subject.client.errors if not each.of_the_api or each.status == 404])


CHECKS = (garbage_body, garbage_query, unknown_path, error_form, error_form_404)


def _judged(errors: Sequence[ErrorSeen]) -> str:
    if not errors:
        raise Skipped("there was no error to look at")
    if wrong := [each.problem for each in errors if each.problem]:
        mend = "answer errors in that form, with application/json; people read the message"
        raise Broken(f"{wrong[0]}; {len(wrong)} of {len(errors)} errors", mend)
    return f"{len(errors)} errors"
