"""What counts as movement, and what is only light and noise."""

import math

import cv2
import numpy as np
import pytest

from drivers.camera.frames import Luma
from drivers.camera.stillness import Stillness

HEIGHT, WIDTH = 90, 160


def a_room(seed: int = 4) -> Luma:
    """Return a glimpse of something with dark and light parts."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 230, (9, 16), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def seen(luma: Luma, noise: float = 3.0, gain: float = 1.0, bands: float = 0.0, phase: float = 0.0) -> Luma:
    """Return it as a sensor sees it; `bands` is how deep a lamp's flicker lies over the rows."""
    rows = 1 + bands * np.sin(2 * math.pi * (np.arange(HEIGHT) / 37 + phase))
    grain = np.random.default_rng(round(1000 * (phase + gain + noise))).normal(0, noise, luma.shape)
    return np.clip(luma * gain * rows[:, None] + grain, 0, 255).astype(np.uint8)


def moved(kept: Luma, newest: Luma) -> bool:
    stillness = Stillness()
    assert stillness.moved(kept)
    stillness.keep()
    return stillness.moved(newest)


@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0, 12.0])
def test_the_noise_of_a_sensor_is_no_movement(noise: float) -> None:
    stillness = Stillness()
    stillness.moved(seen(a_room(), noise))
    stillness.keep()
    assert not any(stillness.moved(seen(a_room(), noise, phase=number)) for number in range(1, 200))


@pytest.mark.parametrize("turned", [False, True])
def test_light_that_flickers_is_no_movement(turned: bool) -> None:
    lit = [seen(a_room(), bands=0.1, phase=number / 7) for number in range(20)]
    if turned:
        lit = [np.ascontiguousarray(np.rot90(each)) for each in lit]
    assert not any(moved(lit[0], each) for each in lit[1:])


@pytest.mark.parametrize("gain", [0.85, 0.95, 1.05])
def test_exposure_that_follows_the_light_is_no_movement(gain: float) -> None:
    assert not moved(seen(a_room()), seen(a_room(), gain=gain))


def test_a_small_ticket_that_comes_in_is_movement() -> None:
    changed = a_room()
    changed[40:53, 70:83] = 240
    changed[42:51:2, 72:81] = 20
    assert moved(seen(a_room()), seen(changed))


def test_a_ticket_that_fills_the_picture_is_movement() -> None:
    changed = np.full((HEIGHT, WIDTH), 230, np.uint8)
    changed[20:70, 40:120] = a_room(9)[20:70, 40:120]
    assert moved(seen(a_room()), seen(changed))


def test_a_screen_that_lights_up_is_movement() -> None:
    dark, light = a_room(), a_room()
    dark[30:60, 60:100] = 25
    light[30:60, 60:100] = 90
    assert moved(seen(dark), seen(light))


def test_a_ticket_in_the_dark_is_movement() -> None:
    room = (a_room() // 8).astype(np.uint8)
    changed = room.copy()
    changed[35:60, 60:90] += 25
    assert moved(seen(room, noise=5), seen(changed, noise=5, phase=1))


def test_what_creeps_in_is_movement_once_it_has_come_far_enough() -> None:
    stillness = Stillness()
    stillness.moved(seen(a_room()))
    stillness.keep()
    told = []
    for step in range(60):
        changed = a_room()
        changed[40:60, 60:80] = np.clip(changed[40:60, 60:80].astype(int) + step - 30, 0, 255)
        told.append(stillness.moved(seen(changed, phase=step)))
    assert not any(told[27:34])
    assert all(told[:10])
    assert all(told[-10:])


def test_what_is_kept_is_what_the_next_are_compared_with() -> None:
    stillness = Stillness()
    changed = a_room()
    changed[40:60, 60:90] = 245
    assert stillness.moved(a_room())
    stillness.keep()
    assert stillness.moved(changed)
    assert stillness.moved(changed)
    stillness.keep()
    assert not stillness.moved(changed)


def test_another_size_is_movement() -> None:
    assert moved(a_room(), np.ascontiguousarray(a_room().T))


@pytest.mark.parametrize("shape", [(1, 1), (1, 160), (90, 1), (3, 3)])
def test_the_smallest_glimpses_are_compared_too(shape: tuple[int, int]) -> None:
    assert not moved(np.full(shape, 90, np.uint8), np.full(shape, 90, np.uint8))
