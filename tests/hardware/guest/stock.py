"""Stocks a central in the machine: `python3 -m tests.hardware.guest.stock DB URL TICKETS`.

Prints the code that enrols a box at checkpoint c-1 of event e-1, whose tickets are CODE-1, CODE-2, ….
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from crm import enrolment, service
from crm.central import open_central
from crm.importer import import_rows
from edge.clock import wall_clock


async def stock(path: Path, url: str, tickets: int) -> str:
    """Put the event in and return an enrolment code."""
    now = wall_clock()
    async with open_central(path, organiser="Palace") as central:
        db = central.db
        ends_at = now + timedelta(hours=5)
        await service.put_event(db, id="e-1", name="Concert", tz="Europe/Kyiv", starts_at=now, ends_at=ends_at)
        await service.put_ticket_type(db, id="t-1", event="e-1", name="Standard")
        await import_rows(db, "e-1", [(f"CODE-{number}", None, f"T-{number}") for number in range(1, tickets + 1)])
        point = await service.put_checkpoint(db, id="c-1", event="e-1", name="North")
        return (await enrolment.make_enrolment_code(db, url, checkpoint=point.id)).code


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(stock(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))) + "\n")
