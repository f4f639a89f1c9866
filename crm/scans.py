"""Scans come in: at least once, each judged for itself, told to the other devices in the same transaction.

A scan is stored as it came and never changed. What stands of it is kept beside it: `admission` holds entries and
exits until a `not_passed` scan releases them, `tally` the live figures of each checkpoint.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from crm import conflicts, schema
from crm.database import Database, Write
from crm.dialect import upsert
from crm.enrolment import Device
from crm.errors import bad_input
from crm.feed import admissions_line
from crm.journal import watch_journal
from crm.service import ID_FORM
from edge.core.admission import NOT_A_VERDICT, Reason
from sync.wire import DeleteLine, Rejected, ScanModel, ScansAnswer

_log = logging.getLogger(__name__)
_LARGEST = (1 << 63) - 1
# A gate with no clock at all says 1970; what lies outside is not a time that a calendar can count days around.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
NO_CHECKPOINT = ""
"""How the tally names scans of a lane that had no checkpoint."""


@dataclass(slots=True)
class _Batch:
    """One request's scans, sorted out."""

    new: list[ScanModel] = field(default_factory=list)
    again: list[ScanModel] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    by_seq: dict[int, dict[str, Any]] = field(default_factory=dict)

    def all(self) -> Iterable[ScanModel]:
        yield from self.new
        yield from self.again


async def receive(db: Database, device: Device, raw: Sequence[dict[str, Any]]) -> ScansAnswer:
    """Store what is new of these scans, and say what they changed; a bad one is one reject.

    The answer's conflicts are those in which a scan of this request takes part, so that a request sent again after a
    lost answer gets the same one.
    """
    async with db.write() as tx:
        batch = await _sort_out(tx, device, raw)
        await watch_journal(tx, device, batch.by_seq, batch.new)
        touched = await _store(tx, device, batch)
        await conflicts.judge(tx, touched)
        seen = {scan.scan_id for scan in batch.all()}
        found = await conflicts.those_of(tx, await _tickets_of(tx, seen), seen)
    if batch.rejected:
        _log.warning("device %s: %d scans rejected, first: %s", device.id, len(batch.rejected), batch.rejected[0])
    return ScansAnswer(acked=max(batch.by_seq, default=0), conflicts=found, rejected=batch.rejected)


async def _sort_out(tx: Write, device: Device, raw: Sequence[dict[str, Any]]) -> _Batch:
    batch = _Batch()
    good: dict[str, ScanModel] = {}
    for each in raw:
        seq = each.get("seq")
        if isinstance(seq, int) and 1 <= seq <= _LARGEST:
            batch.by_seq[seq] = each
        scan = _checked(each)
        if isinstance(scan, Rejected):
            batch.rejected.append(scan)
        else:
            batch.by_seq[scan.seq] = each
            good.setdefault(scan.scan_id, scan)
    table = schema.scan.c
    owners = await tx.rows(sa.select(table.scan_id, table.device).where(table.scan_id.in_(list(good))))
    for row in owners:
        scan = good.pop(row.scan_id)
        if row.device == device.id:
            batch.again.append(scan)
        else:
            message = "scan_id: another device has sent a scan with this id; ids must be unique"
            batch.rejected.append(Rejected(scan_id=scan.scan_id, code="scan_id_taken", message=message))
    batch.new.extend(good.values())
    return batch


def _checked(raw: dict[str, Any]) -> ScanModel | Rejected:
    scan_id = raw.get("scan_id")
    named = scan_id if isinstance(scan_id, str) and len(scan_id) <= 200 else ""
    try:
        scan = ScanModel.model_validate(raw)
    except ValidationError as exc:
        return Rejected(scan_id=named, code="invalid", message=str(bad_input(exc)))
    complaint = None
    if not ID_FORM.fullmatch(scan.scan_id):
        complaint = "scan_id: 1 to 64 letters, digits or any of . _ : -"
    elif scan.seq > _LARGEST:
        complaint = "seq: at most 2^63 - 1"
    elif not _EARLIEST <= scan.at < _LATEST:
        complaint = "at: between 1970 and 2200"
    return Rejected(scan_id=named, code="invalid", message=complaint) if complaint else scan


async def _store(tx: Write, device: Device, batch: _Batch) -> set[conflicts.TicketAt]:
    """Store the new scans and what they change; return the tickets that conflicts may now concern."""
    if not batch.new:
        return set()
    events = await _events(tx, batch.new)
    rows = [_scan_row(scan, device, events.get(scan.scan_id), tx.now) for scan in batch.new]
    await tx.connection.execute(sa.insert(schema.scan), rows)
    released = await _released(tx, device, batch.new)
    standing = [_admission_row(row) for row in rows if row["verdict"] != "refused" and row["scan_id"] not in released]
    taken_back = await _take_back(tx, device, released)
    if standing:
        await tx.connection.execute(sa.insert(schema.admission), standing)
    fed = [row for row in standing if row["ticket_id"] is not None]
    if fed:
        columns = ("scan_id", "ticket_id", "checkpoint", "direction", "at", "device")
        tx.say("admissions", admissions_line([[row[c] for c in columns] for row in fed]), not_to=device.id)
    refused = [row for row in rows if row["verdict"] == "refused" and row["reason"] not in NOT_A_VERDICT]
    await _count(tx, standing, taken_back, refused)
    changed = [(row["ticket_id"], row["event"]) for row in (*standing, *taken_back)]
    return {(ticket_id, event) for ticket_id, event in changed if ticket_id is not None and event is not None}


