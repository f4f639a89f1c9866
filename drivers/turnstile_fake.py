"""A turnstile made of nothing, for practice and tests: it keeps the same protocol as a real one."""

import asyncio
from collections.abc import AsyncGenerator

from drivers.protocols import Signals


class FakeTurnstile:
    """Turns `passes_after_s` seconds after each release; None: never. `releases` counts them."""

    def __init__(self, passes_after_s: float | None = 0.0, passage_timeout_s: float | None = 8.0) -> None:
        self._passes_after_s = passes_after_s
        self._passage_timeout_s = passage_timeout_s
        self.releases = 0
        self.turned = asyncio.Event()
        """Set by hand in tests: a guest goes through now."""
        self._says: asyncio.Queue[Signals] = asyncio.Queue()
        self._says.put_nowait(Signals())

    @property
    def passage_timeout_s(self) -> float | None:
        """How long to wait for the guest to pass."""
        return self._passage_timeout_s

    def say(self, signals: Signals) -> None:
        """Have its contacts say this from now on."""
        self._says.put_nowait(signals)

    async def signals(self) -> AsyncGenerator[Signals]:
        """Yield what `say` was told."""
        while True:
            yield await self._says.get()

    async def release(self) -> None:
        """Count a release."""
        self.turned.clear()
        self.releases += 1

    async def passed(self) -> None:
        """Return once the imagined guest has gone through."""
        if self._passes_after_s is None:
            await self.turned.wait()
        else:
            await asyncio.sleep(self._passes_after_s)
