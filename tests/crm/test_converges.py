"""Whatever happens at the central, and wherever streams are cut, a gate ends with the central's list.

Each cursor line's count and fingerprint are checked by the model gate as it applies them.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crm import enrolment, service
from crm.batches import batch_of
from crm.central import Central, open_central
from crm.cursor import parse_cursor
from crm.database import Database
from crm.devices import Device
from crm.errors import NotFound
from crm.feed import Sizes, cursor_line, step
from crm.importer import import_rows
from crm.scans import receive
from edge.core.model import TicketState
from sync.wire import DeviceModel
from tests.crm.conftest import HandClock, ModelGate, a_scan, lines_of, make_event

SMALL = Sizes(rows=2, lines=2, changes=3)
NUMBERS = st.integers(0, 15)
EVENTS = st.sampled_from(["e-1", "e-2"])
ACTIONS = st.one_of(
    st.tuples(st.just("import"), EVENTS, st.lists(NUMBERS, min_size=1, max_size=8, unique=True)),
    st.tuples(st.just("state"), NUMBERS, st.sampled_from(list(TicketState))),
    st.tuples(st.just("delete"), st.lists(NUMBERS, min_size=1, max_size=3)),
    st.tuples(st.just("admit"), st.integers(0, 1), NUMBERS),
    st.tuples(st.just("release"), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("pull"), st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("cut"), st.integers(0, 1)),
    st.tuples(st.just("forget"), st.integers(0, 1)),
)


class World:
    """A central and two gates."""

    def __init__(self, db: Database, devices: Sequence[Device]) -> None:
        self.db = db
        self.devices = devices
        self.gates = [ModelGate(), ModelGate()]
        self.seqs = [0, 0]
        self.made: list[set[str]] = [set(), set()]

    async def pull(self, which: int, cut: bool = False) -> None:
        """Apply one step; a cut one is lost before its cursor line, and so says nothing."""
        gate = self.gates[which]
        async with self.db.read() as tx:
            place = parse_cursor(gate.cursor) if gate.cursor else None
            here = await step(tx, self.devices[which].id, place, SMALL)
            lines = [*here.lines, cursor_line(here, tx)]
        if not cut:
            gate.apply(lines_of("\n".join(lines).encode()))

    async def scan(self, which: int, **fields: str) -> None:
        self.seqs[which] += 1
        seq = self.seqs[which]
        scan = a_scan(f"s-{which}-{seq}", seq) | fields
        (answer,) = await receive(self.db, [batch_of(self.devices[which], [scan])])
        assert answer.rejected == []

    async def act(self, action: tuple[Any, ...]) -> None:
        match action:
            case ("import", event, numbers):
                seat = str(self.db.clock().microsecond)
                rows = [(f"CODE-{n}", None, f"T-{n}", None, None, None, None, seat) for n in numbers]
                await import_rows(self.db, event, rows)
            case ("state", number, state):
                with suppress(NotFound):
                    await service.set_ticket_state(self.db, f"T-{number}", state)
            case ("delete", numbers):
                await service.delete_tickets(self.db, [f"T-{n}" for n in numbers])
            case ("admit", which, number):
                await self.scan(which, ticket_id=f"T-{number}")
                self.made[which].add(f"s-{which}-{self.seqs[which]}")
            case ("release", which, back):
                of = f"s-{which}-{max(1, self.seqs[which] - back)}"
                await self.scan(which, verdict="refused", reason="not_passed", of=of)
                self.made[which].discard(of)
            case ("pull", which, steps):
                for _ in range(steps):
                    await self.pull(which)
            case ("cut", which):
                await self.pull(which, cut=True)
            case ("forget", which):
                self.gates[which] = ModelGate()

    async def settle(self) -> None:
        for which, gate in enumerate(self.gates):
            await self.pull(which)
            while gate.more:
                await self.pull(which)
            async with self.db.read() as tx:
                assert gate.fingerprint() == tx.listed
            assert gate.admissions.keys() == self.made[1 - which]
        assert self.gates[0].tickets == self.gates[1].tickets


async def founded(central: Central) -> World:
    """Two events and two gates."""
    for event in ("e-1", "e-2"):
        await make_event(central.db, event)
    devices = []
    for name in ("North", "South"):
        code = (await enrolment.make_enrolment_code(central.db, "http://x")).code
        devices.append(await enrolment.enrol(central.db, code, DeviceModel(name=name)))
    return World(central.db, devices)


async def live(url: str, actions: list[tuple[Any, ...]]) -> None:
    clock = HandClock()
    async with open_central(url, clock) as central:
        world = await founded(central)
        for action in actions:
            clock.advance(microseconds=1)
            await world.act(action)
        await world.settle()


def test_gates_end_with_the_centrals_list(new_url: Callable[[], str], backend: str) -> None:
    def story(actions: list[tuple[Any, ...]]) -> None:
        asyncio.run(live(new_url(), actions))

    run = given(actions=st.lists(ACTIONS, max_size=25))(story)
    settings(max_examples=40 if backend == "sqlite" else 15, deadline=None)(run)()
