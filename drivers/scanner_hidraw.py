"""Scanners in HID-POS mode, read through hidraw: one report a code instead of a keystroke a character.

Source: Linux Documentation/hid/hidraw.rst.
"""

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path

from drivers.decoded import Broken, Code, told
from drivers.descriptor import GONE, until_readable
from drivers.discovery import RULES_MEND, Found, Wanted, descriptor_of, find_hid_pos, pick
from drivers.hid_pos_decoder import HidPosDecoder
from drivers.hid_report import BadDescriptor
from drivers.hotplug import Hotplug
from drivers.protocols import Clock, DeviceLost, DeviceRefused, Read, Spoiled

STALE_S = 3.0
_LONGEST_REPORT = 16 * 1024
"""The kernel's HID_MAX_BUFFER_SIZE."""


class HidrawScanner:
    """Reads codes from one HID-POS scanner, wherever it is plugged in."""

    def __init__(
        self,
        wanted: Wanted,
        clock: Clock,
        hotplug: Hotplug,
        find: Callable[[], Iterable[Found]] = find_hid_pos,
        descriptor: Callable[[str], bytes] = descriptor_of,
        stale_s: float = STALE_S,
    ) -> None:
        """`stale_s` after its last report, a code whose rest does not come is given up."""
        self._wanted = wanted
        self._clock = clock
        self._hotplug = hotplug
        self._find = find
        self._descriptor = descriptor
        self._stale_s = stale_s

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        """Yield reads in the order made, until the scanner goes.

        Raises:
            DeviceLost: not connected, unplugged.
            DeviceRefused: no permission, not a HID-POS scanner, or several are meant.
        """
        again = self._hotplug.again()
        found = pick(self._wanted, self._find, "a scanner in HID-POS mode", again)
        decoder: HidPosDecoder | None = None
        try:
            decoder = HidPosDecoder(self._descriptor(Path(found.path).name))
            node = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                while True:
                    for result in await self._next_results(node, decoder):
                        yield told(result, self._clock.now())
            finally:
                os.close(node)
        except BadDescriptor as exc:
            raise DeviceRefused(f"{self._wanted}: {exc}", again) from exc
        except PermissionError as exc:
            raise DeviceRefused(f"{found.path}: no permission; {RULES_MEND}", again) from exc
        except OSError as exc:
            for broken in decoder.lose("unplugged inside a code") if decoder else ():
                yield told(broken, self._clock.now())
            gone = exc.errno in GONE
            why = "unplugged; plug it in again" if gone else exc.strerror
            raise DeviceLost(f"{self._wanted}: {why}", again if gone else None) from exc

    async def _next_results(self, node: int, decoder: HidPosDecoder) -> Sequence[Code | Broken]:
        """Wait for a report, or give up a long code of which some did not come.

        Raises:
            OSError: the scanner is gone.
        """
        if not await until_readable(node, self._stale_s if decoder.half_read else None):
            return decoder.lose(f"the rest of a long code did not come within {self._stale_s:g} s; scan it again")
        result = decoder.feed(os.read(node, _LONGEST_REPORT))
        return [result] if result else []
