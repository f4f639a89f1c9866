"""Tokens: none, a wrong one, the right one in a wrong way; and the one word that wipes a gate's list."""

import secrets
from collections.abc import AsyncIterator

from crm.conformance.checks import must
from crm.conformance.client import Answer, bearer
from crm.conformance.errors import Broken, Skipped
from crm.conformance.subject import Subject

_SECTION = "Errors and what the gate does"
_DENIED = frozenset({401, 403})
_MEND = "ask for the token on every call but POST /enrol, and answer 401 where it will not do"
_CALLS = (("GET", "/changes", None), ("POST", "/scans", b'{"device_id":"x","scans":[]}'), ("POST", "/heartbeat", b"{}"))


@must("token-none", _SECTION, "A call without a token is refused with 401 or 403.")
async def none(subject: Subject) -> str | None:
    """Call without the header."""
    async for answer in _asked(subject, None):
        answer.want_refusal(_DENIED, _MEND)
    return None


@must("token-wrong", _SECTION, "A token that nobody was given is refused with 401 or 403.")
async def wrong(subject: Subject) -> str | None:
    """Call with a token of chance."""
    async for answer in _asked(subject, bearer(secrets.token_urlsafe(32))):
        answer.want_refusal(_DENIED, _MEND)
    return None


@must("token-scheme", "Basics", "A token counts only as `Authorization: Bearer <token>`.")
async def scheme(subject: Subject) -> str | None:
    """Call with the right token under another scheme, and under none."""
    token = subject.need_me().box.token
    for authorization in (f"Basic {token}", token):
        async for answer in _asked(subject, authorization):
            answer.want_refusal(_DENIED, "take the token only after the word Bearer")
    return None


@must("token-not-revoked", _SECTION, "`token_revoked` is said of devices that were revoked, and of no other token.")
async def not_revoked(subject: Subject) -> str | None:
    """Look at the code of the error for a token that never was."""
    codes = {answer.error_code() async for answer in _asked(subject, bearer(secrets.token_urlsafe(32)))}
    if "token_revoked" in codes:
        raise Broken("token_revoked for a token that nobody was given", "say token_unknown: the word wipes the list")
    if codes == {None}:
        raise Skipped("the errors have no code to look at: see error-form")
    return None


CHECKS = (none, wrong, scheme, not_revoked)


async def _asked(subject: Subject, authorization: str | None) -> AsyncIterator[Answer]:
    for method, path, content in _CALLS:
        yield await subject.client.call(method, path, authorization=authorization, content=content, whole=False)
