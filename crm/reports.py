"""What organisers read: live figures, devices, the last scans, conflicts, and all scans as CSV."""

import csv
import io
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import sqlalchemy as sa

from crm import catalogue, schema
from crm.database import Database
from crm.errors import NotFound
from crm.transactions import Read
from sync.instants import write_instant

LAST_SCANS = 50
MAX_CONFLICTS = 100
_CSV_ROWS = 1000
CSV_COLUMNS = (
    "scan_id",
    "event",
    "device",
    "seq",
    "lane",
    "checkpoint",
    "controller",
    "ticket_id",
    "lookup",
    "code",
    "direction",
    "verdict",
    "reason",
    "at",
    "clock",
    "passage",
    "note",
    "of",
    "received_at",
)
# OWASP, "CSV injection": a cell that begins so is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def figures(db: Database, event: str | None = None) -> dict[str, Any]:
    """Return the live figures as JSON values, of one event where named.

    Keys: `organiser`, `at`, `tickets` (count), `fingerprint`, `checkpoints` (id, name, event, zone, entries, exits,
    inside, refused, capacity and zone_inside, which is what capacity limits), `devices` (see `devices`), `scans` (the
    last 50, newest first), `conflicts` (newest first).

    Raises:
        NotFound: no such event.
    """
    async with db.read() as tx:
        if event is not None and await catalogue.get(tx, "event", event) is None:
            raise NotFound("event", f"no event has the id {event}; see brama crm event list")
        return {
            "organiser": tx.organiser.name,
            "at": write_instant(tx.now),
            "tickets": tx.listed.count,
            "fingerprint": tx.listed.hex(),
            "checkpoints": await _checkpoints(tx, event),
            "devices": await devices(tx),
            "scans": await _last_scans(tx, event),
            "conflicts": await _conflicts(tx, event),
        }


async def list_devices(db: Database) -> list[dict[str, Any]]:
    """Return the devices as `figures` has them."""
    async with db.read() as tx:
        return await devices(tx)


async def scans_csv(db: Database, event: str | None = None) -> AsyncGenerator[str, None]:
    """Yield all scans as CSV (RFC 4180, header first, CRLF), oldest first, of one event where named.

    Cells that a spreadsheet would run as a formula get an apostrophe in front.

    Raises:
        NotFound: no such event.
    """
    table = schema.scan
    place = sa.tuple_(table.c.at, table.c.scan_id)
    query = sa.select(*[table.c[name] for name in CSV_COLUMNS]).order_by(table.c.at, table.c.scan_id)
    async with db.read() as tx:
        if event is not None:
            if await catalogue.get(tx, "event", event) is None:
                raise NotFound("event", f"no event has the id {event}; see brama crm event list")
            query = query.where(table.c.event == event)
        yield _csv([CSV_COLUMNS])
        rows = await tx.rows(query.limit(_CSV_ROWS))
        while rows:
            yield _csv(rows)
            last = sa.tuple_(sa.literal(rows[-1].at, schema.InstantType()), sa.literal(rows[-1].scan_id))
            rows = await tx.rows(query.where(place > last).limit(_CSV_ROWS))


def safe_cell(value: Any) -> str:
    """Write one value as a CSV cell that no spreadsheet runs."""
    if value is None:
        return ""
    text = write_instant(value) if hasattr(value, "astimezone") else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([safe_cell(value) for value in row] for row in rows)
    return text.getvalue()


async def _checkpoints(tx: Read, event: str | None) -> list[dict[str, Any]]:
    """Return the figures of each checkpoint, and of ids that scans name and nobody knows."""
    tallies = {row.checkpoint: row for row in await tx.rows(sa.select(schema.tally))}
    events = {each.id: each.name for each in await catalogue.every(tx, "event")}
    points = sorted(await catalogue.every(tx, "checkpoint", event), key=lambda each: (each.event, each.name, each.id))
    zones: Counter[tuple[str, str]] = Counter()
    found = []
    for point in points:
        figures_ = _tally(tallies.pop(point.id, None))
        zones[point.event, point.zone or point.id] += figures_["entries"] - figures_["exits"]
        about = {"id": point.id, "name": point.name, "event": events[point.event], "zone": point.zone}
        found.append({**about, "capacity": point.capacity, **figures_})
    for point, each in zip(points, found, strict=True):
        each["zone_inside"] = max(0, zones[point.event, point.zone or point.id])
    if event is None:
        nothing = {"event": None, "zone": None, "capacity": None, "zone_inside": 0}
        for name, row in sorted(tallies.items()):
            found.append({"id": name, "name": name or "(no checkpoint)", **nothing, **_tally(row)})
    return found


