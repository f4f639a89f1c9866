"""A turnstile or door lock on GPIO lines: a relay that releases it, and what its contacts say.

Source: libgpiod 2.x, Python bindings.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from drivers.descriptor import until_readable
from drivers.gpio_lines import LineName, Lines, claimed
from drivers.guarding import MARGIN_S, GpioGuard
from drivers.hotplug import Hotplug
from drivers.protocols import DeviceLost, Signals


@dataclass(frozen=True, slots=True)
class TurnstileLines:
    """The chip and its lines. `passage` pulses for each guest; `fault` and `held_open` are active while they last."""

    chip: str
    release: LineName
    passage: LineName | None = None
    fault: LineName | None = None
    held_open: LineName | None = None

    @property
    def inputs(self) -> dict[str, LineName]:
        """The contacts that there are."""
        named = {"passage": self.passage, "fault": self.fault, "held_open": self.held_open}
        return {name: line for name, line in named.items() if line is not None}


class GpioTurnstile:
    """Energises the release relay for `pulse_ms` a guest, and for as long as the fire contact holds it open."""

    def __init__(
        self, lines: TurnstileLines, pulse_ms: int, passage_timeout_s: float, guard: GpioGuard, hotplug: Hotplug
    ) -> None:
        self._names = lines
        self._pulse_s = pulse_ms / 1000
        self._timeout_s = passage_timeout_s if lines.passage else None
        self._guard = guard
        self._hotplug = hotplug
        self._key = f"{lines.chip} {lines.release.line}"
        self._lines: Lines | None = None
        self._held = False
        self._passed = asyncio.Event()

    @property
    def passage_timeout_s(self) -> float | None:
        """How long to wait for the guest to pass; None: no sensor."""
        return self._timeout_s

    async def signals(self) -> AsyncGenerator[Signals]:
        """Claim the lines and yield what the contacts say; safe whenever this ends.

        Raises:
            DeviceLost: no such chip, a line in use, or the chip is gone.
            DeviceRefused: no permission, or no such line.
        """
        again = self._hotplug.again()
        await self._guard.ready()
        outputs = {"release": self._names.release}
        with claimed(self._names.chip, outputs, self._names.inputs, self._guard, self._key, again) as lines:
            self._lines = lines
            try:
                said = self._look(lines)
                yield said
                while True:
                    await self._changed(lines)
                    if "passage" in lines.risen():
                        self._passed.set()
                    if (now := self._look(lines)) != said:
                        yield (said := now)
            except OSError as exc:
                raise DeviceLost(f"{self._key}: {exc.strerror}", again) from exc
            finally:
                self._lines, self._held = None, False

    async def _changed(self, lines: Lines) -> None:
        """Wait until a contact has changed or the chip is gone, of which the kernel tells nobody who waits already."""
        plugged = asyncio.Event()
        with self._hotplug.listening(plugged.set):
            while not await until_readable(lines.descriptor, wake=plugged):
                plugged.clear()

    def _look(self, lines: Lines) -> Signals:
        """Read the contacts; hold the lane open for as long as one says so."""
        inputs = self._names.inputs
        now = Signals(**{name: lines.is_active(name) for name in inputs if name != "passage"})
        if now.held_open != self._held:
            self._held = now.held_open
            # What a fire opened stays open, should the gate end meanwhile, or be killed.
            lines.safe["release"] = now.held_open
            self._guard.disarm(self._key)
            self._guard.safe(self._key, lines.mask("release") if now.held_open else 0)
            lines.put(release=now.held_open)
        return now

    async def release(self) -> None:
        """Energise the relay for `pulse_ms`, and drop it even if cancelled; held open, it is released already.

        Raises:
            DeviceLost: the lines are not claimed, or the chip is gone.
        """
        lines = self._lines
        if lines is None:
            raise DeviceLost(f"{self._key}: its lines are not claimed now")
        self._passed.clear()
        if self._held:
            return
        try:
            await self._pulse(lines)
        except OSError as exc:
            raise DeviceLost(f"{self._key}: {exc.strerror}") from exc

    async def _pulse(self, lines: Lines) -> None:
        try:
            lines.put(release=True)
            self._guard.limit(self._key, self._pulse_s + MARGIN_S)
            await asyncio.sleep(self._pulse_s)
        finally:
            if not self._held and self._lines is lines:
                lines.put(release=False)
                self._guard.disarm(self._key)

    async def passed(self) -> None:
        """Return once the passage contact has closed since `release`."""
        await self._passed.wait()
