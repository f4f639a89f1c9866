"""Plugging in and out, permissions taken and given: what happens to a scanner from outside."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from drivers.hotplug import Hotplug
from drivers.protocols import Read, Scanner, Spoiled

TIMEOUT_S = 20.0
READ_AT = datetime(2026, 5, 1, 18, 0, tzinfo=UTC)
NOBODY = 65534


class FixedClock:
    """It is always the same moment."""

    def now(self) -> datetime:
        return READ_AT


class Port:
    """A serial port under a name that lasts: a pseudo-terminal, and a link to it while it is plugged in."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.hand = -1
        """The end at which a hand would pull the trigger."""
        self.node = ""
        """The port's own name, another one at each plugging in."""

    def plug(self) -> None:
        self.hand, port = os.openpty()
        tty.setraw(port)
        self.node = os.ttyname(port)
        os.close(port)
        self.link.symlink_to(self.node)

    def unplug(self) -> None:
        os.close(self.hand)
        self.link.unlink()
        self.hand = -1

    def types(self, data: bytes) -> None:
        os.write(self.hand, data)


@contextmanager
def a_port(link: Path) -> Iterator[Port]:
    port = Port(link)
    try:
        yield port
    finally:
        if port.hand >= 0:
            port.unplug()


class Listener:
    """Reads a scanner as a lane does. `listens` is set whenever it waits for the next read."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self.got: asyncio.Queue[Read | Spoiled] = asyncio.Queue()
        self.listens = asyncio.Event()

    async def run(self) -> None:
        async with aclosing(self._scanner.reads()) as reads:
            while True:
                listening = asyncio.get_running_loop().call_soon(self.listens.set)
                try:
                    self.got.put_nowait(await anext(reads))
                finally:
                    listening.cancel()
                    self.listens.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read, from when it listens on, until the end of the block."""
        async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
            task = group.create_task(self.run(), name="lane")
            await self.listens.wait()
            yield
            task.cancel()
            await asyncio.wait([task])

    async def next(self) -> Read | Spoiled:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.got.get()


@asynccontextmanager
async def watched(*paths: Path | str) -> AsyncIterator[Hotplug]:
    """Watch the folders of devices; what happened before is over."""
    made = Hotplug([str(each) for each in paths])
    started = made.again()
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        task = group.create_task(made.run(), name="hot-plug")
        await asyncio.sleep(0)
        await started()
        yield made
        task.cancel()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be what a gate is: not root, to whom nothing is forbidden."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def give_to_nobody(path: Path | str, mode: int) -> None:
    """Make a node what an unprivileged test may open, as far as `mode` lets it."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, -1)
    Path(path).chmod(mode)
