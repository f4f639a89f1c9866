"""A person at a terminal: a code and Enter is a read."""

import asyncio
import os
import select
import sys
from collections.abc import AsyncGenerator
from typing import TextIO

from drivers.line_decoder import LineDecoder
from drivers.protocols import Clock, DeviceLost, DeviceRefused, Read


class TerminalScanner:
    """Reads lines from standard input, or from the stream given: a terminal or a pipe."""

    def __init__(self, clock: Clock, stream: TextIO | None = None) -> None:
        self._clock = clock
        self._stream = stream or sys.stdin

    async def reads(self) -> AsyncGenerator[Read]:
        """Yield a read a line; at the end of the input, wait for ever, since a terminal does not come back.

        Raises:
            DeviceLost: reading failed.
            DeviceRefused: there is no such input, or it cannot be waited for.
        """
        decoder, loop, ready = LineDecoder(), asyncio.get_running_loop(), asyncio.Event()
        try:
            descriptor = self._stream.fileno()
            loop.add_reader(descriptor, ready.set)
        except (OSError, ValueError) as exc:
            raise DeviceRefused(f"terminal: cannot be read ({exc}); start the gate in a terminal") from exc
        try:
            while True:
                await ready.wait()
                ready.clear()
                # The loop may say so once more for bytes already taken, and a terminal shared with a shell must not be
                # set non-blocking: look before a read that would stop the whole gate.
                if not select.select([descriptor], [], [], 0)[0]:
                    continue
                data = os.read(descriptor, 4096)
                for code in decoder.feed(data) if data else filter(None, [decoder.flush()]):
                    yield Read(code, at=self._clock.now())
                if not data:
                    break
        except OSError as exc:
            raise DeviceLost(f"terminal: {exc.strerror}") from exc
        finally:
            loop.remove_reader(descriptor)
        await asyncio.Event().wait()
