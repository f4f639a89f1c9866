"""What a code is shown on: a phone's screen, a paper ticket, a wristband. Flat, straight, and in even light."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.scenes.tickets import Code
from drivers.camera.frames import Luma

Points = NDArray[np.float64]
"""Points in pixels, right and down, one a row."""

_WORDS = (
    "ENTRY",
    "SECTOR",
    "ROW",
    "SEAT",
    "GATE",
    "HALL",
    "ORDER",
    "NIGHT",
    "DOORS",
    "19:30",
    "B12",
    "4471",
    "KYIV",
    "ARENA",
)


@dataclass(frozen=True)
class Sheet:
    """A carrier of one code or several, seen straight on."""

    luma: Luma
    mask: Luma
    """255 where the carrier is, 0 beside it."""
    corners: Points
    """Of the first code: left top, right top, right bottom, left bottom."""
    quiet: float
    """Width of the first code's quiet zone in pixels."""
    shines: bool
    """It gives its own light: a screen."""


def enlarged(code: Code, module_px: int, dark: int = 0, light: int = 255) -> Luma:
    """Return a code at so many pixels a module, in these two greys."""
    cells = np.where(code.cells > 0, light, dark).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(np.repeat(cells, module_px, axis=0), module_px, axis=1))


def write_lines(rng: Generator, luma: Luma, box: tuple[int, int, int, int], grey: int, line_px: int) -> None:
    """Fill a box (left, top, right, bottom) with lines of words."""
    left, top, right, bottom = box
    scale = line_px / 40
    for base in range(top + line_px, bottom, round(line_px * 1.5)):
        words = " ".join(_WORDS[int(n)] for n in rng.integers(0, len(_WORDS), int(rng.integers(1, 6))))
        at = (left + int(rng.integers(0, max(1, (right - left) // 5))), base)
        cv2.putText(luma, words, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (grey,), max(1, line_px // 12), cv2.LINE_AA)


def _paste(luma: Luma, drawn: Luma, left: int, top: int) -> None:
    height, width = drawn.shape
    luma[top : top + height, left : left + width] = drawn


def _corners(code: Code, module_px: int, left: int, top: int) -> Points:
    return code.corners() * module_px + np.array([left, top], dtype=np.float64)


def _stack(codes: tuple[Code, ...], module_px: int, dark: int, light: int) -> list[Luma]:
    """Return the codes drawn: the first at its size, the others about as wide as the first."""
    drawn = [enlarged(codes[0], module_px, dark, light)]
    for code in codes[1:]:
        fits = max(2, round(drawn[0].shape[1] / code.cells.shape[1]))
        drawn.append(enlarged(code, min(fits, module_px), dark, light))
    return drawn


def phone(rng: Generator, codes: tuple[Code, ...], module_px: int, inverted: bool) -> Sheet:
    """Return a phone with a ticket's page on its screen; inverted: a dark page, and the code light on it."""
    dark, light = (int(rng.integers(0, 30)), int(rng.integers(235, 256)))
    drawn = _stack(codes, module_px, light if inverted else dark, dark if inverted else light)
    wide = max(each.shape[1] for each in drawn)
    width = round(wide / rng.uniform(0.55, 0.92))
    height = max(round(width * rng.uniform(1.9, 2.2)), sum(each.shape[0] for each in drawn) + width)
    page, ink = (light, dark) if not inverted else (dark, light)
    if not inverted and rng.random() < 0.35:
        page, ink = int(rng.integers(20, 150)), 230
    luma = np.full((height, width), page, dtype=np.uint8)
    top = round(height * rng.uniform(0.2, 0.35))
    write_lines(rng, luma, (width // 12, width // 14, width, width // 7), ink, max(6, width // 30))
    write_lines(rng, luma, (width // 10, height // 8, width, top - width // 12), ink, max(8, width // 16))
    first = ((width - drawn[0].shape[1]) // 2, top)
    for each in drawn:
        _paste(luma, each, (width - each.shape[1]) // 2, top)
        top += each.shape[0] + module_px * 6
    write_lines(rng, luma, (width // 10, top, width, round(height * 0.88)), ink, max(8, width // 20))
    corners = _corners(codes[0], module_px, *first)
    return _in_a_case(rng, Sheet(luma, luma, corners, codes[0].quiet * module_px, shines=True))


def _in_a_case(rng: Generator, screen: Sheet) -> Sheet:
    """Return a screen with the rim of its phone around it."""
    rim = max(3, screen.luma.shape[1] // int(rng.integers(18, 50)))
    luma = cv2.copyMakeBorder(screen.luma, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(int(rng.integers(5, 90)),))
    height, width = luma.shape
    mask = np.zeros((height, width), dtype=np.uint8)
    radius = width // 10
    cv2.rectangle(mask, (radius, 0), (width - radius, height), (255,), -1)
    cv2.rectangle(mask, (0, radius), (width, height - radius), (255,), -1)
    for x in (radius, width - radius - 1):
        for y in (radius, height - radius - 1):
            cv2.circle(mask, (x, y), radius, (255,), -1)
    return replace(screen, luma=np.ascontiguousarray(luma, dtype=np.uint8), mask=mask, corners=screen.corners + rim)


def paper(rng: Generator, codes: tuple[Code, ...], module_px: int, inverted: bool) -> Sheet:
    """Return a printed ticket, or a page with one on it; inverted: light ink on a dark ground."""
    ink, ground = int(rng.integers(15, 70)), int(rng.integers(190, 250))
    if inverted:
        ink, ground = ground, ink
    drawn = _stack(codes, module_px, ink, ground)
    wide, high = max(each.shape[1] for each in drawn), sum(each.shape[0] + module_px * 6 for each in drawn)
    width, height = round(wide * rng.uniform(1.15, 3.0)), round(high * rng.uniform(1.25, 2.6))
    luma = np.full((height, width), ground, dtype=np.uint8)
    write_lines(rng, luma, (width // 20, height // 20, width, height), ink, max(8, height // int(rng.integers(10, 26))))
    if rng.random() < 0.5:
        cv2.rectangle(luma, (4, 4), (width - 5, height - 5), (ink,), max(1, module_px // 2))
    left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
    corners = _corners(codes[0], module_px, left, top)
    for each in drawn:
        _paste(luma, each, left, top)
        top += each.shape[0] + module_px * 6
    mask = np.full(luma.shape, 255, dtype=np.uint8)
    return Sheet(luma, mask, corners, codes[0].quiet * module_px, shines=False)


def wristband(rng: Generator, codes: tuple[Code, ...], module_px: int, inverted: bool) -> Sheet:
    """Return a fabric band with the code on a tag in its middle; the code's first only."""
    ink, ground = (int(rng.integers(20, 60)), int(rng.integers(180, 240)))
    drawn = enlarged(codes[0], module_px, *((ground, ink) if inverted else (ink, ground)))
    high, wide = drawn.shape
    height, width = high + 4 * module_px, wide * 4
    weave = rng.integers(40, 200, (1, width // 16 + 1), dtype=np.uint8)
    luma = np.ascontiguousarray(cv2.resize(weave, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    left, top = (width - wide) // 2, 2 * module_px
    luma[:, left - 2 * module_px : left + wide + 2 * module_px] = ink if inverted else ground
    _paste(luma, drawn, left, top)
    mask = np.full(luma.shape, 255, dtype=np.uint8)
    return Sheet(luma, mask, _corners(codes[0], module_px, left, top), codes[0].quiet * module_px, shines=False)
