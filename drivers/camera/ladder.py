"""The steps of decoding a picture, by rising cost: what is made of it, and how hard a decoder then looks at that."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import cv2
import numpy as np

from drivers.camera.decoder import ALL, Effort, Found, Placing, decode
from drivers.camera.frames import Luma
from drivers.camera.messages import Point
from drivers.camera.places import Look, Place, likely_places
from drivers.camera.symbologies import Shape, of_shape, symbology

MOST_WIDTH_PX: Final = 3000
"""Nothing is enlarged to more."""
_BANDS: Final = 8
_ENLARGED_PX: Final = 2_200_000
_SMALL_PX: Final = 900
_MOST_FACTOR: Final = 8.0
_FEW_BANDS: Final = 3
_WHOLE: Final = 0.75
_SHAPES: Final[dict[Look, tuple[Shape, ...]]] = {"rows": ("stacked",), "patch": ("matrix", "stacked")}


@dataclass(frozen=True)
class View:
    """What is looked at: a picture, or the part of it in which codes are looked for."""

    luma: Luma = field(repr=False)
    kinds: tuple[str, ...]
    """The symbologies that are looked for."""
    placing: Placing
    """Of `luma` in the shown picture."""

    @cached_property
    def places(self) -> list[Place]:
        """Return where something looks like a code."""
        return likely_places(self.luma)

    def decoded(self, luma: Luma, kinds: tuple[str, ...], effort: Effort, placing: Placing, step: str) -> list[Found]:
        """Look for the symbologies `kinds` in an array that was made of this, and lies in it as `placing` says."""
        found = decode(luma, kinds, effort, self.placing.within(placing), step) if kinds else []
        return [self.measured(each) if symbology(each.sighting.kind).shape == "linear" else each for each in found]

    def measured(self, found: Found) -> Found:
        """Return a code of bars with what is known of whether it is whole: half an ITF reads as a shorter one."""
        corners = [self._pixel(corner) for corner in found.sighting.outline]
        shares = [place.share_of_length(corners) for place in self.places if place.look == "bars"]
        known = [share for share in shares if share is not None]
        return replace(found, whole=max(known) > _WHOLE if known else None)

    def _pixel(self, shown: Point) -> Point:
        (left, top), (across, _), (_, down) = self.placing.origin, self.placing.across, self.placing.down
        return ((shown[0] - left) / across, (shown[1] - top) / down)


def view_of(luma: Luma, kinds: tuple[str, ...]) -> View:
    """Return the view of a whole picture."""
    height, width = luma.shape
    return View(luma, kinds, Placing((0.0, 0.0), (1 / max(1, width), 0.0), (0.0, 1 / max(1, height))))


@dataclass(frozen=True, slots=True)
class Step:
    """One way of looking."""

    name: str
    look: Callable[[View], list[Found]]


def _whole(name: str, prepare: Callable[[Luma], Luma], effort: Effort) -> Step:
    def look(view: View) -> list[Found]:
        luma = prepare(view.luma)
        across, down = view.luma.shape[1] / max(1, luma.shape[1]), view.luma.shape[0] / max(1, luma.shape[0])
        placing = Placing((0.0, 0.0), (across, 0.0), (0.0, down))
        return view.decoded(luma, view.kinds, effort, placing, name)

    return Step(name, look)


def scaled(luma: Luma, factor: float) -> Luma:
    """Return the picture smaller, each pixel the mean of those that it stands for, or larger."""
    size = (max(1, round(luma.shape[1] * factor)), max(1, round(luma.shape[0] * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(luma, size, interpolation=how), dtype=np.uint8)


def narrowed(luma: Luma, width: int) -> Luma:
    """Return the picture at most `width` pixels wide."""
    return luma if luma.shape[1] <= width else scaled(luma, width / luma.shape[1])


def softened(luma: Luma) -> Luma:
    """Return the picture with each pixel the mean of nine, which takes out noise and a screen's pixel grid."""
    return np.asarray(cv2.blur(luma, (3, 3)), dtype=np.uint8)


