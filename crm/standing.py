"""What stands of the scans: `admission` holds entries and exits until a `not_passed` scan releases them, `tally` the
live figures of each checkpoint.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from crm import schema
from crm.batches import Batch
from crm.conflicts import TicketAt
from crm.devices import Device
from crm.dialect import among, insert_many, upsert
from crm.feed import admissions_line
from crm.transactions import Write
from edge.core.admission import NOT_A_VERDICT, Reason
from sync.wire import DeleteLine, ScanModel

NO_CHECKPOINT = ""
"""How the tally names scans of a lane that had no checkpoint."""
Row = dict[str, Any]


async def store(tx: Write, batches: Sequence[Batch]) -> set[TicketAt]:
    """Store the new scans and what they change; return the tickets that conflicts may now concern."""
    sent = [(scan, batch.device) for batch in batches for scan in batch.new]
    if not sent:
        return set()
    events = await _events(tx, [scan for scan, _ in sent])
    rows = [_scan_row(scan, device, events.get(scan.scan_id), tx.now) for scan, device in sent]
    await insert_many(tx.connection, schema.scan, rows)
    released = await _released(tx, sent)
    standing = [
        _admission_row(row)
        for row in rows
        if row["verdict"] != "refused" and (row["device"], row["scan_id"]) not in released
    ]
    taken_back = await _take_back(tx, released)
    if standing:
        await insert_many(tx.connection, schema.admission, standing)
    _tell(tx, [batch.device.id for batch in batches], standing, taken_back)
    refused = [row for row in rows if row["verdict"] == "refused" and row["reason"] not in NOT_A_VERDICT]
    await _count(tx, standing, taken_back, refused)
    changed = [(row["ticket_id"], row["event"]) for row in (*standing, *taken_back)]
    return {(ticket_id, event) for ticket_id, event in changed if ticket_id is not None and event is not None}


async def _events(tx: Write, scans: Sequence[ScanModel]) -> dict[str, str]:
    """Return each scan's event: its checkpoint's, else the ticket's where that is for one event only."""
    point, ticket = schema.checkpoint.c, schema.ticket.c
    points = {scan.checkpoint for scan in scans if scan.checkpoint}
    query = sa.select(point.id, point.event).where(point.id.in_(points))
    of_point = {row.id: row.event for row in await tx.rows(query)} if points else {}
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


def _scan_row(scan: ScanModel, device: Device, event: str | None, now: datetime) -> Row:
    row = {name: getattr(scan, name) for name in ScanModel.model_fields}
    return {**row, "clock": scan.clock.value, "device": device.id, "event": event, "received_at": now}


def _admission_row(row: Row) -> Row:
    columns = ("scan_id", "device", "event", "ticket_id", "checkpoint", "direction", "at")
    return {**{name: row[name] for name in columns}, "override": row["reason"] == Reason.OVERRIDE}


async def _released(tx: Write, sent: Sequence[tuple[ScanModel, Device]]) -> set[tuple[str, str]]:
    """Return device and scan_id of what a release of that device names: here, or before the scan that it releases."""
    table = schema.scan.c
    named = among(table.of, [scan.scan_id for scan, _ in sent], tx.connection)
    query = sa.select(table.device, table.of).where(named, table.reason == Reason.NOT_PASSED.value)
    before = {(row.device, row.of) for row in await tx.rows(query)}
    return before | {(device.id, scan.of) for scan, device in sent if scan.of and scan.reason == Reason.NOT_PASSED}


async def _take_back(tx: Write, released: set[tuple[str, str]]) -> list[Row]:
    """Delete released admissions that stood; return them."""
    if not released:
        return []
    made = schema.admission
    named = made.c.scan_id.in_({scan_id for _, scan_id in released})
    rows = [dict(row) for row in (await tx.connection.execute(sa.select(made).where(named))).mappings()]
    gone = [row for row in rows if (row["device"], row["scan_id"]) in released]
    if gone:
        ids = [row["scan_id"] for row in gone]
        await tx.connection.execute(sa.delete(made).where(made.c.scan_id.in_(ids)))
    return gone


def _tell(tx: Write, devices: Sequence[str], standing: Sequence[Row], taken_back: Sequence[Row]) -> None:
    """Tell each device what the others did."""
    columns = ("scan_id", "ticket_id", "checkpoint", "direction", "at", "device")
    for device in devices:
        gone = sorted(row["scan_id"] for row in taken_back if row["device"] == device and row["ticket_id"] is not None)
        if gone:
            tx.say("delete", DeleteLine(of="admissions", ids=gone).model_dump_json(), not_to=device)
        fed = [row for row in standing if row["device"] == device and row["ticket_id"] is not None]
        if fed:
            tx.say("admissions", admissions_line([[row[c] for c in columns] for row in fed]), not_to=device)


async def _count(tx: Write, standing: Sequence[Row], taken_back: Sequence[Row], refused: Sequence[Row]) -> None:
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
