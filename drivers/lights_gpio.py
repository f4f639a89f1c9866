"""Lamps and a buzzer on GPIO lines."""

import asyncio
from collections.abc import Mapping
from typing import NoReturn

from drivers.descriptor import is_readable
from drivers.gpio_lines import LineName, Lines, claimed
from drivers.guarding import GpioGuard
from drivers.hotplug import Hotplug
from drivers.light_patterns import ENDLESS, steps
from drivers.protocols import DeviceLost, Look


class GpioLights:
    """Plays a pattern a verdict on the lines that there are; a newer verdict cuts the older one's short."""

    def __init__(self, chip: str, lines: Mapping[str, LineName], guard: GpioGuard, hotplug: Hotplug) -> None:
        """`lines` are some of `light_patterns.LINES`, by name."""
        self._chip = chip
        self._names = lines
        self._guard = guard
        self._hotplug = hotplug
        self._look = Look.DARK
        self._shown = asyncio.Event()
        self._gone = False

    def show(self, look: Look) -> None:
        """Say this from now on, in place of what was said before."""
        self._look = look
        self._shown.set()

    async def run(self) -> NoReturn:
        """Claim the lines and play, until the chip goes; dark whenever this ends.

        A verdict that was shown before, or while there was no chip, is of a guest long gone and is not played.

        Raises:
            DeviceLost, DeviceRefused: as `gpio_lines.claimed`.
        """
        again = self._hotplug.again()
        self._gone = False
        await self._guard.ready()
        key = f"{self._chip} lights {' '.join(str(line.line) for line in self._names.values())}"
        with claimed(self._chip, self._names, {}, self._guard, key, again) as lines:
            if self._look not in ENDLESS:
                self._look = Look.DARK
            try:
                with self._hotplug.listening(lambda: self._look_for(lines)):
                    while not self._gone:
                        await self._play(lines)
            except OSError as exc:
                raise DeviceLost(f"{key}: {exc.strerror}", again) from exc
            raise DeviceLost(f"{key}: the chip is gone", again)

    def _look_for(self, lines: Lines) -> None:
        """Find out whether the chip is gone: outputs would tell only when they are next set."""
        if is_readable(lines.descriptor):
            self._gone = True
            self._shown.set()

    async def _play(self, lines: Lines) -> None:
        """Play one look to its end, or until there is another; then wait for that."""
        self._shown.clear()
        for step in steps(self._look):
            self._set(lines, step.levels())
            if await self._interrupted(step.ms / 1000):
                return
        self._set(lines, dict.fromkeys(self._names, False))
        await self._shown.wait()

    async def _interrupted(self, after_s: float) -> bool:
        try:
            async with asyncio.timeout(after_s):
                await self._shown.wait()
        except TimeoutError:
            return False
        return True

    def _set(self, lines: Lines, levels: Mapping[str, bool]) -> None:
        lines.put(**{name: on for name, on in levels.items() if name in self._names})
