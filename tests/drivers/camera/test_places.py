"""Where something looks like a code."""

import math

import numpy as np
import pytest

from drivers.camera.places import Place, likely_places
from tests.drivers.camera.symbols import drawn, noisy, scene, turned


def the_likeliest(places: list[Place], look: str) -> Place:
    return next(place for place in places if place.look == look)


@pytest.mark.parametrize("degrees", [0, 12, 37, 45, 80, 90, 131, 170])
def test_bars_are_found_at_any_angle_and_their_angle_is_told(degrees: int) -> None:
    code = drawn("code128", "TKT7Q4M2291", 2)
    luma = noisy(turned(scene((code, 640 - code.shape[1] // 2, 360 - code.shape[0] // 2)), degrees), 4)
    place = the_likeliest(likely_places(luma), "bars")
    assert abs(math.remainder(place.angle + math.radians(degrees), math.pi)) < math.radians(1.5)
    assert math.dist((place.x, place.y), (640, 360)) < 12
    assert place.length == pytest.approx(code.shape[1] - 2 * 20, rel=0.12)


@pytest.mark.parametrize("kind", ["qr", "aztec", "data_matrix"])
def test_a_matrix_code_is_a_patch(kind: str) -> None:
    code = drawn(kind, "TKT-7Q4M-2291", 4)
    place = the_likeliest(likely_places(noisy(scene((code, 900, 120)), 4)), "patch")
    assert math.dist((place.x, place.y), (900 + code.shape[1] / 2, 120 + code.shape[0] / 2)) < 16
    for mine, its in zip(sorted((place.length, place.height)), sorted(code.shape), strict=True):
        assert 0.6 * its <= mine <= its + 48


def test_pdf417_is_rows_of_bars() -> None:
    code = drawn("pdf417", "TKT-7Q4M-2291", 2)
    luma = turned(scene((code, 640 - code.shape[1] // 2, 360 - code.shape[0] // 2)), 30)
    place = the_likeliest(likely_places(luma), "rows")
    assert abs(math.remainder(place.angle + math.radians(30), math.pi)) < math.radians(3)


def test_a_border_of_light_and_dark_is_no_place() -> None:
    luma = scene()
    luma[:, 600:] = 30
    luma[300:, :] = 240
    assert likely_places(noisy(luma, 4)) == []


def test_noise_and_blank_are_no_place() -> None:
    assert likely_places(noisy(scene(), 6)) == []
    assert likely_places(scene()) == []


@pytest.mark.parametrize("shape", [(1, 1), (31, 2000), (2000, 31), (32, 32), (33, 47), (1, 20000)])
def test_any_size_will_do(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert all(place.strength > 0 for place in likely_places(luma))


def test_how_much_of_the_bars_a_read_covers() -> None:
    place = Place(x=500, y=300, length=200, height=80, angle=math.radians(90), look="bars", strength=1)
    whole = ((460, 205), (460, 395), (540, 395), (540, 205))
    half = ((460, 205), (460, 295), (540, 295), (540, 205))
    beside = ((660, 205), (660, 395), (740, 395), (740, 205))
    assert place.share_of_length(whole) == pytest.approx(0.95)
    assert place.share_of_length(half) == pytest.approx(0.45)
    assert place.share_of_length(beside) is None
