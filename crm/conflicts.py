"""Conflicts: one ticket admitted more often than its policy allows, because devices could not see each other.

Found from what stands, whatever the order in which devices upload: all entries and exits of a ticket at its event are
put in order of time, and each entry that the policy would have refused after those before it offends. A release or an
exit heard of late may show that there was no conflict after all: it is then marked withdrawn, never removed.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from crm import schema
from crm.dialect import among
from crm.transactions import Write
from edge.core.admission import over_limit
from edge.core.hours import local_day
from edge.core.model import Direction, EntryPolicy, Per, Reentry, Use
from sync.wire import ConflictLine, ConflictModel, ConflictScan, EntryPolicyModel

TicketAt = tuple[str, str]
"""A ticket's id and its event's."""


async def judge(tx: Write, touched: Iterable[TicketAt]) -> None:
    """Bring the conflicts of these tickets up to date, and tell new ones to the devices that take part."""
    tickets = set(touched)
    if not tickets:
        return
    known = await _known(tx, tickets)
    # Nearly all tickets are of one device and not in question: they are not even read.
    concerned = sorted(known.keys() | await _of_several_devices(tx, tickets))
    if not concerned:
        return
    made = schema.admission.c
    stood: dict[TicketAt, list[Any]] = {each: [] for each in concerned}
    query = sa.select(schema.admission).where(sa.tuple_(made.ticket_id, made.event).in_(concerned))
    for row in await tx.rows(query.order_by(made.at, made.scan_id)):
        stood[row.ticket_id, row.event].append(row)
    for (ticket_id, event), rows in stood.items():
        found: list[ConflictLine] = []
        if len({row.device for row in rows}) > 1:
            found = offences(ticket_id, event, rows, await _policy(tx, ticket_id, event), await _zone(tx, event))
        await _record(tx, known.get((ticket_id, event), {}), found)


async def those_of(tx: Write, touched: Iterable[TicketAt]) -> list[ConflictModel]:
    """Return the standing conflicts of these tickets, in the order found."""
    tickets = {ticket_id for ticket_id, _ in touched}
    if not tickets:
        return []
    table = schema.conflict.c
    query = sa.select(table.line).where(among(table.ticket_id, tickets, tx.connection), table.withdrawn_at.is_(None))
    lines = [ConflictLine.model_validate_json(row.line) for row in await tx.rows(query.order_by(table.found_at))]
    return [
        ConflictModel(scan_id=line.scan_id, ticket_id=line.ticket_id, event=line.event, scans=line.scans)
        for line in lines
    ]


def offences(
    ticket_id: str, event: str, rows: Sequence[Any], policy: EntryPolicy, zone: ZoneInfo | None
) -> list[ConflictLine]:
    """Return a conflict for each entry that should have been refused; `rows` are those of `admission`, oldest first.

    An override is a person's decision and offends nothing, but it counts for those after it.
    """
    found = []
    for index, row in enumerate(rows):
        if row.direction != Direction.ENTRY or row.override:
            continue
        before = rows[:index]
        if policy.per is Per.DAY and zone is not None:
            today = local_day(row.at, zone)
            before = [each for each in before if today.opens_at <= each.at < today.closes_at]
        uses = [Use(each.at, Direction(each.direction), each.checkpoint, each.device) for each in before]
        if over_limit(uses, policy.entries, policy.reentry) is None:
            continue
        counted = [each for each in (*before, row) if each.direction == Direction.ENTRY]
        if len({each.device for each in counted}) > 1:
            scans = [
                ConflictScan(scan_id=each.scan_id, device=each.device, checkpoint=each.checkpoint, at=each.at)
                for each in counted
            ]
            found.append(ConflictLine(scan_id=row.scan_id, ticket_id=ticket_id, event=event, scans=scans))
    return found


async def _known(tx: Write, tickets: set[TicketAt]) -> dict[TicketAt, dict[str, Any]]:
    """Return when each conflict that was found of these tickets was withdrawn, by ticket and scan_id."""
    table, found = schema.conflict.c, dict[TicketAt, dict[str, Any]]()
    query = sa.select(table.ticket_id, table.event, table.scan_id, table.withdrawn_at)
    named = among(table.ticket_id, {ticket_id for ticket_id, _ in tickets}, tx.connection)
    for row in await tx.rows(query.where(named)):
        if (row.ticket_id, row.event) in tickets:
            found.setdefault((row.ticket_id, row.event), {})[row.scan_id] = row.withdrawn_at
    return found


async def _of_several_devices(tx: Write, tickets: set[TicketAt]) -> set[TicketAt]:
    """Return those of some tickets that were admitted or let out by more than one device."""
    made = schema.admission.c
    query = sa.select(made.ticket_id, made.event).group_by(made.ticket_id, made.event)
    named = among(made.ticket_id, {ticket_id for ticket_id, _ in tickets}, tx.connection)
    rows = await tx.rows(query.where(named).having(sa.func.count(made.device.distinct()) > 1))
    return {(row.ticket_id, row.event) for row in rows} & tickets


async def _record(tx: Write, known: dict[str, Any], found: list[ConflictLine]) -> None:
    table = schema.conflict
    standing = {line.scan_id for line in found}
    for scan_id, withdrawn_at in known.items():
        if (scan_id in standing) == (withdrawn_at is None):
            continue
        withdrawn = None if scan_id in standing else tx.now
        await tx.connection.execute(sa.update(table).where(table.c.scan_id == scan_id).values(withdrawn_at=withdrawn))
    for line in found:
        if line.scan_id in known:
            continue
        text = line.model_dump_json()
        await tx.connection.execute(
            sa.insert(table).values(
                scan_id=line.scan_id, ticket_id=line.ticket_id, event=line.event, line=text, found_at=tx.now
            )
        )
        for device in sorted({scan.device for scan in line.scans}):
            tx.say("conflict", text, to=device)


async def _policy(tx: Write, ticket_id: str, event: str) -> EntryPolicy:
    """Return the ticket's policy; for a ticket that is not here, the strictest, as the gate does."""
    query = (
        sa.select(schema.ticket_type.c.entry_policy)
        .join(schema.ticket, schema.ticket.c.type == schema.ticket_type.c.id)
        .where(schema.ticket.c.id == ticket_id, schema.ticket.c.event == event)
    )
    row = await tx.row(query)
    model = EntryPolicyModel.model_validate(row.entry_policy) if row else EntryPolicyModel()
    return EntryPolicy(model.entries, Per(model.per), Reentry(model.reentry), model.cooldown_s)


async def _zone(tx: Write, event: str) -> ZoneInfo | None:
    row = await tx.row(sa.select(schema.event.c.tz).where(schema.event.c.id == event))
    return ZoneInfo(row.tz) if row else None
