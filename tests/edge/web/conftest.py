"""A real gate at one concert: two lanes at its North gate, one at its exit, on real files and real sockets.

The second lane has a turnstile; the pages are shown by a real browser.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from argon2 import PasswordHasher
from playwright.async_api import Browser, async_playwright

from config.settings import Settings, check_settings
from drivers.turnstile_fake import FakeTurnstile
from edge.box import Box, reader_name
from edge.clock import GateClock
from edge.core.barcodes import lookup_of, lookup_text
from edge.core.model import (
    Checkpoint,
    Controller,
    Direction,
    EntryPolicy,
    Event,
    EventStatus,
    Interval,
    Reentry,
    TicketType,
)
from edge.desk import Desk
from edge.enrolling import CrmLink
from edge.gate import Lane
from edge.hub import Hub
from edge.people import People
from edge.store.credentials import ApiTokens, Credentials
from edge.store.store import Store, open_store
from edge.store.tx import Identity
from edge.supervise import Health
from edge.web.app import ChangesSink, make_app
from sync.connector import Connector
from sync.engine import SyncEngine
from sync.state import CrmHealth
from tests.edge.web.kiosk import CHROMIUM, FLAGS, serve

KEY = bytes(range(32))
NOW = datetime(2026, 5, 1, 16, 2, tzinfo=UTC)
"""19:02 in Kyiv."""
PIN = "2468"


class HandTicks:
    """A monotonic clock that only the test moves, in seconds."""

    def __init__(self) -> None:
        self.ticks = 0.0

    def __call__(self) -> float:
        return self.ticks


class Venue:
    """The gate under test, and what its CRM would do to it."""

    def __init__(self, box: Box, tokens: ApiTokens, turnstile: FakeTurnstile, desk_time: HandTicks) -> None:
        self.box = box
        self.tokens = tokens
        self.turnstile = turnstile
        """That of the lane north-2."""
        self.desk_time = desk_time
        """By which a badge is read again."""
        self.pin = PIN

    def app(self, push: ChangesSink | None = None) -> web.Application:
        return make_app(self.box, self.tokens, push)

    @asynccontextmanager
    async def turnstile_heard(self) -> AsyncIterator[None]:
        """Follow what the turnstile's contacts say."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.box.lane("north-2").door.run_signals(), name="turnstile")
            yield
            task.cancel()

    async def sells(self, *codes: str, **changes: Any) -> None:
        """Put tickets on the list; `changes` are columns by name."""
        row = {"type": "standard", "state": "valid", "from": None, "until": None, "seat": None, **changes}
        async with self.box.store.session(building=False) as session:
            rows = [
                (
                    lookup_text(lookup_of(KEY, code)),
                    f"t-{code}",
                    row["type"],
                    row["state"],
                    row["from"],
                    row["until"],
                    row.get("holder"),
                    row["seat"],
                    None,
                )
                for code in codes
            ]
            await session.put_tickets(row.get("event", "concert"), rows)
            await session.commit("cursor-2", self.box.clock.now())

    async def puts(self, kind: str, entity_id: str, value: object) -> None:
        """Change the plan."""
        async with self.box.store.session(building=False) as session:
            await session.put_entity(kind, entity_id, value)
            await session.commit("cursor-3", self.box.clock.now())
        self.box.publish_status()


def the_settings(folder: Path, language: str) -> Settings:
    return check_settings(
        {
            "device": {"name": "North 1", "data_path": str(folder), "language": language},
            "lane": [
                {"id": "north-1", "checkpoint": "c-north"},
                {"id": "north-2", "checkpoint": "c-north", "turnstile": {"driver": "fake"}},
                {"id": "out", "checkpoint": "c-exit", "direction": "exit"},
            ],
        },
        "the test",
    )


async def _fill(store: Store, now: datetime) -> None:
    """Bring the plan in as the change feed would."""
    evening = Interval(datetime(2026, 5, 1, 15, tzinfo=UTC), datetime(2026, 5, 1, 20, tzinfo=UTC))
    pin = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PIN)
    concert = Event(
        "concert",
        "Океан Ельзи",
        "Палац спорту",
        "Europe/Kyiv",
        EventStatus.CONFIRMED,
        datetime(2026, 5, 1, 16, tzinfo=UTC),
        datetime(2026, 5, 1, 20, tzinfo=UTC),
    )
    badge = lookup_text(lookup_of(KEY, "BADGE-1"))
    entities: list[tuple[str, str, object]] = [
        ("event", "concert", concert),
        ("ticket_type", "standard", TicketType("standard", "concert", "Фан-зона", EntryPolicy())),
        ("ticket_type", "pass", TicketType("pass", "concert", "Pass", EntryPolicy(reentry=Reentry.AFTER_EXIT))),
        ("checkpoint", "c-north", Checkpoint("c-north", "concert", "Північний вхід", hours=(evening,))),
        ("checkpoint", "c-exit", Checkpoint("c-exit", "concert", "Вихід", direction=Direction.EXIT)),
        ("controller", "olena", Controller("olena", "Олена Коваль", pin=pin)),
        ("controller", "taras", Controller("taras", "Тарас Шевчук", badge=badge, pin=pin, supervisor=True)),
    ]
    async with store.session(building=False) as session:
        for kind, entity_id, value in entities:
            await session.put_entity(kind, entity_id, value)
        await session.commit("cursor-1", now)


CREDENTIALS = Credentials(
    url="http://none", device_id="device-1", name="North 1", organiser="Kyiv Concerts", token="t", lookup_key=KEY
)


def no_engine(_connector: Connector) -> SyncEngine:
    """Its CRM pushes."""
    raise AssertionError("the settings name no CRM to pull from")


@asynccontextmanager
async def open_venue(folder: Path, language: str = "en") -> AsyncIterator[Venue]:
    """Open a gate in a folder."""
    settings = the_settings(folder, language)
    clock = GateClock(wall=lambda: NOW, synchronised=lambda: True)
    defects: list[BaseException] = []
    async with open_store(folder, Identity("device-1", KEY), clock.now, defects.append) as store:
        await _fill(store, clock.now())
        hub = Hub()

        def changed() -> None:
            hub.publish({"kind": "status"})

        turnstile, desk_time = FakeTurnstile(), HandTicks()
        lanes = {
            each.id: Lane(
                each, settings.device.language, store, clock, hub, turnstile if each.turnstile else None, changed
            )
            for each in settings.lane
        }
        reader = reader_name("north-1", "serial", "/dev/ttyACM0")
        crm, people = CrmHealth(state="connected"), People(store, clock, changed)
        link = CrmLink(settings, store, crm, no_engine, CREDENTIALS)
        box = Box(
            settings=settings,
            store=store,
            clock=clock,
            hub=hub,
            people=people,
            link=link,
            desk=Desk(store, people, link, desk_time),
            lanes=lanes,
            healths={reader: Health(on_change=changed), "clock": Health()},
            crm=crm,
            name="North 1",
        )
        yield Venue(box, ApiTokens(folder), turnstile, desk_time)
    assert defects == []


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Venue]:
    async with open_venue(tmp_path) as opened:
        yield opened


@pytest.fixture
async def kyiv_venue(tmp_path: Path) -> AsyncIterator[Venue]:
    """The same gate, in Ukrainian."""
    async with open_venue(tmp_path, "uk") as opened:
        yield opened


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def server(venue: Venue) -> AsyncIterator[TestServer]:
    server = await serve(venue.app())
    yield server
    await server.close()
