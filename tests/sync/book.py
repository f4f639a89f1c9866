"""The CRM's side of a ticket list: rows, lines and the fingerprint that vouches for them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from edge.core.barcodes import lookup_of, lookup_text
from edge.core.fingerprint import Fingerprint, row_digest

KEY = bytes(range(32))
AT = "2026-05-01T18:00:00Z"
Line = dict[str, Any]
PLAN: list[Line] = [
    {
        "kind": "event",
        "id": "e-1",
        "name": "Concert",
        "tz": "Europe/Kyiv",
        "status": "confirmed",
        "starts_at": AT,
        "ends_at": "2026-05-01T22:00:00Z",
    },
    {"kind": "ticket_type", "id": "t-1", "event": "e-1", "name": "Standard"},
    {"kind": "checkpoint", "id": "c-1", "event": "e-1", "name": "North"},
]


def packed(lines: Iterable[Line]) -> bytes:
    """Write lines as the wire does."""
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def lookup(number: int) -> str:
    return lookup_text(lookup_of(KEY, f"CODE-{number}"))


def row(number: int, state: str = "valid") -> list[Any]:
    """Ticket T-n, whose code is CODE-n."""
    return [lookup(number), f"T-{number}", "t-1", state, None, None, None, None, None]


@dataclass
class Book:
    """What the CRM holds; its lines follow what was put in."""

    rows: dict[int, list[Any]] = field(default_factory=dict)

    @property
    def fingerprint(self) -> Fingerprint:
        found = Fingerprint()
        for each in self.rows.values():
            found = found.plus(row_digest(*each[:6]))
        return found

    def tickets(self, *numbers: int, state: str = "valid") -> Line:
        """Put tickets in, and return the line that says so."""
        self.rows |= {number: row(number, state) for number in numbers}
        return {"kind": "tickets", "event": "e-1", "rows": [self.rows[number] for number in numbers]}

    def delete(self, *numbers: int) -> Line:
        for number in numbers:
            del self.rows[number]
        return {"kind": "delete", "of": "tickets", "ids": [f"T-{number}" for number in numbers]}

    def cursor(self, name: str, *, more: bool = False, **changes: Any) -> Line:
        mine = self.fingerprint
        vouched = {"tickets": mine.count, "fingerprint": mine.hex()}
        return {"kind": "cursor", "cursor": name, "at": AT, "more": more, **vouched, **changes}


def everything(count: int, cursor: str = "k-1", book: Book | None = None) -> list[Line]:
    """A whole list of tickets 1 to `count`, by which the book starts anew."""
    book = book or Book()
    book.rows.clear()
    parts = [book.tickets(*range(1, count + 1))] if count else []
    return [{"kind": "reset"}, *PLAN, *parts, book.cursor(cursor)]
