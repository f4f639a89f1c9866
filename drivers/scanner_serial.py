"""Scanners on a serial port: USB CDC-ACM (`/dev/ttyACM0`) and RS-232, one code a line.

Source: pyserial 3.5, "Serial class" (POSIX: `fileno()` with `timeout=0` for use with an event loop).
"""

import errno
import termios
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import serial

from drivers.aim import split_symbology
from drivers.descriptor import GONE, until_readable
from drivers.discovery import Found, Wanted, find_serial_ports, pick
from drivers.hotplug import Hotplug
from drivers.line_decoder import LineDecoder
from drivers.protocols import Again, Clock, DeviceLost, DeviceRefused, Read, Spoiled

STALE_S = 3.0
"""The rest of a code follows at once, even at 300 baud: what waits longer for its end is noise, or will have none."""


@dataclass(frozen=True, slots=True)
class SerialLine:
    """How the port is set: `parity` is `N`, `E` or `O`; `xonxoff` is flow control by XON and XOFF."""

    baud: int = 9600
    bits: int = 8
    parity: str = "N"
    stop_bits: int = 1
    xonxoff: bool = False


class SerialScanner:
    """Reads codes from one serial port, which it claims for itself while open."""

    def __init__(
        self,
        wanted: Wanted,
        line: SerialLine,
        clock: Clock,
        hotplug: Hotplug,
        find: Callable[[], Iterable[Found]] = find_serial_ports,
        stale_s: float = STALE_S,
    ) -> None:
        """`stale_s` after its last byte, a code without a line end is given up."""
        self._wanted = wanted
        self._line = line
        self._clock = clock
        self._hotplug = hotplug
        self._find = find
        self._stale_s = stale_s

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        """Yield reads in the order made, until the port goes.

        Raises:
            DeviceLost: absent, unplugged, taken by another program, or a read failed.
            DeviceRefused: no permission, not a serial port, or it does not take the settings.
        """
        again = self._hotplug.again()
        path = self._path(again)
        decoder = LineDecoder()
        try:
            with closing(_opened(path, self._line, again)) as port:
                while True:
                    for result in await self._next_results(port, decoder):
                        yield result
        except (OSError, serial.SerialException) as exc:
            if decoder.half_read:
                yield Spoiled("unplugged inside a code", self._clock.now())
            raise self._translated(path, exc, again) from exc

    async def _next_results(self, port: serial.Serial, decoder: LineDecoder) -> list[Read | Spoiled]:
        """Wait for bytes, or for the moment at which what is half-read is stale, and decode them.

        Raises:
            serial.SerialException: the port is gone.
        """
        if await until_readable(port.fileno(), self._stale_s if decoder.half_read else None):
            codes = [split_symbology(code) for code in decoder.feed(_some_bytes(port))]
            return [Read(bare, self._clock.now(), symbology) for symbology, bare in codes]
        if decoder.flush() is None:  # nothing but blanks
            return []
        why = f"no line end within {self._stale_s:g} s: set the scanner to send Enter (CR)"
        return [Spoiled(why, self._clock.now())]

    def _path(self, again: Again) -> str:
        """Return the port to open. One that is named by its path need not be on USB, nor known to sysfs."""
        if self._wanted.path is None:
            return pick(self._wanted, self._find, "a serial port", again).path
        if not Path(self._wanted.path).exists():
            raise DeviceLost(f"{self._wanted}: not connected; plug it in, or see brama devices for what is", again)
        return self._wanted.path

    def _translated(self, path: str, exc: OSError, again: Again) -> DeviceLost | DeviceRefused:
        if exc.errno in {errno.EACCES, errno.EPERM}:
            return DeviceRefused(f"{path}: no permission; add the gate's user to the group dialout", again)
        if exc.errno == errno.ENOTTY or "Could not configure port" in str(exc):
            return DeviceRefused(f"{path}: not a serial port; see brama devices for those that are", again)
        if exc.errno is None or exc.errno in GONE:  # pyserial's own word for a hang-up has no number
            # A port that hangs up and stays is tried again by the clock: nothing will be plugged in.
            return DeviceLost(f"{self._wanted}: unplugged; plug it in again", None if Path(path).exists() else again)
        if exc.errno in {errno.EAGAIN, errno.EBUSY}:
            return DeviceLost(f"{path}: in use by another program; fuser {path} names it")
        return DeviceLost(f"{path}: {exc.strerror or exc}")


def _opened(path: str, line: SerialLine, again: Again) -> serial.Serial:
    try:
        return serial.Serial(
            path,
            line.baud,
            bytesize=line.bits,
            parity=line.parity,
            stopbits=line.stop_bits,
            xonxoff=line.xonxoff,
            timeout=0,
            exclusive=True,
        )
    except termios.error as exc:  # which pyserial lets through, and which is no OSError
        raise OSError(*exc.args) from exc
    except ValueError as exc:
        raise DeviceRefused(f"{path}: does not take these settings ({exc}); name a speed that it has", again) from exc


def _some_bytes(port: serial.Serial) -> bytes:
    """Return what the port has.

    Raises:
        serial.SerialException: the port is gone.
    """
    data: bytes = port.read(4096)
    if not data:
        # Readable with nothing to read is how POSIX tells of a hang-up.
        raise serial.SerialException(errno.ENODEV, "hung up")
    return data
