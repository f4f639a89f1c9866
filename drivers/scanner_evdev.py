"""Scanners that type like a keyboard, read through evdev and grabbed, so that no console or window gets their codes.

Source: Linux Documentation/input/input.rst, "Event interface", and linux/input.h (EVIOCGRAB, EVIOCSCLOCKID).
"""

import errno
import fcntl
import struct
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from drivers.decoded import Broken, Code, told
from drivers.descriptor import until_readable
from drivers.discovery import Found, Wanted, find_keyboards, pick
from drivers.hotplug import Hotplug
from drivers.protocols import Again, Clock, DeviceLost, DeviceRefused, Read, Spoiled
from drivers.wedge_decoder import WedgeDecoder

if TYPE_CHECKING:
    from evdev import InputDevice

_EVIOCSCLOCKID = 0x400445A0
_CAPS_LOCK_LED = 1
_GONE = {errno.ENODEV, errno.EIO, errno.ENOENT, errno.ENXIO}


class EvdevScanner:
    """Reads codes from one keyboard, wherever it is plugged in, and keeps them to itself."""

    def __init__(
        self,
        wanted: Wanted,
        decoder: Callable[[bool], WedgeDecoder],
        clock: Clock,
        hotplug: Hotplug,
        find: Callable[[], Iterable[Found]] = find_keyboards,
    ) -> None:
        """`decoder` makes a decoder, given whether caps lock is on."""
        self._wanted = wanted
        self._decoder = decoder
        self._clock = clock
        self._hotplug = hotplug
        self._find = find

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        """Yield reads in the order made, until the scanner goes.

        Raises:
            DeviceLost: not connected, unplugged, or grabbed by another program.
            DeviceRefused: no permission, not a keyboard, or several are meant.
        """
        again = self._hotplug.again()
        found = pick(self._wanted, self._find, "a keyboard", again)
        with opened_keyboard(found.path, again) as device:
            decoder = self._decoder(_CAPS_LOCK_LED in device.leds())
            try:
                while True:
                    for result in await _next_results(device, decoder):
                        yield told(result, self._clock.now())
            except OSError as exc:
                for broken in decoder.lose("unplugged inside a code"):
                    yield told(broken, self._clock.now())
                raise DeviceLost(f"{self._wanted}: unplugged ({exc.strerror}); plug it in again", again) from exc


@contextmanager
def opened_keyboard(path: str, again: Again) -> Iterator["InputDevice[str]"]:
    """Open and grab a keyboard; its events carry the monotonic clock's time.

    Raises:
        DeviceLost: gone, or grabbed by another program.
        DeviceRefused: no permission, or evdev is not installed.
    """
    try:
        from evdev import InputDevice
    except ModuleNotFoundError as exc:
        raise DeviceRefused("evdev is not installed; pip install 'brama[hid]' (it needs gcc and python3-dev)") from exc
    try:
        with closing(InputDevice(path)) as device:
            fcntl.ioctl(device.fd, _EVIOCSCLOCKID, struct.pack("i", time.CLOCK_MONOTONIC))
            device.grab()
            yield device
    except PermissionError as exc:
        mend = "copy config/70-brama.rules to /etc/udev/rules.d and add the gate's user to the group input"
        raise DeviceRefused(f"{path}: no permission; {mend}", again) from exc
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            raise DeviceLost(f"{path}: grabbed by another program; fuser {path} names it") from exc
        raise DeviceLost(f"{path}: {exc.strerror}", again if exc.errno in _GONE else None) from exc


async def _next_results(device: "InputDevice[str]", decoder: WedgeDecoder) -> list[Code | Broken]:
    """Wait for events, or for the moment at which what is half-read ends, and decode them.

    Raises:
        OSError: the scanner is gone.
    """
    deadline_s = decoder.deadline_s
    wait_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
    if not await until_readable(device.fd, wait_s):
        return decoder.flush(time.monotonic())
    results: list[Code | Broken] = []
    for event in device.read():
        results += decoder.feed(event.type, event.code, event.value, event.sec + event.usec / 1e6)
    if decoder.needs_resync:
        # Asking which keys are down empties the kernel's queue of them, so the rest of the batch must come first.
        pressed, caps_lock = device.active_keys(), _CAPS_LOCK_LED in device.leds()
        decoder.resync(pressed, caps_lock, time.monotonic())
    return results
