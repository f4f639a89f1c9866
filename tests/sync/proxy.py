"""A TCP proxy on loopback that cuts connections after so many bytes, as a bad network does."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Passes bytes on to `port`, 0 while there is nobody.

    Each of `cuts` is how many bytes of answers one connection gets before it is cut.
    """

    def __init__(self) -> None:
        self.port = 0
        self.cuts: deque[int] = deque()
        self.cut = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def drop_all(self) -> None:
        """Cut every connection there is."""
        for writer in self._open:
            writer.transport.abort()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection on; it is known at once, so that one that comes as the proxy ends is cut, too."""
        self._open.add(writer)
        self._serving.add(asyncio.create_task(self._serve(reader, writer), name="proxied connection"))

    async def end(self) -> None:
        """Cut every connection, and wait until nobody serves one."""
        while self._serving:
            self.drop_all()
            await asyncio.wait(self._serving)
            self._serving = {task for task in self._serving if not task.done()}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            with suppress(OSError):
                upstream, onwards = await asyncio.open_connection("127.0.0.1", self.port)
                writers.append(onwards)
                self._open.add(onwards)
                await self._pass_on((reader, onwards), (upstream, writer))
        finally:
            for each in writers:
                self._open.discard(each)
                each.transport.abort()

    async def _pass_on(self, there: Way, back: Way) -> None:
        left = self.cuts.popleft() if self.cuts else None
        async with asyncio.TaskGroup() as group:
            up = group.create_task(_pump(*there, None))
            down = group.create_task(_pump(*back, left))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            self.cut += down.done() and down.result()
            up.cancel()
            down.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> bool:
    """Pass bytes on until the end or for `left` bytes; return whether those are used up."""
    with suppress(ConnectionError):
        while data := await reader.read(4096):
            writer.write(data if left is None else data[:left])
            await writer.drain()
            left = None if left is None else left - len(data)
            if left is not None and left <= 0:
                return True
    return False


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, str]]:
    """Open a proxy; yield it and its address."""
    proxy = Proxy()
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    try:
        yield proxy, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await proxy.end()
        await server.wait_closed()