def _tally(row: Any) -> dict[str, int]:
    entries, exits, refused = (row.entries, row.exits, row.refused) if row else (0, 0, 0)
    return {"entries": entries, "exits": exits, "inside": max(0, entries - exits), "refused": refused}


async def devices(tx: Read) -> list[dict[str, Any]]:
    """Return each device: id, name, enrolled_at, revoked_at, last_seen, backlog, last_seq, faults, last_fault."""
    device, beat, scan = schema.device, schema.heartbeat, schema.scan
    received = sa.select(scan.c.received_at).where(scan.c.device == device.c.id).order_by(scan.c.seq.desc()).limit(1)
    query = (
        sa.select(device, beat.c.at.label("beat_at"), beat.c.health, received.scalar_subquery().label("scan_at"))
        .select_from(device.outerjoin(beat, beat.c.device == device.c.id))
        .order_by(device.c.enrolled_at, device.c.id)
    )
    found = []
    for row in (await tx.connection.execute(query)).mappings():
        health = json.loads(row["health"]) if row["health"] else {}
        seen = max((at for at in (row["beat_at"], row["scan_at"]) if at is not None), default=None)
        found.append(
            {
                **{name: row[name] for name in ("id", "name", "last_seq", "faults", "last_fault")},
                "enrolled_at": write_instant(row["enrolled_at"]),
                "revoked_at": write_instant(row["revoked_at"]) if row["revoked_at"] else None,
                "last_seen": write_instant(seen) if seen else None,
                "backlog": backlog_of(health),
                "health": health,
            }
        )
    return found


def backlog_of(health: Mapping[str, Any]) -> int | None:
    """Read how many scans a device has yet to send: `backlog` is a number, or an object that counts them."""
    backlog = health.get("backlog")
    if isinstance(backlog, dict):
        backlog = next((backlog[name] for name in ("scans", "unsent", "count") if name in backlog), None)
    return backlog if isinstance(backlog, int) and not isinstance(backlog, bool) else None


async def _last_scans(tx: Read, event: str | None) -> list[dict[str, Any]]:
    scan = schema.scan
    query = (
        sa.select(scan, schema.device.c.name.label("device_name"), schema.checkpoint.c.name.label("checkpoint_name"))
        .join(schema.device, schema.device.c.id == scan.c.device)
        .outerjoin(schema.checkpoint, schema.checkpoint.c.id == scan.c.checkpoint)
        .order_by(scan.c.at.desc(), scan.c.scan_id.desc())
        .limit(LAST_SCANS)
    )
    if event is not None:
        query = query.where(scan.c.event == event)
    names = ("scan_id", "device_name", "checkpoint", "checkpoint_name", "lane", "ticket_id", "direction", "verdict")
    more = ("reason", "clock", "passage", "note")
    return [
        {**{name: row[name] for name in (*names, *more)}, "at": write_instant(row["at"])}
        for row in (await tx.connection.execute(query)).mappings()
    ]


async def _conflicts(tx: Read, event: str | None) -> list[dict[str, Any]]:
    """Return conflicts with the names of devices and checkpoints; `withdrawn_at` is set where it was none after all."""
    table = schema.conflict
    query = sa.select(table).order_by(table.c.withdrawn_at.is_not(None), table.c.found_at.desc()).limit(MAX_CONFLICTS)
    if event is not None:
        query = query.where(table.c.event == event)
    device, point = schema.device.c, schema.checkpoint.c
    devices_by_id = {row.id: row.name for row in await tx.rows(sa.select(device.id, device.name))}
    points_by_id = {row.id: row.name for row in await tx.rows(sa.select(point.id, point.name))}
    found = []
    for row in await tx.rows(query):
        line = json.loads(row.line)
        for scan in line["scans"]:
            scan["device_name"] = devices_by_id.get(scan["device"], scan["device"])
            scan["checkpoint_name"] = points_by_id.get(scan["checkpoint"], scan["checkpoint"])
        withdrawn = write_instant(row.withdrawn_at) if row.withdrawn_at else None
        found.append({**line, "found_at": write_instant(row.found_at), "withdrawn_at": withdrawn})
    return found
