"""What tickets suffer before they are held to a camera: cracked glass, crumpled and curved paper."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.scenes.sheets import Sheet
from drivers.camera.frames import Luma


def cracked(rng: Generator, sheet: Sheet, strength: float) -> Sheet:
    """Return a screen with cracks running from where it was hit; strength 0 to 1."""
    luma = sheet.luma.copy()
    width = luma.shape[1]
    hit = sheet.corners.mean(axis=0) + rng.normal(0, width / 4, 2)
    thick = max(1, round(width / 400 * (0.5 + 1.5 * strength)))
    for _ in range(round(3 + 7 * strength)):
        points, heading = [hit], rng.uniform(0, 2 * np.pi)
        for _ in range(12):
            heading += rng.normal(0, 0.25)
            step = width * rng.uniform(0.06, 0.14)
            points.append(points[-1] + step * np.array([np.cos(heading), np.sin(heading)]))
        grey = int(rng.integers(0, 60)) if rng.random() < 0.4 else int(rng.integers(150, 256))
        line = np.array(points).round().astype(np.int32)
        cv2.polylines(luma, [line], False, (grey,), thick, cv2.LINE_AA)
        if rng.random() < 0.4:
            cv2.polylines(luma, [line + thick], False, (255 - grey,), max(1, thick // 2), cv2.LINE_AA)
    return replace(sheet, luma=luma)


def _waves(rng: Generator, shape: tuple[int, ...], folds: int) -> NDArray[np.float32]:
    """Return smooth hills and valleys, about -1 to 1."""
    seeds = rng.normal(0, 0.5, (folds, folds)).astype(np.float32)
    grown = cv2.resize(seeds, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, dtype=np.float32)


def crumpled(rng: Generator, sheet: Sheet, strength: float, module_px: float) -> Sheet:
    """Return paper that was in a pocket: its points shifted by up to about a module, its slopes in light and shade."""
    height, width = sheet.luma.shape
    folds = int(rng.integers(4, 9))
    hills = _waves(rng, sheet.luma.shape, folds)
    reach = module_px * (0.3 + 1.0 * strength)
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    xs += reach * _waves(rng, sheet.luma.shape, folds)
    ys += reach * _waves(rng, sheet.luma.shape, folds)
    moved = cv2.remap(sheet.luma, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    slope = np.asarray(cv2.Sobel(hills, cv2.CV_32F, 1, 1, ksize=3), dtype=np.float32)
    slope /= max(1e-6, float(np.abs(slope).max()))
    shade = 1 + (0.1 + 0.4 * strength) * slope + (0.05 + 0.25 * strength) * np.clip(hills, -1, 1)
    return replace(sheet, luma=_bytes(moved * shade))


def curved(rng: Generator, sheet: Sheet, strength: float) -> Sheet:
    """Return paper bent as over a wrist or a bottle: narrower towards both ends of one axis, and darker."""
    height, width = sheet.luma.shape
    across = bool(rng.integers(0, 2))
    centre = sheet.corners.mean(axis=0)
    code_px = float(np.ptp(sheet.corners[:, 0] if across else sheet.corners[:, 1]))
    radius = code_px / (0.5 + 1.1 * strength)
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bent = xs - np.float32(centre[0]) if across else ys - np.float32(centre[1])
    sine = np.clip(bent / np.float32(radius), -0.97, 0.97)
    flat = np.arcsin(sine) * np.float32(radius)
    if across:
        xs = flat + np.float32(centre[0])
    else:
        ys = flat + np.float32(centre[1])
    moved = cv2.remap(sheet.luma, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return replace(sheet, luma=_bytes(moved * (0.35 + 0.65 * np.sqrt(1 - sine**2))))


def _bytes(light: NDArray[Any]) -> Luma:
    return np.ascontiguousarray(np.clip(light, 0, 255), dtype=np.uint8)
