"""The photographs and clips of the bench: the same seed gives the same pixels, and they show what they say."""

from collections.abc import Iterator

import numpy as np
import pytest
import zxingcpp

from bench.scenes.clips import FPS, Clip, empty_clips, idle_clip, ticket_clips
from bench.scenes.photographs import photographs
from bench.scenes.sheets import enlarged
from bench.scenes.tickets import SYMBOLOGIES, canonical, draw, make_text
from drivers.camera.frames import Luma


@pytest.mark.parametrize("symbology", SYMBOLOGIES)
def test_a_code_that_nothing_distorts_is_read_with_its_payload(symbology: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(12):
        text = make_text(rng, symbology)
        drawn = np.ascontiguousarray(np.pad(enlarged(draw(symbology, text), 4), 40, constant_values=255))
        read = [canonical(symbology, each.text) for each in zxingcpp.read_barcodes(drawn)]
        assert read == [canonical(symbology, text)]


@pytest.mark.parametrize("symbology", ["qr", "pdf417", "ean_upc"])
def test_the_same_seed_gives_the_same_photographs(symbology: str) -> None:
    once, again = (list(photographs(3, symbology, 4)) for _ in range(2))
    assert [(each.text, each.conditions) for each in once] == [(each.text, each.conditions) for each in again]
    assert all(np.array_equal(one.luma, other.luma) for one, other in zip(once, again, strict=True))


def test_another_seed_gives_other_photographs() -> None:
    one, other = (next(photographs(seed, "qr", 1)) for seed in (3, 4))
    assert one.text != other.text


def test_the_first_photographs_are_the_same_however_many_follow() -> None:
    few, many = list(photographs(3, "aztec", 2)), list(photographs(3, "aztec", 4))
    assert [each.text for each in few] == [each.text for each in many[:2]]


def _frames(clip: Clip, numbers: set[int]) -> Iterator[Luma]:
    for number, luma in enumerate(clip.frames()):
        if number in numbers:
            yield luma
        if number >= max(numbers):
            return


def test_a_clip_shows_its_ticket_once_it_has_appeared_and_not_before() -> None:
    clip = next(clip for clip in ticket_clips(1, 20) if clip.symbology == "qr")
    appears = round(clip.appears_at_s * FPS)
    before, held = _frames(clip, {appears - 3, appears + 20})
    assert zxingcpp.read_barcodes(before) == []
    assert [each.text for each in zxingcpp.read_barcodes(held)] == [clip.text]


def test_a_clip_gives_the_same_frames_each_time() -> None:
    clip, again = (next(ticket_clips(2, 1)) for _ in range(2))
    once, twice, other = (list(_frames(each, {8, 12})) for each in (clip, clip, again))
    assert np.array_equal(once, twice)
    assert np.array_equal(once, other)


def test_nobody_shows_a_ticket_in_an_empty_clip() -> None:
    clip = next(empty_clips(1, 1))
    early, late = _frames(clip, {0, 20})
    assert np.abs(early.astype(np.int16) - late).max() > 40, "people move"
    assert zxingcpp.read_barcodes(early) == zxingcpp.read_barcodes(late) == []


def test_in_an_idle_clip_only_the_sensor_is_unquiet() -> None:
    early, late = _frames(idle_clip(1), {0, 20})
    apart = np.abs(early.astype(np.int16) - late)
    assert 0 < apart.mean() < 6
    assert apart.max() < 40
