"""Pictures are turned as the settings say: clockwise, and then mirrored."""

import numpy as np
import pytest

from drivers.camera.frames import ArrayFrame, Frame, Luma
from drivers.camera.transform import Rotation, TurnedFrame, turned

PICTURE: Luma = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
TURNED: dict[tuple[Rotation, bool], list[list[int]]] = {
    (0, False): [[1, 2, 3], [4, 5, 6]],
    (90, False): [[4, 1], [5, 2], [6, 3]],
    (180, False): [[6, 5, 4], [3, 2, 1]],
    (270, False): [[3, 6], [2, 5], [1, 4]],
    (0, True): [[3, 2, 1], [6, 5, 4]],
    (90, True): [[1, 4], [2, 5], [3, 6]],
    (180, True): [[4, 5, 6], [1, 2, 3]],
    (270, True): [[6, 3], [5, 2], [4, 1]],
}


@pytest.mark.parametrize(("rotate", "mirror"), sorted(TURNED))
def test_a_picture_is_turned_and_then_mirrored(rotate: Rotation, mirror: bool) -> None:
    made = turned(PICTURE, rotate, mirror=mirror)
    assert made.tolist() == TURNED[rotate, mirror]
    assert made.flags.c_contiguous


@pytest.mark.parametrize(("rotate", "mirror"), sorted(TURNED))
def test_a_frame_and_its_glimpse_are_turned_alike(rotate: Rotation, mirror: bool) -> None:
    frame: Frame = TurnedFrame(ArrayFrame(PICTURE, 1.5), rotate, mirror=mirror)
    assert frame.at_s == 1.5
    assert frame.luma().tolist() == frame.glimpse().tolist() == TURNED[rotate, mirror]
    assert frame.luma() is frame.luma()
