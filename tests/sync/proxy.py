"""A TCP proxy on loopback that cuts connections after so many bytes, as a bad network does."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes bytes on to `port`, 0 while there is nobody.

    Each of `cuts` is how many bytes of answers one connection gets before it is cut.
    """

    def __init__(self) -> None:
        self.port = 0
        self.cuts: deque[int] = deque()
        self.cut = 0
        self._open: set[asyncio.StreamWriter] = set()

    def drop_all(self) -> None:
        """Cut every connection there is."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            upstream, onwards = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            self._open.discard(writer)
            writer.transport.abort()
            return
        self._open.add(onwards)
        left = self.cuts.popleft() if self.cuts else None
        try:
            async with asyncio.TaskGroup() as group:
                up = group.create_task(_pump(reader, onwards, None))
                down = group.create_task(_pump(upstream, writer, left))
                await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
                self.cut += down.done() and down.result()
                up.cancel()
                down.cancel()
        finally:
            for each in (writer, onwards):
                self._open.discard(each)
                each.transport.abort()


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
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        proxy.drop_all()
        await server.wait_closed()
