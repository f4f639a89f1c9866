"""What the line guard's tests see of it from outside: network relays, lines that are held, processes."""

import asyncio
import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from drivers.descriptor import until_readable
from drivers.guard import LineGuard
from drivers.guarding import NetworkAction
from tests.drivers.relays import TIMEOUT_S, Diary

OFF = b"GET /off HTTP/1.1\r\n\r\n\x00\xff"


class Relay:
    """A network relay that writes down what it is told, once its caller has hung up, and answers when it may."""

    def __init__(self, diary: Diary) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.told: list[bytes] = []
        self.port = 0
        self.callers = 0
        self._diary = diary

    def action(self, payload: bytes = OFF) -> NetworkAction:
        return NetworkAction("127.0.0.1", self.port, False, payload)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        begun = await reader.read(1)
        await self._diary.note(f"{self.port} begun")
        answering = asyncio.create_task(self._answer(writer), name="answer")
        self.told.append(begun + await reader.read())
        answering.cancel()
        writer.close()
        await writer.wait_closed()
        self.callers -= 1
        await self._diary.note(f"{self.port} told")

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        await self.answers.wait()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")


@asynccontextmanager
async def a_relay(diary: Diary) -> AsyncIterator[Relay]:
    relay = Relay(diary)
    async with await asyncio.start_server(relay.serve, "127.0.0.1", 0) as server:
        relay.port = server.sockets[0].getsockname()[1]
        yield relay
        relay.answers.set()
        await diary.until(lambda: relay.callers == 0)


@asynccontextmanager
async def guarding(guard: LineGuard) -> AsyncIterator[int]:
    """Run the guard as the gate does, and end it as the gate's stop does; tell its process."""
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        task = group.create_task(guard.run(), name="line guard")
        await guard.ready()
        assert guard.pid is not None
        yield guard.pid
        task.cancel()


class Line:
    """What stands for a line request: an end to hold, and one by which to see whether anybody still does."""

    def __init__(self) -> None:
        reader, held = os.pipe()
        self._reader = os.fdopen(reader, "rb", buffering=0)
        self.held = os.fdopen(held, "wb", buffering=0)

    @property
    def is_held(self) -> bool:
        return not select.select([self._reader], [], [], 0)[0]

    async def let_go(self) -> None:
        assert await until_readable(self._reader.fileno(), TIMEOUT_S)
        assert self._reader.read(1) == b""

    def close(self) -> None:
        self._reader.close()
        self.held.close()


async def ended(pid: int) -> None:
    """Wait until a process has ended, whoever is its parent."""
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            assert await until_readable(process, TIMEOUT_S)
        finally:
            os.close(process)
