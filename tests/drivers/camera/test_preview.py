"""Pictures for people are small, whatever they are made of."""

import cv2
import numpy as np
import pytest

from drivers.camera import preview
from drivers.camera.frames import Luma
from drivers.camera.preview import MOST_HEIGHT, MOST_JPEG_BYTES, MOST_LUMA_PIXELS

SHAPES = [(720, 1280), (1280, 720), (1, 1), (1, 30_000), (30_000, 1), (2_000, 3_000), (90, 160)]


def noise(shape: tuple[int, int]) -> Luma:
    """What packs worst."""
    return np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [1, 160, 480, 4_000])
def test_a_jpeg_fits_into_a_packet_and_is_no_wider_than_asked(shape: tuple[int, int], width: int) -> None:
    made = preview.jpeg(noise(shape), width)
    assert len(made.data) <= MOST_JPEG_BYTES
    unpacked = cv2.imdecode(np.frombuffer(made.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert unpacked is not None
    assert unpacked.shape == (made.height, made.width)
    assert 1 <= made.width <= min(width, shape[1])
    assert 1 <= made.height <= min(MOST_HEIGHT, shape[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [1, 160, 4_000])
def test_luma_is_one_byte_a_pixel_and_no_wider_than_asked(shape: tuple[int, int], width: int) -> None:
    made = preview.tiny(noise(shape), width)
    assert len(made.data) == made.width * made.height <= MOST_LUMA_PIXELS
    assert 1 <= made.width <= min(width, shape[1])


def test_proportions_and_brightness_are_kept() -> None:
    luma = np.zeros((720, 1280), np.uint8)
    luma[:, 640:] = 200
    made = preview.tiny(luma, 160)
    assert (made.width, made.height) == (160, 90)
    rows = np.frombuffer(made.data, np.uint8).reshape(90, 160)
    assert rows[:, :79].max() == 0
    assert rows[:, 81:].min() == 200


def test_a_picture_that_is_small_enough_is_left_as_it_is() -> None:
    luma = noise((90, 160))
    assert preview.shrunk(luma, 160) is luma
    assert preview.tiny(luma, 500).data == luma.tobytes()
