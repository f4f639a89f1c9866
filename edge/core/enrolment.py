"""Enrolment codes, as the CRM shows them in a QR (design section 7): `{"brama":1,"url":"...","code":"..."}`."""

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from edge.core.barcodes import normalise

MOST_CHARS = 2000
_URL = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """The CRM to enrol with, and the code that it takes once."""

    url: str
    code: str


def enrolment_of(text: str) -> EnrolmentCode | None:
    """Return the enrolment code that a read is, if it is one, however the reader wraps it; total, whatever was read."""
    if len(text) > MOST_CHARS or '"brama"' not in text:
        return None
    try:
        found = json.loads(normalise(text))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("brama") != 1:
        return None
    url, code = found.get("url"), found.get("code")
    if not isinstance(url, str) or not _URL.fullmatch(url) or not names_a_host(url):
        return None
    # An escape may have made what no CRM sends and no request can carry, such as half a character.
    if not isinstance(code, str) or not 1 <= len(code) <= 200 or not code.isprintable():
        return None
    return EnrolmentCode(url, code)


def names_a_host(url: str) -> bool:
    """Tell whether an address names a host that can be asked for, by a port that there is, in characters that print."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        # RFC 3490: no label is empty or longer than 63 characters.
        host.encode("idna")
    except ValueError:
        return False
    return bool(host) and port != 0 and url.isprintable()
