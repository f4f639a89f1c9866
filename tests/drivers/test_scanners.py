"""One contract for every scanner that sends lines, over what the kernel really gives: a pty and a pipe."""

import asyncio
import os
import tty
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.discovery import Wanted
from drivers.hotplug import Hotplug
from drivers.protocols import DeviceLost, DeviceRefused, Read, Scanner, Spoiled
from drivers.scanner_serial import SerialLine, SerialScanner
from drivers.scanner_terminal import TerminalScanner
from tests.drivers.plugs import READ_AT, FixedClock


@dataclass
class Wire:
    """A scanner, and the end at which a hand would pull its trigger."""

    scanner: Scanner
    hand: int

    def types(self, data: bytes) -> None:
        os.write(self.hand, data)


def a_serial_scanner(path: str) -> SerialScanner:
    return SerialScanner(Wanted(path), SerialLine(), FixedClock(), Hotplug())


@contextmanager
def a_serial_port() -> Iterator[Wire]:
    """A real pseudo-terminal, raw as a serial port is."""
    hand, port = os.openpty()
    tty.setraw(port)
    name = os.ttyname(port)
    os.close(port)
    try:
        yield Wire(a_serial_scanner(name), hand)
    finally:
        os.close(hand)


@contextmanager
def a_pipe() -> Iterator[Wire]:
    """What `echo CODE | brama run` reads from."""
    end, hand = os.pipe()
    with os.fdopen(end) as stream:
        yield Wire(TerminalScanner(FixedClock(), stream), hand)
        os.close(hand)


@pytest.fixture(params=[a_serial_port, a_pipe], ids=["serial", "terminal"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with request.param() as made:
        yield made


async def next_codes(reads: AsyncGenerator[Read | Spoiled], count: int) -> list[str]:
    """Return the next reads' codes."""
    async with asyncio.timeout(20):
        found = [await anext(reads) for _ in range(count)]
    assert all(isinstance(read, Read) and read.at == READ_AT for read in found)
    return [read.code for read in found if isinstance(read, Read)]


async def opened(reads: AsyncGenerator[Read | Spoiled], wire: Wire) -> asyncio.Task[list[str]]:
    """Start reading, so that the port is open and set before anything is sent through it."""
    task = asyncio.create_task(next_codes(reads, 1), name="first read")
    await asyncio.sleep(0)
    wire.types(b"first\n")
    return task


async def test_codes_come_in_the_order_made(wire: Wire) -> None:
    async with aclosing(wire.scanner.reads()) as reads:
        assert await (await opened(reads, wire)) == ["first"]
        wire.types(b"T-1\r\nT-2\n")
        wire.types(b"T-")
        wire.types(b"3\r")
        assert await next_codes(reads, 3) == ["T-1", "T-2", "T-3"]


async def test_waiting_for_the_next_code_stops_nothing_else(wire: Wire) -> None:
    async with aclosing(wire.scanner.reads()) as reads:
        assert await (await opened(reads, wire)) == ["first"]
        task = asyncio.create_task(next_codes(reads, 1), name="next read")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        wire.types(b"T-1\n")
        assert await task == ["T-1"]


async def test_bytes_that_are_not_utf_8_are_read_all_the_same(wire: Wire) -> None:
    async with aclosing(wire.scanner.reads()) as reads:
        assert await (await opened(reads, wire)) == ["first"]
        wire.types(b"\xff\xfeT\n")
        assert await next_codes(reads, 1) == ["ÿþT"]


async def test_a_reader_that_is_stopped_lets_go_of_its_device(wire: Wire) -> None:
    for _ in range(2):
        async with aclosing(wire.scanner.reads()) as reads:
            assert await (await opened(reads, wire)) == ["first"]


async def test_a_port_that_hangs_up_is_lost_and_named() -> None:
    hand, port = os.openpty()
    tty.setraw(port)
    name = os.ttyname(port)
    os.close(port)
    async with aclosing(a_serial_scanner(name).reads()) as reads:
        wire = Wire(a_serial_scanner(name), hand)
        assert await (await opened(reads, wire)) == ["first"]
        os.close(hand)
        with pytest.raises(DeviceLost, match=name):
            await next_codes(reads, 1)


async def test_a_port_that_is_not_there_is_lost_and_named(tmp_path: Path) -> None:
    async with aclosing(a_serial_scanner(str(tmp_path / "ttyACM9")).reads()) as reads:
        with pytest.raises(DeviceLost, match="ttyACM9"):
            await next_codes(reads, 1)


async def test_a_file_is_not_a_serial_port(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a port")
    async with aclosing(a_serial_scanner(str(path)).reads()) as reads:
        with pytest.raises(DeviceRefused, match="not a serial port"):
            await next_codes(reads, 1)


async def test_a_file_is_not_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("T-1\n")
    with path.open() as stream:
        async with aclosing(TerminalScanner(FixedClock(), stream).reads()) as reads:
            with pytest.raises(DeviceRefused, match="terminal"):
                await next_codes(reads, 1)


async def test_the_last_code_of_a_pipe_needs_no_end_and_the_reader_then_waits() -> None:
    end, hand = os.pipe()
    with os.fdopen(end) as stream:
        async with aclosing(TerminalScanner(FixedClock(), stream).reads()) as reads:
            os.write(hand, b"T-1\nT-2")
            os.close(hand)
            assert await next_codes(reads, 2) == ["T-1", "T-2"]
            task = asyncio.create_task(next_codes(reads, 1), name="after the end")
            await asyncio.sleep(0)
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])
