"""Scanners that type like a keyboard, read through evdev and grabbed, so that no console or window gets their codes.

Source: Linux Documentation/input/input.rst, "Event interface", and linux/input.h (EVIOCGRAB, EVIOCSCLOCKID).
"""

import asyncio
import errno
import fcntl
import struct
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Self

from drivers.decoded import Broken, Code, told
from drivers.descriptor import GONE, is_readable
from drivers.discovery import Found, Wanted, find_keyboards, pick
from drivers.hotplug import Hotplug
from drivers.protocols import Again, Clock, DeviceLost, DeviceRefused, Read, Spoiled
from drivers.wedge_decoder import WedgeDecoder

if TYPE_CHECKING:
    from evdev import InputDevice

_EVIOCSCLOCKID = 0x400445A0
_CAPS_LOCK_LED = 1
MOST_WAITING = 32
"""Reads that wait to be judged; whoever scans faster is told so."""


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
                with _Keys(device, decoder, self._clock).taken_up() as keys:
                    while True:
                        yield await keys.next()
            except OSError as exc:
                for broken in decoder.lose("unplugged inside a code"):
                    yield told(broken, self._clock.now())
                raise DeviceLost(f"{self._wanted}: unplugged ({exc.strerror}); plug it in again", again) from exc


class _Keys:
    """Takes up what a keyboard types the moment it does, also while a verdict is being written.

    The kernel's queue holds about ten characters: a second code behind a slow disk would run it over.
    """

    def __init__(self, device: "InputDevice[str]", decoder: WedgeDecoder, clock: Clock) -> None:
        self._device = device
        self._decoder = decoder
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Read | Spoiled] = deque()
        self._news = asyncio.Event()
        self._gone: OSError | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @contextmanager
    def taken_up(self) -> Iterator[Self]:
        """Take up for as long as this is open."""
        self._loop.add_reader(self._device.fd, self._take)
        try:
            yield self
        finally:
            self._loop.remove_reader(self._device.fd)
            self._forget_deadline()

    async def next(self) -> Read | Spoiled:
        """Return what was read next, the earliest first.

        Raises:
            OSError: the keyboard is gone, and all that it had sent was returned.
        """
        while not self._waiting:
            if self._gone is not None:
                raise self._gone
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def _take(self) -> None:
        try:
            results = _decoded(self._device, self._decoder)
        except BlockingIOError:
            return
        except OSError as exc:
            self._gone = exc
            self._loop.remove_reader(self._device.fd)
            self._news.set()
            return
        self._put(results)

    def _put(self, results: list[Code | Broken]) -> None:
        for result in results:
            if len(self._waiting) == MOST_WAITING:
                self._waiting[-1] = Spoiled(
                    "codes came faster than they could be judged; scan it again", self._clock.now()
                )
            else:
                self._waiting.append(told(result, self._clock.now()))
            self._news.set()
        self._forget_deadline()
        if (deadline_s := self._decoder.deadline_s) is not None:
            self._deadline = self._loop.call_later(max(0.0, deadline_s - time.monotonic()), self._flush)

    def _flush(self) -> None:
        """End what a pause ends, unless more came in time and this loop was only late to look."""
        if is_readable(self._device.fd):
            self._take()
        else:
            self._put(self._decoder.flush(time.monotonic()))

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


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
        raise DeviceRefused(f"{path}: no permission; add the gate's user to the group input", again) from exc
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            raise DeviceLost(f"{path}: grabbed by another program; fuser {path} names it") from exc
        raise DeviceLost(f"{path}: {exc.strerror}", again if exc.errno in GONE else None) from exc


def _decoded(device: "InputDevice[str]", decoder: WedgeDecoder) -> list[Code | Broken]:
    """Read what events there are, and decode them.

    Raises:
        OSError: the keyboard is gone, or there are none.
    """
    results: list[Code | Broken] = []
    for event in device.read():
        results += decoder.feed(event.type, event.code, event.value, event.sec + event.usec / 1e6)
    if decoder.needs_resync:
        # Asking which keys are down empties the kernel's queue of them, so the rest of the batch must come first.
        pressed, caps_lock = device.active_keys(), _CAPS_LOCK_LED in device.leds()
        decoder.resync(pressed, caps_lock, time.monotonic())
    return results
