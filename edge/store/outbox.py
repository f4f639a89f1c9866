"""What the CRM has of the journal: acknowledged rows, parked ones, conflicts it found. Jobs for `Writer.write`."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge.core.admission import instant_text
from edge.store.records import SELECT_SETTLED, Scan, scan_of
from edge.store.tx import StoreRefusal, Tx


@dataclass(frozen=True, slots=True)
class Reject:
    """A scan that the CRM would not take, and why."""

    scan_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Parked:
    """A scan that the CRM would not take, and why; `body` is the scan as it was sent."""

    seq: int
    scan_id: str
    code: str
    message: str
    at: str
    body: dict[str, Any]
    retry: bool
    """A person has asked for it to be sent again."""


class NotParked(StoreRefusal):
    """No scan of this id is parked."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A ticket admitted at two devices; `body` is the CRM's account of it, as sent."""

    scan_id: str
    ticket_id: str
    body: dict[str, Any]


def acknowledge(tx: Tx, acked: int, rejects: Sequence[Reject], now: datetime) -> None:
    """Note that the CRM has every row up to `acked`; the rejected ones among them are parked."""
    _raise_seq(tx, "acked_seq", min(acked, tx.head[0]))
    for reject in rejects:
        if scan := _scan(tx.journal, reject.scan_id):
            body = json.dumps(scan.wire(), ensure_ascii=False)
            tx.journal.execute(
                "INSERT OR IGNORE INTO parked (seq, scan_id, code, message, at, body) VALUES (?, ?, ?, ?, ?, ?)",
                (scan.seq, scan.scan_id, reject.code, reject.message, instant_text(now), body),
            )


def parked_scans(
    journal: sqlite3.Connection, *, to_retry: bool = False, after: int = 0, most: int = -1
) -> list[Parked]:
    """Return the parked scans behind a seq, oldest first; `to_retry`: only those that are to be sent again."""
    rows = journal.execute(
        "SELECT seq, scan_id, code, message, at, body, retry FROM parked WHERE retry >= ? AND seq > ?"
        " ORDER BY seq LIMIT ?",
        (int(to_retry), after, most),
    ).fetchall()
    return [
        Parked(seq, scan_id, code, message, at, _body(journal, scan_id, body), bool(retry))
        for seq, scan_id, code, message, at, body, retry in rows
    ]


def retry_parked(tx: Tx, scan_id: str | None) -> int:
    """Have a parked scan, or all of them, sent again; return how many.

    Raises:
        NotParked: no such scan is.
    """
    asked = tx.journal.execute("UPDATE parked SET retry = 1 WHERE ?1 IS NULL OR scan_id = ?1", (scan_id,)).rowcount
    if scan_id is not None and not asked:
        raise NotParked(f"id: no parked scan {scan_id}; see brama sync parked")
    return asked


def drop_parked(tx: Tx, scan_id: str, reason: str, now: datetime) -> None:
    """Give a parked scan up for good: the CRM will never have it. The journal keeps its row, and this its reason.

    Raises:
        NotParked: no such scan is.
    """
    taken = tx.journal.execute(
        "INSERT INTO dropped SELECT seq, scan_id, code, message, body, ?, ? FROM parked WHERE scan_id = ?",
        (reason, instant_text(now), scan_id),
    )
    if not taken.rowcount:
        raise NotParked(f"id: no parked scan {scan_id}; see brama sync parked")
    tx.journal.execute("DELETE FROM parked WHERE scan_id = ?", (scan_id,))


def settle_retried(tx: Tx, sent: Sequence[Parked], rejects: Sequence[Reject], now: datetime) -> None:
    """Note what the CRM said to parked scans that were sent again: taken, or refused once more and why."""
    again = {reject.scan_id: reject for reject in rejects}
    for each in sent:  # found by their seq, which is their key: thousands may be parked
        if reject := again.get(each.scan_id):
            tx.journal.execute(
                "UPDATE parked SET code = ?, message = ?, at = ?, retry = 0 WHERE seq = ?",
                (reject.code, reject.message, instant_text(now), each.seq),
            )
        else:
            tx.journal.execute("DELETE FROM parked WHERE seq = ?", (each.seq,))


def _scan(journal: sqlite3.Connection, scan_id: str) -> Scan | None:
    row = journal.execute(f"{SELECT_SETTLED} WHERE scan_id = ?", (scan_id,)).fetchone()
    return scan_of(row) if row else None


def _body(journal: sqlite3.Connection, scan_id: str, text: str | None) -> dict[str, Any]:
    """Read a parked scan as it was sent; the release before kept only its id."""
    if text is not None:
        body: dict[str, Any] = json.loads(text)
        return body
    scan = _scan(journal, scan_id)
    return scan.wire() if scan else {"scan_id": scan_id}


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
    return _seq(journal, "acked_seq")


def given_seq(journal: sqlite3.Connection) -> int:
    """Return the highest seq that was given to a CRM which reads scans here; it may not have kept it."""
    return _seq(journal, "given_seq")


def pusher_token(journal: sqlite3.Connection) -> str | None:
    """Return the digest of the token by which the CRM is known that pushes here; None: none ever has."""
    return _kept(journal, "pusher")


def followed_seq(journal: sqlite3.Connection) -> int:
    """Return the seq up to which that CRM has every row, or was given it: what it says that it has can be no more."""
    return max(_seq(journal, "followed_seq"), acked_seq(journal))


def note_pusher(tx: Tx, token: str) -> None:
    """Keep by which token the CRM is known that pushes; to another than before nothing was given yet."""
    if token != pusher_token(tx.journal):
        _keep(tx, "pusher", token)
        _keep(tx, "followed_seq", "0")


def note_given(tx: Tx, seq: int) -> None:
    """Note that a row, the highest of some, is about to be given to a CRM which reads scans here."""
    _raise_seq(tx, "given_seq", seq)


def note_followed(tx: Tx, after_seq: int, last_seq: int) -> None:
    """Note that all rows after a seq and up to another are about to be given to the CRM that pushes."""
    if after_seq <= followed_seq(tx.journal):  # else there is a gap before them
        _raise_seq(tx, "followed_seq", last_seq)


def _kept(journal: sqlite3.Connection, key: str) -> str | None:
    row = journal.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def _keep(tx: Tx, key: str, value: str) -> None:
    tx.journal.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def _seq(journal: sqlite3.Connection, key: str) -> int:
    return int(_kept(journal, key) or 0)


def _raise_seq(tx: Tx, key: str, seq: int) -> None:
    tx.journal.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value ="
        " max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))",
        (key, str(seq)),
    )
