"""Whether a gate's files hold what the central's database says: the rows themselves, and the sums kept of them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from crm import schema
from crm.catalogue import catalogue_lines
from crm.database import Database
from crm.tickets import COLUMNS
from crm.transactions import Read
from edge.core.barcodes import lookup_text
from edge.core.fingerprint import Fingerprint, row_digest
from edge.store.database import connect_read_only
from edge.store.keeping import verify_chain
from edge.store.outbox import acked_seq
from edge.store.records import microseconds
from edge.store.whitelist_writer import WhitelistSession
from sync.apply import Change, apply_change
from sync.lines import parsed

Rows = list[list[Any]]
Dump = dict[str, Rows]
"""Rows by what they are of, in order, and such as JSON can carry."""
_ADMISSION = ("scan_id", "ticket_id", "checkpoint", "direction", "at", "device")


def cursor_on_disk(folder: Path) -> str | None:
    """Return where the feed must go on from: after the list being built, where there is one."""
    paths = [folder / "whitelist.building.db", folder / "whitelist.db"]
    path = next((each for each in paths if each.exists()), None)
    if path is None:
        return None
    try:
        with closing(connect_read_only(path)) as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'cursor'").fetchone()
    except sqlite3.OperationalError:  # the gate was killed before the file was made whole
        return None
    return row[0] if row and row[0] else None


# --- what the gate has ----------------------------------------------------------------------------------------------


def dump_of_gate(journal_path: Path, whitelist_path: Path) -> Dump:
    """Read what the gate has; the list must not be swapped meanwhile."""
    with closing(connect_read_only(journal_path)) as journal:
        scans = _all(journal, "SELECT seq, scan_id, verdict FROM scan ORDER BY seq")
        acked = acked_seq(journal)
        conflicts = _all(journal, "SELECT scan_id FROM conflict ORDER BY 1")
        found = verify_chain(journal)
    with closing(connect_read_only(whitelist_path)) as db:
        tickets = _all(
            db,
            "SELECT event, lower(hex(lookup)), id, type, state, valid_from, valid_until, holder, seat, source"
            " FROM ticket ORDER BY 1, 2",
        )
        kept = dict(db.execute("SELECT key, value FROM meta"))
        things = _all(db, "SELECT kind, id, body FROM entity ORDER BY 1, 2")
        admissions = _all(db, f"SELECT {', '.join(_ADMISSION)} FROM admission ORDER BY 1")
        flow = _all(db, "SELECT checkpoint, entries, exits FROM flow WHERE entries OR exits ORDER BY 1")
    return {
        "acked": [[acked]],
        "scans": scans,
        "chain": [[found.rows, len(found.problems)]],
        "tickets": tickets,
        "sum of rows": _sum_of(tickets),
        "sum kept": [[int(kept.get("count", 0)), kept.get("fingerprint")]],
        "things": things,
        "admissions": admissions,
        "flow": flow,
        "conflicts": conflicts,
    }


def _all(db: sqlite3.Connection, query: str) -> Rows:
    return [list(row) for row in db.execute(query)]


def _sum_of(tickets: Rows) -> Rows:
    total = Fingerprint()
    for row in tickets:
        total = total.plus(row_digest(lookup_text(bytes.fromhex(row[1])), *row[2:7]))
    return [[total.count, total.hex()]]


# --- what the central has -------------------------------------------------------------------------------------------


async def dump_of_central(db: Database, device: str) -> Dump:
    """Read what this device should have."""
    scan, known, ticket = schema.scan.c, schema.device.c, schema.ticket.c
    async with db.read() as tx:
        scans = await _rows(tx, sa.select(scan.seq, scan.scan_id, scan.verdict), scan.device == device, scan.seq)
        ((faults, last_seq),) = await _rows(tx, sa.select(known.faults, known.last_seq), known.id == device, known.id)
        tickets = await _rows(tx, sa.select(ticket.event, *COLUMNS), sa.true(), ticket.event, ticket.lookup)
        admissions = await _admissions(tx, device)
        return {
            "acked": [[last_seq]],
            "scans": scans,
            "chain": [[len(scans), faults]],
            "tickets": [[event, lookup.hex(), *rest] for event, lookup, *rest in tickets],
            "sum of rows": [[tx.listed.count, tx.listed.hex()]],
            "sum kept": [[tx.listed.count, tx.listed.hex()]],
            "things": await _things(tx, device),
            "admissions": admissions,
            "flow": _flow(admissions),
            "conflicts": await _conflicts(tx, device),
        }


async def _rows(tx: Read, query: sa.Select[Any], where: sa.ColumnElement[bool], *order: sa.ColumnElement[Any]) -> Rows:
    return [list(row) for row in await tx.rows(query.where(where).order_by(*order))]


async def _things(tx: Read, device: str) -> Rows:
    """Return what a gate that pulls everything now would keep of events, types, checkpoints and people."""
    kept: Rows = []

    async def keep(method: str, *args: Any) -> None:
        kept.append(list(args))

    session = WhitelistSession(keep, {})
    for number, text in enumerate(await catalogue_lines(tx, device), 1):
        line = await parsed(text.encode(), number)
        assert isinstance(line, Change)
        await apply_change(session, line)
    return sorted(kept)


async def _admissions(tx: Read, device: str) -> Rows:
    """Return what was let in and out elsewhere."""
    made = schema.admission.c
    elsewhere = sa.and_(made.device != device, made.ticket_id.is_not(None))
    rows = await _rows(tx, sa.select(*(made[name] for name in _ADMISSION)), elsewhere, made.scan_id)
    return [[*row[:4], microseconds(row[4]), row[5]] for row in rows]


def _flow(admissions: Rows) -> Rows:
    found: dict[str, list[int]] = {}
    for _, _, point, way, *_ in admissions:
        if point is not None:
            counts = found.setdefault(point, [0, 0])
            counts[way == "exit"] += 1
    return [[point, *counts] for point, counts in sorted(found.items())]


async def _conflicts(tx: Read, device: str) -> Rows:
    """Return the conflicts in which this device takes part, but those that were none after all."""
    table = schema.conflict.c
    rows = await _rows(tx, sa.select(table.scan_id, table.line), table.withdrawn_at.is_(None), table.scan_id)
    return [[scan_id] for scan_id, line in rows if f'"{device}"' in line]


# --- side by side ---------------------------------------------------------------------------------------------------


def difference(mine: Dump, theirs: Dump, answered: Sequence[tuple[str, str]]) -> str | None:
    """Return what of a gate's differs first from the central's; None: nothing.

    `answered`: scan_id and verdict of what guests were told, all of which must be in the journal.
    """
    if missing := set(answered) - {(scan_id, verdict) for _, scan_id, verdict in mine["scans"]}:
        return f"told to guests and not in the journal: {missing}"
    for name, there in theirs.items():
        # The gate does not hear that a conflict was none after all.
        here = [each for each in mine[name] if name != "conflicts" or each in there]
        if here != there:
            more, less = [each for each in here if each not in there], [each for each in there if each not in here]
            return f"{name}: the gate has {more[:3]} of {len(here)}, the central {less[:3]} of {len(there)}"
    return None
