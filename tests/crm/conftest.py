"""A central on a real database and a real socket, time by hand, and a gate that believes what the feed says.

What asks for `db_url`, and so for `central`, `db`, `client` or a gate, runs on SQLite and on PostgreSQL.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from crm import enrolment, service
from crm.central import Central, open_central
from crm.database import Database
from crm.importer import import_rows
from crm.schema import metadata
from edge.core.fingerprint import Fingerprint, row_digest
from sync.wire import LINE_KINDS, DeviceModel
from tests.crm.postgres import Postgres, database_of, postgres

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]
START = datetime(2026, 5, 1, 18, 0, tzinfo=UTC)


class HandClock:
    """Tells the time that the test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class ModelGate:
    """Applies the feed as design.md says: lines up to a cursor line in one go, with that cursor."""

    tickets: dict[tuple[str, str], list[str | None]] = field(default_factory=dict)
    admissions: dict[str, list[str]] = field(default_factory=dict)
    things: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    cursor: str | None = None
    more: bool = True
    resets: int = 0

    def apply(self, lines: list[dict[str, Any]]) -> None:
        """Apply all lines up to the last cursor, and check at each what the CRM says of the list."""
        for line in lines:
            LINE_KINDS[line["kind"]].model_validate(line)
            getattr(self, f"_{line['kind']}", self._thing)(line)

    def fingerprint(self) -> Fingerprint:
        found = Fingerprint()
        for row in self.tickets.values():
            lookup, ticket_id, type_, state, valid_from, valid_until = row[:6]
            assert lookup and ticket_id and type_ and state
            found = found.plus(row_digest(lookup, ticket_id, type_, state, valid_from, valid_until))
        return found

    def _reset(self, _line: dict[str, Any]) -> None:
        self.tickets, self.admissions, self.things = {}, {}, {}
        self.resets += 1

    def _tickets(self, line: dict[str, Any]) -> None:
        for row in line["rows"]:
            self.tickets[line["event"], row[0]] = row

    def _admissions(self, line: dict[str, Any]) -> None:
        for row in line["rows"]:
            self.admissions[row[0]] = row

    def _delete(self, line: dict[str, Any]) -> None:
        gone = set(line["ids"])
        if line["of"] == "tickets":
            self.tickets = {key: row for key, row in self.tickets.items() if row[1] not in gone}
        elif line["of"] == "admissions":
            self.admissions = {key: row for key, row in self.admissions.items() if key not in gone}
        else:
            self.things = {key: each for key, each in self.things.items() if key not in {(line["of"], i) for i in gone}}

    def _conflict(self, line: dict[str, Any]) -> None:
        self.conflicts.append(line)

    def _thing(self, line: dict[str, Any]) -> None:
        name = line["id"] if "id" in line else f"{line['device']}/{line['lane'] or ''}"
        self.things[line["kind"], name] = line

    def _cursor(self, line: dict[str, Any]) -> None:
        held = self.fingerprint()
        assert (line["tickets"], line["fingerprint"]) == (held.count, held.hex())
        self.cursor, self.more = line["cursor"], line["more"]


def lines_of(body: bytes) -> list[dict[str, Any]]:
    """Read NDJSON."""
    return [json.loads(line) for line in body.decode().splitlines()]


def a_scan(scan_id: str, seq: int) -> dict[str, Any]:
    """An admission of T-1 at the start."""
    return {
        "scan_id": scan_id,
        "seq": seq,
        "prev": "0" * 64,
        "lane": "north-1",
        "checkpoint": "c-1",
        "ticket_id": "T-1",
        "direction": "entry",
        "verdict": "admitted",
        "reason": "admitted",
        "at": "2026-05-01T18:00:00Z",
        "clock": "trusted",
    }


@dataclass
class Gate:
    """An enrolled device that calls over a real socket."""

    client: Client
    id: str
    token: str
    held: ModelGate = field(default_factory=ModelGate)
    seq: int = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def changes(self, since: str | None = None, wait: float = 0) -> list[dict[str, Any]]:
        params = {"wait": str(wait)} | ({"since": since} if since is not None else {})
        async with self.client.get("/gate/v1/changes", params=params, headers=self.headers) as answer:
            assert answer.status == 200, await answer.text()
            return lines_of(await answer.read())

    async def sync(self, wait: float = 0) -> ModelGate:
        """Pull until there is no more, and apply."""
        while True:
            self.held.apply(await self.changes(self.held.cursor, wait))
            if not self.held.more:
                return self.held

    async def send(self, *scans: dict[str, Any]) -> dict[str, Any]:
        body = {"device_id": self.id, "scans": list(scans)}
        async with self.client.post("/gate/v1/scans", json=body, headers=self.headers) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    def scan(self, scan_id: str, ticket_id: str | None = "T-1", **fields: Any) -> dict[str, Any]:
        """A scan of this device; an admission at the start unless said otherwise."""
        self.seq += 1
        return a_scan(scan_id, self.seq) | {"ticket_id": ticket_id} | fields


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def template_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new central's file, made once: copying it is faster than migrating."""
    path = tmp_path_factory.mktemp("central") / "template.db"

    async def make() -> None:
        async with open_central(path, HandClock(), "Palace"):
            pass

    asyncio.run(make())
    return path


