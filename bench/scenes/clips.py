"""Clips of 2 s: a hand brings a ticket, holds it none too still and takes it away; or nobody comes.

While it is held the lens hunts for the focus and the exposure settles, as webcams do.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from bench.scenes import hands, lens, sheets, surroundings
from bench.scenes.gestures import Automatics, Way, make_automatics, make_way
from bench.scenes.photographs import share_of_width
from bench.scenes.sheets import Points, Sheet
from bench.scenes.tickets import SYMBOLOGIES, draw, make_text
from drivers.camera.frames import Luma

WIDTH, HEIGHT, FPS, FRAMES = 1280, 720, 30, 60

_GLIDE, _GLIDE_PX = 5, 160
"""By how many pixels a mirrored lamp moves for each that the sheet does, and at most."""

_SHARES = (0.46, 0.03, 0.1, 0.1, 0.08, 0.1, 0.02, 0.07, 0.02, 0.02)
"""How often each of `SYMBOLOGIES` is held to the camera."""


@dataclass(frozen=True)
class Clip:
    """A clip; its pixels are made frame by frame, and are the same each time."""

    symbology: str | None
    text: str | None
    """What the ticket says; None: there is none."""
    appears_at_s: float
    """When the code is whole in the frame and stays so; counted from the first frame, which is at 0."""
    leaves_at_s: float
    """When it no longer is."""
    _scene: "_Scene" = field(repr=False)

    def jpegs(self) -> Iterator[bytes]:
        """Yield the frames, 1/`FPS` s apart, as a camera packs them."""
        return self._scene.jpegs()

    def frames(self) -> Iterator[Luma]:
        """Yield the frames unpacked."""
        return (lens.from_jpeg(packed) for packed in self.jpegs())


def ticket_clips(seed: int, count: int, first: int = 0) -> Iterator[Clip]:
    """Yield clips, numbered from `first` up to `count`, in which a ticket is held to the camera."""
    for number in range(first, count):
        rng = np.random.default_rng([seed, 100, number])
        yield _ticket_clip(rng, str(rng.choice(SYMBOLOGIES, p=_SHARES)))


def empty_clips(seed: int, count: int) -> Iterator[Clip]:
    """Yield clips of people who pass, without a code."""
    for number in range(count):
        rng = np.random.default_rng([seed, 101, number])
        walkers = tuple(_walker(rng) for _ in range(int(rng.integers(1, 4))))
        yield Clip(None, None, math.inf, math.inf, _Scene(rng, walkers))


def idle_clip(seed: int) -> Clip:
    """Return a clip in which nothing changes but the noise of the sensor."""
    return Clip(None, None, math.inf, math.inf, _Scene(np.random.default_rng([seed, 102])))


def _ticket_clip(rng: Generator, symbology: str) -> Clip:
    code = draw(symbology, make_text(rng, symbology), ecc=str(rng.choice(("l", "m", "q"))))
    width_px = WIDTH * share_of_width(rng, symbology, small=bool(rng.random() < 0.15))
    module_px = max(2, round(1.15 * width_px / code.modules))
    carriers = (sheets.phone, sheets.phone, sheets.paper)
    sheet = carriers[int(rng.integers(0, 3))](rng, (code,), module_px, bool(rng.random() < 0.05))
    sheet = hands.holding(rng, sheet)
    walkers = tuple(_walker(rng) for _ in range(int(rng.integers(0, 3))))
    held = _Held(sheet, make_way(rng, width_px, (WIDTH, HEIGHT)), make_automatics(rng, sheet.shines))
    whole = [lens.inside(held.corners(number / FPS), WIDTH, HEIGHT) for number in range(FRAMES)]
    first = next((n for n in range(FRAMES) if all(whole[n : n + FPS])), FRAMES)
    last = max(n for n in range(FRAMES) if whole[n])
    return Clip(symbology, code.text, first / FPS, (last + 1) / FPS, _Scene(rng, walkers, held))


@dataclass(frozen=True)
class _Held:
    sheet: Sheet
    way: Way
    camera: Automatics

    def matrix(self, at_s: float) -> lens.Matrix:
        return lens.homography(self.way.pose(at_s), self.sheet, WIDTH)

    def corners(self, at_s: float) -> Points:
        return lens.mapped(self.sheet.corners, self.matrix(at_s))

    def show(self, luma: Luma, at_s: float, mirror: Luma | None) -> None:
        """Lay the sheet over what is behind it, blurred by lens and motion."""
        matrix = self.matrix(at_s)
        height, width = self.sheet.luma.shape
        edge = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
        low, high = (getattr(lens.mapped(edge, matrix), which)(axis=0) for which in ("min", "max"))
        left, top = (int(each) for each in np.clip(np.floor(low) - 24, 0, (WIDTH, HEIGHT)))
        right, bottom = (int(each) for each in np.clip(np.ceil(high) + 24, 0, (WIDTH, HEIGHT)))
        if right - left < 8 or bottom - top < 8:
            return
        shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ matrix
        front, cover = (
            cv2.warpPerspective(each, shift, (right - left, bottom - top))
            for each in (self.sheet.luma, self.sheet.mask)
        )
        part = luma[top:bottom, left:right]
        if mirror is not None:
            x, y = self._mirrored_at(at_s)
            front = cv2.add(front, mirror[top - y : bottom - y, left - x : right - x])
        weight = np.asarray(cover, dtype=np.float32) / 255
        mixed = cv2.blendLinear(np.asarray(front, dtype=np.uint8), np.ascontiguousarray(part), weight, 1 - weight)
        part[:] = self._blurred(np.asarray(mixed, dtype=np.uint8), at_s)

    def _mirrored_at(self, at_s: float) -> tuple[int, int]:
        """Return how far a mirrored lamp has gone: a mirror turns light by twice its own turn."""
        now, rest = self.way.pose(at_s), self.way.rest
        x, y = (round(float(np.clip(_GLIDE * far, -_GLIDE_PX, _GLIDE_PX))) for far in (now.x - rest.x, now.y - rest.y))
        return x - _GLIDE_PX, y - _GLIDE_PX

    def _blurred(self, luma: Luma, at_s: float) -> Luma:
        luma = np.asarray(cv2.GaussianBlur(luma, (0, 0), self.camera.blur_at(at_s)), dtype=np.uint8)
        before, after = (self.way.pose(at_s + sign * self.camera.shutter_s / 2) for sign in (-1, 1))
        dx, dy = after.x - before.x, after.y - before.y
        if math.hypot(dx, dy) < 0.7:
            return luma
        return np.asarray(cv2.filter2D(luma, -1, lens.motion_kernel(dx, dy)), dtype=np.uint8)


@dataclass(frozen=True)
class _Walker:
    """Someone who passes behind: a picture, its mask, and the way."""

    luma: Luma
    cover: lens.Light
    from_x: float
    speed: float
    """Pixels a second."""

    def show(self, luma: Luma, at_s: float) -> None:
        """Draw them where they are."""
        width = self.luma.shape[1]
        left = round(self.from_x + self.speed * at_s)
        begin, end = max(0, left), min(WIDTH, left + width)
        if end - begin < 2:
            return
        mine = slice(begin - left, end - left)
        part = luma[:, begin:end]
        cover = np.ascontiguousarray(self.cover[:, mine])
        ground = np.ascontiguousarray(part)
        part[:] = cv2.blendLinear(np.ascontiguousarray(self.luma[:, mine]), ground, cover, 1 - cover)


def _walker(rng: Generator) -> _Walker:
    tall = round(HEIGHT * float(rng.uniform(0.4, 0.95)))
    width = tall
    seed = int(rng.integers(0, 2**31))
    on_black, on_white = np.zeros((HEIGHT, width), dtype=np.uint8), np.full((HEIGHT, width), 255, dtype=np.uint8)
    for ground in (on_black, on_white):
        surroundings.person(np.random.default_rng(seed), ground, width // 2, tall)
    cover = np.asarray(on_black == on_white, dtype=np.float32)
    blur = float(rng.uniform(1.5, 6))
    soft = np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), dtype=np.float32)
    luma = np.asarray(cv2.GaussianBlur(on_black, (0, 0), blur), dtype=np.uint8)
    speed = float(rng.uniform(100, 500)) * (1 if rng.random() < 0.5 else -1)
    return _Walker(luma, soft, float(rng.uniform(-width, WIDTH)), speed)


class _Scene:
    """All that is before the camera, and its sensor."""

    def __init__(self, rng: Generator, walkers: tuple[_Walker, ...] = (), held: _Held | None = None) -> None:
        behind = surroundings.busy(rng, WIDTH, HEIGHT) if rng.random() < 0.8 else surroundings.plain(rng, WIDTH, HEIGHT)
        blurred = cv2.GaussianBlur(behind, (0, 0), float(rng.uniform(1, 6)))
        dark = float(rng.uniform(0.25, 0.5)) if rng.random() < 0.15 else float(rng.uniform(0.7, 1))
        self._behind = np.ascontiguousarray(blurred, dtype=np.uint8)
        self._gain, self._noise = dark, float(rng.uniform(1, 2.5)) * (2 if dark < 0.6 else 1)
        self._walkers, self._held = walkers, held
        self._quality = int(rng.integers(75, 93))
        self._seed = int(rng.integers(0, 2**31))
        self._mirror: Luma | None = None
        if held is not None and held.camera.mirrored:
            at_rest = held.corners((held.way.comes_at_s + held.way.takes_s + held.way.goes_at_s) / 2)
            size = (HEIGHT + 2 * _GLIDE_PX, WIDTH + 2 * _GLIDE_PX)
            light = lens.glare(rng, size, at_rest + _GLIDE_PX, held.camera.mirrored)
            self._mirror = np.ascontiguousarray(np.clip(light, 0, 255), dtype=np.uint8)

    def jpegs(self) -> Iterator[bytes]:
        """Yield each frame as the camera gives it."""
        rng = np.random.default_rng(self._seed)
        grain = (
            (rng.standard_normal((HEIGHT + 64, WIDTH + 64), dtype=np.float32) * self._noise).round().astype(np.int16)
        )
        for number in range(FRAMES):
            luma = self._light(number / FPS)
            top, left = (int(each) for each in rng.integers(0, 64, 2))
            noisy = cv2.add(luma, grain[top : top + HEIGHT, left : left + WIDTH], dtype=cv2.CV_8U)
            yield lens.as_jpeg(np.asarray(noisy, dtype=np.uint8), self._quality)

    def _light(self, at_s: float) -> Luma:
        luma = self._behind.copy()
        for walker in self._walkers:
            walker.show(luma, at_s)
        gain = self._gain
        if self._held is not None:
            self._held.show(luma, at_s, self._mirror)
            camera, since = self._held.camera, at_s - self._held.way.comes_at_s - 0.15
            if since > 0:
                gain *= 1 + (camera.dazzled - 1) * math.exp(-since / camera.settles_s)
        return np.asarray(cv2.convertScaleAbs(luma, alpha=gain), dtype=np.uint8)
