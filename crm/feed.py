"""The change feed: everything in steps, then what changes, each step one consistent read that ends in a cursor.

A step reads at one moment. Everything too goes step by step, and yet each cursor is exactly true: a step first
carries the part already sent forward to its own moment (changes to tickets further on are left out, since those
will be read as they then are), and only then reads on. So no read transaction outlives a slow network, a cut stream
goes on from its last cursor, and memory holds at most one step.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa

from crm import schema
from crm.catalogue import catalogue_lines
from crm.cursor import EMPTY, Phase, Place, check_place
from crm.dialect import by_code_point
from crm.tail import Tail
from crm.tickets import COLUMNS
from crm.transactions import Moment, Read
from edge.core.barcodes import lookup_texts, parse_lookup
from edge.core.fingerprint import Fingerprint, row_digest, row_digests
from sync.instants import write_instant
from sync.wire import MAX_ROWS, DeleteLine, ResetLine


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is read at a time.

    `rows` of tickets or admissions a line, `lines` of those between two cursors, `changes` looked at in one step.
    """

    rows: int = MAX_ROWS
    lines: int = 20
    changes: int = 60


SIZES = Sizes()


@dataclass(slots=True)
class Step:
    """Lines that end at `place`; `more` while the feed goes on beyond it."""

    lines: list[str]
    place: Place
    more: bool = False
    listed: Fingerprint = EMPTY
    bulk: int = 0


async def step(tx: Read, device: str, place: Place | None, sizes: Sizes = SIZES) -> Step:
    """Read on from `place`, or from the start of everything.

    Raises:
        Denied: 410, the cursor is too old or of another CRM.
    """
    if place is None:
        place = Place(tx.organiser.epoch, tx.seq, Phase.TICKETS)
        here = Step([ResetLine().model_dump_json(), *await catalogue_lines(tx, device)], place)
    else:
        check_place(place, tx)
        here = Step([], place)
    # Overwritten by the first change read, if there is one: with none, the gate stands at the present.
    here.listed = tx.listed
    await _catch_up(tx, here, device, sizes)
    while here.place.seq == tx.seq and here.place.phase is not Phase.FEED and here.bulk < sizes.lines:
        if here.place.phase is Phase.TICKETS:
            await _tickets(tx, here, sizes.rows)
        else:
            await _admissions(tx, here, device, sizes.rows)
    here.more = here.place.phase is not Phase.FEED or here.place.seq < tx.seq
    if here.place.phase is not Phase.FEED:
        here.listed = here.place.held
    return here


def step_of_tail(tail: Tail, moment: Moment, device: str, place: Place, sizes: Sizes = SIZES) -> Step:
    """Do as `step` would have done at `moment`, for a place in the feed that the tail reaches back to."""
    here = Step([], place, listed=moment.listed)
    last = None
    for change in tail.after(place.seq, min(sizes.changes, moment.seq - place.seq)):
        if here.bulk >= sizes.lines:
            break
        if change.is_for(device):
            here.lines.append(change.line)
            here.bulk += change.kind == "tickets"
        last = change
    if last is not None:
        here.place = replace(place, seq=last.seq)
        here.listed = Fingerprint.parse(last.tickets, last.fingerprint)
    here.more = here.place.seq < moment.seq
    return here


def cursor_line(here: Step, moment: Moment) -> str:
    """Write the cursor line that ends a step made at `moment`."""
    line = {
        "kind": "cursor",
        "cursor": here.place.write(),
        "at": write_instant(moment.now),
        "more": here.more,
        "tickets": here.listed.count,
        "fingerprint": here.listed.hex(),
    }
    return json.dumps(line)


async def _catch_up(tx: Read, here: Step, device: str, sizes: Sizes) -> None:
    """Add the changes after the place, and move it on over them."""
    change = schema.change.c
    query = sa.select(schema.change).where(change.seq > here.place.seq).order_by(change.seq).limit(sizes.changes)
    if here.place.seq == tx.seq:
        return
    for row in await tx.rows(query):
        if here.bulk >= sizes.lines:
            break
        for_us = row.only_device in (None, device) and row.not_device != device
        held, line = here.place.held, row.line
        if here.place.phase is Phase.TICKETS and row.kind == "tickets":
            held, line = _part_of_tickets(here.place, row)
        elif here.place.phase is Phase.TICKETS and row.kind == "delete" and row.before is not None:
            held, line = _part_of_delete(here.place, row)
        elif here.place.phase is Phase.ADMISSIONS:
            held = Fingerprint.parse(row.tickets, row.fingerprint)
        if for_us and line:
            here.lines.append(line)
            here.bulk += row.kind == "tickets"
        here.place = replace(here.place, seq=row.seq, held=held)
        here.listed = Fingerprint.parse(row.tickets, row.fingerprint)


