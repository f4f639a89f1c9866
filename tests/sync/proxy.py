"""A TCP proxy on loopback that is as bad as a network can be: slow, cut anywhere, or not the CRM at all."""

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LARGE = 1 << 30


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
    """Passes bytes on to `port`, 0 while there is nobody; each of `moods` is one connection's.

    `poke` is called when a connection gets its mood, is made or begins to be held.
    """

    def __init__(self, impostor: ssl.SSLContext | None = None, poke: Callable[[], None] = lambda: None) -> None:
        self.port = 0
        self.moods: deque[Mood] = deque()
        self.met = Counter[Mood]()
        """How many connections each mood has had."""
        self.cut = 0
        self.held = 0
        """How many connections wait for the thaw with something to say."""
        self.connecting = 0
        """How many connections to `port` are being made."""
        self._poke = poke
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._room = 0
        self._impostor = impostor
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def drop_all(self) -> None:
        """Cut every connection there is."""
        for writer in self._open:
            writer.transport.abort()

    def freeze(self, room: int = 0) -> None:
        """Let nothing through until `thaw`, neither way, and tell nobody; moods wait as well.

        A connection that comes meanwhile gets `room` bytes of answers, and then silence.
        """
        self._room = room
        self._thawed.clear()

    def thaw(self) -> None:
        """Let through what was held."""
        self._thawed.set()

    @property
    def frozen(self) -> bool:
        """Tell whether nothing comes through."""
        return not self._thawed.is_set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection on; it is known at once, so that one that comes as the proxy ends is cut, too."""
        self._open.add(writer)
        self._serving.add(asyncio.create_task(self._serve(reader, writer), name="proxied connection"))

    def choose_certificate(self, link: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Show another's certificate where that is the next mood; as `SSLContext.sni_callback` asks."""
        if self.moods and self.moods[0].impostor and not self.frozen:
            self.met[self.moods.popleft()] += 1
            self._poke()
            assert self._impostor is not None
            link.context = self._impostor

    async def end(self) -> None:
        """Cut every connection, and wait until nobody serves one."""
        self.thaw()
        while self._serving:
            self.drop_all()
            await asyncio.wait(self._serving)
            self._serving = {task for task in self._serving if not task.done()}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers, room = [writer], self._room if self.frozen else 0
        mood = self.moods.popleft() if self.moods and not self.frozen else Mood()
        self.met[mood] += 1
        self._poke()
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if mood.answer is not None:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(mood.answer)
                    writer.close()
                    await writer.wait_closed()
                    return
                if self.frozen and not (room and self.port):
                    await self._hold()  # a network that says nothing does not say either that there is nobody
                upstream, onwards = await self._connect()
                writers.append(onwards)
                self._open.add(onwards)
                await self._pass_on((reader, onwards), (upstream, writer), mood, room)
        finally:
            for each in writers:
                self._open.discard(each)
                each.transport.abort()

    async def _connect(self) -> Way:
        self.connecting += 1
        try:
            return await asyncio.open_connection("127.0.0.1", self.port)
        finally:
            self.connecting -= 1
            self._poke()

    async def _hold(self) -> None:
        """Wait for the thaw."""
        self.held += 1
        self._poke()
        try:
            await self._thawed.wait()
        finally:
            self.held -= 1

    async def _pass_on(self, there: Way, back: Way, mood: Mood, room: int) -> None:
        async with asyncio.TaskGroup() as group:
            # A question goes through where a part of its answer is to.
            up = group.create_task(self._pump(*there, Mood(), LARGE if room else 0))
            down = group.create_task(self._pump(*back, mood, room))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            self.cut += down.done() and down.result()
            up.cancel()
            down.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mood: Mood, room: int) -> bool:
        """Pass bytes on until the end or the cut; return whether it was cut. While all is frozen: only `room` bytes."""
        left = mood.cut
        size = 4096 if mood.bytes_per_s is None else max(1, mood.bytes_per_s // 50)
        with suppress(ConnectionError):
            while data := await reader.read(size):
                if mood.delay_s or mood.bytes_per_s:
                    await asyncio.sleep(mood.delay_s + (len(data) / mood.bytes_per_s if mood.bytes_per_s else 0.0))
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                if self.frozen and len(data) > room:
                    writer.write(data[:room])
                    await self._hold()
                    data, room = data[room:], 0
                room -= min(room, len(data))
                writer.write(data)
                await writer.drain()
                if left == 0:
                    return True
        return False


@asynccontextmanager
async def proxied(
    tls: ssl.SSLContext | None = None,
    impostor: ssl.SSLContext | None = None,
    poke: Callable[[], None] = lambda: None,
) -> AsyncIterator[tuple[Proxy, str]]:
    """Open a proxy, which speaks TLS if it is given its server's context; yield it and its address."""
    proxy = Proxy(impostor, poke)
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
