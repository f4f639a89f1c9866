"""What the CRM has of the journal: acknowledged rows, parked ones, conflicts it found. Jobs for `Writer.write`."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge.core.admission import instant_text
from edge.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Reject:
    """A scan that the CRM would not take, and why."""

    scan_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A ticket admitted at two devices; `body` is the CRM's account of it, as sent."""

    scan_id: str
    ticket_id: str
    body: dict[str, Any]


def acknowledge(tx: Tx, acked: int, rejects: Sequence[Reject], now: datetime) -> None:
    """Note that the CRM has every row up to `acked`; the rejected ones among them are parked."""
    tx.journal.execute(
        "INSERT INTO meta VALUES ('acked_seq', ?) ON CONFLICT (key) DO UPDATE SET value ="
        " max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))",
        (str(min(acked, tx.head[0])),),
    )
    for reject in rejects:
        tx.journal.execute(
            "INSERT OR IGNORE INTO parked SELECT seq, scan_id, ?, ?, ? FROM scan WHERE scan_id = ?",
            (reject.code, reject.message, instant_text(now), reject.scan_id),
        )


def note_conflicts(tx: Tx, conflicts: Sequence[Conflict], now: datetime) -> list[Conflict]:
    """Keep the conflicts that are new and return them."""
    fresh = []
    for each in conflicts:
        added = tx.journal.execute(
            "INSERT OR IGNORE INTO conflict VALUES (?, ?, ?, ?)",
            (each.scan_id, each.ticket_id, json.dumps(each.body, ensure_ascii=False), instant_text(now)),
        )
        if added.rowcount:
            fresh.append(each)
    return fresh


def acked_seq(journal: sqlite3.Connection) -> int:
    """Return the seq up to which the CRM has every row."""
    row = journal.execute("SELECT value FROM meta WHERE key = 'acked_seq'").fetchone()
    return int(row[0]) if row else 0
