"""A picture as it comes from a camera, unpacked no further than it is looked at."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
"""A picture in grey, height by width; contiguous, and owning its memory."""

GLIMPSE_PX = 160
"""No glimpse is wider or higher."""


class Frame(Protocol):
    """One picture. Both views show it as people see it: turned and mirrored as the settings say."""

    @property
    def at_s(self) -> float:
        """When it came (CLOCK_MONOTONIC)."""

    def glimpse(self) -> Luma:
        """Return it very small, by the cheapest way there is: a JPEG is not unpacked whole for it."""

    def luma(self) -> Luma:
        """Return it whole."""


class ArrayFrame:
    """A frame that is at hand whole, as in benches and tests."""

    def __init__(self, luma: Luma, at_s: float) -> None:
        self._luma = luma
        self.at_s = at_s

    def glimpse(self) -> Luma:
        """Return every n-th pixel."""
        step = -(-max(self._luma.shape) // GLIMPSE_PX)
        return np.ascontiguousarray(self._luma[::step, ::step])

    def luma(self) -> Luma:
        """Return it whole."""
        return self._luma