def _turned_upright(luma: Luma, place: Place, wide: float, high: float, scale: float) -> tuple[Luma, Placing]:
    """Return the rectangle about a place, `wide` along its length and `high` along its height, so many times larger."""
    scale = min(scale, MOST_WIDTH_PX / wide, MOST_WIDTH_PX / high)
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    along = (math.cos(place.angle) * wide / size[0], math.sin(place.angle) * wide / size[0])
    beside = (-math.sin(place.angle) * high / size[1], math.cos(place.angle) * high / size[1])
    origin = (
        place.x - (along[0] * size[0] + beside[0] * size[1]) / 2,
        place.y - (along[1] * size[0] + beside[1] * size[1]) / 2,
    )
    matrix = np.array([[along[0], beside[0], origin[0]], [along[1], beside[1], origin[1]]])
    turned = cv2.warpAffine(
        luma, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(turned, dtype=np.uint8), Placing(origin, along, beside)


def _bars(name: str, bands: int, scale: float) -> Step:
    """Return the step that turns bars upright and takes the mean along them, which noise does not survive."""

    def look(view: View) -> list[Found]:
        kinds = of_shape(view.kinds, "linear")
        found: list[Found] = []
        for place in view.places if kinds else ():
            if place.look == "bars":
                turned, placing = _turned_upright(view.luma, place, 1.3 * place.length + 32, 0.9 * place.height, scale)
                few = min(bands, turned.shape[0])
                flat = cv2.resize(turned, (turned.shape[1], few), interpolation=cv2.INTER_AREA)
                # Each twice, because a decoder of bars wants two rows alike before it believes them.
                twice = np.repeat(np.asarray(flat, dtype=np.uint8), 2, axis=0)
                tall = turned.shape[0] / twice.shape[0]
                flat_placing = Placing(placing.origin, placing.across, (placing.down[0] * tall, placing.down[1] * tall))
                # Light bars on dark, as screens show them at night, a decoder of bars leaves to others.
                for each in (twice, np.bitwise_not(twice)):
                    found += view.decoded(each, kinds, Effort(invert=False), flat_placing, name)
        return [replace(each, careful=True) for each in found]

    return Step(name, look)


def _close(name: str, most: int, width: int, scale: float) -> Step:
    """Return the step that turns upright, and enlarges, what looks most like a code: so many places of each look.

    They are made up to `width` pixels wide, and up to `scale` times larger.
    """

    def look(view: View) -> list[Found]:
        found: list[Found] = []
        for look, shapes in _SHAPES.items():
            kinds = of_shape(view.kinds, *shapes)
            places = [place for place in view.places if place.look == look and kinds]
            for place in places[:most]:
                wide, high = 1.3 * place.length + 32, 1.3 * place.height + 32
                turned, placing = _turned_upright(view.luma, place, wide, high, min(scale, max(1.0, width / wide)))
                found += view.decoded(turned, kinds, Effort(rotate=look == "patch"), placing, name)
        return found

    return Step(name, look)


def _larger(view: View) -> list[Found]:
    """Look at the picture enlarged; a small one gets a margin, as it may have been cut so close that it has none."""
    longest = max(view.luma.shape)
    if view.luma.size > _ENLARGED_PX:
        return []
    margin = longest // 10 + 2 if longest <= _SMALL_PX else 0
    framed = cv2.copyMakeBorder(view.luma, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(255,))
    factor = max(1.5, min(_MOST_FACTOR, _SMALL_PX / longest))
    larger = scaled(np.asarray(framed, dtype=np.uint8), factor)
    across, down = framed.shape[1] / larger.shape[1], framed.shape[0] / larger.shape[0]
    placing = Placing((-margin, -margin), (across, 0.0), (0.0, down))
    return view.decoded(larger, view.kinds, ALL, placing, "larger")


FIRST: Final = _whole("640", lambda luma: narrowed(luma, 640), Effort())
"""Cheap enough for every frame."""

_BARS: Final = _bars("bars", _BANDS, 2.0)
_CLOSE: Final = _close("close", 1, 500, 2.0)
_MIDDLE: Final = _whole("960", lambda luma: narrowed(luma, 960), ALL)
_NATIVE: Final = _whole("native", lambda luma: luma, ALL)

COSTLIER: Final = (_BARS, _whole("soft", softened, Effort()), _CLOSE, _MIDDLE, _NATIVE)
"""One at a time in turn, where the first finds nothing."""

THOROUGH: Final = (
    _NATIVE,
    _whole("soft", softened, ALL),
    _MIDDLE,
    FIRST,
    Step("larger", _larger),
    _close("close", 4, 1600, 2.0),
    _BARS,
    _bars("broad", _FEW_BANDS, 3.0),
)
"""All of them, for a still picture."""
