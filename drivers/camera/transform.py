"""Turns and mirrors a camera's pictures, so that they are seen as people see the scene."""

from typing import Literal

import cv2
import numpy as np

from drivers.camera.frames import Frame, Luma

Rotation = Literal[0, 90, 180, 270]

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def turned(luma: Luma, rotate: Rotation, *, mirror: bool) -> Luma:
    """Return a picture turned clockwise by so many degrees, and then, if asked, with left and right exchanged."""
    if rotate:
        luma = np.asarray(cv2.rotate(luma, _TURNS[rotate]), dtype=np.uint8)
    return np.asarray(cv2.flip(luma, 1), dtype=np.uint8) if mirror else luma


class TurnedFrame:
    """A frame, turned and mirrored no earlier than it is looked at."""

    def __init__(self, frame: Frame, rotate: Rotation, *, mirror: bool) -> None:
        self._frame = frame
        self._rotate: Rotation = rotate
        self._mirror = mirror
        self._luma: Luma | None = None
        self.at_s = frame.at_s

    def glimpse(self) -> Luma:
        """Return it very small."""
        return turned(self._frame.glimpse(), self._rotate, mirror=self._mirror)

    def luma(self) -> Luma:
        """Return it whole."""
        if self._luma is None:
            self._luma = turned(self._frame.luma(), self._rotate, mirror=self._mirror)
        return self._luma
