"""Cameras whose pictures a test makes, for what no real one does when it is asked to."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import cv2
import numpy as np
import zxingcpp

from drivers.camera.messages import Alive
from drivers.protocols import Outline, Picture, Read, Spoiled
from edge.box import ShownCamera, WatchedCamera, reader_name
from edge.supervise import Health
from tests.edge.web.conftest import Venue

ALIVE = Alive(frames=300, dropped=2, still=100, fps=29.9, median_ms=2.4, brightness=120.0, sharpness=250.0)
OUTLINE = Outline("T-1", "]Q1", ((0.25, 0.25), (0.5, 0.25), (0.5, 0.75), (0.25, 0.75)))


HANG_S = 20.0


def a_jpeg(
    code: str | None = None, size: tuple[int, int] = (640, 360), grey: int = 120
) -> tuple[bytes, Outline | None]:
    """Return a picture in grey, with a QR code in its middle if one is named, and that code's outline."""
    width, height = size
    luma = np.full((height, width), grey, np.uint8)
    outline = None
    if code is not None:
        drawn = np.array(zxingcpp.write_barcode_to_image(zxingcpp.create_barcode(code, zxingcpp.BarcodeFormat.QRCode)))
        symbol = cv2.resize(drawn, (120, 120), interpolation=cv2.INTER_NEAREST)
        left, top = (width - 120) // 2, (height - 120) // 2
        luma[top - 15 : top + 135, left - 15 : left + 135] = 255
        luma[top : top + 120, left : left + 120] = symbol
        corners = ((left, top), (left + 120, top), (left + 120, top + 120), (left, top + 120))
        outline = Outline(code, "]Q1", tuple((x / width, y / height) for x, y in corners))
    done, data = cv2.imencode(".jpg", luma)
    assert done
    return data.tobytes(), outline


async def looked_on_by(camera: "HandCamera", count: int) -> None:
    """Wait until so many look on."""
    async with asyncio.timeout(HANG_S):
        while len(camera.onlookers) != count:
            await asyncio.sleep(0)


class HandCamera:
    """Shows what a test shows it, to all onlookers."""

    def __init__(self) -> None:
        self.alive: Alive | None = ALIVE
        self.onlookers: list[tuple[str, int]] = []
        """Form and width of each that looks on now."""
        self.every_s: list[float] = []
        """What each that ever did asked for."""
        self._shown = asyncio.Condition()
        self._picture: Picture | None = None
        self._number = 0

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        """Read nothing, ever."""
        await asyncio.Event().wait()
        yield Spoiled("", at=None)  # type: ignore[arg-type]

    async def watch(self, form: Literal["jpeg", "luma"], width: int, every_s: float) -> AsyncGenerator[Picture]:
        """Yield the newest picture that this onlooker has not had, of those from now on."""
        self.onlookers.append((form, width))
        self.every_s.append(every_s)
        had = self._number
        try:
            while True:
                async with self._shown:
                    while self._number == had:
                        await self._shown.wait()
                    had = self._number
                    assert self._picture is not None
                    picture = self._picture
                yield picture
        finally:
            self.onlookers.remove((form, width))

    async def show(self, data: bytes, *outlines: Outline, size: tuple[int, int] = (640, 360)) -> None:
        """Show a picture from now on."""
        async with self._shown:
            self._picture = Picture("jpeg", *size, data, outlines, took_ms=1.5, step="640")
            self._number += 1
            self._shown.notify_all()


@asynccontextmanager
async def filming(camera: HandCamera, data: bytes, *outlines: Outline) -> AsyncIterator[None]:
    """Give pictures, as a camera does."""

    async def film() -> None:
        while True:
            await camera.show(data, *outlines)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(film(), name="film")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def put_up(
    venue: Venue, camera_id: str = "north-1.2", camera: WatchedCamera | None = None, *, on_page: bool = False
) -> tuple[HandCamera, Health]:
    """Give a lane of the venue a camera, one by hand unless another is given; return that, and its health."""
    by_hand, lane = HandCamera(), camera_id.rpartition(".")[0]
    job = reader_name(lane, "camera", f"/dev/video0 {camera_id}")
    assert isinstance(venue.box.healths, dict)
    health = venue.box.healths[job] = Health(state="running", on_change=venue.box.publish_status)
    venue.box.cameras[camera_id] = ShownCamera(camera or by_hand, lane, "/dev/video0", on_page, job)
    return by_hand, health
