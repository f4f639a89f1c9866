"""What the cameras see, to whoever looks on: for aiming one, and beside the verdicts.

A feed says in text how its camera fares, and sends a picture as a binary message: four bytes that say how long its
header is (big-endian), the header as JSON, and the JPEG. Who wants the next picture says so, by any message: then it
gets the newest there is, so that nobody looks at old ones, however slow.
"""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import asdict, fields
from typing import Any

from aiohttp import web

from drivers.camera.messages import Alive
from drivers.protocols import Picture
from edge.box import ShownCamera, picture_hint
from edge.supervise import Health
from edge.visible import shortened
from edge.web.bodies import PictureQuery, read_query
from edge.web.errors import ApiError
from edge.web.sockets import Sockets

MOST_ONLOOKERS = 8
"""Of one camera: each costs the gate a little."""
STATE_EVERY_S = 1.0
LOOK_S = 0.2
"""A change of state is told within this time."""
SEND_S = 5.0
"""How long one message may take to be taken; a client that is slower is cut off and connects again."""
ASK_S = 10.0
"""A client that has had a picture and asks for none in this time looks at nothing, and is told to go."""
MOST_TEXT = 200
"""Characters of a code that go with a picture."""

_NOT_UP = dict.fromkeys((*(each.name for each in fields(Alive)), "hint"))


class Cameras:
    """Serves `/api/v1/cameras` and each camera's feed."""

    def __init__(
        self,
        cameras: Mapping[str, ShownCamera],
        healths: Mapping[str, Health],
        *,
        send_s: float = SEND_S,
        ask_s: float = ASK_S,
    ) -> None:
        self._cameras = cameras
        self._healths = healths
        self._send_s = send_s
        self._ask_s = ask_s
        self._onlookers: Counter[str] = Counter()
        self._sockets = Sockets("camera feed")

    async def index(self, _request: web.Request) -> web.Response:
        """The cameras of all lanes, and how each fares."""
        return web.json_response({"cameras": [self._state(name) for name in self._cameras]})

    async def live(self, request: web.Request) -> web.WebSocketResponse:
        """Show one client what a camera sees, until it goes or is told to."""
        asked, name = read_query(request, PictureQuery), request.match_info["id"]
        if name not in self._cameras:
            here = f"use one of {', '.join(self._cameras)}" if self._cameras else "the settings name none"
            raise ApiError(404, "not_found", f"id: no such camera here; {here}", "id")
        if self._onlookers[name] >= MOST_ONLOOKERS:
            raise ApiError(503, "too_many", f"id: {MOST_ONLOOKERS} pages show this camera already; close one", "id")
        self._onlookers[name] += 1
        try:
            return await self._show(request, name, asked)
        finally:
            self._onlookers[name] -= 1

    async def close(self, app: web.Application) -> None:
        """Tell every client to go: the gate is stopping."""
        await self._sockets.close(app)

    async def _show(self, request: web.Request, name: str, wanted: PictureQuery) -> web.WebSocketResponse:
        asked = asyncio.Event()
        asked.set()  # the first picture comes by itself
        async with self._sockets.opened(request) as socket, asyncio.TaskGroup() as group:
            sending = (self._send_states(socket, name), self._send_pictures(socket, name, wanted, asked))
            tasks = [
                group.create_task(self._sockets.fed(request, socket, each), name="camera feed") for each in sending
            ]
            async for _message in socket:
                asked.set()
            for task in tasks:
                task.cancel()
        return socket

    async def _send_states(self, socket: web.WebSocketResponse, name: str) -> None:
        """Say how the camera fares: at once, when that changes, and so often that a client knows it is connected."""
        now = asyncio.get_running_loop().time
        told, due = None, now()
        while True:
            state = self._state(name)
            if now() >= due or (state["state"], state["error"]) != told:
                async with asyncio.timeout(self._send_s):
                    await socket.send_json(state)
                told, due = (state["state"], state["error"]), now() + STATE_EVERY_S
            await asyncio.sleep(LOOK_S)

    async def _send_pictures(
        self, socket: web.WebSocketResponse, name: str, wanted: PictureQuery, asked: asyncio.Event
    ) -> None:
        every_s, now = wanted.every_ms / 1000, asyncio.get_running_loop().time
        due = now()
        async with aclosing(self._cameras[name].camera.watch("jpeg", wanted.width, every_s)) as pictures:
            while True:
                async with asyncio.timeout(self._ask_s):
                    await asked.wait()
                asked.clear()
                await asyncio.sleep(due - now())  # others may have asked the camera for more
                message, due = packed(await anext(pictures)), now() + every_s
                async with asyncio.timeout(self._send_s):
                    await socket.send_bytes(message)

    def _state(self, name: str) -> dict[str, Any]:
        shown, health = self._cameras[name], self._healths[self._cameras[name].job]
        alive = shown.camera.alive if health.state == "running" else None
        return {
            "id": name,
            "lane": shown.lane,
            "device": shown.device,
            "on_page": shown.on_page,
            "state": health.state,
            "error": health.error if health.state != "running" else None,
            **(asdict(alive) | {"hint": picture_hint(alive)} if alive else _NOT_UP),
        }


def packed(picture: Picture) -> bytes:
    """Return a picture as one message: its header's length, its header, its JPEG."""
    outlines = [
        {"text": shortened(each.text, MOST_TEXT), "symbology": each.symbology, "corners": each.corners}
        for each in picture.outlines
    ]
    header = json.dumps(
        {
            "width": picture.width,
            "height": picture.height,
            "took_ms": picture.took_ms,
            "step": picture.step,
            "outlines": outlines,
        }
    ).encode()
    return b"".join((struct.pack(">I", len(header)), header, picture.data))
