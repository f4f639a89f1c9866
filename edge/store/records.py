"""What the journal holds: one row a scan, and the hash that chains it to the row before."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from edge.core.admission import Detail
from edge.core.barcodes import lookup_text

FIRST_PREV = bytes(32)
"""The `prev` of the first row ever."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Scan(NamedTuple):
    """One journal row, in the order of the table's columns.

    `at` is ISO 8601 UTC text, `prev` and `hash` are 32 bytes of SHA-256, `detail` is JSON.
    """

    seq: int
    scan_id: str
    prev: bytes
    hash: bytes
    lane: str
    checkpoint: str | None
    controller: str | None
    ticket_id: str | None
    event: str | None
    lookup: bytes | None
    code: str | None
    direction: str
    verdict: str
    reason: str
    at: str
    clock: str
    passage: str | None
    note: str | None
    of: str | None
    detail: str

    @property
    def facts(self) -> Detail:
        """The facts that the message is made of."""
        if self.detail == "{}":
            return {}
        detail: Detail = json.loads(self.detail)
        return detail

    def wire(self) -> dict[str, Any]:
        """Return the row as the CRM gets it (design section 7); `of` only where there is one."""
        body: dict[str, Any] = {
            "scan_id": self.scan_id,
            "seq": self.seq,
            "prev": self.prev.hex(),
            "lane": self.lane,
            "checkpoint": self.checkpoint,
            "controller": self.controller,
            "ticket_id": self.ticket_id,
            "lookup": lookup_text(self.lookup) if self.lookup else None,
            "code": self.code,
            "direction": self.direction,
            "verdict": self.verdict,
            "reason": self.reason,
            "at": self.at,
            "clock": self.clock,
            "passage": self.passage,
            "note": self.note,
        }
        if self.of is not None:
            body["of"] = self.of
        return body


COLUMNS = Scan._fields
SELECT_SCAN = f"SELECT {', '.join(COLUMNS)} FROM scan"  # noqa: S608 (names of our own class)
SELECT_SETTLED = SELECT_SCAN.replace(
    ", passage,", ", coalesce((SELECT p.passage FROM passage p WHERE p.scan_id = scan.scan_id), scan.passage),"
)
"""As `SELECT_SCAN`, with `passage` as the turnstile has since said."""
INSERT_SCAN = f"INSERT INTO scan ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608


def scan_of(row: Iterable[Any]) -> Scan:
    """Read a row selected by `SELECT_SCAN`."""
    return Scan._make(row)


def chain_hash(prev: bytes, wire: Mapping[str, Any]) -> bytes:
    """Return SHA-256 over `prev` and the row's canonical JSON: sorted keys, no spaces, UTF-8.

    `prev` itself and `passage`, which the turnstile decides later, stay outside, so that whoever holds the rows as
    sent can check the chain.
    """
    body = {key: value for key, value in wire.items() if key not in {"prev", "passage"}}
    return hashlib.sha256(prev + _CANONICAL.encode(body).encode()).digest()


def microseconds(instant: datetime) -> int:
    """Return whole microseconds since 1970 of an aware instant."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant_of(us: int) -> datetime:
    """Return the aware UTC instant of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


class _Entropy:
    """Random bytes from the system, fetched many at a time: a call for each scan costs as much as a lookup."""

    def __init__(self) -> None:
        self._bytes, self._at = b"", 0

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._bytes):
            self._bytes, self._at = os.urandom(256 * count), 0
        self._at += count
        return self._bytes[self._at - count : self._at]


_entropy = _Entropy()


def new_scan_id(at: datetime) -> str:
    """Make the id of a scan that is made at this instant; to be called in the event loop's thread."""
    return uuid7(at, _entropy.take(10))


def uuid7(now: datetime, random: bytes) -> str:
    """Make a UUID version 7 (RFC 9562, section 5.7) from an instant and ten random bytes."""
    ms = microseconds(now) // 1000
    value = (ms & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
