"""Tickets: put, changed and taken away together with the list's count, its fingerprint and the feed.

A `tickets` feed line remembers in `before` the digest of each row that it replaces (null for a new one; all null is
null), a `delete` of tickets `[event, lookup, digest, id]` of each row that goes. So the fingerprint of any part of
the list can be carried forward over a change without asking what the list was.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from crm import schema
from crm.dialect import upsert
from crm.errors import BadInput, NotFound
from crm.schema import is_storable
from crm.transactions import Read, Write
from edge.core.barcodes import lookup_text
from edge.core.fingerprint import Fingerprint, row_digest
from edge.core.model import TicketState
from sync.wire import MAX_ROWS, DeleteLine

_TICKET = schema.ticket.c


@dataclass(frozen=True, slots=True)
class TicketRecord:
    """One ticket of one event as the list holds it; `valid_from` and `valid_until` are texts of the wire."""

    lookup: bytes
    id: str
    type: str
    state: str = "valid"
    valid_from: str | None = None
    valid_until: str | None = None
    holder: str | None = None
    seat: str | None = None
    source: str | None = None

    @classmethod
    def of(cls, values: Iterable[Any]) -> "TicketRecord":
        """Build a record from a row of `COLUMNS`."""
        return cls(*values)

    @property
    def digest(self) -> int:
        """The row's part of the fingerprint."""
        lookup = lookup_text(self.lookup)
        return row_digest(lookup, self.id, self.type, self.state, self.valid_from, self.valid_until)

    def wire_row(self) -> list[str | None]:
        """The row as a `tickets` line carries it."""
        return [
            lookup_text(self.lookup),
            self.id,
            self.type,
            self.state,
            self.valid_from,
            self.valid_until,
            self.holder,
            self.seat,
            self.source,
        ]


FIELDS = ("lookup", "id", "type", "state", "valid_from", "valid_until", "holder", "seat", "source")
COLUMNS = tuple(schema.ticket.c[name] for name in FIELDS)


