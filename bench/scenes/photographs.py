"""Photographs of tickets as people hold them to a camera: most are easy, some are hard, a few cannot be read."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from bench.scenes import damage, hands, lens, sheets, surroundings
from bench.scenes.sheets import Sheet
from bench.scenes.tickets import LINEAR, SYMBOLOGIES, Code, draw, make_text
from drivers.camera.frames import Luma

CONDITIONS = {
    "small": 0.14, "tilted": 0.16, "turned": 0.2, "motion": 0.15, "focus": 0.15, "glare": 0.12, "dim": 0.09,
    "moire": 0.12, "low_light": 0.12, "uneven": 0.12, "cracked": 0.08, "crumpled": 0.1, "curved": 0.06,
    "jpeg": 0.1, "inverted": 0.06, "several": 0.05,
}  # fmt: skip
"""What is wrong with a photograph, and how often; each by itself, so that many have two or three."""

_ON_SCREEN, _ON_PAPER = {"dim", "moire", "cracked"}, {"crumpled", "curved"}


@dataclass(frozen=True)
class Photograph:
    """One picture, and what it shows."""

    luma: Luma = field(repr=False)
    symbology: str
    text: str
    conditions: tuple[str, ...]
    others: tuple[Code, ...] = ()
    """Further codes in it."""


def photographs(seed: int, symbology: str, count: int, first: int = 0) -> Iterator[Photograph]:
    """Yield those numbered from `first` up to `count`; the n-th is the same whatever these are."""
    for number in range(first, count):
        yield photograph(np.random.default_rng([seed, SYMBOLOGIES.index(symbology), number]), symbology)


def photograph(rng: Generator, symbology: str) -> Photograph:
    """Return one."""
    conditions = _conditions(rng)
    code = _code(rng, symbology)
    others: tuple[Code, ...] = ()
    if "several" in conditions:
        others = (_code(rng, "code128" if symbology not in LINEAR else "qr"),)
    width, height = 1280, int(rng.choice((720, 960), p=(0.7, 0.3)))
    strength = {name: float(rng.uniform(0, 1)) for name in CONDITIONS}
    width_px = width * share_of_width(rng, symbology, "small" in conditions)
    module_px = width_px / code.modules
    sheet, sharp_px = _sheet(rng, (code, *others), module_px, conditions)
    sheet = _damaged(rng, sheet, sharp_px, conditions, strength)
    sheet_px = sheet.luma.shape[1]
    if rng.random() < 0.7:
        sheet = hands.holding(rng, sheet)
    matrix = _held(rng, sheet, width_px, (width, height), conditions, strength)
    light = _lit(rng, sheet, matrix, (width, height), conditions, strength)
    light = _blurred(rng, light, module_px, conditions, strength)
    if "moire" in conditions:
        pitch = sheet_px / float(rng.uniform(700, 1440))
        deep = 0.06 + 0.3 * strength["moire"]
        light = light * lens.moire((height, width), matrix, pitch, deep, deep * float(rng.uniform(0.1, 0.5)))
    luma = _developed(rng, light, sheet, matrix, conditions, strength)
    return Photograph(luma, symbology, code.text, tuple(conditions) or ("none",), others)


def _conditions(rng: Generator) -> list[str]:
    chosen = [name for name, share in CONDITIONS.items() if rng.random() < share]
    if _ON_SCREEN & set(chosen) and _ON_PAPER & set(chosen):
        chosen = [name for name in chosen if name not in (_ON_PAPER if rng.random() < 0.5 else _ON_SCREEN)]
    return chosen


def _code(rng: Generator, symbology: str) -> Code:
    text = make_text(rng, symbology)
    return draw(symbology, text, ecc=str(rng.choice(("l", "m", "q", "h"), p=(0.25, 0.5, 0.15, 0.1))))


def share_of_width(rng: Generator, symbology: str, small: bool) -> float:
    """Return how much of the frame's width the code takes: square ones 8 to 30 %, long ones about twice that."""
    low, high = (0.08, 0.12) if small else (0.12, 0.30)
    if symbology == "pdf417":
        low, high = 2.2 * low, 1.9 * high
    elif symbology in LINEAR:
        low, high = 2.0 * low, 1.8 * high
    elif symbology == "micro_qr":
        low, high = 0.6 * low, 0.8 * high
    return float(rng.uniform(low, high))


def _sheet(rng: Generator, codes: tuple[Code, ...], module_px: float, conditions: list[str]) -> tuple[Sheet, int]:
    """Return a carrier, drawn somewhat finer than it will be seen, and its pixels a module."""
    sharp_px = max(2, round(1.3 * module_px))
    inverted = "inverted" in conditions
    if _ON_SCREEN & set(conditions) or (not _ON_PAPER & set(conditions) and rng.random() < 0.55):
        return sheets.phone(rng, codes, sharp_px, inverted), sharp_px
    if len(codes) == 1 and rng.random() < 0.12:
        return sheets.wristband(rng, codes, sharp_px, inverted), sharp_px
    return sheets.paper(rng, codes, sharp_px, inverted), sharp_px


