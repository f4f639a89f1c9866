"""Whatever happens at the gate, at the central and on the way between them: in the end both hold the same.

A real gate's store, lane and sync engine, a real central on a socket, and a network that cuts connections.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from config.settings import LaneSettings
from crm import enrolment, schema, service
from crm.central import Central, open_central
from crm.errors import NotFound
from crm.importer import import_rows
from edge.clock import wall_clock
from edge.core.model import TicketState
from edge.gate import Lane
from edge.hub import Hub
from edge.store.keeping import verify_chain
from edge.store.store import Store
from edge.store.tx import Identity
from sync.wire import DeviceModel
from tests.sync.certificates import an_impostor, tls_of_localhost
from tests.sync.proxy import Mood, Proxy, proxied
from tests.sync.rig import News, acked, open_engine, served

NUMBERS = st.integers(0, 30)


def http(head: str, body: str = "") -> Mood:
    """A mood in which something else answers."""
    lines = [f"HTTP/1.1 {head}", f"Content-Length: {len(body)}", "Connection: close", "", body]
    return Mood(answer="\r\n".join(lines).encode())


MOODS = st.one_of(
    st.builds(Mood, cut=st.integers(0, 3000)),
    st.builds(Mood, delay_s=st.sampled_from([0.01, 0.05]), cut=st.none() | st.integers(0, 3000)),
    st.just(Mood(bytes_per_s=8000)),
    st.sampled_from(
        [
            http("500 Internal Server Error", "oops"),
            http("502 Bad Gateway\r\nContent-Type: text/html", "<html>nginx</html>"),
            http("429 Too Many Requests\r\nRetry-After: 1"),
            http("302 Found\r\nLocation: http://portal.example/login"),
            http("200 OK\r\nContent-Type: text/html", "<html>Log in</html>"),
            http("200 OK\r\nContent-Type: application/json", '{"acked": "all", "tickets": []}'),
            http("200 OK\r\nContent-Type: application/x-ndjson", '{"kind":"reset"}\n{"kind":"event","id":5}\n'),
            http("404 Not Found"),
            Mood(answer=b"\x00\xff garbage \r\n"),
            Mood(answer=b""),
            Mood(impostor=True),
        ]
    ),
)
ACTIONS = st.one_of(
    st.tuples(st.just("import"), st.lists(NUMBERS, min_size=1, max_size=20, unique=True)),
    st.tuples(st.just("cancel"), NUMBERS, st.sampled_from(list(TicketState))),
    st.tuples(st.just("delete"), st.lists(NUMBERS, min_size=1, max_size=3)),
    st.tuples(st.just("scan"), st.lists(NUMBERS, min_size=1, max_size=5)),
    st.tuples(st.just("network"), st.lists(MOODS, min_size=1, max_size=4)),
    st.tuples(st.just("central"), st.booleans()),
    st.tuples(st.just("reopen")),
    st.tuples(st.just("meet")),
)


@dataclass
class OpenGate:
    """The gate, while it is open."""

    store: Store
    lane: Lane


@asynccontextmanager
async def a_gate(folder: Path, url: str, identity: Identity, token: str, news: News) -> AsyncIterator[OpenGate]:
    """Open the gate's real parts and run all its sync jobs."""
    async with open_engine(folder, url, identity, token, news) as opened, asyncio.TaskGroup() as group:
        tasks = [group.create_task(job()) for job in (opened.engine.run_changes, opened.engine.run_scans)]
        yield OpenGate(
            opened.store, Lane(LaneSettings(id="a", checkpoint="c-1"), "en", opened.store, opened.clock, Hub())
        )
        for task in tasks:
            task.cancel()


