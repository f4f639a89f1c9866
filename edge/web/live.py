"""The live feed: each verdict and status change, to whoever looks on, as it happens."""

import asyncio
import json
import logging
import sqlite3
from typing import Any

from aiohttp import WSCloseCode, web

from edge.box import Box
from edge.store.writer import CannotRecord
from edge.web.sockets import Sockets

log = logging.getLogger(__name__)

SEND_S = 5.0
"""How long one message may take to be taken; a client that is slower is cut off and connects again."""
STATUS_EVERY_S = 0.25
"""A burst of changes gives no more than one status in this time."""
AFTER_SCAN_S = 1.0
"""A scan changes the backlog, which is in less of a hurry."""
REFRESH_S = 5.0
"""With nothing happening: hours begin and end by themselves, and the page knows by it that it is connected."""

Queue = asyncio.Queue[dict[str, Any] | None]


class LiveFeed:
    """Serves `/api/v1/live`. What a client sends is not read."""

    def __init__(self, box: Box, send_s: float = SEND_S) -> None:
        self._box = box
        self._send_s = send_s
        self._sockets = Sockets("live feed")

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Feed one client until it goes, or is told to."""
        async with self._sockets.opened(request) as socket:
            with self._box.hub.subscribe() as queue:
                async with asyncio.TaskGroup() as group:
                    sending = self._sockets.fed(request, socket, self._send_until_slow(socket, queue))
                    sender = group.create_task(sending, name="live feed")
                    async for _message in socket:
                        pass
                    sender.cancel()
        return socket

    async def close(self, app: web.Application) -> None:
        """Tell every client to go: the gate is stopping."""
        await self._sockets.close(app)

    async def _send_until_slow(self, socket: web.WebSocketResponse, queue: Queue) -> None:
        await self._send(socket, queue)
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow; connect again")

    async def _send(self, socket: web.WebSocketResponse, queue: Queue) -> None:
        """Send the status, then what happens; the status again when it has changed, at a bounded pace."""
        now = asyncio.get_running_loop().time
        sent, due = await self._send_status(socket), now() + REFRESH_S
        while True:
            if now() >= due:
                sent, due = await self._send_status(socket), now() + REFRESH_S
            try:
                async with asyncio.timeout_at(due):
                    message = await queue.get()
            except TimeoutError:
                continue
            if message is None:
                return
            if message["kind"] == "status":
                due = min(due, sent + STATUS_EVERY_S)
                continue
            await self._send_one(socket, message)
            due = min(due, sent + AFTER_SCAN_S)

    async def _send_status(self, socket: web.WebSocketResponse) -> float:
        try:
            status = await self._box.status()
        except (sqlite3.Error, CannotRecord) as exc:
            log.warning("live feed: no status, verdicts go on: %s", exc)
        else:
            await self._send_one(socket, {"kind": "status", **status})
        return asyncio.get_running_loop().time()

    async def _send_one(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._send_s):
            await socket.send_str(json.dumps(message, ensure_ascii=False))
