"""A central with something of everything, small steps in its feed, and what a maker would give the suite."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from crm import enrolment, service
from crm.conformance.checks import Outcome, Result
from crm.conformance.session import examine
from crm.conformance.subject import Options
from crm.database import Database
from crm.feed import Sizes
from crm.web import make_app
from sync.wire import DeviceModel
from tests.crm.conftest import HandClock, make_event, sell
from tests.sync.rig import served

SMALL = Sizes(rows=2, lines=2, changes=4)
Examine = Callable[..., Awaitable[dict[str, Result]]]


@dataclass
class Maker:
    """A CRM's maker: their central, and the suite run at any address."""

    db: Database
    clock: HandClock
    address: str
    device: str

    async def code(self) -> str:
        return (await enrolment.make_enrolment_code(self.db, self.address, checkpoint="c-1")).code

    async def change(self, _what: str) -> None:
        """What the suite asks a person for."""
        await sell(self.db, 1, first=900)

    async def options(self, **changed: Any) -> Options:
        given = {
            "code": await self.code(),
            "other_code": await self.code(),
            "known_code": "CODE-1",
            "admit": True,
            "ask": self.change,
            "wait_s": 0.2,
            "grace_s": 30.0,
            "change_s": 30.0,
        }
        return Options(**{**given, **changed})

    async def examine(self, address: str | None = None, **changed: Any) -> dict[str, Result]:
        """Run the suite with all that it can be given, but for what is changed."""
        results = await examine(address or self.address, await self.options(**changed), clock=self.clock)
        return {result.check.name: result for result in results}


def of_outcome(results: dict[str, Result], outcome: Outcome) -> set[str]:
    return {name for name, result in results.items() if result.outcome is outcome}


@pytest.fixture
async def maker(db: Database, clock: HandClock) -> AsyncIterator[Maker]:
    await make_event(db)
    await service.put_controller(db, id="p-1", name="Olha", badge="B-1", supervisor=True)
    hours = [{"opens_at": "2026-05-01T16:00:00Z", "closes_at": "2026-05-01T22:00:00Z"}]
    await service.put_checkpoint(db, id="c-2", event="e-1", name="South", hours=hours, ticket_types=["t-1"])
    await sell(db, 9)
    await service.set_ticket_state(db, "T-3", "revoked")
    before = await enrolment.enrol(
        db, (await enrolment.make_enrolment_code(db, "http://x")).code, DeviceModel(name="B")
    )
    async with served(make_app(db, SMALL)) as address:
        yield Maker(db, clock, address, before.id)
