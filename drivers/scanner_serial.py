"""Scanners on a serial port: USB CDC-ACM (`/dev/ttyACM0`) and RS-232, one code a line.

Source: pyserial 3.5, "Serial class" (POSIX: `fileno()` with `timeout=0` for use with an event loop).
"""

import asyncio
import errno
from collections.abc import AsyncGenerator
from contextlib import closing

import serial

from drivers.line_decoder import LineDecoder
from drivers.protocols import Clock, DeviceLost, DeviceRefused, Read


class SerialScanner:
    """Reads codes from one serial port, which it claims for itself while open."""

    def __init__(self, path: str, baud: int, clock: Clock) -> None:
        self._path = path
        self._baud = baud
        self._clock = clock

    async def reads(self) -> AsyncGenerator[Read]:
        """Yield reads in the order made, until the port goes.

        Raises:
            DeviceLost: absent, unplugged, taken by another program, or a read failed.
            DeviceRefused: no permission, or not a serial port.
        """
        decoder = LineDecoder()
        try:
            with closing(serial.Serial(self._path, self._baud, timeout=0, exclusive=True)) as port:
                while True:
                    for code in decoder.feed(await _some_bytes(port)):
                        yield Read(code, at=self._clock.now())
        except (OSError, serial.SerialException) as exc:
            raise _translated(self._path, exc) from exc


async def _some_bytes(port: serial.Serial) -> bytes:
    """Wait until the port has bytes and return them.

    Raises:
        serial.SerialException: the port is gone.
    """
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(port.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(port.fileno())
    data: bytes = port.read(4096)
    if not data:
        # Readable with nothing to read is how POSIX tells of a hang-up.
        raise serial.SerialException(errno.ENODEV, "hung up")
    return data


def _translated(path: str, exc: OSError) -> DeviceLost | DeviceRefused:
    if exc.errno in {errno.EACCES, errno.EPERM}:
        return DeviceRefused(f"{path}: no permission; add the gate's user to the group dialout")
    if exc.errno == errno.ENOTTY or "Could not configure port" in str(exc):
        return DeviceRefused(f"{path}: not a serial port; see brama doctor for those that are")
    return DeviceLost(f"{path}: {exc.strerror or exc}")
