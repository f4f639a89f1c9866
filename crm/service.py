"""What an organiser does, for HTTP, the command line and the demo alike.

Each function takes the open `Database` first (`central.db`), does its work and says it to the gates in one write
transaction, and raises `BadInput` (or its kind `NotFound`) with the field's name and how to mend it.
"""

import asyncio
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from argon2 import PasswordHasher
from pydantic import ValidationError

from crm import catalogue, schema, tickets
from crm.database import Database
from crm.errors import BadInput, NotFound, bad_input
from crm.schema import is_storable
from crm.transactions import Read, Write
from edge.core.barcodes import is_readable, lookup_of, lookup_text
from sync.cutting import MAX_LINE_BYTES
from sync.wire import MAX_ROWS, AssignmentLine, CheckpointLine, ControllerLine, EventLine, TicketTypeLine, WireModel

# RFC 9106 and OWASP's password storage cheat sheet: argon2id, 19 MiB, 2 passes, 1 lane.
_PIN = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_PIN_FORM = re.compile(r"[0-9]{4,12}")
ID_FORM = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""What an id may be: short and plain ASCII, so that it fits into cursors and is typed without doubt."""
_LANE_FORM = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""As in a gate's settings; where a lane no longer works, it is named in one id with its device."""

Line = TypeVar("Line", bound=WireModel)


def new_id(prefix: str) -> str:
    """Make an id such as `e-3f9a61c2`, short enough to type."""
    return f"{prefix}-{secrets.token_hex(4)}"


async def put_event(
    db: Database,
    *,
    name: str,
    tz: str,
    starts_at: datetime,
    ends_at: datetime,
    venue: str | None = None,
    status: str = "confirmed",
    id: str | None = None,  # noqa: A002 - the contract's word
) -> EventLine:
    """Add an event, or replace the one with this id; instants are aware."""
    fields = {"name": name, "venue": venue, "tz": tz, "status": status, "starts_at": starts_at, "ends_at": ends_at}
    line = _checked(EventLine, fields, id, "e")
    if line.ends_at <= line.starts_at:
        raise BadInput("ends_at", "must be after starts_at")
    async with db.write() as tx:
        await catalogue.put(tx, line)
    return line


async def set_event_status(db: Database, event: str, status: str) -> EventLine:
    """Change an event's status: draft, confirmed, completed or cancelled; only a confirmed one admits."""
    async with db.write() as tx:
        found = await _find(tx, "event", event)
        line = _checked(EventLine, {**found.model_dump(), "status": status}, event, "e")
        await catalogue.put(tx, line)
    return line


async def put_ticket_type(
    db: Database,
    *,
    event: str,
    name: str,
    entry_policy: dict[str, Any] | None = None,
    id: str | None = None,  # noqa: A002
) -> TicketTypeLine:
    """Add a ticket type, or replace the one with this id; `entry_policy` as on the wire, left out: one entry."""
    line = _checked(TicketTypeLine, {"event": event, "name": name, "entry_policy": entry_policy or {}}, id, "t")
    async with db.write() as tx:
        await _find(tx, "event", event)
        old = await catalogue.get(tx, "ticket_type", line.id)
        if isinstance(old, TicketTypeLine) and old.event != event:
            raise BadInput("id", f"{line.id} is a ticket type of another event: choose another id")
        await catalogue.put(tx, line)
    return line


async def put_checkpoint(
    db: Database,
    *,
    event: str,
    name: str,
    id: str | None = None,  # noqa: A002
    **fields: Any,
) -> CheckpointLine:
    """Add a checkpoint, or replace the one with this id.

    `fields` are those of the wire: zone, direction, ticket_types (ids; None: all), hours (`[{opens_at, closes_at}]`;
    None: always), controllers (ids; None: any), requires_controller, capacity, policies.
    """
    line = _checked(CheckpointLine, {"event": event, "name": name, **fields}, id, "c")
    async with db.write() as tx:
        await _find(tx, "event", event)
        for each in line.ticket_types or []:
            await _find(tx, "ticket_type", each)
        for each in line.controllers or []:
            await _find(tx, "controller", each)
        await catalogue.put(tx, line)
    return line


async def remove_checkpoint(db: Database, checkpoint: str) -> None:
    """Take a checkpoint away, with the assignments to it."""
    async with db.write() as tx:
        await _find(tx, "checkpoint", checkpoint)
        for each in await catalogue.assignments(tx):
            if each.checkpoint == checkpoint:
                await catalogue.unassign(tx, each.device, each.lane)
        codes = schema.enrolment_code
        await tx.connection.execute(sa.update(codes).where(codes.c.checkpoint == checkpoint).values(checkpoint=None))
        await catalogue.remove(tx, "checkpoint", checkpoint)


