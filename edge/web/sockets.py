"""The WebSockets of a feed: opened alike, cut off when they take nothing, told to go when the gate stops."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from aiohttp import WSCloseCode, web

log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
MOST_BYTES = 4096
"""What a client sends is no longer."""
GOODBYE_S = 1.0


class Sockets:
    """The open sockets of one feed; `name` is for the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: set[web.WebSocketResponse] = set()

    @asynccontextmanager
    async def opened(self, request: web.Request) -> AsyncIterator[web.WebSocketResponse]:
        """Open one for a client, to be told to go with the others."""
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, timeout=1.0, max_msg_size=MOST_BYTES, compress=False)
        await socket.prepare(request)
        self._open.add(socket)
        try:
            yield socket
        finally:
            self._open.discard(socket)

    async def fed(self, request: web.Request, socket: web.WebSocketResponse, sending: Awaitable[None]) -> None:
        """Send until that ends; a client that takes nothing in time (TimeoutError) is cut off."""
        try:
            await sending
        except TimeoutError:
            log.warning("%s: %s takes nothing; cut off", self._name, request.remote)
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # it went away by itself
        except Exception:
            log.exception("%s: defect", self._name)
            await socket.close(code=WSCloseCode.INTERNAL_ERROR)

    async def close(self, _app: web.Application) -> None:
        """Tell every client to go: the gate is stopping."""
        async with asyncio.TaskGroup() as group:
            for socket in self._open:
                group.create_task(_dismiss(socket), name=self._name)


async def _dismiss(socket: web.WebSocketResponse) -> None:
    try:
        async with asyncio.timeout(GOODBYE_S):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the gate is stopping")
    except (TimeoutError, ConnectionError):
        pass  # it is closed with its transport