def copied(template: Path, folder: Path) -> Path:
    for old in folder.glob("central.db*"):
        old.unlink()
    return Path(shutil.copy(template, folder / "central.db"))


@pytest.fixture
def db_path(template_path: Path, tmp_path: Path) -> Path:
    return copied(template_path, tmp_path)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_template(server: Postgres) -> str:
    """The URL of a new central's database."""
    url = server.url(server.create())

    async def make() -> None:
        async with open_central(url, HandClock(), "Palace"):
            pass

    asyncio.run(make())
    return url


def emptied(server: Postgres, url: str) -> str:
    """Make a central's database as good as new, which is faster than a new one; return its URL."""
    kept = {"organiser", "feed_state"}
    rest = [table.name for table in reversed(metadata.sorted_tables) if table.name not in kept]
    state = {"seq": 0, "pruned_seq": 0, "tickets": 0, "devices": 0, "fingerprint": f"'{Fingerprint().hex()}'"}
    sql = [f"DELETE FROM {name}" for name in rest]
    sql.append("UPDATE organiser SET epoch = md5(random()::text)")
    sql.append(f"UPDATE feed_state SET {', '.join(f'{name} = {value}' for name, value in state.items())}")
    server.ask(";".join(sql), database_of(url))
    return url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs a database on both: but what is marked for one, and the conformance suite, to which it is one."""
    if "backend" in metafunc.fixturenames:
        backends = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
        if metafunc.definition.get_closest_marker("postgresql"):
            del backends[0]
        elif "conformance" in metafunc.definition.path.parts:
            del backends[1]
        metafunc.parametrize("backend", backends)


@pytest.fixture
def new_url(backend: str, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes the database of a new central, in place of the one made before; returns its path or URL."""
    if backend == "sqlite":
        template, folder = request.getfixturevalue("template_path"), request.getfixturevalue("tmp_path")
        return lambda: str(copied(template, folder))
    server, url = request.getfixturevalue("server"), request.getfixturevalue("postgres_template")
    return lambda: emptied(server, url)


@pytest.fixture
def db_url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def all_bytes(db_url: str, request: pytest.FixtureRequest) -> Callable[[], bytes]:
    """Tells all that the database holds."""
    if "://" in db_url:
        server: Postgres = request.getfixturevalue("server")
        return lambda: server.dump(database_of(db_url))
    return lambda: b"".join(path.read_bytes() for path in Path(db_url).parent.glob("central.db*"))


@pytest.fixture
async def central(db_url: str, clock: HandClock) -> AsyncGenerator[Central]:
    async with open_central(db_url, clock) as opened:
        yield opened


@pytest.fixture
def db(central: Central) -> Database:
    return central.db


@pytest.fixture
async def client(central: Central, aiohttp_client: MakeClient) -> Client:
    return await aiohttp_client(central.app())


async def make_event(db: Database, event: str = "e-1") -> None:
    """An event with one ticket type and one checkpoint."""
    await service.put_event(
        db, id=event, name=f"Concert {event}", tz="Europe/Kyiv", starts_at=START, ends_at=START + timedelta(hours=5)
    )
    number = event.removeprefix("e-")
    await service.put_ticket_type(db, id=f"t-{number}", event=event, name="Standard")
    await service.put_checkpoint(db, id=f"c-{number}", event=event, name=f"North {number}", zone="hall")


async def sell(db: Database, count: int, event: str = "e-1", first: int = 1) -> None:
    """Tickets T-1, T-2, … whose codes are CODE-1, CODE-2, …"""
    rows = [(f"CODE-{n}", None, f"T-{n}") for n in range(first, first + count)]
    await import_rows(db, event, rows)


async def enrolled(db: Database, client: Client, name: str = "North 1") -> Gate:
    made = await enrolment.enrol(db, (await enrolment.make_enrolment_code(db, "http://x")).code, DeviceModel(name=name))
    return Gate(client, made.id, made.token)


@pytest.fixture
async def gate(db: Database, client: Client) -> Gate:
    """A gate at a venue with one event, no tickets yet."""
    await make_event(db)
    return await enrolled(db, client)


@pytest.fixture
async def other(db: Database, client: Client, gate: Gate) -> Gate:
    """A second gate."""
    return await enrolled(db, client, "South 1")
