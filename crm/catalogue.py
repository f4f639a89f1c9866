"""What the feed says but tickets and admissions: events, types, checkpoints, controllers, assignments.

A thing is stored as it is sent: the wire model is checked, its row written and its line said in one transaction.
"""

from typing import Any

import sqlalchemy as sa

from crm import schema
from crm.dialect import upsert
from crm.schema import storable
from crm.transactions import Read, Write
from sync.wire import (
    AssignmentLine,
    CheckpointLine,
    ControllerLine,
    DeleteLine,
    EventLine,
    TicketTypeLine,
    WireModel,
    assignment_id,
)

Thing = EventLine | TicketTypeLine | CheckpointLine | ControllerLine
_TABLES: dict[str, tuple[sa.Table, type[Thing]]] = {
    "event": (schema.event, EventLine),
    "ticket_type": (schema.ticket_type, TicketTypeLine),
    "checkpoint": (schema.checkpoint, CheckpointLine),
    "controller": (schema.controller, ControllerLine),
}


async def put(tx: Write, thing: Thing) -> None:
    """Store a thing in place of the one with its id, and say so to all devices."""
    table, _ = _TABLES[thing.kind]
    as_sent = thing.model_dump(mode="json")
    as_is = thing.model_dump()
    row = {
        column.name: as_is[column.name] if isinstance(column.type, schema.InstantType) else as_sent[column.name]
        for column in table.columns
    }
    await tx.connection.execute(upsert(tx.connection, table), row)
    tx.say(thing.kind, thing.model_dump_json())


async def get(tx: Read, kind: str, thing_id: str) -> Thing | None:
    """Return the thing of this kind (`event`, `ticket_type`, `checkpoint`, `controller`) and id."""
    table, model = _TABLES[kind]
    query = sa.select(table).where(table.c.id == storable(thing_id))
    row = (await tx.connection.execute(query)).mappings().first()
    return model.model_validate(dict(row)) if row else None


async def every(tx: Read, kind: str, event: str | None = None) -> list[Any]:
    """Return all things of a kind, of one event where named, ordered by id."""
    table, model = _TABLES[kind]
    query = sa.select(table).order_by(table.c.id)
    if event is not None:
        query = query.where(table.c.event == event)
    return [model.model_validate(dict(row)) for row in (await tx.connection.execute(query)).mappings()]


async def remove(tx: Write, kind: str, thing_id: str) -> bool:
    """Take a thing away and say so; False where there was none."""
    table, _ = _TABLES[kind]
    found = await tx.row(sa.delete(table).where(table.c.id == thing_id).returning(table.c.id))
    if found:
        tx.say("delete", DeleteLine.model_validate({"of": kind, "ids": [thing_id]}).model_dump_json())
    return found is not None


async def assign(tx: Write, line: AssignmentLine) -> None:
    """Store where a lane works, and say so to its device."""
    row = {"device": line.device, "lane": line.lane or "", "checkpoint": line.checkpoint}
    await tx.connection.execute(upsert(tx.connection, schema.assignment), row)
    tx.say("assignment", line.model_dump_json(), to=line.device)


async def unassign(tx: Write, device: str, lane: str | None) -> bool:
    """Take an assignment away, and say so to its device; False where there was none."""
    table = schema.assignment.c
    query = sa.delete(schema.assignment).where(table.device == device, table.lane == (lane or ""))
    if await tx.row(query.returning(table.device)) is None:
        return False
    line = DeleteLine(of="assignment", ids=[assignment_id(device, lane)])
    tx.say("delete", line.model_dump_json(), to=device)
    return True


async def assignments(tx: Read, device: str | None = None) -> list[AssignmentLine]:
    """Return the assignments, of one device where named."""
    table = schema.assignment.c
    query = sa.select(schema.assignment).order_by(table.device, table.lane)
    if device is not None:
        query = query.where(table.device == device)
    return [
        AssignmentLine(device=row.device, lane=row.lane or None, checkpoint=row.checkpoint)
        for row in await tx.rows(query)
    ]


async def catalogue_lines(tx: Read, device: str) -> list[str]:
    """Write everything but tickets and admissions, in the order in which one thing names another."""
    things: list[WireModel] = []
    for kind in _TABLES:
        things += await every(tx, kind)
    things += await assignments(tx, device)
    return [thing.model_dump_json() for thing in things]
