"""A central that can be stopped, two gates that can be killed, and a bad network between them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from crm.central import Central, open_central
from crm.feed import Sizes
from crm.web import make_app
from tests.sync import office
from tests.sync.certificates import an_impostor, tls_of_localhost
from tests.sync.gate_process import GateProcess, Gone, Start
from tests.sync.proxy import Mood, Proxy, proxied
from tests.sync.rig import News, served
from tests.sync.sameness import cursor_on_disk, difference, dump_of_central

SMALL = Sizes(rows=4, lines=2, changes=6)
"""What the central reads at a time: little, so that a short list has many cursors."""
PATIENCE_S = 20.0
"""After so long it is certain that what a test waits for does not come."""


class Waited(AssertionError):
    """A lane had no verdict while the network was silent."""


@dataclass
class Gate:
    """One gate: what it was started with, and what its guests were told."""

    start: Start
    process: GateProcess
    answered: list[tuple[str, str]] = field(default_factory=list)
    """scan_id and verdict of each answer, in the order in which they came."""
    by_hand: int = 0
    """How often its list was changed behind its back since it was last audited."""


@dataclass
class World:
    """All there is. Each action of a schedule is a name and what it is done with; see `act`."""

    central: Central
    proxy: Proxy
    news: News
    gates: list[Gate] = field(default_factory=list)
    up: AsyncExitStack | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Each request that reached the central: its path, and the cursor after which it asked."""
    patience_s: float = PATIENCE_S

    # --- the parts --------------------------------------------------------------------------------------------------

    async def turn(self, *, on: bool) -> None:
        """Start or stop the central."""
        if on and self.up is None:
            self.up = AsyncExitStack()
            app = make_app(self.central.db, SMALL)
            app.middlewares.append(self._noted)
            address = await self.up.enter_async_context(served(app))
            self.proxy.port = int(address.rpartition(":")[2])
        elif not on and self.up is not None:
            self.proxy.port = 0  # where nobody answers
            await self.news.until(lambda: not self.proxy.connecting)
            await self.up.aclose()
            self.up = None

    async def open(self, start: Start) -> GateProcess:
        """Start a gate."""
        before = cursor_on_disk(start.folder)
        process = await GateProcess.begin(start, self.news.poke)
        # What a killed gate had its builder commit may still have come between.
        assert process.state["cursor"] in (before, cursor_on_disk(start.folder))
        process.go()
        return process

    async def close(self) -> None:
        """Close the gates."""
        async with asyncio.TaskGroup() as group:
            for gate in self.gates:
                group.create_task(gate.process.close())

    # --- what happens -----------------------------------------------------------------------------------------------

    async def act(self, action: tuple[Any, ...]) -> None:
        """Do one thing of a schedule."""
        match action:
            case ("network", moods):
                await self.weather(moods)
            case ("central", on):
                await self.turn(on=on)
            case ("scan", which, numbers):
                await self.scan(which, numbers)
            case ("silence", which, numbers, room, kills):
                await self.scan_in_silence(which, numbers, room, kills=kills)
            case ("reopen", which):
                gate = self.gates[which]
                await gate.process.close()
                gate.process = await self.open(gate.start)
            case ("kill", which, numbers, after):
                await self.kill(which, numbers, after)
            case ("by hand", which, statements):
                gate = self.gates[which]
                gate.by_hand += await gate.process.ask("change by hand", sql=statements)
            case ("meet",):
                await self.turn(on=True)
                await self.converged()
            case ("office", "assign", which, point):
                device = self.gates[which].start.identity.device_id
                await office.change(self.central, ("assign", device, point))
            case ("office", *what):
                await office.change(self.central, tuple(what))

    async def weather(self, moods: Sequence[Mood]) -> None:
        """Give the network moods, and wait until it has shown the first of them."""
        self.proxy.moods.extend(moods)
        waiting = len(self.proxy.moods)
        self.proxy.drop_all()
        await self.news.until(lambda: len(self.proxy.moods) < waiting)

    async def scan(self, which: int, numbers: Sequence[int]) -> None:
        """Offer codes at a gate, all at once; whatever the network does meanwhile, each gets its verdict."""
        async with asyncio.timeout(self.patience_s), asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(self._offer(self.gates[which], number))

    async def _offer(self, gate: Gate, number: int) -> None:
        with suppress(Gone):
            scan_id, verdict = await gate.process.ask("scan", code=f"CODE-{number}")
            gate.answered.append((scan_id, verdict))
            self.news.poke()

    async def scan_in_silence(self, which: int, numbers: Sequence[int], room: int | None, *, kills: bool) -> None:
        """Silence the network, and let it go only when every scan has its verdict; `kills`: even of a gate that was
        killed and started again meanwhile.

        `room` bytes of each answer come through; with None the connections stay that there are.

        Raises:
            Waited: a verdict did not come.
        """
        self.proxy.freeze(room or 0)
        if room is not None:
            self.proxy.drop_all()
            await self.news.until(lambda: self.proxy.held > 0)  # the gates ask, and wait for their answers
        try:
            await self.scan(which, numbers)
            if kills:
                await self.kill(which, numbers, 0)
                await self.scan(which, numbers)
        except TimeoutError as exc:
            raise Waited(f"{self.gates[which].start.folder.name} has no verdict without the network") from exc
        finally:
            self.proxy.thaw()

    async def kill(self, which: int, numbers: Sequence[int], after: int) -> None:
        """Kill a gate while it judges scans, once so many of them are answered; start it again."""
        gate = self.gates[which]
        before = len(gate.answered)
        async with asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(self._offer(gate, number))
            await self.news.until(lambda: len(gate.answered) - before >= min(after, len(numbers)))
            await gate.process.kill()
        gate.process = await self.open(gate.start)

    # --- what must be so in the end ---------------------------------------------------------------------------------

    async def converged(self) -> None:
        """Wait until each gate holds what the central says, row by row, and the central each gate's scans."""
        for gate in self.gates:
            # What one has uploaded is news to the other, so that comes first.
            await self._until_uploaded(gate)
        for gate in self.gates:
            if gate.by_hand:
                await gate.process.ask("audit")
                gate.by_hand = 0
            await self._until_same(gate)

    async def _until_uploaded(self, gate: Gate) -> None:
        head = len((await gate.process.ask("dump"))["scans"])
        await self._until(gate, lambda state: state.get("acked") == head)

    async def _until_same(self, gate: Gate) -> None:
        found, theirs = None, await dump_of_central(self.central.db, gate.start.identity.device_id)
        ((_, listed),) = theirs["sum kept"]
        try:
            async with asyncio.timeout(self.patience_s):
                while found := difference(await gate.process.ask("dump"), theirs, gate.answered):
                    await self.news.next()
                    await self._until(gate, lambda state: state["fingerprint"] == listed or state["held"])
                    if gate.process.state["held"]:
                        # A checkpoint is open and the list was made anew with less than half the tickets.
                        await gate.process.ask("accept")
        except TimeoutError as exc:
            raise AssertionError(f"{gate.start.folder.name}: {found}; {gate.process.state}") from exc

    async def _until(self, gate: Gate, fact: Callable[[dict[str, Any]], object]) -> None:
        await self.news.until(lambda: bool(fact(gate.process.state)))

    async def nobody_is_let_in_again(self, most: int = 3) -> None:
        """Offer tickets that were let in at one gate at both, now that both know."""
        before = await self._let_in()
        for number in (await office.admitted_numbers(self.central))[:most]:
            for which in range(len(self.gates)):
                await self.scan(which, [number])
        assert await self._let_in() == before

    async def _let_in(self) -> list[str]:
        """Return the scans by which somebody was let in."""
        journals = [(await gate.process.ask("dump"))["scans"] for gate in self.gates]
        return [scan_id for scans in journals for _, scan_id, verdict in scans if verdict != "refused"]

    @web.middleware
    async def _noted(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        self.asked.append((request.path, request.query.get("since")))
        answer: web.StreamResponse = await handler(request)
        return answer


@asynccontextmanager
async def a_world(folder: Path, *, asks_first: bool = False) -> AsyncIterator[World]:
    """Open everything in a folder that has a `central.db`, which is filled."""
    async with open_central(folder / "central.db") as central, AsyncExitStack() as opened:
        news, tls = News(), tls_of_localhost(folder)
        proxy, url = await opened.enter_async_context(proxied(tls, an_impostor(folder), news.poke))
        world = World(central, proxy, news)
        opened.push_async_callback(world.turn, on=False)
        opened.push_async_callback(world.close)
        await world.turn(on=True)
        ca_path = folder / "localhost.pem"
        starts = [
            Start(folder / f"gate {number}", url, ca_path, identity, token, f"c-{number}", asks_first)
            for number, (identity, token) in enumerate(await office.two_gates(central), 1)
        ]
        async with asyncio.TaskGroup() as group:
            opening = [group.create_task(world.open(start)) for start in starts]
        world.gates = [Gate(start, task.result()) for start, task in zip(starts, opening, strict=True)]
        yield world
