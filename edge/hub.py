"""The live feed: what happens at the gate, to whoever looks on."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

QUEUE_LENGTH = 256
"""What one onlooker may have waiting; a slower one is dropped and connects again."""

Message = dict[str, Any]


class Hub:
    """Hands each message to every subscriber; never waits for any of them."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Message | None]] = set()
        self._listeners: list[Callable[[Message], None]] = []

    @property
    def has_listeners(self) -> bool:
        """Tell whether a message would reach anybody."""
        return bool(self._queues or self._listeners)

    def listen(self, listener: Callable[[Message], None]) -> None:
        """Call `listener` with every message from now on, at once: it misses none, and must not wait or raise."""
        self._listeners.append(listener)

    def publish(self, message: Message) -> None:
        """Send a message to all; one whose queue is full is told to go (None)."""
        for listener in self._listeners:
            listener(message)
        for queue in tuple(self._queues):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                self._dismiss(queue)

    def close(self) -> None:
        """Tell every subscriber to go."""
        for queue in tuple(self._queues):
            self._dismiss(queue)

    @contextmanager
    def subscribe(self) -> Iterator["asyncio.Queue[Message | None]"]:
        """Get messages from now on; None means that nothing follows."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE_LENGTH)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def _dismiss(self, queue: "asyncio.Queue[Message | None]") -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
