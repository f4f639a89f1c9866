"""A CRM that drips: each byte comes in time, and the whole never does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from sync.crm_brama import BramaCrm
from sync.errors import LinkDown
from sync.floor import FLOOR_BYTES, WINDOW_S, Floor, moving
from sync.wire import DeviceModel, EnrolRequest

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"


@dataclass
class Ticks:
    """A monotonic clock that the transfer moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    async def brings(self, *parts: tuple[float, bytes]) -> AsyncIterator[bytes]:
        """Yield each chunk after so many seconds."""
        for after_s, chunk in parts:
            self.now += after_s
            yield chunk


async def size_of(ticks: Ticks, hold_s: float, *parts: tuple[float, bytes]) -> int:
    return sum([len(chunk) async for chunk in moving(ticks.brings(*parts), hold_s, "/changes", ticks)])


async def test_a_byte_each_nineteen_seconds_is_given_up() -> None:
    ticks = Ticks()
    with pytest.raises(LinkDown, match=r"^/changes: less than 32768 bytes came in 60 s; going on"):
        await size_of(ticks, 0.0, *[(19.0, b"x")] * 10)
    assert ticks.now == 76.0


async def test_a_held_answer_may_be_kept_alive_for_as_long_as_it_was_asked_to_be() -> None:
    kept_alive = [(15.0, b"\n")] * 5
    assert await size_of(Ticks(), 30.0, *kept_alive, (5.0, b"{}\n")) == 8
    with pytest.raises(LinkDown):
        await size_of(Ticks(), 30.0, *kept_alive, (15.0, b"{}\n"))


async def test_a_slow_line_and_long_lines_are_waited_for() -> None:
    """64 kbit/s, a line of 200 kB at a time, for an hour and a half."""
    line = (25.0, b"x" * 200_000)
    assert await size_of(Ticks(), 0.0, *[line] * 200) == 40_000_000


async def test_a_pause_within_a_fast_transfer_is_no_drip() -> None:
    burst = (0.1, b"x" * FLOOR_BYTES)
    assert await size_of(Ticks(), 0.0, burst, (50.0, b"x"), burst, (50.0, b"x"), burst) == 3 * FLOOR_BYTES + 2


async def test_only_the_time_spent_waiting_counts() -> None:
    """What this box takes to apply it, on a slow disk, is not the CRM's fault."""
    ticks, seen = Ticks(), 0
    async for chunk in moving(ticks.brings(*[(1.0, b"x")] * 20), 0.0, "/changes", ticks):
        seen += len(chunk)
        ticks.now += 300.0
    assert seen == 20


def test_each_window_is_judged_by_what_it_brought() -> None:
    floor = Floor(0.0)
    assert floor.holds(WINDOW_S, FLOOR_BYTES)
    assert floor.holds(WINDOW_S - 1, 0)
    assert not floor.holds(1, FLOOR_BYTES - 1)


# --- over a real socket ---------------------------------------------------------------------------------------------


class Dripper(asyncio.Protocol):
    """Answers whoever asks with `head`, and then drop after drop: each when told to, or for ever by itself."""

    def __init__(self, head: bytes, drop: bytes) -> None:
        self._head = head
        self._drop = drop
        self._transports: list[asyncio.Transport] = []
        self.by_itself = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transports.append(transport)

    def data_received(self, data: bytes) -> None:
        if b"\r\n\r\n" in data:
            self._transports[-1].write(self._head)
            self.drip()

    def drip(self) -> None:
        if not self._transports[-1].is_closing():
            self._transports[-1].write(self._drop)
            if self.by_itself:
                asyncio.get_running_loop().call_later(0.02, self.drip)

    async def close(self) -> None:
        """Cut every connection, which takes the loop a turn or two; so does giving us one that was just accepted."""
        for _ in range(5):
            await asyncio.sleep(0)
            for each in self._transports:
                each.abort()


@asynccontextmanager
async def serving(dripper: Dripper) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(lambda: dripper, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await dripper.close()


@asynccontextmanager
async def dripped_on(what: str) -> AsyncIterator[BramaCrm]:
    """Open the way to a CRM whose answers never end; an answer may take a fifth of a second."""
    async with serving(Dripper(*ENDLESS[what])) as url:
        crm = BramaCrm(url, "token", whole_answer_s=0.2)
        yield crm
        await crm.close()


async def enrols(crm: BramaCrm) -> object:
    return await crm.enrol(EnrolRequest(code="1", device=DeviceModel(name="North 1")))


async def pulls(crm: BramaCrm) -> object:
    async with crm.changes(None, 0) as feed:
        return [chunk async for chunk in feed.chunks]


CALLS: dict[str, Callable[[BramaCrm], Awaitable[object]]] = {
    "/enrol": enrols,
    "/scans": lambda crm: crm.send_scans("d-1", []),
    "/heartbeat": lambda crm: crm.heartbeat({}),
    "/fingerprints": lambda crm: crm.fingerprints(""),
}
ENDLESS = {
    "head": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-More: x\r\n"),
    "body": (HEAD % b"application/json" + b"\r\n", b" "),
    "refusal": (b"HTTP/1.1 410 Gone\r\nContent-Type: application/json\r\n\r\n", b" "),
}


@pytest.mark.parametrize("what", ["head", "headers", "body"])
@pytest.mark.parametrize("path", CALLS)
async def test_a_small_answer_that_never_ends_is_given_up(path: str, what: str) -> None:
    async with dripped_on(what) as crm:
        with pytest.raises(LinkDown, match=f"^{path}: no whole answer in 0.2"):
            await CALLS[path](crm)


@pytest.mark.parametrize("what", ["head", "headers", "refusal"])
async def test_a_feed_that_never_begins_is_given_up(what: str) -> None:
    async with dripped_on(what) as crm:
        with pytest.raises(LinkDown, match=r"^/changes: no whole answer in 0.2"):
            await pulls(crm)


async def test_a_feed_that_drips_is_given_up() -> None:
    ticks, dripper = Ticks(), Dripper(HEAD % b"application/x-ndjson" + b"\r\n", b"\n")
    dripper.by_itself = False
    drops = 0

    def next_drop() -> None:
        ticks.now += 19.0
        dripper.drip()

    async with serving(dripper) as url:
        crm = BramaCrm(url, "token", monotonic=ticks)
        with pytest.raises(LinkDown, match=r"^/changes: less than"):
            async with crm.changes("k-1", 30) as feed:
                async for chunk in feed.chunks:
                    drops += len(chunk)
                    asyncio.get_running_loop().call_soon(next_drop)  # once it is waited for
        await crm.close()
    assert drops == 5
    assert ticks.now == 95.0