async def put_controller(
    db: Database,
    *,
    name: str,
    badge: str | None = None,
    pin: str | None = None,
    supervisor: bool = False,
    id: str | None = None,  # noqa: A002
) -> ControllerLine:
    """Add a controller, or replace the one with this id.

    `badge` is the code on the badge, of which only the lookup is kept; `pin` 4 to 12 digits, of which only an
    argon2id hash is kept.
    """
    if badge is not None and not is_readable(badge):
        raise BadInput("badge", "the code on the badge must have 1 to 4,096 characters that print")
    if pin is not None and not _PIN_FORM.fullmatch(pin):
        raise BadInput("pin", "4 to 12 digits")
    fields = {
        "name": name,
        "badge": None if badge is None else lookup_text(lookup_of(db.organiser.lookup_key, badge)),
        "pin": None if pin is None else await asyncio.to_thread(_PIN.hash, pin),
        "supervisor": supervisor,
    }
    line = _checked(ControllerLine, fields, id, "p")
    async with db.write() as tx:
        await catalogue.put(tx, line)
    return line


async def remove_controller(db: Database, controller: str) -> None:
    """Take a controller away; checkpoints that name them go on naming nobody."""
    async with db.write() as tx:
        await _find(tx, "controller", controller)
        await catalogue.remove(tx, "controller", controller)


async def assign(db: Database, device: str, checkpoint: str, lane: str | None = None) -> AssignmentLine:
    """Say at which checkpoint a lane of a device works; without `lane`, all its lanes."""
    if lane is not None and not _LANE_FORM.fullmatch(lane):
        raise BadInput("lane", "1 to 100 letters, digits or any of . _ -")
    try:
        line = AssignmentLine(device=device, lane=lane, checkpoint=checkpoint)
    except ValidationError as exc:
        raise bad_input(exc) from exc
    async with db.write() as tx:
        if await tx.row(sa.select(schema.device.c.id).where(schema.device.c.id == device)) is None:
            raise NotFound("device", f"no device has the id {device}; see brama crm device list")
        await _find(tx, "checkpoint", checkpoint)
        await catalogue.assign(tx, line)
    return line


async def unassign(db: Database, device: str, lane: str | None = None) -> None:
    """Take an assignment away."""
    async with db.write() as tx:
        if not await catalogue.unassign(tx, device, lane):
            raise NotFound("device", f"{device} has no such assignment")


async def set_ticket_state(db: Database, ticket: str, state: str) -> int:
    """Change a ticket's state at all its events: valid, cancelled, blocked, revoked, unpaid; return rows changed."""
    async with db.write() as tx:
        return await tickets.set_state(tx, ticket, state)


async def delete_tickets(db: Database, ids: Sequence[str]) -> int:
    """Take tickets off the list for good; return how many rows went."""
    async with db.write() as tx:  # in lines that a gate reads, but all at once
        return sum([await tickets.delete_tickets(tx, ids[at : at + MAX_ROWS]) for at in range(0, len(ids), MAX_ROWS)])


async def listing(db: Database, kind: str, event: str | None = None) -> list[Any]:
    """Return all events, ticket types, checkpoints or controllers (`kind` as on the wire), of one event if named."""
    async with db.read() as tx:
        if event is not None:
            await _find(tx, "event", event)
        return await catalogue.every(tx, kind, event)


async def prune_changes(db: Database, keep: timedelta) -> int:
    """Forget changes older than `keep`; a gate away for longer gets everything anew. Return how many went."""
    change = schema.change.c
    async with db.write() as tx:
        last = await tx.row(sa.select(sa.func.max(change.seq)).where(change.at < tx.now - keep))
        if last is None or last[0] is None:
            return 0
        tx.pruned_seq, before = last[0], tx.pruned_seq
        await tx.connection.execute(sa.delete(schema.change).where(change.seq <= last[0]))
        return tx.pruned_seq - before


async def _find(tx: Read | Write, kind: str, thing_id: str) -> WireModel:
    found = await catalogue.get(tx, kind, thing_id)
    if found is None:
        raise NotFound(kind, f"no {kind.replace('_', ' ')} has the id {thing_id}")
    return found


def _checked(model: type[Line], fields: dict[str, Any], given: str | None, prefix: str) -> Line:
    if given is not None and not ID_FORM.fullmatch(given):
        raise BadInput("id", "1 to 64 letters, digits or any of . _ : -")
    try:
        line = model.model_validate({**fields, "id": given or new_id(prefix)})
    except ValidationError as exc:
        raise bad_input(exc) from exc
    if unknown := sorted(line.model_extra or ()):
        raise BadInput(unknown[0], "no such field")
    for name, value in fields.items():
        if isinstance(value, str) and not is_storable(value):
            raise BadInput(name, "has a NUL character")
    if (size := len(line.model_dump_json().encode())) > MAX_LINE_BYTES:
        longest = max(fields, key=lambda name: len(str(fields[name])))
        raise BadInput(longest, f"{size} bytes as sent, of which a gate reads {MAX_LINE_BYTES}; say it in less")
    return line
