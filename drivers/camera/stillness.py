"""Whether anything moved between two pictures, told from glimpses of them. Pure.

What does not count: the noise of a sensor, light that flickers (with a rolling shutter it lies over the picture as
bands along its rows, or along its columns where the picture is turned), and the exposure that follows the light.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.frames import Luma

BLOCK_PX: Final = 4
"""Pixels of a glimpse are averaged over squares of this width."""
LEAST_LEVELS: Final = 5.0
"""A smaller change of a square's brightness, of 255 levels, is never movement."""
_DARK_LEVELS: Final = 16.0
_BRIGHT_LEVELS: Final = 200.0
_BRIGHTEST_LEVELS: Final = 245.0
_SIGMAS_ONE: Final = 9.0
_SIGMAS_FEW: Final = 6.0
_FEW: Final = 3
_MOST_NOISE: Final = 4.0
"""What changes all squares by more, in levels, is another scene: each is a mean, so that a sensor's noise is less."""
_MEDIAN_OF_NORMAL: Final = 0.6745
"""The median of a normal distribution's absolute values, in standard deviations."""

_Levels = NDArray[np.float32]


class Stillness:
    """Compares each glimpse with the one that was last kept."""

    def __init__(self) -> None:
        self._kept: _Levels | None = None
        self._newest: _Levels | None = None

    def moved(self, glimpse: Luma) -> bool:
        """Tell whether `glimpse` shows anything else than the one that was kept."""
        self._newest = _squares(glimpse)
        if self._kept is None or self._kept.shape != self._newest.shape:
            return True
        return _differs(self._kept, self._newest)

    def keep(self) -> None:
        """Compare with the newest glimpse from now on."""
        self._kept = self._newest


def _squares(glimpse: Luma) -> _Levels:
    height, width = glimpse.shape
    size = (max(1, width // BLOCK_PX), max(1, height // BLOCK_PX))
    return np.asarray(cv2.resize(glimpse, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _differs(kept: _Levels, newest: _Levels) -> bool:
    # Light and exposure multiply, so that in logarithms they add the same amount to all that they fall upon.
    dark = np.float32(_DARK_LEVELS)
    change = np.log((newest + dark) / (kept + dark))
    level = np.minimum(newest, kept) + dark
    # What is too bright for the sensor does not follow the light.
    level[(np.maximum(newest, kept) > _BRIGHTEST_LEVELS) & (level > _BRIGHT_LEVELS)] = 0.0
    return all(_stands_out((change - _middles(change, axis)) * level) for axis in (0, 1))


def _middles(values: _Levels, axis: int) -> _Levels:
    """Return the median along an axis: np.median takes five times as long, and an idle scene costs little else."""
    ordered = np.sort(values, axis=axis)
    return ordered.take([values.shape[axis] // 2], axis=axis)


def _stands_out(levels: _Levels) -> bool:
    """Tell whether some squares changed more than the noise does, which changes them all a little."""
    size = np.sort(np.abs(levels), axis=None)
    noise = min(_MOST_NOISE, float(size[len(size) // 2]) / _MEDIAN_OF_NORMAL)
    few = float(size[-min(_FEW, len(size))])
    return float(size[-1]) > max(LEAST_LEVELS, _SIGMAS_ONE * noise) or few > max(LEAST_LEVELS, _SIGMAS_FEW * noise)