@dataclass
class World:
    """A central that can be stopped, a gate that can be reopened, and the network between."""

    central: Central
    proxy: Proxy
    url: str
    folder: Path
    identity: Identity
    token: str
    news: News = field(default_factory=News)
    up: AsyncExitStack | None = None
    life: AsyncExitStack = field(default_factory=AsyncExitStack)
    gate: OpenGate | None = None

    async def turn(self, *, on: bool) -> None:
        """Start or stop the central."""
        if on and self.up is None:
            self.up = AsyncExitStack()
            address = await self.up.enter_async_context(served(self.central.app()))
            self.proxy.port = int(address.rpartition(":")[2])
        elif not on and self.up is not None:
            self.proxy.port = 0  # where nobody answers
            await self.up.aclose()
            self.up = None

    async def open(self) -> OpenGate:
        self.gate = await self.life.enter_async_context(
            a_gate(self.folder, self.url, self.identity, self.token, self.news)
        )
        return self.gate

    async def close(self) -> None:
        await self.life.aclose()
        self.life = AsyncExitStack()

    async def act(self, action: tuple[Any, ...]) -> None:
        db, gate = self.central.db, self.gate
        assert gate is not None
        match action:
            case ("import", numbers):
                await import_rows(db, "e-1", [(f"CODE-{n}", None, f"T-{n}") for n in numbers])
            case ("cancel", number, state):
                with suppress(NotFound):
                    await service.set_ticket_state(db, f"T-{number}", state)
            case ("delete", numbers):
                await service.delete_tickets(db, [f"T-{n}" for n in numbers])
            case ("scan", numbers):
                async with asyncio.TaskGroup() as group:
                    for number in numbers:
                        group.create_task(gate.lane.offer(f"CODE-{number}", scan_id=None))
            case ("network", moods):
                self.proxy.moods.extend(moods)
                self.proxy.drop_all()
            case ("central", on):
                await self.turn(on=on)
            case ("reopen",):
                await self.close()
                await self.open()
            case ("meet",):
                await self.turn(on=True)
                await self.converged()

    async def converged(self) -> None:
        """Wait until gate and central hold the same list, and the central has every scan."""
        assert self.gate is not None
        async with self.central.db.read() as tx:
            listed = (tx.listed.count, tx.listed.hex())
        store = self.gate.store
        await self.news.until(
            lambda: (store.data.tickets, store.data.fingerprint) == listed and store.data.cursor is not None
        )
        head = (await store.backlog()).head_seq
        await self.news.until(lambda: acked(store) == head)

    async def compare(self) -> None:
        """Each scan of the journal is at the central exactly once, in the order made, and the chain is whole."""
        assert self.gate is not None
        mine = [(scan.seq, scan.scan_id, scan.verdict) for scan in await self.gate.store.scans_after(0, 10_000)]
        table = schema.scan.c
        async with self.central.db.read() as tx:
            rows = await tx.rows(sa.select(table.seq, table.scan_id, table.verdict).order_by(table.seq))
            faults = await tx.rows(sa.select(schema.device.c.faults, schema.device.c.last_seq))
        assert [tuple(row) for row in rows] == mine
        assert [tuple(row) for row in faults] == [(0, len(mine))]
        found = await self.gate.store.read(lambda tx: verify_chain(tx.journal))
        assert (found.rows, found.problems) == (len(mine), ())


async def stocked(central: Central) -> tuple[Identity, str]:
    """One event with one checkpoint, and one enrolled device."""
    db, now = central.db, wall_clock()
    await service.put_event(
        db, id="e-1", name="Concert", tz="Europe/Kyiv", starts_at=now, ends_at=now + timedelta(hours=5)
    )
    await service.put_ticket_type(db, id="t-1", event="e-1", name="Standard")
    await service.put_checkpoint(db, id="c-1", event="e-1", name="North", hours=[])
    code = (await enrolment.make_enrolment_code(db, "http://x")).code
    made = await enrolment.enrol(db, code, DeviceModel(name="North 1"))
    return Identity(made.id, db.organiser.lookup_key), made.token


async def live(folder: Path, actions: list[tuple[Any, ...]]) -> Proxy:
    """Do it all; return the network that it went through."""
    async with open_central(folder / "central.db") as central, AsyncExitStack() as opened:
        identity, token = await stocked(central)
        os.environ["SSL_CERT_FILE"] = str(folder / "localhost.pem")
        opened.callback(os.environ.pop, "SSL_CERT_FILE")
        tls = tls_of_localhost(folder)
        proxy, url = await opened.enter_async_context(proxied(tls, an_impostor(folder)))
        world = World(central, proxy, url, folder / "gate", identity, token)
        opened.push_async_callback(world.turn, on=False)
        opened.push_async_callback(world.close)
        await world.turn(on=True)
        await world.open()
        for action in actions:
            await world.act(action)
        proxy.moods.clear()
        await world.act(("meet",))
        await world.compare()
        return proxy


@pytest.fixture(scope="session")
def central_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new central's file, made once: copying it is faster than migrating."""
    path = tmp_path_factory.mktemp("central") / "central.db"

    async def make() -> None:
        async with open_central(path, lambda: datetime(2026, 5, 1, tzinfo=UTC), "Palace"):
            pass

    asyncio.run(make())
    return path


SCHEDULES = int(os.environ.get("BRAMA_SCHEDULES", "20"))
"""`make test-network` asks for more."""


# httpcore does not close a connection that is given up in the middle of its TLS handshake; the collector does.
@pytest.mark.filterwarnings("ignore:(?s).*unclosed:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_gate_and_central_converge(central_path: Path, part: int) -> None:
    met = Counter[Mood]()

    def story(actions: list[tuple[Any, ...]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(central_path, folder)
            met.update(asyncio.run(live(Path(folder), actions)).met)

    run = given(actions=st.lists(ACTIONS, min_size=5, max_size=25))(story)
    # One wrong certificate, one answer of somebody else's: what the network can do at worst is in every part.
    for worst in (Mood(impostor=True), http("302 Found\r\nLocation: http://portal.example/login")):
        run = example(actions=[("network", [worst]), ("scan", [1]), ("import", [1, 2])])(run)
    seed(part)(settings(max_examples=SCHEDULES // 4, deadline=None, database=None)(run))()
    assert met[Mood(impostor=True)]


def test_a_snapshot_arrives_through_many_cuts(central_path: Path) -> None:
    actions = [
        ("central", False),
        ("import", list(range(31))),
        ("network", [Mood(cut=size) for size in range(0, 6000, 150)]),
        ("scan", list(range(40))),
        ("central", True),
        ("meet",),
        ("reopen",),
        ("scan", [1, 1, 1]),
    ]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(central_path, folder)
        assert asyncio.run(live(Path(folder), actions)).cut >= 5
