"""How fast what a CRM sends must come at least: one that drips must not hold a transfer for ever.

A limit for each read does not do: a byte each nineteen seconds keeps to it for weeks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sync.errors import LinkDown

WINDOW_S = 60.0
FLOOR_BYTES = 32 * 1024
"""In each window: a fifteenth of what a line of 64 kbit/s brings."""


class Floor:
    """Judges a transfer by what it brings while it is waited for. Pure: no clock."""

    def __init__(self, hold_s: float) -> None:
        """`hold_s`: how long the sender may hold the transfer back, with as little to be sent as it likes."""
        self._left_s = hold_s + WINDOW_S
        self._brought = 0

    def holds(self, waited_s: float, size: int) -> bool:
        """Take note of `size` bytes for which one waited so long; False: a window has brought too little."""
        self._left_s -= waited_s
        self._brought += size
        if self._left_s > 0:
            return True
        if self._brought < FLOOR_BYTES:
            return False
        self._left_s, self._brought = WINDOW_S, 0
        return True


async def moving(
    chunks: AsyncIterator[bytes], hold_s: float, what: str, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[bytes]:
    """Hand a transfer on for as long as it comes fast enough; only the time spent waiting for it counts.

    Raises:
        LinkDown: it drips.
    """
    floor = Floor(hold_s)
    asked_at = monotonic()
    async for chunk in chunks:
        if not floor.holds(monotonic() - asked_at, len(chunk)):
            raise LinkDown(f"{what}: less than {FLOOR_BYTES} bytes came in {WINDOW_S:.0f} s; going on from there anew")
        yield chunk
        asked_at = monotonic()


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Give up what takes longer, whatever it still brings meanwhile.

    Raises:
        LinkDown: it did.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise LinkDown(f"{what}: no whole answer in {seconds:.3g} s") from exc
