"""Network relays as a turnstile meets them, on real sockets, and what is seen of them from outside."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.guarding import NetworkAction
from drivers.protocols import DeviceLost, Signals, Turnstile

TIMEOUT_S = 20.0
LONG_MS = 600_000
"""A pulse that nobody waits out."""


class Diary:
    """What happened, in order, and a way to wait for it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = asyncio.Condition()

    async def note(self, line: str) -> None:
        self.lines.append(line)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S), self._changed:
            await self._changed.wait_for(fact)


class NotedGuard:
    """Writes down what it is asked for."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary
        self.armed: dict[str, tuple[NetworkAction, float]] = {}
        self.is_ready = False

    async def ready(self) -> None:
        self.is_ready = True

    def arm(self, key: str, action: NetworkAction, deadline_s: float) -> None:
        assert self.is_ready
        self.armed[key] = action, deadline_s
        self._diary.lines.append("arm")

    def disarm(self, key: str) -> None:
        del self.armed[key]
        self._diary.lines.append("disarm")

    @property
    def action(self) -> NetworkAction:
        """The one thing that it is to do."""
        ((action, _),) = self.armed.values()
        return action


@asynccontextmanager
async def working(turnstile: Turnstile) -> AsyncIterator["asyncio.Task[DeviceLost]"]:
    """Run a turnstile as a lane does; the task returns what it is lost of, should it be lost."""
    claimed = asyncio.Event()

    async def follow() -> DeviceLost:
        try:
            async with aclosing(turnstile.signals()) as signals:
                async for each in signals:
                    assert each == Signals()
                    claimed.set()
        except DeviceLost as exc:
            return exc
        finally:
            claimed.set()
        raise AssertionError("its signals ended by themselves")

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        task = group.create_task(follow(), name="signals")
        await claimed.wait()
        yield task
        task.cancel()


class HttpRelay:
    """A relay with the paths `/on` and `/off`. `answers` says what a path answers in place of 200.

    It obeys before it sends a caller elsewhere (3xx), as relays with pages of their own do.
    A path in `held` answers once its event is set.
    """

    def __init__(self, diary: Diary) -> None:
        self.diary = diary
        self.answers: dict[str, int] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.url = ""
        self.is_on = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        status = self.answers.get(path, 200)
        if status < 400 and path in {"/on", "/off"}:
            self.is_on = path == "/on"
        await self.diary.note(path)
        if path in self.held:
            await self.held[path].wait()
        return web.Response(status=status, headers={"Location": "/on"} if 300 <= status < 400 else {})


@asynccontextmanager
async def an_http_relay(diary: Diary, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpRelay]:
    relay = HttpRelay(diary)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", relay.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    relay.url = f"https://localhost:{port}" if tls else f"http://{host}:{port}"
    try:
        yield relay
    finally:
        for event in relay.held.values():
            event.set()
        await runner.cleanup()


class ModbusRelay:
    """Unit 1, with 16 coils and 16 discrete inputs. `refusals` says with what a write of a value is refused.

    What is in `held`, as in the diary, is answered once its event is set.
    """

    def __init__(self, diary: Diary) -> None:
        self.diary = diary
        self.refusals: dict[bool, ExcCodes] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.port = 0
        self.looks = 0
        self.pings = 0
        bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        words = [SimData(0, values=0, datatype=DataType.REGISTERS)]
        device = SimDevice(1, simdata=(bits, bits, words, words), action=self._act)
        self.server = ModbusTcpServer(device, address=("127.0.0.1", 0))

    async def _act(
        self, function: int, _start: int, address: int, _count: int, _now: list[int], values: Any
    ) -> ExcCodes | None:
        refusal = None
        if function == 5 and values:
            line = f"{address} {'on' if values[0] else 'off'}"
            refusal = self.refusals.get(values[0])
        elif function == 2 and values is None:
            line = "look"
            self.looks += 1
        elif function == 1:
            line = "ping"
            self.pings += 1
        else:
            return None
        await self.diary.note(f"{line} refused" if refusal else line)
        if line in self.held:
            await self.held[line].wait()
        return refusal

    async def is_on(self, coil: int) -> bool:
        return bool((await self.server.async_getValues(1, 15, coil))[0])

    async def set_input(self, number: int, *, active: bool) -> None:
        await self.server.async_setValues(1, 2, number, [active])

    async def looked(self, times: int) -> None:
        """Wait until the inputs have been read so many more times."""
        seen = self.looks + times
        await self.diary.until(lambda: self.looks >= seen)

    @property
    def writes(self) -> list[str]:
        return [line for line in self.diary.lines if line not in {"look", "ping"}]


@asynccontextmanager
async def a_modbus_relay(diary: Diary) -> AsyncIterator[ModbusRelay]:
    relay = ModbusRelay(diary)
    await relay.server.serve_forever(background=True)
    assert isinstance(relay.server.transport, asyncio.Server)
    relay.port = relay.server.transport.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        for event in relay.held.values():
            event.set()
        await relay.server.shutdown()  # type: ignore[no-untyped-call]


def tls_of_localhost(folder: Path) -> ssl.SSLContext:
    """Return a server's context, and leave its certificate in `folder`, where whoever is to trust it finds it."""
    return tls_with(folder / "localhost.pem", LOCALHOST_PEM)


def tls_with(path: Path, pem: str) -> ssl.SSLContext:
    """Return the context of a server that shows this certificate, which is left at `path`."""
    path.write_text(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


# Made for these tests, and good for nothing else.
LOCALHOST_PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrzU47SJbumb6fIoN
Osx/X3g5xYqk9mAWxO6V7e8/oGyhRANCAATOgDaujLRnWmGWCjF6pzMg3peEpf6H
BNXnYtgvj6rZL5SVMLM8MiyadN7rUmnxNa+QEw2VrGqhZ+ogoVARlekt
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkjCCATigAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMDAwMTAxMDAwMDAwWhgPMjA5OTEyMzEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABM6ANq6MtGdaYZYK
MXqnMyDel4Sl/ocE1edi2C+PqtkvlJUwszwyLJp03utSafE1r5ATDZWsaqFn6iCh
UBGV6S2jeTB3MBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/
MB0GA1UdDgQWBBTQoSOcBeBtWEzMFaUqZEC7RAonEjAfBgNVHSMEGDAWgBTQoSOc
BeBtWEzMFaUqZEC7RAonEjAOBgNVHQ8BAf8EBAMCAoQwCgYIKoZIzj0EAwIDSAAw
RQIhALuRflh4pHXCJZQcI9/bveWJ9jvPSS4hH/ZJfeiWIc5uAiBwEVy8qlm4NLtk
K0nQko01YKOS2Ea6ut3EjZT4Kk81xQ==
-----END CERTIFICATE-----
"""