def tickets_line(event: str, records: Sequence[TicketRecord]) -> str:
    """Write a `tickets` line."""
    rows = [record.wire_row() for record in records]
    return json.dumps({"kind": "tickets", "event": event, "rows": rows}, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class PutResult:
    """How many rows were new, and how many replaced another; the rest were there already, word for word."""

    added: int = 0
    changed: int = 0


async def put_tickets(tx: Write, event: str, records: Sequence[TicketRecord]) -> PutResult:
    """Store up to 1,000 tickets of one event, no lookup twice; those already there word for word say nothing.

    Raises:
        BadInput: an id is that of another code's ticket.
    """
    if len(records) > MAX_ROWS:
        raise ValueError("at most 1,000 tickets at a time")
    await _check_ids(tx, records)
    held = await _held(tx, event, [record.lookup for record in records])
    new = [record for record in records if held.get(record.lookup) != record]
    if not new:
        return PutResult()
    gone = [held.get(record.lookup) for record in new]
    rows = [{"event": event} | {name: getattr(record, name) for name in FIELDS} for record in new]
    await tx.connection.execute(upsert(tx.connection, schema.ticket), rows)
    replaced = [old for old in gone if old]
    await _move_list(tx, come=new, go=replaced)
    before = [f"{old.digest:032x}" if old else None for old in gone] if replaced else None
    tx.say("tickets", tickets_line(event, new), before=before)
    return PutResult(len(new) - len(replaced), len(replaced))


async def set_state(tx: Write, ticket_id: str, state: str) -> int:
    """Change the state of a ticket, at every event that it is for; return how many rows changed.

    Raises:
        BadInput: no such state.
        NotFound: no such ticket.
    """
    if state not in list(TicketState):
        raise BadInput("state", f"one of {', '.join(TicketState)}")
    rows = await tx.rows(sa.select(_TICKET.event, *COLUMNS).where(_TICKET.id == ticket_id))
    if not rows:
        raise NotFound("ticket", f"no ticket has the id {ticket_id}")
    changed = 0
    for row in rows:
        record = replace(TicketRecord.of(row[1:]), state=state)
        changed += (await put_tickets(tx, row.event, [record])).changed
    return changed


async def delete_tickets(tx: Write, ids: Sequence[str]) -> int:
    """Take tickets off the list, at every event; return how many rows went. Ids not there are passed over."""
    rows = await tx.rows(sa.select(_TICKET.event, *COLUMNS).where(_TICKET.id.in_(list(ids))))
    if not rows:
        return 0
    gone = [(row.event, TicketRecord.of(row[1:])) for row in rows]
    await tx.connection.execute(sa.delete(schema.ticket).where(_TICKET.id.in_(list(ids))))
    await _move_list(tx, come=[], go=[record for _, record in gone])
    before = [[event, record.lookup.hex(), f"{record.digest:032x}", record.id] for event, record in gone]
    line = DeleteLine(of="tickets", ids=sorted({record.id for _, record in gone}))
    tx.say("delete", line.model_dump_json(), before=before)
    return len(gone)


async def lookups_of_ids(tx: Read, ids: Iterable[str]) -> dict[str, bytes]:
    """Return whose code each of these ticket ids is, of those that are held."""
    query = sa.select(_TICKET.id, _TICKET.lookup).where(_TICKET.id.in_(list(ids)))
    return {row.id: row.lookup for row in await tx.rows(query)}


async def ids_of_lookups(tx: Read, event: str, lookups: Iterable[bytes]) -> dict[bytes, str]:
    """Return the ids of these tickets of one event, of those that are held."""
    query = sa.select(_TICKET.lookup, _TICKET.id).where(_TICKET.event == event, _TICKET.lookup.in_(list(lookups)))
    return {row.lookup: row.id for row in await tx.rows(query)}


def unstorable(record: TicketRecord) -> tuple[str, str] | None:
    """Return the field that cannot be stored, and why; changed, it would no longer be what the list says."""
    for name in ("id", "holder", "seat"):
        text = getattr(record, name)
        if text is not None and not is_storable(text):
            return name, "has a NUL character; is this file text at all?"
    return None


async def _check_ids(tx: Read, records: Sequence[TicketRecord]) -> None:
    owners = await lookups_of_ids(tx, [record.id for record in records])
    for record in records:
        if owners.setdefault(record.id, record.lookup) != record.lookup:
            raise BadInput("id", id_taken(record.id))


def id_taken(ticket_id: str) -> str:
    """Say that an id is another ticket's, and what to do."""
    return f"{ticket_id} is already the id of another ticket; make it unique, or leave the id out"


async def _held(tx: Read, event: str, lookups: list[bytes]) -> dict[bytes, TicketRecord]:
    query = sa.select(*COLUMNS).where(_TICKET.event == event, _TICKET.lookup.in_(lookups))
    return {row.lookup: TicketRecord.of(row) for row in await tx.rows(query)}


async def _move_list(tx: Write, come: Iterable[TicketRecord], go: Iterable[TicketRecord]) -> None:
    """Carry the list's count and fingerprint forward, the whole and by the lookup's first byte."""
    moved: dict[int, Fingerprint] = {}
    for sign, records in ((1, come), (-1, go)):
        for record in records:
            digest, first = record.digest, record.lookup[0]
            part = moved.get(first, Fingerprint())
            moved[first] = part.plus(digest) if sign > 0 else part.minus(digest)
    bucket = schema.bucket
    query = sa.select(bucket).where(bucket.c.first_byte.in_(list(moved)))
    held = {row.first_byte: Fingerprint.parse(row.tickets, row.fingerprint) for row in await tx.rows(query)}
    rows: list[dict[str, Any]] = []
    for first, part in moved.items():
        total = held.get(first, Fingerprint()).joined(part)
        tx.listed = tx.listed.joined(part)
        rows.append({"first_byte": first, "tickets": total.count, "fingerprint": total.hex()})
    await tx.connection.execute(upsert(tx.connection, bucket), rows)
