"""A serial scanner's day: plugged in late, unplugged, taken by another program, wired wrongly. Ports are real ptys."""

import asyncio
import errno
import fcntl
import os
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from drivers.discovery import Found, Wanted
from drivers.hotplug import Hotplug
from drivers.protocols import DeviceLost, DeviceRefused, Read, Spoiled
from drivers.scanner_serial import SerialLine, SerialScanner
from edge.supervise import Health, supervise
from tests.drivers.plugs import (
    READ_AT,
    TIMEOUT_S,
    FixedClock,
    Listener,
    Port,
    a_port,
    give_to_nobody,
    unprivileged,
    watched,
)

TIOCVHANGUP = 0x5437


def may_hang_up() -> bool:
    hand, port = os.openpty()
    try:
        fcntl.ioctl(port, TIOCVHANGUP)
    except PermissionError:
        return False
    finally:
        os.close(port)
        os.close(hand)
    return True


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    with a_port(tmp_path / "usb-Datalogic_Gryphon-if00") as made:
        yield made


def a_scanner(
    path: Path | str, hotplug: Hotplug | None = None, line: SerialLine | None = None, stale_s: float = TIMEOUT_S
) -> SerialScanner:
    return SerialScanner(Wanted(str(path)), line or SerialLine(), FixedClock(), hotplug or Hotplug(), stale_s=stale_s)


@asynccontextmanager
async def listening(scanner: SerialScanner) -> AsyncIterator[Listener]:
    listener = Listener(scanner)
    async with listener.running():
        yield listener


async def lost(scanner: SerialScanner) -> DeviceLost:
    """Read nothing, and return why."""
    async with asyncio.timeout(TIMEOUT_S), aclosing(scanner.reads()) as reads:
        with pytest.raises(DeviceLost) as caught:
            await anext(reads)
    return caught.value


async def test_a_scanner_that_comes_later_is_waited_for(port: Port) -> None:
    async with watched(port.link) as hotplug:
        scanner = a_scanner(port.link, hotplug)
        away = await lost(scanner)
        assert str(away) == f"{port.link}: not connected; plug it in, or see brama devices for what is"
        assert away.again is not None
        port.plug()
        await away.again()
        async with listening(scanner) as listener:
            port.types(b"T-1\r")
            assert await listener.next() == Read("T-1", READ_AT)


async def test_a_scanner_may_come_and_go_all_day(port: Port) -> None:
    pauses: list[float] = []

    async def pause(delay_s: float) -> None:
        pauses.append(delay_s)
        await asyncio.sleep(0)

    async with watched(port.link) as hotplug, asyncio.TaskGroup() as group:
        listener, health = Listener(a_scanner(port.link, hotplug)), Health()
        changed = asyncio.Event()
        health.on_change = changed.set
        task = group.create_task(supervise("reader", listener.run, health, pause), name="reader")
        for number in range(3):
            port.plug()
            await listener.listens.wait()
            port.types(f"T-{number}\r\nhalf".encode())
            assert await listener.next() == Read(f"T-{number}", READ_AT)
            changed.clear()
            port.unplug()
            assert await listener.next() == Spoiled("unplugged inside a code", READ_AT)
            while health.state != "lost":
                await changed.wait()
                changed.clear()
        task.cancel()
    assert health.error is not None
    assert str(port.link) in health.error
    assert len(pauses) < 50


async def test_one_that_is_unplugged_says_so(port: Port) -> None:
    async with watched(port.link) as hotplug:
        port.plug()
        with pytest.raises(ExceptionGroup) as caught:
            async with listening(a_scanner(port.link, hotplug)):
                port.unplug()
                await asyncio.Event().wait()
        assert caught.group_contains(DeviceLost, match=f"^{port.link}: unplugged; plug it in again$")
        ((failure,),) = [caught.value.exceptions]
        assert isinstance(failure, DeviceLost)
        assert failure.again is not None
        await failure.again()


async def test_one_that_is_known_by_what_it_tells_is_found_wherever_it_is(port: Port) -> None:
    port.plug()
    found = Found(port.node, "Gryphon", "05f9", "4204", "S-1", "1-1.2", "/devices/usb1/1-1/1-1.2")
    scanner = SerialScanner(Wanted(usb="05f9:4204"), SerialLine(), FixedClock(), Hotplug(), lambda: [found])
    with pytest.raises(ExceptionGroup) as caught:
        async with listening(scanner) as listener:
            port.types(b"T-1\r")
            assert await listener.next() == Read("T-1", READ_AT)
            port.unplug()
            await asyncio.Event().wait()
    assert caught.group_contains(DeviceLost, match=r"^usb 05f9:4204: unplugged; plug it in again$")


@pytest.mark.skipif(not may_hang_up(), reason="needs CAP_SYS_ADMIN")
async def test_a_port_that_hangs_up_and_stays_is_tried_again_by_the_clock(port: Port) -> None:
    port.plug()
    with pytest.raises(ExceptionGroup) as caught:
        async with listening(a_scanner(port.link)) as listener:
            port.types(b"T-1\rhalf")
            await listener.next()
            other = os.open(port.node, os.O_RDONLY | os.O_NOCTTY)
            fcntl.ioctl(other, TIOCVHANGUP)
            os.close(other)
            assert await listener.next() == Spoiled("unplugged inside a code", READ_AT)
            await asyncio.Event().wait()
    ((failure,),) = [caught.value.exceptions]
    assert isinstance(failure, DeviceLost)
    assert failure.again is None
    async with listening(a_scanner(port.link)) as listener:
        port.types(b"T-2\r")
        assert await listener.next() == Read("T-2", READ_AT)


