"""Writing the whitelist over one plain connection: what the change feed brings, with the sums kept up row by row.

Synchronous, and loads little: it runs in a thread of the gate, or in the process that builds a new list. Everything
that goes in and out is what JSON can carry. What is applied becomes visible with `commit`, or not at all.
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from edge.core.barcodes import LOOKUP_BYTES, lookup_texts, parse_lookups
from edge.core.fingerprint import Fingerprint, row_digests
from edge.store.database import is_busy

log = logging.getLogger(__name__)

TicketTexts = Sequence[str | None]
"""lookup, id, type, state, valid_from, valid_until, holder, seat, source: as the wire has them."""
AdmissionValues = Sequence[str | int | None]
"""scan_id, ticket_id, checkpoint, direction, at (microseconds since 1970), device."""
Meta = dict[str, str]
Sum = tuple[int, str]
"""A count and a fingerprint in hex."""

_UPSERT = (
    "INSERT INTO ticket (lookup, event, id, type, state, valid_from, valid_until, holder, seat, source)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (lookup, event) DO "
)
_REPLACE = _UPSERT + (
    "UPDATE SET id = excluded.id, type = excluded.type, state = excluded.state, valid_from = excluded.valid_from,"
    " valid_until = excluded.valid_until, holder = excluded.holder, seat = excluded.seat, source = excluded.source"
)
_ADD = _UPSERT + "NOTHING"
_DIGESTED = "SELECT lookup, id, type, state, valid_from, valid_until FROM ticket WHERE "
_NAMED = "id IN (SELECT value FROM json_each(?))"
_HEX_DIGITS = LOOKUP_BYTES * 2
_IDS_A_PASS = 20_000
"""Bounds the memory that the rows take."""


class ListWriter:
    """Applies changes to one list; `commit` returns what is then known of it."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        """`name` is for the log."""
        self._db = connection
        self._name = name
        self._plan_changed = False
        self._sums: list[Fingerprint] = []
        """Of the tickets by their lookup's first byte."""
        self._touched: set[int] = set()
        self._to_count: set[int] = set()
        """First bytes whose rows must be counted anew before the commit."""

    def close(self) -> None:
        """Close the connection; what was not committed is forgotten."""
        self._db.close()

    def meta(self) -> Meta:
        """Return what is known of the list: cursor, count, fingerprint and more."""
        return dict(self._db.execute("SELECT key, value FROM meta"))

    def _begin(self) -> None:
        """Begin to apply, unless that has begun."""
        while not self._db.in_transaction:
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if not is_busy(exc):
                    raise
                # A session that was given up goes on ending in its connection's thread, on a slow disk for longer
                # than SQLite is told to wait; nobody else writes here.
                log.info("%s: an earlier session has not ended yet; waiting for it", self._name)
            else:
                self._load_sums()

    def rollback(self) -> None:
        """Forget what was applied since the last commit."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._plan_changed = False

    def commit(self, changes: Meta) -> Meta:
        """Make what was applied visible, with changes to what is known of the list; return all that is known."""
        self._begin()
        old = self.meta()
        self._count_anew()
        whole = Fingerprint.of_parts(self._sums)
        new = {**old, **changes, "count": str(whole.count), "fingerprint": whole.hex()}
        if self._plan_changed:
            new["plan_version"] = str(int(old.get("plan_version", "0")) + 1)
        sums = [(first, self._sums[first].count, self._sums[first].hex()) for first in self._touched]
        self._db.executemany("INSERT OR REPLACE INTO bucket VALUES (?, ?, ?)", sums)
        changed = [(key, value) for key, value in new.items() if old.get(key) != value]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", changed)
        self._db.execute("COMMIT")
        self._plan_changed = False
        return new

    # --- the plan -------------------------------------------------------------------------------------------------

    def put_entity(self, kind: str, entity_id: str, body: str) -> None:
        """Add or replace an event, ticket type, checkpoint, controller or assignment, given as JSON."""
        self._begin()
        self._db.execute("INSERT OR REPLACE INTO entity VALUES (?, ?, ?)", (kind, entity_id, body))
        self._plan_changed = True

    def delete_entities(self, kind: str, ids: Sequence[str]) -> None:
        """Take things of the plan away; unknown ids are no error."""
        self._begin()
        self._db.executemany("DELETE FROM entity WHERE kind = ? AND id = ?", [(kind, each) for each in ids])
        self._plan_changed = True

    # --- tickets --------------------------------------------------------------------------------------------------

    def put_tickets(self, event: str, rows: Sequence[TicketTexts]) -> None:
        """Add or replace tickets of one event; the last of several rows with one lookup stays.

        Raises:
            ValueError: a lookup is none; nothing of the line was applied.
        """
        self._begin()
        unique = {str(row[0]): row for row in rows}
        lookups = parse_lookups(list(unique))
        values = [(lookup, event, *row[1:]) for lookup, row in zip(lookups, unique.values(), strict=True)]
        old = self._rows_of(event, lookups)
        self._db.executemany(_REPLACE if old else _ADD, values)
        self._move(-1, [row[0] for row in old], _as_sent(old))
        self._move(+1, lookups, list(unique.values()))

    def delete_tickets(self, ids: Sequence[str]) -> None:
        """Take tickets away by id: passes over the table, since ids have no index and deletions are rare."""
        self._begin()
        for start in range(0, len(ids), _IDS_A_PASS):
            part = (json.dumps(ids[start : start + _IDS_A_PASS]),)
            rows = self._db.execute(_DIGESTED + _NAMED, part).fetchall()
            self._move(-1, [row[0] for row in rows], _as_sent(rows))
            self._db.execute(f"DELETE FROM ticket WHERE {_NAMED}", part)  # noqa: S608 (a constant)

    def _rows_of(self, event: str, lookups: Sequence[bytes]) -> list[Sequence[Any]]:
        """Return the rows that are about to be replaced; a list that comes in order of lookup has none."""
        ((last,),) = self._db.execute("SELECT max(lookup) FROM ticket")
        if not lookups or last is None or last < min(lookups):
            return []
        found: list[Sequence[Any]] = []
        for start in range(0, len(lookups), 500):
            part = lookups[start : start + 500]
            marks = ", ".join("?" * len(part))
            found += self._db.execute(f"{_DIGESTED} lookup IN ({marks}) AND event = ?", (*part, event))
        return found

    # --- the sums -------------------------------------------------------------------------------------------------

    def sums(self, prefix: str) -> dict[str, Sum]:
        """Return count and fingerprint of the tickets by the next hex digit of their lookup after `prefix`.

        Up to two digits from the sums kept, which is what the cursor's fingerprint is made of; more by counting rows.
        """
        self._begin()
        self._count_anew()
        parts = dict.fromkeys("0123456789abcdef", Fingerprint())
        if len(prefix) < 2:
            found = [(f"{first:02x}", total) for first, total in enumerate(self._sums)]
        else:
            rows = self._range(prefix)
            digests = row_digests(_as_sent(rows))
            found = [(row[0].hex(), Fingerprint(1, digest)) for row, digest in zip(rows, digests, strict=True)]
        for digits, part in found:
            if digits.startswith(prefix):
                digit = digits[len(prefix)]
                parts[digit] = parts[digit].joined(part)
        return {digit: (part.count, part.hex()) for digit, part in parts.items()}

    def clear_range(self, prefix: str) -> None:
        """Take away the tickets whose lookup begins with these hex digits, two at least; what comes of the part is
        counted anew, row by row, at the commit, since its sum was found wrong."""
        self._begin()
        self._db.execute("DELETE FROM ticket WHERE lookup BETWEEN ? AND ?", _ends(prefix))
        self._to_count.add(int(prefix[:2], 16))

    def audit(self, first: int) -> bool:
        """Count the rows under one first byte anew; where their sum is not the one kept, put it right and say False.

        So what was changed behind the gate's back shows in the list's fingerprint.
        """
        self._begin()
        if self._to_count:
            kept = self.meta().get("fingerprint")  # all that there is yet to compare with
            return self.commit({})["fingerprint"] == kept
        found = self._counted(first)
        if found == self._sums[first]:
            self.rollback()
            return True
        self._set_sum(first, found)
        self.commit({})
        return False

    def _load_sums(self) -> None:
        self._touched.clear()
        self._to_count.clear()
        self._sums = [Fingerprint()] * 256
        kept = self._db.execute("SELECT first_byte, tickets, fingerprint FROM bucket").fetchall()
        for first, count, text in kept:
            self._sums[first] = Fingerprint.parse(count, text)
        if not kept and self._db.execute("SELECT 1 FROM ticket LIMIT 1").fetchone():
            self._to_count.update(range(256))  # a list made by a release that kept one sum only

    def _count_anew(self) -> None:
        for first in self._to_count:
            self._set_sum(first, self._counted(first))
        self._to_count.clear()

    def _set_sum(self, first: int, total: Fingerprint) -> None:
        self._sums[first] = total
        self._touched.add(first)

    def _counted(self, first: int) -> Fingerprint:
        rows = _as_sent(self._range(f"{first:02x}"))
        return Fingerprint.of_digests(row_digests(rows))

    def _range(self, prefix: str) -> list[Any]:
        return self._db.execute(f"{_DIGESTED} lookup BETWEEN ? AND ?", _ends(prefix)).fetchall()

    def _move(self, sign: int, lookups: Iterable[bytes], rows: Sequence[TicketTexts]) -> None:
        """Carry the sums forward over rows that come (+1) or go (-1)."""
        counts, totals = [0] * 256, [0] * 256
        for lookup, digest in zip(lookups, row_digests(rows), strict=True):
            counts[lookup[0]] += 1
            totals[lookup[0]] += digest
        for first, count in enumerate(counts):
            if count:
                self._set_sum(first, self._sums[first].moved(sign * count, sign * totals[first]))

    # --- admissions made at other devices -------------------------------------------------------------------------

    def put_admissions(self, rows: Sequence[AdmissionValues]) -> None:
        """Add what other devices let in and out; a scan_id that is there stays as it is."""
        self._begin()
        self._db.executemany("INSERT OR IGNORE INTO admission VALUES (?, ?, ?, ?, ?, ?)", rows)

    def delete_admissions(self, scan_ids: Sequence[str]) -> None:
        """Take back admissions that other devices released."""
        self._begin()
        self._db.executemany("DELETE FROM admission WHERE scan_id = ?", [(each,) for each in scan_ids])


def _as_sent(rows: Sequence[Sequence[Any]]) -> list[TicketTexts]:
    """Return rows of the table with their lookups as texts, as they are digested."""
    texts = lookup_texts([row[0] for row in rows])
    return [(text, *row[1:]) for text, row in zip(texts, rows, strict=True)]


def _ends(prefix: str) -> tuple[bytes, bytes]:
    """Return the first and the last lookup that begin with these hex digits."""
    return bytes.fromhex(prefix.ljust(_HEX_DIGITS, "0")), bytes.fromhex(prefix.ljust(_HEX_DIGITS, "f"))
