"""From a sheet in space to the light on a sensor: pose, blur, reflections, moiré, noise, and the JPEG at the end."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.scenes.sheets import Points, Sheet
from drivers.camera.frames import Luma

Light = NDArray[np.float32]
"""A picture before the sensor has limited it: 0 is black, 255 full."""

Matrix = NDArray[np.float64]
"""A homography, 3 by 3."""

_FOCAL = 1.1
"""Focal length over the frame's width: about 49 degrees across, as webcams have."""


@dataclass(frozen=True)
class Pose:
    """Where a sheet is held. Angles in radians; the centre and the width, in pixels, are those of its code."""

    x: float
    y: float
    width: float
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0


def homography(pose: Pose, sheet: Sheet, frame_width: int) -> Matrix:
    """Return the matrix from the sheet's pixels to the frame's, for a pinhole camera."""
    turned = _turn(pose.yaw, 0, 2) @ _turn(pose.pitch, 2, 1) @ _turn(pose.roll, 1, 0)
    focal = _FOCAL * frame_width
    scale = pose.width / float(np.linalg.norm(sheet.corners[1] - sheet.corners[0]))
    middle = sheet.corners.mean(axis=0)
    plane = np.column_stack((turned[:, 0] * scale, turned[:, 1] * scale, np.array([0, 0, focal])))
    to_middle = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1]])
    projection = np.array([[focal, 0, pose.x], [0, focal, pose.y], [0, 0, 1]])
    return np.asarray(projection @ plane @ to_middle, dtype=np.float64)


def _turn(angle: float, one: int, other: int) -> Matrix:
    """Return a rotation in the plane of two axes."""
    matrix = np.eye(3)
    matrix[one, one] = matrix[other, other] = math.cos(angle)
    matrix[one, other], matrix[other, one] = math.sin(angle), -math.sin(angle)
    return matrix


def mapped(points: Points, matrix: Matrix) -> Points:
    """Return points of the sheet as points of the frame."""
    ahead = np.column_stack((points, np.ones(len(points)))) @ matrix.T
    return np.asarray(ahead[:, :2] / ahead[:, 2:], dtype=np.float64)


def inside(points: Points, width: int, height: int, margin: float = 2.0) -> bool:
    """Tell whether all points lie in the frame."""
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((low >= margin).all() and high[0] < width - margin and high[1] < height - margin)


def motion_kernel(dx: float, dy: float) -> NDArray[np.float32]:
    """Return the kernel of a point that goes this far, in pixels, while the shutter is open."""
    reach = max(1, math.ceil(max(abs(dx), abs(dy)) / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    fine = 16
    ends = [(round((reach + sign * d / 2) * fine) for d in (dx, dy)) for sign in (-1, 1)]
    start, end = (tuple(each) for each in ends)
    cv2.line(kernel, start, end, (1.0,), 1, cv2.LINE_AA, 4)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def moved(luma: NDArray[np.float32], dx: float, dy: float) -> Light:
    """Return a picture blurred by motion."""
    if math.hypot(dx, dy) < 0.7:
        return luma
    return np.asarray(cv2.filter2D(luma, -1, motion_kernel(dx, dy)), dtype=np.float32)


def defocused(light: Light, sigma: float, disc: bool) -> Light:
    """Return a picture out of focus; disc: as a wide aperture does, with hard circles in place of soft ones."""
    if sigma < 0.3:
        return light
    if not disc:
        return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), dtype=np.float32)
    radius = 2 * sigma
    reach = math.ceil(radius)
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(xs, ys), 0, 1).astype(np.float32)
    return np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum()), dtype=np.float32)


