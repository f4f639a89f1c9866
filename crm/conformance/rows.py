"""The journal that the suite sends: rows as a gate writes them, chained by their hashes."""

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm.journal import chain_hash
from edge.core.barcodes import LOOKUP_BYTES, lookup_of, lookup_text
from sync.instants import write_instant

LANE = "conformance"
CODE_START = "BRAMA-CONFORMANCE-"
"""How the codes begin that the suite says it has read; no ticket has such a code."""
_NO_ROW = "0" * 64


def uuid7(at: datetime, random: bytes) -> str:
    """Make an id as a gate does (RFC 9562, section 5.7); `random` is 10 bytes."""
    number = int(at.timestamp() * 1000) << 80 | int.from_bytes(random, "big")
    number = number & ~(0xF << 76) | 7 << 76
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 2 << 62))


@dataclass(slots=True)
class Journal:
    """Makes rows in order, the first with `seq` or the one after."""

    clock: Callable[[], datetime]
    lookup_key: bytes | None
    seq: int = 0
    prev: str | None = _NO_ROW

    def row(self, **fields: Any) -> dict[str, Any]:
        """Return the next row: a refused read of nothing, but for `fields`."""
        self.seq += 1
        now = self.clock()
        row = {
            "scan_id": uuid7(now, secrets.token_bytes(10)),
            "seq": self.seq,
            "prev": self.prev or _NO_ROW,
            "lane": LANE,
            "checkpoint": None,
            "controller": None,
            "ticket_id": None,
            "lookup": None,
            "code": None,
            "direction": "entry",
            "verdict": "refused",
            "reason": "unreadable",
            "at": write_instant(now),
            "clock": "trusted",
            "passage": None,
            "note": None,
            **fields,
        }
        self.prev = chain_hash(row)
        return row

    def unknown(self, **fields: Any) -> dict[str, Any]:
        """Return the next row: a code for which there is no ticket, but for `fields`."""
        code = fields.pop("code", f"{CODE_START}{secrets.token_hex(8)}")
        return self.row(**{"reason": "unknown_ticket", "code": code, "lookup": self.lookup(code), **fields})

    def lookup(self, code: str) -> str:
        """Return the lookup of a code; without a key, that of no code."""
        key = self.lookup_key
        return lookup_text(secrets.token_bytes(LOOKUP_BYTES) if key is None else lookup_of(key, code))

    def skip(self, rows: int) -> None:
        """Leave seqs out, as a journal does that was damaged; less than none: use the last ones again."""
        self.seq += rows
