"""Scans come in: at least once, each judged for itself, told to the other devices in the same transaction.

Requests that wait together are stored together and answered each for itself. A scan is stored as it came and never
changed; what stands of it is kept beside it, in `crm.standing`.
"""

import logging
from collections.abc import Sequence

import sqlalchemy as sa

from crm import conflicts, schema, standing
from crm.batches import Batch, sorted_out
from crm.database import Database
from crm.dialect import among
from crm.journal import watch_journals
from crm.transactions import Write
from sync.wire import ConflictModel, ScansAnswer

_log = logging.getLogger(__name__)


async def receive(db: Database, batches: Sequence[Batch]) -> list[ScansAnswer]:
    """Store what is new of these requests, each of another device, and say what they changed; a bad scan is one reject.

    An answer's conflicts are those in which a scan of its request takes part, so that a request sent again after a
    lost answer gets the same one.
    """
    async with db.write() as tx:
        ours = sorted_out(batches, await _owners(tx, batches))
        await watch_journals(tx, ours)
        touched = await standing.store(tx, ours)
        await conflicts.judge(tx, touched)
        again = await _tickets_of(tx, {scan.scan_id for batch in ours for scan in batch.again})
        found = await conflicts.those_of(tx, touched | again)
    for batch in ours:
        if batch.rejected:
            first = batch.rejected[0]
            _log.warning("device %s: %d scans rejected, first: %s", batch.device.id, len(batch.rejected), first)
    return [_answer(batch, found) for batch in ours]


def _answer(batch: Batch, found: Sequence[ConflictModel]) -> ScansAnswer:
    mine = [each for each in found if any(scan.scan_id in batch.scan_ids for scan in each.scans)]
    return ScansAnswer(acked=max(batch.by_seq, default=0), conflicts=mine, rejected=batch.rejected)


async def _owners(tx: Write, batches: Sequence[Batch]) -> dict[str, str]:
    """Return which device has sent these scans, of those that are stored."""
    ids = {scan_id for batch in batches for scan_id in batch.scan_ids}
    if not ids:
        return {}
    table = schema.scan.c
    return {
        row.scan_id: row.device
        for row in await tx.rows(sa.select(table.scan_id, table.device).where(among(table.scan_id, ids, tx.connection)))
    }


async def _tickets_of(tx: Write, scan_ids: set[str]) -> set[conflicts.TicketAt]:
    if not scan_ids:
        return set()
    made = schema.admission.c
    query = sa.select(made.ticket_id, made.event).where(
        among(made.scan_id, scan_ids, tx.connection), made.ticket_id.is_not(None), made.event.is_not(None)
    )
    return {(row.ticket_id, row.event) for row in await tx.rows(query)}
