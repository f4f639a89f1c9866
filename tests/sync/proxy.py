"""A TCP proxy on loopback that is as bad as a network can be: slow, cut anywhere, or not the CRM at all."""

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Mood:
    """What becomes of one connection. Left out: its bytes are passed on as they come."""

    cut: int | None = None
    """Cut after so many bytes of answers."""
    delay_s: float = 0.0
    """Each part of an answer comes so much later."""
    bytes_per_s: int | None = None
    answer: bytes | None = None
    """Whatever is asked, this is answered, and nobody else hears of it."""
    impostor: bool = False
    """The certificate is another's."""


class Proxy:
    """Passes bytes on to `port`, 0 while there is nobody; each of `moods` is one connection's."""

    def __init__(self, impostor: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.moods: deque[Mood] = deque()
        self.met = Counter[Mood]()
        """How many connections each mood has had."""
        self.cut = 0
        self._impostor = impostor
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

    def choose_certificate(self, link: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Show another's certificate where that is the next mood; as `SSLContext.sni_callback` asks."""
        if self.moods and self.moods[0].impostor:
            self.met[self.moods.popleft()] += 1
            assert self._impostor is not None
            link.context = self._impostor

    async def end(self) -> None:
        """Cut every connection, and wait until nobody serves one."""
        while self._serving:
            self.drop_all()
            await asyncio.wait(self._serving)
            self._serving = {task for task in self._serving if not task.done()}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers, mood = [writer], self.moods.popleft() if self.moods else Mood()
        self.met[mood] += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if mood.answer is not None:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(mood.answer)
                    writer.close()
                    await writer.wait_closed()
                    return
                upstream, onwards = await asyncio.open_connection("127.0.0.1", self.port)
                writers.append(onwards)
                self._open.add(onwards)
                await self._pass_on((reader, onwards), (upstream, writer), mood)
        finally:
            for each in writers:
                self._open.discard(each)
                each.transport.abort()

    async def _pass_on(self, there: Way, back: Way, mood: Mood) -> None:
        async with asyncio.TaskGroup() as group:
            up = group.create_task(_pump(*there, Mood()))
            down = group.create_task(_pump(*back, mood))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            self.cut += down.done() and down.result()
            up.cancel()
            down.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mood: Mood) -> bool:
    """Pass bytes on until the end or the cut; return whether it was cut."""
    left = mood.cut
    size = 4096 if mood.bytes_per_s is None else max(1, mood.bytes_per_s // 50)
    with suppress(ConnectionError):
        while data := await reader.read(size):
            if mood.delay_s or mood.bytes_per_s:
                await asyncio.sleep(mood.delay_s + (len(data) / mood.bytes_per_s if mood.bytes_per_s else 0.0))
            writer.write(data if left is None else data[:left])
            await writer.drain()
            left = None if left is None else left - len(data)
            if left is not None and left <= 0:
                return True
    return False


@asynccontextmanager
async def proxied(
    tls: ssl.SSLContext | None = None, impostor: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Proxy, str]]:
    """Open a proxy, which speaks TLS if it is given its server's context; yield it and its address."""
    proxy = Proxy(impostor)
    if tls is not None:
        tls.sni_callback = proxy.choose_certificate
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, f"http://127.0.0.1:{port}" if tls is None else f"https://localhost:{port}"
    finally:
        server.close()
        await proxy.end()
        await server.wait_closed()
