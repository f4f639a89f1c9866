"""A pulse on an output that lies behind a network: on for a while, and off again whatever comes in between."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from drivers.guarding import MARGIN_S, NetworkAction, NetworkGuard
from drivers.protocols import DeviceLost

LOOK_EVERY_S = 0.05

T = TypeVar("T")
Command = Callable[[], Awaitable[None]]


class NotSwitched(DeviceLost):
    """The output did not take the command, so there is nothing to undo."""


class NetworkPulse:
    """The pulses of one output, one at a time, for as long as it is claimed.

    `on` and `off` switch it and raise `DeviceLost`, each within `limit_s`. Without `off`, it goes off by itself.
    `undo` is what the guard sends in place of `off`, under `key`.
    """

    def __init__(
        self,
        key: str,
        on: Command,
        off: Command | None = None,
        pulse_ms: int = 0,
        limit_s: float = 0.0,
        undo: NetworkAction | None = None,
        guard: NetworkGuard | None = None,
    ) -> None:
        self._on = on
        self._off = off
        self._pulse_s = pulse_ms / 1000
        self._deadline_s = self._pulse_s + 2 * limit_s + MARGIN_S
        self._guard = guard
        self._key = key
        self._undo = undo
        self._turn = asyncio.Lock()
        self._over = asyncio.Event()

    @property
    def lasts(self) -> bool:
        """Tell whether a pulse is being made."""
        return self._turn.locked()

    async def make(self, look: Command | None = None) -> None:
        """Switch on, wait, and switch off, even if cancelled; meanwhile call `look` again and again.

        `on` is called once, whatever becomes of it. A look that is not over when the pulse is to end is cancelled.
        It raises nothing else.

        Raises:
            DeviceLost: `on` failed, or `off` did, which the message says.
        """
        async with self._turn:
            if self._over.is_set():
                raise NotSwitched(f"{self._key}: no longer claimed")
            if self._off is None:
                await self._on()
            else:
                await self._pulse(self._off, look)

    async def _pulse(self, off: Command, look: Command | None) -> None:
        self._arm()
        try:
            await self._on()
            await self._last(look)
        except NotSwitched:
            self._disarm()
            raise
        except BaseException as exc:
            left_on = await to_the_end(self._make_safe(off))
            # A cancellation must come through; the guard, which is still armed, tries once more.
            if left_on and isinstance(exc, DeviceLost):
                raise left_on from exc
            raise
        if left_on := await to_the_end(self._make_safe(off)):
            raise left_on

    async def end(self) -> None:
        """Cut short the pulse that is being made, wait until it is off, and make no more."""
        self._over.set()
        async with self._turn:
            pass

    async def _last(self, look: Command | None) -> None:
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._keep_looking(look), name="looks") if look else None
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pulse_s):
                    await self._over.wait()
            if looking:
                looking.cancel()

    async def _keep_looking(self, look: Command) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._pulse_s
        # The last look begins early enough to be answered in time by a relay that is well.
        while until - loop.time() > LOOK_EVERY_S:
            await look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _make_safe(self, off: Command) -> DeviceLost | None:
        try:
            await off()
        except DeviceLost as exc:
            return DeviceLost(f"may still be open, see to it: {exc}")
        self._disarm()
        return None

    def _arm(self) -> None:
        if self._guard and self._undo:
            self._guard.arm(self._key, self._undo, self._deadline_s)

    def _disarm(self) -> None:
        if self._guard:
            self._guard.disarm(self._key)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which must bound its own time, even while being cancelled; the cancellation is raised afterwards.

    This is how an output that only a network call can switch off returns to its safe state. The task is no loose one:
    it has ended once this returns.
    """
    task = asyncio.create_task(work, name="to the end")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled from task.exception()
    return task.result()