async def _events(tx: Write, scans: Sequence[ScanModel]) -> dict[str, str]:
    """Return each scan's event: its checkpoint's, else the ticket's where that is for one event only."""
    point, ticket = schema.checkpoint.c, schema.ticket.c
    points = {scan.checkpoint for scan in scans if scan.checkpoint}
    of_point = {
        row.id: row.event for row in await tx.rows(sa.select(point.id, point.event).where(point.id.in_(points)))
    }
    ids = {scan.ticket_id for scan in scans if scan.ticket_id and scan.checkpoint not in of_point}
    of_ticket: dict[str, set[str]] = {}
    for row in await tx.rows(sa.select(ticket.id, ticket.event).where(ticket.id.in_(ids))) if ids else ():
        of_ticket.setdefault(row.id, set()).add(row.event)
    found: dict[str, str] = {}
    for scan in scans:
        candidates = of_ticket.get(scan.ticket_id or "", set())
        if scan.checkpoint in of_point:
            found[scan.scan_id] = of_point[scan.checkpoint]
        elif len(candidates) == 1:
            found[scan.scan_id] = next(iter(candidates))
    return found


def _scan_row(scan: ScanModel, device: Device, event: str | None, now: datetime) -> dict[str, Any]:
    row = {name: getattr(scan, name) for name in ScanModel.model_fields}
    return {**row, "clock": scan.clock.value, "device": device.id, "event": event, "received_at": now}


def _admission_row(row: dict[str, Any]) -> dict[str, Any]:
    columns = ("scan_id", "device", "event", "ticket_id", "checkpoint", "direction", "at")
    return {**{name: row[name] for name in columns}, "override": row["reason"] == Reason.OVERRIDE}


async def _released(tx: Write, device: Device, scans: Sequence[ScanModel]) -> set[str]:
    """Return the scan_ids that a release names: in this batch, or one that came before the scan it releases."""
    table = schema.scan.c
    query = sa.select(table.of).where(
        table.of.in_([scan.scan_id for scan in scans]),
        table.device == device.id,
        table.reason == Reason.NOT_PASSED.value,
    )
    before = {row.of for row in await tx.rows(query)}
    return before | {scan.of for scan in scans if scan.of and scan.reason == Reason.NOT_PASSED}


async def _take_back(tx: Write, device: Device, released: set[str]) -> list[dict[str, Any]]:
    """Delete released admissions that stood, and tell the other devices; return them."""
    if not released:
        return []
    made = schema.admission
    mine = sa.and_(made.c.scan_id.in_(released), made.c.device == device.id)
    rows = [dict(row) for row in (await tx.connection.execute(sa.select(made).where(mine))).mappings()]
    await tx.connection.execute(sa.delete(made).where(mine))
    if fed := sorted(row["scan_id"] for row in rows if row["ticket_id"] is not None):
        tx.say("delete", DeleteLine(of="admissions", ids=fed).model_dump_json(), not_to=device.id)
    return rows


async def _count(
    tx: Write, standing: list[dict[str, Any]], taken_back: list[dict[str, Any]], refused: list[dict[str, Any]]
) -> None:
    """Carry the live figures forward."""
    moved: dict[str, dict[str, int]] = {}
    for sign, rows in ((1, standing), (-1, taken_back), (1, refused)):
        for row in rows:
            figure = "refused" if rows is refused else "entries" if row["direction"] == "entry" else "exits"
            at = moved.setdefault(row["checkpoint"] or NO_CHECKPOINT, {"entries": 0, "exits": 0, "refused": 0})
            at[figure] += sign
    if not moved:
        return
    table = schema.tally
    held = {row.checkpoint: row for row in await tx.rows(sa.select(table).where(table.c.checkpoint.in_(moved)))}
    rows = [
        {"checkpoint": point, **{name: getattr(held.get(point), name, 0) + by for name, by in figures.items()}}
        for point, figures in moved.items()
    ]
    await tx.connection.execute(upsert(tx.connection, table), rows)


async def _tickets_of(tx: Write, scan_ids: set[str]) -> set[conflicts.TicketAt]:
    made = schema.admission.c
    query = sa.select(made.ticket_id, made.event).where(
        made.scan_id.in_(scan_ids), made.ticket_id.is_not(None), made.event.is_not(None)
    )
    return {(row.ticket_id, row.event) for row in await tx.rows(query)}
