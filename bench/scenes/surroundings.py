"""What stands behind a ticket: an entrance with people, signs, lamps and railings, out of focus."""

import cv2
import numpy as np
from numpy.random import Generator

from bench.scenes.sheets import write_lines
from drivers.camera.frames import Luma


def plain(rng: Generator, width: int, height: int) -> Luma:
    """Return a wall or a floor: one grey, running into another."""
    ends = rng.uniform(20, 200, (2, 2)).astype(np.float32)
    return np.ascontiguousarray(cv2.resize(ends, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def person(rng: Generator, luma: Luma, x: int, tall_px: int) -> None:
    """Draw someone whose head's top is `tall_px` above the lower edge."""
    height = luma.shape[0]
    skin, cloth = int(rng.integers(70, 210)), int(rng.integers(10, 220))
    head = max(4, tall_px // 9)
    top = height - tall_px
    shoulders = np.array(
        [
            [x - 2 * head, height],
            [x - 2 * head, top + 3 * head],
            [x - head, top + 2 * head],
            [x + head, top + 2 * head],
            [x + 2 * head, top + 3 * head],
            [x + 2 * head, height],
        ]
    )
    cv2.fillPoly(luma, [shoulders.astype(np.int32)], (cloth,), cv2.LINE_AA)
    cv2.ellipse(luma, (x, top + head), (round(head * 0.75), head), 0, 0, 360, (skin,), -1, cv2.LINE_AA)
    cv2.ellipse(luma, (x, top + head // 2), (round(head * 0.8), head // 2), 0, 180, 360, (cloth // 2,), -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.circle(luma, (x + side * head // 3, top + head), max(1, head // 9), (skin // 3,), -1, cv2.LINE_AA)
    if rng.random() < 0.4:
        for stripe in range(top + 3 * head, height, max(6, head // 2)):
            cv2.line(luma, (x - 2 * head, stripe), (x + 2 * head, stripe), (255 - cloth,), max(1, head // 8))


def _sign(rng: Generator, luma: Luma) -> None:
    height, width = luma.shape
    left, top = int(rng.integers(0, width)), int(rng.integers(0, height // 2))
    right, bottom = left + int(rng.integers(80, 420)), top + int(rng.integers(40, 200))
    ground = int(rng.integers(0, 256))
    cv2.rectangle(luma, (left, top), (right, bottom), (ground,), -1)
    write_lines(rng, luma, (left + 8, top + 4, right, bottom - 8), (ground + 128) % 256, int(rng.integers(14, 44)))


def _railing(rng: Generator, luma: Luma) -> None:
    """Draw upright bars, which look to a decoder as bar codes do."""
    height, width = luma.shape
    left, pitch, grey = int(rng.integers(0, width)), int(rng.integers(8, 44)), int(rng.integers(10, 240))
    top = int(rng.integers(height // 3, height))
    for x in range(left, min(width, left + pitch * int(rng.integers(6, 20))), pitch):
        cv2.line(luma, (x, top), (x, height), (grey,), max(2, pitch // 4), cv2.LINE_AA)


def busy(rng: Generator, width: int, height: int, people: int | None = None) -> Luma:
    """Return an entrance: things, signs, railings, lamps and people, still sharp."""
    luma = plain(rng, width, height)
    for _ in range(int(rng.integers(4, 12))):
        at = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        to = (at[0] + int(rng.integers(20, 360)), at[1] + int(rng.integers(20, 300)))
        cv2.rectangle(luma, at, to, (int(rng.integers(0, 256)),), -1 if rng.random() < 0.7 else 3)
    for _ in range(int(rng.integers(0, 3))):
        _railing(rng, luma)
    for _ in range(int(rng.integers(1, 5))):
        _sign(rng, luma)
    for _ in range(int(rng.integers(0, 5)) if people is None else people):
        person(rng, luma, int(rng.integers(0, width)), round(height * rng.uniform(0.35, 0.95)))
    for _ in range(int(rng.integers(0, 4))):
        at = (int(rng.integers(0, width)), int(rng.integers(0, height // 2)))
        cv2.circle(luma, at, int(rng.integers(4, 40)), (255,), -1, cv2.LINE_AA)
    return luma
