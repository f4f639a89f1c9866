"""Where in a picture something looks like a code, told by its edges: cheap beside decoding, and no code is read by it.

A code is a patch of edges, dense, and as many of them rising as falling; the border of a table or of a sleeve only
rises or only falls. Where all edges of a patch run one way it is bars, and how they run is known, so that they can be
turned upright: a decoder looks along rows and columns, and meets few bars whole that lie at a slant.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.frames import Luma

_CELL_PX: Final = 8
_MOST_CELLS: Final = 160
"""Edges are summed up over squares of this size, in a wide picture larger ones."""
_LEAST_EDGE: Final = 10.0
"""Mean change of brightness over two pixels, right and down together, below which a square is blank."""
_MOST_NOISE: Final = 15.0
_ABOVE_NEIGHBOURS: Final = 1.1
_NEIGHBOURS: Final = 41
_ONE_WAY: Final = 0.6
_RATHER_ONE_WAY: Final = 0.3
_BALANCED: Final = 0.65
_LEAST_CELLS: Final = 6
_LEAST_LENGTH: Final = 3.0
"""In squares; a single edge, which rises or falls within two of them, may still seem to do both."""
_AT_AN_ANGLE: Final = 0.1
_MIDDLE_PX: Final = 64
_NEAR: Final = math.radians(15)
_PUREST: Final = {"bars": 0.5, "rows": 0.3, "patch": 0.0}

Look = Literal["bars", "rows", "patch"]

_Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Place:
    """A patch of edges: a rectangle in pixels about (`x`, `y`), turned by `angle` (radians, from right to down).

    `length` goes along `angle`, which is across the bars where there are `bars`; `height` is at right angles to it.
    """

    x: float
    y: float
    length: float
    height: float
    angle: float
    look: Look
    strength: float
    """How much of an edge there is in all of it; it orders the places of one picture."""

    def share_of_length(self, corners: Sequence[tuple[float, float]]) -> float | None:
        """Return how much of the length a figure covers, its corners in pixels; None: its middle lies elsewhere."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        along = [(x - self.x) * cosine + (y - self.y) * sine for x, y in corners]
        beside = [(y - self.y) * cosine - (x - self.x) * sine for x, y in corners]
        if 2 * abs(_mean(along)) > self.length or 2 * abs(_mean(beside)) > self.height:
            return None
        return (max(along) - min(along)) / self.length


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class _Edges:
    """The edges of a picture, as means over squares.

    How far the brightness changes over two pixels, whichever way, is summed up in four directions. Bars change it most
    across themselves and nothing along themselves, so that the four tell how they run.
    """

    def __init__(self, luma: Luma) -> None:
        height, width = luma.shape
        self.luma = luma
        self.cell_px = max(_CELL_PX, -(-width // _MOST_CELLS))
        size = (max(1, width // self.cell_px), max(1, height // self.cell_px))

        def summed(values: Luma) -> _Map:
            return _blurred(np.asarray(_shrunk(values, size), dtype=np.float32))

        # Every second row will do, as these are sums, but the differences are between neighbours.
        above, level, below = luma[:-2:2], luma[1:-1:2], luma[2::2]
        rows = min(len(above), len(level), len(below))
        above, level, below = above[:rows], level[:rows], below[:rows]
        right = summed(_change(level[:, 2:], level[:, :-2]))
        down = summed(_change(below, above))
        falling = summed(_change(below[:, 2:], above[:, :-2]))
        rising = summed(_change(above[:, 2:], below[:, :-2]))
        self.strength = right + down
        tiny = np.float32(1e-3)
        self.lean = (right**2 - down**2) / (right**2 + down**2 + tiny)
        self.slant = (falling**2 - rising**2) / (falling**2 + rising**2 + tiny)
        one_way = np.hypot(self.lean, self.slant)
        # What is left of the changes when rising and falling ones cancel is what changes from square to square.
        means = np.asarray(_shrunk(level, size), dtype=np.float32)
        left_over = (np.abs(_blurred(_slope(means, 1))) + np.abs(_blurred(_slope(means, 0)))) * (2 / self.cell_px)
        noise = min(_MOST_NOISE, float(np.sort(self.strength, axis=None)[self.strength.size // 5]))
        around = cv2.blur(self.strength, (_NEIGHBOURS, _NEIGHBOURS))
        dense = self.strength > np.maximum(_LEAST_EDGE, _ABOVE_NEIGHBOURS * around)
        self.patchy = dense & (left_over < _BALANCED * (self.strength - noise))
        self.barred = self.patchy & (one_way > _ONE_WAY)
        self.rowed = self.patchy & (one_way > _RATHER_ONE_WAY)


def _blurred(values: _Map) -> _Map:
    return np.asarray(cv2.blur(values, (3, 3)), dtype=np.float32)


def _change(one: Luma, other: Luma) -> Luma:
    return np.asarray(cv2.absdiff(one, other), dtype=np.uint8)


def _shrunk(values: Luma, size: tuple[int, int]) -> Luma:
    """Return the means over squares: by halves as far as that goes, for which OpenCV has a much faster way."""
    while values.shape[1] >= 2 * size[0] and values.shape[0] >= 2 * size[1]:
        half = (values.shape[1] // 2, values.shape[0] // 2)
        even = values[: 2 * half[1], : 2 * half[0]]
        values = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _slope(values: _Map, axis: int) -> _Map:
    """Return by how much the values rise from one square to the next, along an axis."""
    kernel = np.array([[-0.5, 0.0, 0.5]], dtype=np.float32)
    return np.asarray(cv2.filter2D(values, -1, kernel if axis == 1 else kernel.T), dtype=np.float32)


def likely_places(luma: Luma, most: int = 4) -> list[Place]:
    """Return where codes may be: bars first, then what may be rows of bars, then any patch; at most so many of each."""
    if min(luma.shape) < 4 * _CELL_PX:
        return []
    edges = _Edges(luma)
    looks: tuple[tuple[Look, NDArray[np.bool_]], ...] = (
        ("bars", edges.barred),
        ("rows", edges.rowed),
        ("patch", edges.patchy),
    )
    places: list[Place] = []
    for look, mask in looks:
        same = [place for cells in _patches(mask, look, 2 * most) if (place := _place(edges, *cells, look))]
        places += sorted(same, key=lambda each: each.strength, reverse=True)[:most]
    return places


def _patches(mask: NDArray[np.bool_], look: Look, most: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the rows and the columns of the squares of the largest patches."""
    # Between broad bars there are squares without an edge.
    bridged = np.ones((3, 3) if look == "patch" else (5, 5), np.uint8)
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, bridged)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    patches = []
    for number in np.argsort(-areas)[:most] + 1:
        left, top, width, height, area = (int(value) for value in stats[number])
        if area >= _LEAST_CELLS:
            rows, columns = np.nonzero(labels[top : top + height, left : left + width] == number)
            patches.append((rows + top, columns + left))
    return patches


def _place(edges: _Edges, rows: NDArray[np.intp], columns: NDArray[np.intp], look: Look) -> Place | None:
    """Return the rectangle about a patch; None for one that cannot be a code after all."""
    weight = edges.strength[rows, columns]
    lean = float((edges.lean[rows, columns] * weight).sum())
    slant = float((edges.slant[rows, columns] * weight).sum())
    purity = math.hypot(lean, slant) / float(weight.sum())
    if purity < _PUREST[look]:
        return None
    bars = look == "bars"
    # A patch as wide as a ticket lies as most of its edges do, which are those of its lines of text.
    angle = 0.5 * math.atan2(slant, lean) if purity > _AT_AN_ANGLE else 0.0
    angle = angle if look == "patch" else _angle(edges, columns, rows, angle)
    along, beside = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
    x, y = columns + 0.5, rows + 0.5
    first, last = _spread(x * along[0] + y * along[1], 0.01)
    low, high = _spread(x * beside[0] + y * beside[1], 0.05 if bars else 0.01)
    if last - first < _LEAST_LENGTH or (look == "patch" and high - low < _LEAST_LENGTH):
        return None
    middle, level = (first + last) / 2, (low + high) / 2
    strength = float(weight.sum()) * (purity if bars else 1.0)
    return Place(
        x=float(middle * along[0] + level * beside[0]) * edges.cell_px,
        y=float(middle * along[1] + level * beside[1]) * edges.cell_px,
        length=float(last - first + 1) * edges.cell_px,
        height=float(high - low + 1) * edges.cell_px,
        angle=angle,
        look=look,
        strength=strength,
    )


def _angle(edges: _Edges, columns: NDArray[np.intp], rows: NDArray[np.intp], about: float) -> float:
    """Return across which angle the edges in the middle of a patch run; the squares tell it only `about` right."""
    x, y = (round((float(np.mean(each)) + 0.5) * edges.cell_px) for each in (columns, rows))
    middle = edges.luma[max(0, y - _MIDDLE_PX) : y + _MIDDLE_PX, max(0, x - _MIDDLE_PX) : x + _MIDDLE_PX]
    right, down = (cv2.Scharr(middle, cv2.CV_32F, *axes) for axes in ((1, 0), (0, 1)))
    lean, slant = float(np.vdot(right, right) - np.vdot(down, down)), 2 * float(np.vdot(right, down))
    exact = 0.5 * math.atan2(slant, lean)
    # Where the middle holds something else, such as a logo among the bars, the squares are nearer to the truth.
    return exact if abs(math.remainder(exact - about, math.pi)) < _NEAR else about


def _spread(values: NDArray[np.float64], left_out: float) -> tuple[float, float]:
    """Return between what most of the values lie: all but this share at either end."""
    ordered = np.sort(values)
    at = round(left_out * (len(ordered) - 1))
    return float(ordered[at]), float(ordered[-1 - at])
