"""Small pictures for people, made only when somebody looks or a code is to be shown later."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from drivers.camera.frames import Luma

MOST_JPEG_BYTES = 120_000
"""With the codes that go with it, it fits into a packet."""
MOST_LUMA_PIXELS = 120_000
MOST_HEIGHT = 2_160
_QUALITIES = (70, 50, 30)


class Preview(NamedTuple):
    """A small picture; sizes in pixels."""

    width: int
    height: int
    data: bytes


def jpeg(luma: Luma, width: int) -> Preview:
    """Return a JPEG no wider than `width`, in the best quality at which it is short enough."""
    small = shrunk(luma, width)
    while True:
        for quality in _QUALITIES:
            _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if len(data) <= MOST_JPEG_BYTES:
                return Preview(small.shape[1], small.shape[0], data.tobytes())
        small = shrunk(small, small.shape[1] // 2)


def tiny(luma: Luma, width: int) -> Preview:
    """Return the luma no wider than `width`, one byte a pixel, row by row."""
    small = shrunk(luma, width)
    if small.size > MOST_LUMA_PIXELS:
        small = shrunk(small, int(small.shape[1] * math.sqrt(MOST_LUMA_PIXELS / small.size)))
    return Preview(small.shape[1], small.shape[0], small.tobytes())


def shrunk(luma: Luma, width: int) -> Luma:
    """Return a picture no wider than `width`, nor higher than people look at, at least one pixel each way."""
    had_height, had_width = luma.shape
    scale = min(width / had_width, MOST_HEIGHT / had_height)
    if scale >= 1:
        return luma
    size = (max(1, int(had_width * scale)), max(1, int(had_height * scale)))
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
