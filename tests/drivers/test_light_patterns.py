"""No look is taken for another, by whoever sees no colours, hears nothing, or looks away."""

from collections.abc import Callable
from itertools import combinations, groupby, islice

import pytest

from drivers.light_patterns import ENDLESS, PATTERNS, Step, steps
from drivers.protocols import Look

WATCHED_MS = 3000
"""As long as a person looks; every look but an emergency is over by then."""
MOST_FLASHES_A_SECOND = 3

Eye = Callable[[Step], bool]


def any_lamp(step: Step) -> bool:
    """What is seen where red and green are the same, or stand in one lens: swapping them changes nothing."""
    return step.green or step.red


def green(step: Step) -> bool:
    return step.green


def red(step: Step) -> bool:
    return step.red


def buzzer(step: Step) -> bool:
    return step.buzzer


def spells(look: Look, seen: Eye) -> list[tuple[bool, int]]:
    """Return how long in turn something is seen and not seen, in ms, as far as a person looks."""
    left, timeline = WATCHED_MS, list[tuple[bool, int]]()
    for step in islice(steps(look), 200):
        timeline.append((seen(step), min(step.ms, left)))
        left -= timeline[-1][1]
        if not left:
            break
    return [(on, sum(ms for _, ms in run)) for on, run in groupby(timeline, key=lambda spell: spell[0])]


def flashes(look: Look, seen: Eye) -> list[int]:
    return [ms for on, ms in spells(look, seen) if on]


def told_apart(one: list[int], other: list[int]) -> bool:
    """Tell whether people need neither a stopwatch nor careful counting.

    One is dark and the other is not, or one has two flashes more, or a flash is 2.5 times as long as the other's at the
    same place in the row.
    """
    if not one or not other:
        return bool(one) != bool(other)
    lengths = zip(one, other, strict=False)
    return abs(len(one) - len(other)) >= 2 or any(max(pair) >= 2.5 * min(pair) for pair in lengths)


@pytest.mark.parametrize(("one", "other"), list(combinations(Look, 2)))
def test_no_look_is_taken_for_another_without_colour_and_without_sound(one: Look, other: Look) -> None:
    assert told_apart(flashes(one, any_lamp), flashes(other, any_lamp))


@pytest.mark.parametrize("other", [look for look in Look if look is not Look.ADMITTED])
def test_nothing_is_taken_for_an_admission_where_only_green_works(other: Look) -> None:
    assert told_apart(flashes(Look.ADMITTED, green), flashes(other, green))


@pytest.mark.parametrize(("one", "other"), list(combinations([look for look in Look if look is not Look.AGAIN], 2)))
def test_beeps_tell_the_looks_apart_to_whoever_looks_away(one: Look, other: Look) -> None:
    """Three beeps are counted without care. `AGAIN` and `NOTED` are one short beep each: nobody need go."""
    beeps = flashes(one, buzzer), flashes(other, buzzer)
    assert len(beeps[0]) != len(beeps[1]) or told_apart(*beeps)


def test_one_short_beep_is_not_taken_for_the_long_one() -> None:
    assert told_apart(flashes(Look.AGAIN, buzzer), flashes(Look.ADMITTED, buzzer))


@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize("seen", [any_lamp, green, red])
def test_no_lamp_flashes_more_than_three_times_a_second(look: Look, seen: Eye) -> None:
    starts, at = list[int](), 0
    for on, ms in spells(look, seen):
        if on:
            starts.append(at)
        at += ms
    for later, earlier in zip(starts[MOST_FLASHES_A_SECOND:], starts, strict=False):
        assert later - earlier >= 1000


@pytest.mark.parametrize("look", [look for look in Look if look not in ENDLESS])
def test_what_is_said_of_a_guest_is_over_before_the_next(look: Look) -> None:
    assert sum(step.ms for step in steps(look)) <= WATCHED_MS


@pytest.mark.parametrize("look", Look)
def test_no_step_is_too_short_to_be_seen_or_heard(look: Look) -> None:
    assert all(step.ms >= 80 for step in PATTERNS[look])


def test_only_an_emergency_has_no_end() -> None:
    assert {Look.HELD_OPEN} == ENDLESS
    rounds = list(islice(steps(Look.HELD_OPEN), 3 * len(PATTERNS[Look.HELD_OPEN])))
    assert rounds == list(PATTERNS[Look.HELD_OPEN]) * 3


def test_dark_is_dark_and_silent_at_once() -> None:
    assert list(steps(Look.DARK)) == []


@pytest.mark.parametrize("look", [Look.REFUSED, Look.EXITED, Look.ADMITTED])
def test_red_is_a_refusal_and_green_is_none(look: Look) -> None:
    shown = {name for step in steps(look) for name, on in step.levels().items() if on}
    assert shown == {"red" if look is Look.REFUSED else "green", "buzzer"}
