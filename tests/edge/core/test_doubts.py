"""Codes that wait to be read a second time: until when, how many, and which read bears one out."""

from datetime import timedelta

from edge.core.doubts import MOST, PATIENCE, Doubts
from tests.edge.conftest import NOW

INSTANT = timedelta(microseconds=1)


def test_a_code_that_was_never_doubtful_waits_for_nothing() -> None:
    doubts = Doubts()
    assert not doubts.settle("4006381333931", NOW, again=False)
    assert not doubts.settle("4006381333931", NOW, again=True)


def test_a_second_read_bears_a_code_out_once() -> None:
    doubts = Doubts()
    doubts.note("4006381333931", NOW)
    assert not doubts.settle("4006381333932", NOW, again=False)
    assert doubts.settle("4006381333931", NOW + PATIENCE - INSTANT, again=False)
    assert not doubts.settle("4006381333931", NOW + PATIENCE - INSTANT, again=False)


def test_one_that_comes_too_late_is_as_doubtful_as_the_first() -> None:
    doubts = Doubts()
    doubts.note("4006381333931", NOW)
    assert not doubts.settle("4006381333931", NOW + PATIENCE, again=False)
    doubts.note("4006381333931", NOW + PATIENCE)
    assert doubts.settle("4006381333931", NOW + PATIENCE + INSTANT, again=False)


def test_one_that_is_still_shown_is_borne_out_however_long_it_takes() -> None:
    doubts = Doubts()
    doubts.note("4006381333931", NOW)
    assert doubts.settle("4006381333931", NOW + 10 * PATIENCE, again=True)


def test_a_clock_that_is_set_back_meanwhile_does_not_matter() -> None:
    doubts = Doubts()
    doubts.note("4006381333931", NOW)
    assert doubts.settle("4006381333931", NOW - timedelta(hours=1), again=False)


def test_only_the_newest_are_remembered() -> None:
    doubts = Doubts()
    for number in range(MOST):
        doubts.note(f"code {number}", NOW)
    doubts.note("code 0", NOW)
    doubts.note("one more", NOW)
    kept = [number for number in range(MOST) if doubts.settle(f"code {number}", NOW, again=False)]
    assert kept == [0, *range(2, MOST)]
