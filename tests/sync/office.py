"""What an organiser's office does at the central while gates are at work."""

from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from crm import enrolment, schema, service
from crm.central import Central
from crm.errors import NotFound
from crm.importer import import_rows
from edge.clock import wall_clock
from edge.core.barcodes import lookup_of
from edge.store.tx import Identity
from sync.wire import DeviceModel

MOST_CODES = 40
"""Codes are CODE-0 to one less than this."""


async def stocked(central: Central) -> tuple[Identity, str]:
    """One event with one checkpoint, and one enrolled device."""
    db, now = central.db, wall_clock()
    await service.put_event(
        db, id="e-1", name="Concert", tz="Europe/Kyiv", starts_at=now, ends_at=now + timedelta(hours=5)
    )
    await service.put_ticket_type(db, id="t-1", event="e-1", name="Standard")
    await service.put_checkpoint(db, id="c-1", event="e-1", name="North", hours=[])
    return await enrolled(central, "North 1")


async def enrolled(central: Central, name: str) -> tuple[Identity, str]:
    """Return a new device's identity and token."""
    code = (await enrolment.make_enrolment_code(central.db, "http://x")).code
    made = await enrolment.enrol(central.db, code, DeviceModel(name=name))
    return Identity(made.id, central.db.organiser.lookup_key), made.token


async def two_gates(central: Central) -> list[tuple[Identity, str]]:
    """Two events, and two devices at two open checkpoints of the first."""
    first = await stocked(central)
    now = wall_clock()
    await service.put_event(
        central.db, id="e-2", name="Party", tz="Europe/Kyiv", starts_at=now, ends_at=now + timedelta(hours=9)
    )
    await service.put_ticket_type(central.db, id="t-2", event="e-2", name="Standard")
    for point in ("c-1", "c-2"):
        await service.put_checkpoint(central.db, id=point, event="e-1", name=point)
    return [first, await enrolled(central, "South 1")]


async def change(central: Central, what: tuple[Any, ...]) -> None:
    """Change something; what is not there to be changed is left alone."""
    with suppress(NotFound):
        await (_change_tickets(central, what) or _change_plan(central, what))


def _change_tickets(central: Central, what: tuple[Any, ...]) -> Awaitable[object] | None:
    db = central.db
    match what:
        case ("import", numbers):
            return import_rows(db, "e-1", [(f"CODE-{n}", None, f"T-{n}") for n in numbers])
        case ("import of another seller", event, numbers):
            name = "T" if event == "e-1" else "X"
            rows = [(f"CODE-{n}", None, f"{name}-{n}", None, None, None, "Guest", "7") for n in numbers]
            return import_rows(db, event, rows, source="Other")
        case ("state", number, state):
            return service.set_ticket_state(db, f"T-{number}", state)
        case ("delete", numbers):
            return service.delete_tickets(db, [f"T-{n}" for n in numbers])
        case ("forget changes",):
            return service.prune_changes(db, timedelta(0))
    return None


def _change_plan(central: Central, what: tuple[Any, ...]) -> Awaitable[object]:
    db, now = central.db, wall_clock()
    match what:
        case ("hours", point, offsets_h):
            ends = [(now + timedelta(hours=a), now + timedelta(hours=b)) for a, b in offsets_h]
            hours = [{"opens_at": opens_at, "closes_at": closes_at} for opens_at, closes_at in ends]
            return service.put_checkpoint(db, id=point, event="e-1", name=point, hours=hours)
        case ("always open", point):
            return service.put_checkpoint(db, id=point, event="e-1", name=point)
        case ("close for good", point):
            return service.remove_checkpoint(db, point)
        case ("event", event, status):
            return service.set_event_status(db, event, status)
        case ("policy", entries):
            return service.put_ticket_type(
                db, id="t-1", event="e-1", name="Standard", entry_policy={"entries": entries}
            )
        case ("controller", number):
            return service.put_controller(db, id=f"p-{number}", name="Olena", badge=f"BADGE-{number}")
        case ("controller leaves", number):
            return service.remove_controller(db, f"p-{number}")
        case ("assign", device, point):
            return service.assign(db, device, point)
    raise AssertionError(what)


async def admitted_numbers(central: Central) -> list[int]:
    """Return the numbers of the codes whose ticket at the first event was let in."""
    ticket, made = schema.ticket.c, schema.admission.c
    query = sa.select(ticket.lookup).where(ticket.event == "e-1", ticket.id.in_(sa.select(made.ticket_id)))
    async with central.db.read() as tx:
        lookups = {row.lookup for row in await tx.rows(query)}
    key = central.db.organiser.lookup_key
    return [number for number in range(MOST_CODES) if lookup_of(key, f"CODE-{number}") in lookups]
