"""A camera that is left running: what it tells of tickets that come, stay and go. Frames say when they came."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from drivers.camera.frames import ArrayFrame, Luma
from drivers.camera.symbologies import DEFAULT, SYMBOLOGIES
from drivers.camera.watcher import REPEATED_S, Looked, Watcher
from tests.drivers.camera.symbols import blurred, drawn, middle_of, near, noisy, scene, turned

FPS = 30
NOISES = 8


def filmed(luma: Luma, seconds: float, start_s: float = 0.0) -> Iterator[ArrayFrame]:
    """Yield frames of a scene in which nothing moves, each with its own noise."""
    grains = [noisy(luma, 3, seed) for seed in range(NOISES)]
    for number in range(round(seconds * FPS)):
        yield ArrayFrame(grains[number % NOISES], start_s + number / FPS)


def held(luma: Luma, seconds: float, start_s: float = 0.0, shake_px: int = 24) -> Iterator[ArrayFrame]:
    """Yield frames of a scene that shakes, as in a hand."""
    rng = np.random.default_rng(2)
    for number in range(round(seconds * FPS)):
        shift = tuple(int(each) for each in rng.integers(-shake_px, shake_px, 2))
        yield ArrayFrame(noisy(np.roll(luma, shift, (0, 1)), 3, number), start_s + number / FPS)


def watch(watcher: Watcher, frames: Iterable[ArrayFrame]) -> list[tuple[float, Looked]]:
    return [(frame.at_s, watcher.look(frame)) for frame in frames]


def texts(looked: list[tuple[float, Looked]]) -> list[str]:
    return [code.text for _, each in looked for code in each.codes]


def a_ticket(kind: str = "qr", text: str = "T-1", scale: int = 5) -> Luma:
    return scene((drawn(kind, text, scale), 500, 250))


def test_a_ticket_is_read_in_the_first_frame_that_shows_it() -> None:
    ((_, first),) = watch(Watcher(DEFAULT), filmed(a_ticket(), 1 / FPS))
    assert [code.text for code in first.codes] == ["T-1"]
    assert first.steps == "640"
    assert not first.still
    assert near(middle_of(first.codes[0].outline), (0.45, 0.45), 0.02)


def test_while_it_is_held_it_is_told_in_every_frame() -> None:
    assert texts(watch(Watcher(DEFAULT), held(a_ticket(), 0.5))) == ["T-1"] * 15


def test_while_nothing_moves_its_presence_is_told_twice_a_second_and_nothing_is_computed() -> None:
    looked = watch(Watcher(DEFAULT), filmed(a_ticket(), 4))
    assert looked[0][1].codes
    rest = looked[1:]
    assert all(each.still and each.steps == "still" and not each.seen for _, each in rest)
    told = [at_s for at_s, each in rest if each.codes]
    assert told == pytest.approx([REPEATED_S * number for number in range(1, 8)], abs=2 / FPS)


def test_when_it_is_taken_away_it_is_told_no_more() -> None:
    watcher = Watcher(DEFAULT)
    watch(watcher, filmed(a_ticket(), 1))
    gone = watch(watcher, filmed(scene(), 3, start_s=1.0))
    assert texts(gone) == []
    assert not gone[0][1].still


def test_an_empty_room_is_hardly_looked_at() -> None:
    looked = watch(Watcher(DEFAULT), filmed(scene(), 10))
    late = [each for at_s, each in looked if at_s > 3]
    assert sum(not each.still for each in late) <= 8
    assert all(not each.seen for each in late)


def test_a_ticket_that_comes_into_an_idle_scene_is_read_at_once() -> None:
    watcher = Watcher(DEFAULT)
    watch(watcher, filmed(scene(), 5))
    ((_, first),) = watch(watcher, filmed(a_ticket(scale=4), 1 / FPS, start_s=5.0))
    assert [code.text for code in first.codes] == ["T-1"]


def test_one_ticket_after_the_other() -> None:
    watcher = Watcher(DEFAULT)
    told = [
        texts(watch(watcher, filmed(a_ticket(text=text), 1, start_s=start_s)))
        for start_s, text in ((0.0, "T-1"), (1.0, "T-2"), (2.0, "T-1"))
    ]
    assert [set(each) for each in told] == [{"T-1"}, {"T-2"}, {"T-1"}]


@pytest.mark.parametrize("kind", ["code128", "pdf417", "ean_upc"])
def test_bars_and_pdf417_are_told_from_the_second_read_on(kind: str) -> None:
    text = "590123412345" if kind == "ean_upc" else "TKT-0123456789"
    looked = watch(Watcher(DEFAULT), held(a_ticket(kind, text, 2), 1))
    reads = [each for _, each in looked if each.seen]
    assert not reads[0].codes
    assert reads[1].codes[0].text.startswith(text)
    assert next(at_s for at_s, each in looked if each.codes) < 0.5


def test_bars_that_lie_still_are_confirmed_too() -> None:
    assert set(texts(watch(Watcher(DEFAULT), filmed(turned(a_ticket("code128", "TKT-12345", 2), 33), 2)))) == {
        "TKT-12345"
    }


def test_a_lens_that_comes_into_focus_while_nothing_moves_is_waited_for() -> None:
    watcher = Watcher(DEFAULT)
    small = a_ticket(scale=3)
    assert texts(watch(watcher, filmed(blurred(small, 8), 1))) == []
    looked = watch(watcher, filmed(small, 1, start_s=1.0))
    assert next(at_s for at_s, each in looked if each.codes) < 1.3


def test_a_harder_ticket_gets_the_costlier_steps() -> None:
    looked = watch(Watcher(DEFAULT), held(turned(a_ticket("code128", "TKT-12345", 2), 40), 1))
    assert set(texts(looked)) == {"TKT-12345"}
    assert {code.step for _, each in looked for code in each.codes} >= {"bars"}


def test_only_what_is_switched_on_is_read() -> None:
    luma = scene((drawn("qr", "T-1", 4), 200, 200), (drawn("aztec", "T-2", 4), 800, 200))
    assert set(texts(watch(Watcher(("aztec",)), filmed(luma, 1)))) == {"T-2"}


def test_of_several_the_one_nearest_to_the_middle_of_the_region_is_taken_or_all() -> None:
    luma = scene((drawn("qr", "left", 4), 100, 300), (drawn("qr", "middle", 4), 560, 300))
    assert set(texts(watch(Watcher(DEFAULT), held(luma, 0.3, shake_px=4)))) == {"middle"}
    assert set(texts(watch(Watcher(DEFAULT, all_codes=True), held(luma, 0.3, shake_px=4)))) == {"left", "middle"}
    at_left = Watcher(DEFAULT, (0.0, 0.0, 0.3, 1.0))
    assert set(texts(watch(at_left, held(luma, 0.3, shake_px=4)))) == {"left"}


def test_what_lies_outside_the_region_neither_counts_nor_wakes() -> None:
    watcher = Watcher(DEFAULT, (0.5, 0.5, 0.5, 0.5))
    watch(watcher, filmed(scene(), 3))
    outside = watch(watcher, filmed(scene((drawn("qr", "T-1", 4), 100, 100)), 1, start_s=3.0))
    assert texts(outside) == []
    assert sum(not each.still for _, each in outside) <= 2
    inside = watch(watcher, filmed(scene((drawn("qr", "T-1", 4), 900, 450)), 1, start_s=4.0))
    assert near(middle_of(next(each for _, each in inside if each.codes).codes[0].outline), (0.745, 0.69), 0.03)


def test_a_poster_in_plain_sight_does_not_hide_a_ticket_that_is_harder_to_read() -> None:
    bars = turned(scene((drawn("code128", "TKT-12345", 2), 420, 320)), 38)
    poster = drawn("qr", "https://poster.example", 5)
    both = bars.copy()
    both[10 : 10 + poster.shape[0], 1000 : 1000 + poster.shape[1]] = poster
    alone = scene((poster, 1000, 10))
    watcher = Watcher(DEFAULT)
    assert set(texts(watch(watcher, held(alone, 1, shake_px=4)))) == {"https://poster.example"}
    assert "TKT-12345" in texts(watch(watcher, held(both, 2, start_s=1.0, shake_px=4)))


def test_half_an_itf_is_never_told() -> None:
    code = drawn("itf", "00123456789012", 3)
    code[:, : code.shape[1] // 2] = np.maximum(code[:, : code.shape[1] // 2], 215)
    looked = watch(Watcher(("itf",)), held(scene((code, 300, 300)), 1))
    assert texts(looked) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (40, 40)])
def test_odd_frames_hold_nothing(size: tuple[int, int]) -> None:
    for region in ((0.0, 0.0, 1.0, 1.0), (0.9, 0.9, 0.1, 0.1)):
        assert texts(watch(Watcher(SYMBOLOGIES, region), held(scene(size=size), 0.5))) == []


def test_of_a_very_large_picture_outlines_are_fractions_too() -> None:
    luma = scene((drawn("qr", "T-1", 16), 2400, 1200), size=(3840, 2160))
    ((_, first),) = watch(Watcher(DEFAULT, (0.25, 0.25, 0.75, 0.75)), [ArrayFrame(luma, 0.0)])
    assert near(middle_of(first.codes[0].outline), (0.686, 0.663), 0.01)


def test_a_camera_that_changes_its_size_is_looked_at_on() -> None:
    watcher = Watcher(DEFAULT)
    watch(watcher, filmed(scene(), 1))
    smaller = np.ascontiguousarray(a_ticket()[:480, :640])
    assert "T-1" in texts(watch(watcher, filmed(np.ascontiguousarray(smaller), 0.2, start_s=1.0)))
