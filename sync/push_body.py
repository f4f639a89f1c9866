"""What is looked at of a pushed body before its lines are applied: whether it keeps coming, and how it begins."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from sync.errors import BadFeed
from sync.floor import FLOOR_BYTES, WINDOW_S, Floor

_AT_ONCE = "send what there is at once, and end the request"
_HEAD_BYTES = 4096
"""A first line that is longer is no `reset`."""


class PushRefused(Exception):
    """What was pushed is not taken, or not all of it; the message names the mend."""


class TooSlow(PushRefused):
    """The sender keeps the gate waiting; what an earlier cursor line closed stays applied."""


class PacedBody:
    """A body that must keep coming: nothing for `patience_s` ends it, and so does less than a `Floor` lets by.

    Only the time counts for which the sender is waited for, not that for which it waits. Raises TooSlow.
    """

    def __init__(self, chunks: AsyncIterator[bytes], patience_s: float, monotonic: Callable[[], float]) -> None:
        self._chunks = chunks
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._floor = Floor(0.0)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        asked_at = self._monotonic()
        try:
            async with asyncio.timeout(self._patience_s):
                chunk = await anext(self._chunks)
        except TimeoutError as exc:
            raise TooSlow(f"body: nothing came for {self._patience_s:.0f} s; {_AT_ONCE}") from exc
        if not self._floor.holds(self._monotonic() - asked_at, len(chunk)):
            raise TooSlow(f"body: less than {FLOOR_BYTES} bytes came in {WINDOW_S:.0f} s; {_AT_ONCE}")
        return chunk


async def head_of(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the chunks up to the end of the first line that is not blank, or enough of it to know it for no `reset`.

    Raises:
        BadFeed: blank lines and nothing else.
    """
    head = bytearray()
    async for chunk in chunks:
        head += chunk
        if b"\n" in head.lstrip() or len(head.lstrip()) > _HEAD_BYTES:
            break
        if len(head) > _HEAD_BYTES:
            raise BadFeed("feed line 1: blank; each line is one JSON object")
    return bytes(head)


def begins_with_reset(head: bytes) -> bool:
    """Tell whether a body is everything, by its first line."""
    first = head.lstrip().partition(b"\n")[0]
    if len(first) > _HEAD_BYTES:
        return False
    try:
        line = json.loads(first)
    except (ValueError, RecursionError):
        return False  # which whoever reads the lines will say
    return isinstance(line, dict) and line.get("kind") == "reset"


async def after(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the head, and then the rest."""
    yield head
    async for chunk in rest:
        yield chunk