def _part_of_tickets(place: Place, row: sa.Row[Any]) -> tuple[Fingerprint, str]:
    """Return what a gate holds after a `tickets` line cut down to the part of the list it has, and that line."""
    whole = json.loads(row.line)
    held, kept = place.held, []
    for fields, old in zip(whole["rows"], row.before or [None] * len(whole["rows"]), strict=True):
        if not place.covers(whole["event"], parse_lookup(fields[0])):
            continue
        kept.append(fields)
        held = held.plus(row_digest(*fields[:6]))
        if old is not None:
            held = held.minus(int(old, 16))
    line = json.dumps({**whole, "rows": kept}, ensure_ascii=False, separators=(",", ":")) if kept else ""
    return held, line


def _part_of_delete(place: Place, row: sa.Row[Any]) -> tuple[Fingerprint, str]:
    held, ids = place.held, set()
    for event, lookup, digest, ticket_id in row.before:
        if place.covers(event, bytes.fromhex(lookup)):
            held = held.minus(int(digest, 16))
            ids.add(ticket_id)
    return held, DeleteLine(of="tickets", ids=sorted(ids)).model_dump_json() if ids else ""


async def _tickets(tx: Read, here: Step, most: int) -> None:
    """Add the next line of tickets, or pass on to the admissions."""
    ticket, place = schema.ticket.c, here.place
    query = sa.select(*COLUMNS).where(ticket.event == place.event, ticket.lookup > place.lookup)
    rows = await tx.rows(query.order_by(ticket.lookup).limit(most))
    if rows:
        # Off the loop, on which other gates wait: a thousand rows take some milliseconds.
        line, part = await asyncio.to_thread(_line_of, place.event, rows)
        here.lines.append(line)
        here.bulk += 1
        here.place = replace(place, lookup=rows[-1].lookup, held=place.held.joined(part))
        return
    event = by_code_point(schema.event.c.id, tx.connection)  # the order in which `Place.covers` compares
    following = await tx.row(sa.select(schema.event.c.id).where(event > place.event).order_by(event).limit(1))
    if following:
        here.place = replace(place, event=following.id, lookup=b"")
    else:
        here.place = replace(place, phase=Phase.ADMISSIONS, event="", lookup=b"")


def _line_of(event: str, rows: Sequence[sa.Row[Any]]) -> tuple[str, Fingerprint]:
    """Write rows of `COLUMNS` as a `tickets` line; return it with their fingerprint."""
    texts = [(text, *row[1:]) for text, row in zip(lookup_texts([row[0] for row in rows]), rows, strict=True)]
    line = msgspec.json.encode({"kind": "tickets", "event": event, "rows": texts})
    return line.decode(), Fingerprint.of_digests(row_digests(texts))


async def _admissions(tx: Read, here: Step, device: str, most: int) -> None:
    """Add the next line of admissions made at other devices, or pass on to the feed."""
    made, place = schema.admission.c, here.place
    query = sa.select(made.scan_id, made.ticket_id, made.checkpoint, made.direction, made.at, made.device).where(
        made.device != device, made.ticket_id.is_not(None), made.scan_id > place.scan_id
    )
    rows = await tx.rows(query.order_by(made.scan_id).limit(most))
    if rows:
        here.lines.append(admissions_line(rows))
        here.bulk += 1
        here.place = replace(place, scan_id=rows[-1].scan_id)
    else:
        here.listed = place.held
        here.place = Place(place.epoch, place.seq)


def admissions_line(rows: Any) -> str:
    """Write an `admissions` line of rows `(scan_id, ticket_id, checkpoint, direction, at, device)`."""
    wire = [[*row[:4], write_instant(row[4]), row[5]] for row in rows]
    return json.dumps({"kind": "admissions", "rows": wire}, ensure_ascii=False, separators=(",", ":"))
