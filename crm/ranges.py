"""Ranges of the ticket list by the first hex digits of the lookup: how a difference is narrowed and healed."""

from collections.abc import AsyncGenerator

import sqlalchemy as sa

from crm import schema
from crm.cursor import Place
from crm.feed import Step, cursor_line
from crm.tickets import COLUMNS, TicketRecord, tickets_line
from crm.transactions import Read
from edge.core.barcodes import LOOKUP_BYTES
from edge.core.fingerprint import Fingerprint
from sync.wire import MAX_ROWS, FingerprintModel, FingerprintsAnswer

_DIGITS = LOOKUP_BYTES * 2


async def fingerprints(tx: Read, prefix: str) -> FingerprintsAnswer:
    """Return count and fingerprint of the lookups that begin with `prefix` (hex), and of its sixteen parts.

    One or no digit is answered from sums kept up with each write, more by reading at most a 256th of the list. A
    whole lookup has no parts.
    """
    parts = dict.fromkeys("0123456789abcdef", Fingerprint()) if len(prefix) < _DIGITS else {}
    whole = Fingerprint()
    if len(prefix) < 2:
        for row in await tx.rows(sa.select(schema.bucket)):
            first = f"{row.first_byte:02x}"
            if first.startswith(prefix):
                part = Fingerprint.parse(row.tickets, row.fingerprint)
                whole, digit = whole.joined(part), first[len(prefix)]
                parts[digit] = parts[digit].joined(part)
    else:
        async for _, records in _range(tx, prefix):
            for record in records:
                digest = record.digest
                whole = whole.plus(digest)
                if parts:
                    digit = record.lookup.hex()[len(prefix)]
                    parts[digit] = parts[digit].plus(digest)
    children = {digit: _model(part) for digit, part in parts.items()}
    return FingerprintsAnswer(count=whole.count, fingerprint=whole.hex(), children=children)


async def tickets_of_range(tx: Read, prefix: str) -> AsyncGenerator[str, None]:
    """Yield the `tickets` lines of the range, then a cursor line with the present place and whole list."""
    async for event, records in _range(tx, prefix):
        yield tickets_line(event, records)
    yield cursor_line(Step([], Place(tx.organiser.epoch, tx.seq), listed=tx.listed), tx)


async def _range(tx: Read, prefix: str) -> AsyncGenerator[tuple[str, list[TicketRecord]], None]:
    """Yield events with up to 1,000 of their tickets in the range at a time, by event and lookup."""
    ticket = schema.ticket.c
    low, high = bytes.fromhex(prefix.ljust(_DIGITS, "0")), bytes.fromhex(prefix.ljust(_DIGITS, "f"))
    for (event,) in await tx.rows(sa.select(schema.event.c.id).order_by(schema.event.c.id)):
        after = sa.and_(ticket.lookup >= low, ticket.lookup <= high)
        while True:
            query = sa.select(*COLUMNS).where(ticket.event == event, after).order_by(ticket.lookup).limit(MAX_ROWS)
            records = [TicketRecord.of(row) for row in await tx.rows(query)]
            if records:
                yield event, records
            if len(records) < MAX_ROWS:
                break
            after = sa.and_(ticket.lookup > records[-1].lookup, ticket.lookup <= high)


def _model(part: Fingerprint) -> FingerprintModel:
    return FingerprintModel(count=part.count, fingerprint=part.hex())
