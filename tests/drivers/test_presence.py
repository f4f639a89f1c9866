"""A code that stands before a camera is one showing, for as long as nobody saw it gone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.presence import ABSENT_S, CONFIRM_S, FORGET_S, GAP_S, LATE_S, Presence, Showing

FRAME_S = 0.1


class Watching:
    """A camera that looks ten times a second, at whatever is held up to it."""

    def __init__(self) -> None:
        self.presence = Presence()
        self.now_s = 1000.0
        self.told: list[tuple[str, Showing]] = []

    def sees(self, *codes: str, for_s: float = FRAME_S, certain: bool = True) -> None:
        for _ in range(round(for_s / FRAME_S)):
            self.now_s += FRAME_S
            self.presence.looking(self.now_s)
            for code in codes:
                if showing := self.presence.seen(code, self.now_s, self.now_s, certain=certain):
                    self.told.append((code, showing))

    def is_blind(self, for_s: float) -> None:
        self.now_s += for_s


@pytest.fixture
def watching() -> Watching:
    return Watching()


def test_a_code_that_stays_is_told_once(watching: Watching) -> None:
    watching.sees("A", for_s=60)
    assert watching.told == [("A", "new")]


def test_a_code_that_was_away_is_told_again(watching: Watching) -> None:
    watching.sees("A", for_s=1)
    watching.sees(for_s=ABSENT_S + 2 * FRAME_S)
    watching.sees("A", for_s=1)
    assert watching.told == [("A", "new"), ("A", "new")]


def test_a_code_that_flickers_is_told_once(watching: Watching) -> None:
    for _ in range(10):
        watching.sees("A")
        watching.sees(for_s=ABSENT_S - 2 * FRAME_S)
    assert watching.told == [("A", "new")]


def test_codes_do_not_disturb_each_other(watching: Watching) -> None:
    watching.sees("A", for_s=3)
    watching.sees("A", "B", for_s=3)
    watching.sees("B", for_s=3)
    watching.sees("A", "B", for_s=3)
    assert watching.told == [("A", "new"), ("B", "new"), ("A", "new")]


def test_an_uncertain_code_is_told_once_more_after_a_while_and_then_no_more(watching: Watching) -> None:
    watching.sees("A", for_s=CONFIRM_S - FRAME_S, certain=False)
    assert watching.told == [("A", "new")]
    watching.sees("A", for_s=30, certain=False)
    assert watching.told == [("A", "new"), ("A", "again")]
    watching.sees(for_s=3)
    watching.sees("A", for_s=30, certain=False)
    assert watching.told == [("A", "new"), ("A", "again")] * 2


@pytest.mark.parametrize("blind_s", [GAP_S + 0.1, ABSENT_S + 1, FORGET_S - 1])
def test_while_nobody_looked_nothing_went_away(watching: Watching, blind_s: float) -> None:
    """The camera's process was killed, and another one has come up."""
    watching.sees("A", for_s=1, certain=False)
    assert watching.told == [("A", "new"), ("A", "again")]
    for _ in range(5):
        watching.is_blind(blind_s)
        watching.sees("A", for_s=1, certain=False)
    assert watching.told == [("A", "new"), ("A", "again")]
    watching.is_blind(blind_s)
    watching.sees(for_s=ABSENT_S + 2 * FRAME_S)
    watching.sees("A")
    assert watching.told[2:] == [("A", "new")]


def test_after_a_long_blindness_a_code_is_told_again(watching: Watching) -> None:
    watching.sees("A", for_s=1)
    watching.is_blind(FORGET_S + 1)
    watching.sees("A", for_s=1)
    assert watching.told == [("A", "new"), ("A", "new")]


def test_what_was_seen_too_long_ago_is_not_told_but_known_to_be_there(watching: Watching) -> None:
    """The gate was stopped for eight seconds, and finds what was said to it meanwhile, each half a second."""
    watching.sees("A", for_s=1)
    stopped_s = watching.now_s
    watching.is_blind(8)
    presence, now_s = watching.presence, watching.now_s
    presence.looking(now_s)
    told = [
        (code, at_s - stopped_s)
        for at_s in (stopped_s + number / 2 for number in range(1, 17))
        for code in ("A", "B")
        if presence.seen(code, at_s, now_s)
    ]
    assert told == [("B", 8 - LATE_S)]
    watching.sees("A", "B", for_s=3)
    assert watching.told == [("A", "new")]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["A", "B", "AB", "", "blind"]), st.sampled_from([0.1, 0.5, 1.9, 2.5, 8.0])),
        max_size=30,
    )
)
@settings(deadline=None)
def test_between_two_tellings_a_code_was_not_seen_for_a_while(steps: list[tuple[str, float]]) -> None:
    watching = Watching()
    looked_without: dict[str, float] = {}
    for seen, for_s in steps:
        if seen == "blind":
            watching.is_blind(for_s)
            continue
        before = len(watching.told)
        watching.sees(*seen, for_s=for_s)
        told = [code for code, _ in watching.told[before:]]
        assert len(told) == len(set(told))
        for code in told:
            assert looked_without.get(code, ABSENT_S) > ABSENT_S - 2 * FRAME_S
        for code in "AB":
            looked_without[code] = 0.0 if code in seen else looked_without.get(code, ABSENT_S) + for_s
    assert len(watching.presence._codes) <= 2


def test_what_is_long_gone_is_forgotten(watching: Watching) -> None:
    for number in range(300):
        watching.sees(f"T-{number}", for_s=0.1)
    assert len(watching.presence._codes) < 60