def moire(shape: tuple[int, int], matrix: Matrix, pitch: float, across: float, down: float) -> Light:
    """Return what a screen's pixels do to the light where a sensor samples them: stripes around 1.

    `pitch` is the sheet's pixels in one of the screen's; `across` and `down` are how deep its grid goes.
    """
    height, width = shape
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    bulge = 1 + 0.01 * (((xs - width / 2) ** 2 + (ys - height / 2) ** 2) / width**2)
    xs, ys = width / 2 + (xs - width / 2) * bulge, height / 2 + (ys - height / 2) * bulge
    back = np.linalg.inv(matrix)
    depth = back[2, 0] * xs + back[2, 1] * ys + back[2, 2]
    u = (back[0, 0] * xs + back[0, 1] * ys + back[0, 2]) / (depth * pitch)
    v = (back[1, 0] * xs + back[1, 1] * ys + back[1, 2]) / (depth * pitch)
    return np.asarray(1 + across * np.cos(2 * np.pi * u) + down * np.cos(2 * np.pi * v), dtype=np.float32)


def glare(rng: Generator, shape: tuple[int, int], around: Points, strength: float) -> Light:
    """Return the light of lamps mirrored on the sheet: a soft spot, or the strip of a tube, near the code."""
    height, width = shape
    low, high = around.min(axis=0), around.max(axis=0)
    size = float((high - low).max())
    at = (low + high) / 2 + rng.uniform(-0.55, 0.55, 2) * (high - low)
    spot = np.zeros((height // 4, width // 4), dtype=np.float32)
    centre = (round(at[0] / 4), round(at[1] / 4))
    long = size * rng.uniform(0.06, 0.16) * (1 + strength) / 4
    axes = (max(1, round(long * (rng.uniform(3, 8) if rng.random() < 0.4 else 1))), max(1, round(long)))
    cv2.ellipse(spot, centre, axes, float(rng.uniform(0, 180)), 0, 360, (1.0,), -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(spot, (0, 0), max(1.0, long * rng.uniform(0.3, 1.2)))
    halo = cv2.GaussianBlur(spot, (0, 0), max(2.0, size / 12))
    light = cv2.resize(soft + 0.5 * halo, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(light * (120 + 200 * strength), dtype=np.float32)


def uneven(rng: Generator, shape: tuple[int, int], around: Points, strength: float) -> Light:
    """Return light that falls off across the frame, with the edge of a shadow through the code; 1 is full."""
    height, width = shape
    ends = rng.uniform(1 - 0.8 * strength, 1.1, (2, 3)).astype(np.float32)
    field = np.asarray(cv2.resize(ends, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    low, high = around.min(axis=0), around.max(axis=0)
    through = (low + high) / 2 + rng.uniform(-0.3, 0.3, 2) * (high - low)
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    beyond = (xs - through[0]) * math.cos(angle) + (ys - through[1]) * math.sin(angle)
    shadow = 1 - (0.3 + 0.5 * strength) / (1 + np.exp(-np.clip(beyond / rng.uniform(2, 20), -30, 30)))
    return np.asarray(np.clip(field, 0.05, 1.3) * shadow, dtype=np.float32)


def exposed(rng: Generator, light: Light, gain: float, noise: float) -> Luma:
    """Return what the sensor makes of the light: shot noise, read noise, and its limits."""
    signal = np.clip(light * gain, 0, 400)
    grain = rng.standard_normal(light.shape, dtype=np.float32)
    noisy = signal + grain * np.sqrt(noise**2 + signal * (0.02 + 0.05 * noise))
    return np.ascontiguousarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def as_jpeg(luma: Luma, quality: int) -> bytes:
    """Return a picture as a camera packs it."""
    done, packed = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return packed.tobytes()


def from_jpeg(packed: bytes, reduced: bool = False) -> Luma:
    """Return a packed picture in grey; reduced: an eighth as wide, for an eighth of the work or less."""
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 if reduced else cv2.IMREAD_GRAYSCALE
    luma = cv2.imdecode(np.frombuffer(packed, dtype=np.uint8), flags)
    assert luma is not None
    return np.ascontiguousarray(luma, dtype=np.uint8)