@pytest.mark.parametrize(
    ("sent", "code", "symbology"),
    [
        (b"]Q3T-1\r", "T-1", "]Q3"),
        (b"]C10104912345\x1d21A7\r", "0104912345\x1d21A7", "]C1"),
        (b"T]Q3-1\r", "T]Q3-1", None),
        (b"]]T-1\r", "]]T-1", None),
    ],
)
async def test_what_the_scanner_says_of_the_barcode_is_no_part_of_the_code(
    port: Port, sent: bytes, code: str, symbology: str | None
) -> None:
    port.plug()
    async with listening(a_scanner(port.link)) as listener:
        port.types(sent)
        assert await listener.next() == Read(code, READ_AT, symbology)


@pytest.mark.parametrize("half", [b"\xff", b"T-9", b"]Q3T-9"])
async def test_what_noise_left_behind_is_no_part_of_the_next_guests_code(port: Port, half: bytes) -> None:
    port.plug()
    async with listening(a_scanner(port.link, stale_s=0.01)) as listener:
        for number in range(2):
            port.types(half)
            why = "no line end within 0.01 s: set the scanner to send Enter (CR)"
            assert await listener.next() == Spoiled(why, READ_AT)
            port.types(f"T-{number}\r".encode())
            assert await listener.next() == Read(f"T-{number}", READ_AT)


@pytest.mark.parametrize(
    "line",
    [
        SerialLine(),
        SerialLine(115200, parity="O", stop_bits=2, xonxoff=True),
        SerialLine(300, parity="E"),
        SerialLine(4_000_000),
    ],
)
async def test_the_port_is_set_as_the_settings_say(port: Port, line: SerialLine) -> None:
    """As far as a pty has it: it is always of 8 bits, and has the kind of parity, but none itself."""
    port.plug()
    async with listening(a_scanner(port.link, line=line)):
        iflag, _, cflag, lflag, speed_in, speed_out, _ = termios.tcgetattr(port.hand)
    assert speed_in == speed_out == getattr(termios, f"B{line.baud}")
    assert bool(cflag & termios.PARODD) == (line.parity == "O")
    assert bool(cflag & termios.CSTOPB) == (line.stop_bits == 2)
    assert bool(iflag & termios.IXON) == bool(iflag & termios.IXOFF) == line.xonxoff
    assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)


async def test_a_speed_between_the_usual_ones_is_taken(port: Port) -> None:
    port.plug()
    async with listening(a_scanner(port.link, line=SerialLine(12345))) as listener:
        port.types(b"T-1\r")
        assert await listener.next() == Read("T-1", READ_AT)


async def test_a_port_that_does_not_take_the_speed_is_refused(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    port.plug()
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    async with aclosing(a_scanner(port.link, line=SerialLine(12345)).reads()) as reads:
        with pytest.raises(DeviceRefused, match=r"does not take these settings .*12345.*; name a speed that it has"):
            await anext(reads)


async def test_a_port_that_goes_while_it_is_set_is_lost(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        port.unplug()
        raise termios.error(errno.EIO, os.strerror(errno.EIO))

    port.plug()
    monkeypatch.setattr(termios, "tcsetattr", gone)
    failure = await lost(a_scanner(port.link))
    assert str(failure) == f"{port.link}: unplugged; plug it in again"
    assert failure.again is not None


async def test_a_port_that_another_program_reads_is_tried_again_by_the_clock(port: Port) -> None:
    port.plug()
    async with listening(a_scanner(port.link)) as listener:
        for path in (port.link, port.node):
            failure = await lost(a_scanner(path))
            assert str(failure) == f"{path}: in use by another program; fuser {path} names it"
            assert failure.again is None
        port.types(b"T-1\r")
        assert await listener.next() == Read("T-1", READ_AT)
    async with listening(a_scanner(port.link)) as listener:
        port.types(b"T-2\r")
        assert await listener.next() == Read("T-2", READ_AT)


async def test_a_port_that_another_program_has_for_itself_is_lost(port: Port) -> None:
    port.plug()
    give_to_nobody(port.node, 0o600)
    other = os.open(port.node, os.O_RDONLY | os.O_NOCTTY)
    fcntl.ioctl(other, termios.TIOCEXCL)
    with unprivileged():
        failure = await lost(a_scanner(port.node))
    os.close(other)
    assert str(failure) == f"{port.node}: in use by another program; fuser {port.node} names it"


async def test_a_permission_that_is_mended_is_taken_up(port: Port) -> None:
    port.plug()
    give_to_nobody(port.node, 0o000)
    async with watched(port.node) as hotplug:
        scanner = a_scanner(port.node, hotplug)
        with unprivileged():
            async with aclosing(scanner.reads()) as reads:
                with pytest.raises(DeviceRefused, match=r"no permission; .*group dialout") as caught:
                    await anext(reads)
            assert caught.value.again is not None
            Path(port.node).chmod(0o600)
            await caught.value.again()
            async with listening(scanner) as listener:
                port.types(b"T-1\r")
                assert await listener.next() == Read("T-1", READ_AT)


@pytest.mark.parametrize("path", ["/dev/null", "/dev"])
async def test_what_is_no_serial_port_is_not_read(path: str) -> None:
    async with aclosing(a_scanner(path).reads()) as reads:
        with pytest.raises((DeviceRefused, DeviceLost), match=path):
            await anext(reads)