def _damaged(rng: Generator, sheet: Sheet, sharp_px: int, conditions: list[str], strength: dict[str, float]) -> Sheet:
    if "cracked" in conditions:
        sheet = damage.cracked(rng, sheet, strength["cracked"])
    if "crumpled" in conditions:
        sheet = damage.crumpled(rng, sheet, strength["crumpled"], sharp_px)
    if "curved" in conditions:
        sheet = damage.curved(rng, sheet, strength["curved"])
    return sheet


def _held(
    rng: Generator,
    sheet: Sheet,
    width_px: float,
    size: tuple[int, int],
    conditions: list[str],
    strength: dict[str, float],
) -> lens.Matrix:
    """Return how the sheet lies in the frame: its code whole, anywhere, most often near the middle."""
    roll = float(rng.normal(0, 0.1)) + (math.pi / 2 * int(rng.integers(0, 4)) if rng.random() < 0.2 else 0)
    yaw, pitch = (float(each) for each in rng.normal(0, 0.1, 2))
    if "turned" in conditions:
        roll = float(rng.uniform(0, 2 * math.pi))
    if "tilted" in conditions:
        lean, towards = 0.4 + 0.5 * strength["tilted"], float(rng.uniform(0, 2 * math.pi))
        yaw, pitch = lean * math.cos(towards), lean * math.sin(towards)
    for spread in (0.16, 0.1, 0.05, 0.0):
        x, y = (float(edge * (0.5 + rng.normal(0, spread))) for edge in size)
        matrix = lens.homography(lens.Pose(x, y, width_px, roll, yaw, pitch), sheet, size[0])
        if lens.inside(lens.mapped(sheet.corners, matrix), *size):
            return matrix
    narrow = min(width_px, 0.8 * size[1] * _slimness(sheet))
    return lens.homography(lens.Pose(size[0] / 2, size[1] / 2, narrow, roll, yaw, pitch), sheet, size[0])


def _slimness(sheet: Sheet) -> float:
    """Return the code's width over its diagonal: a code that is no longer than the frame is high fits at any angle."""
    corners = sheet.corners
    return float(np.linalg.norm(corners[1] - corners[0]) / np.linalg.norm(corners[2] - corners[0]))


def _lit(
    rng: Generator, sheet: Sheet, matrix: lens.Matrix, size: tuple[int, int], conditions: list[str],
    strength: dict[str, float],
) -> lens.Light:  # fmt: skip
    """Return the scene: what is behind, and the sheet before it, sampled twice as fine as the frame."""
    width, height = size
    behind = surroundings.busy(rng, width, height) if rng.random() < 0.75 else surroundings.plain(rng, width, height)
    light = np.asarray(cv2.GaussianBlur(behind, (0, 0), float(rng.uniform(1, 7))), dtype=np.float32)
    fine = np.diag([2.0, 2.0, 1.0]) @ matrix
    luma, mask = (
        cv2.resize(cv2.warpPerspective(each, fine, (2 * width, 2 * height)), size, interpolation=cv2.INTER_AREA)
        for each in (sheet.luma, sheet.mask)
    )
    front = np.asarray(luma, dtype=np.float32)
    if "uneven" in conditions:
        front *= lens.uneven(rng, (height, width), lens.mapped(sheet.corners, matrix), strength["uneven"])
    if "dim" in conditions:
        front = front * np.float32(0.45 - 0.33 * strength["dim"]) + np.float32(rng.uniform(8, 40))
    elif sheet.shines:
        front = front * np.float32(rng.uniform(0.75, 1.1)) + np.float32(rng.uniform(5, 25))
    cover = np.asarray(mask, dtype=np.float32) / 255
    return np.asarray(light + (front - light) * cover, dtype=np.float32)


def _blurred(
    rng: Generator, light: lens.Light, module_px: float, conditions: list[str], strength: dict[str, float]
) -> lens.Light:
    """Return the scene through the lens and the open shutter; the strong blurs go by the size of a module."""
    sigma = float(rng.uniform(0.5, 0.8))
    if "focus" in conditions:
        sigma = max(sigma, module_px * (0.2 + 0.4 * strength["focus"]))
    length = float(rng.uniform(0, 0.8))
    if "motion" in conditions:
        length = max(2.0, module_px * (0.6 + 1.4 * strength["motion"]))
    heading = float(rng.uniform(0, 2 * math.pi))
    light = lens.defocused(light, sigma, disc="focus" in conditions and bool(rng.integers(0, 2)))
    return lens.moved(light, length * math.cos(heading), length * math.sin(heading))


def _developed(
    rng: Generator, light: lens.Light, sheet: Sheet, matrix: lens.Matrix, conditions: list[str],
    strength: dict[str, float],
) -> Luma:  # fmt: skip
    gain, noise = float(rng.uniform(0.75, 1.1)), float(rng.uniform(0.5, 2))
    if "glare" in conditions:
        around = lens.mapped(sheet.corners, matrix)
        light = light + lens.glare(rng, (light.shape[0], light.shape[1]), around, strength["glare"])
    if "low_light" in conditions:
        gain, noise = 0.45 - 0.3 * strength["low_light"], 3 + 7 * strength["low_light"]
    luma = lens.exposed(rng, light, gain, noise)
    quality = int(12 + 28 * (1 - strength["jpeg"])) if "jpeg" in conditions else int(rng.integers(70, 96))
    return lens.from_jpeg(lens.as_jpeg(luma, quality))
