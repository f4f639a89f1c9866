"""Keyboard-wedge scanners when events are lost, or make no sense: nothing is guessed, breaks or grows."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoded import Broken, Code
from drivers.keymaps import LAYOUTS
from drivers.wedge_decoder import OVERRUN, WedgeDecoder
from tests.drivers.typist import (
    CTRL,
    DIGITS,
    DROPPED,
    ENTER,
    LEFT_ALT,
    REPORT,
    RIGHT_SHIFT,
    SPACE,
    Event,
    Typist,
    a_decoder,
    codes,
    heard,
    texts,
    whys,
)

KEY_RIGHT_BRACE, KEY_A, KEY_VOLUME_UP = 27, 30, 115
steady = settings(derandomize=True, max_examples=200, deadline=None)


def overrun(decoder: WedgeDecoder, events: Sequence[Event], first: int, end: int) -> list[Code | Broken]:
    """Feed the events but for those that the kernel loses, `first` to before `end`; it reports the last of them."""
    results = heard(decoder, events[:first])
    at_s = events[end - 1][3]
    results += heard(decoder, [(*DROPPED, at_s), events[end - 1], (*REPORT, at_s)])
    assert decoder.needs_resync
    assert decoder.deadline_s is None
    held: dict[int, int] = {}
    for type_, code, value, _ in events[:end]:
        held |= {code: value} if type_ == 1 else {}
    decoder.resync([code for code, value in held.items() if value], caps_lock=False, at_s=at_s)
    assert not decoder.needs_resync
    return results + heard(decoder, events[end:])


THREE = ["Ab-1", "cD", "E_9f"]


def test_an_overrun_at_every_place_costs_no_more_than_the_codes_it_touches() -> None:
    typist, ends = Typist(), list[int]()
    for code in THREE:
        typist.text(code)
        ends.append(len(typist.events))
        typist.enter()
    events = typist.events
    for first in range(0, len(events), 2):
        for end in range(first + 2, len(events) + 1, 2):
            results = overrun(a_decoder(), events, first, end)
            before = [code for code, at in zip(THREE, ends, strict=True) if at < first]
            after = [code for code, at in zip(THREE[1:], ends[:-1], strict=True) if at >= end]
            assert codes(results) == before + after, (first, end)
            assert whys(results) == [OVERRUN], "a whole code may have been lost, so it is always told"


def test_without_a_suffix_an_overrun_at_every_place_costs_no_more_either() -> None:
    typist, starts = Typist(), list[int]()
    for code in THREE:
        starts.append(len(typist.wait(1).events))
        typist.text(code)
    events = typist.events
    for first in range(0, len(events), 2):
        for end in range(first + 2, len(events) + 1, 2):
            decoder = a_decoder(suffix="none")
            results = overrun(decoder, events, first, end) + decoder.flush(typist.now_s + 1)
            # A code is whole once the pause after it has been seen, which the overrun hides.
            before = [code for code, at in zip(THREE[:-1], starts[1:], strict=True) if at < first]
            after = [code for code, at in zip(THREE, starts, strict=True) if at >= end]
            assert codes(results) == before + after, (first, end)
            assert whys(results) == [OVERRUN]


@st.composite
def scans(draw: st.DrawFn) -> tuple[str, list[Event]]:
    """A layout, and up to three codes typed in it: dead keys, Alt codes, control characters and all."""
    layout, typist = draw(st.sampled_from(list(LAYOUTS))), Typist()
    for _, presses in draw(st.lists(texts(layout), min_size=1, max_size=3)):
        typist.wait(1).presses(presses)
        for digits in draw(st.lists(st.sampled_from(["065", "29", "1031", "8364"]), max_size=2)):
            typist.alt(digits).key(CTRL, KEY_RIGHT_BRACE)
        typist.presses(presses[:1]).enter()
    return layout, typist.events


@steady
@given(scans(), st.sampled_from(["enter", "none"]), st.data())
def test_an_overrun_never_makes_a_code_that_was_not_typed(
    scans: tuple[str, list[Event]], suffix: Any, data: st.DataObject
) -> None:
    layout, events = scans
    typed = iter(codes(heard(a_decoder(layout, suffix=suffix), events)))
    first = data.draw(st.integers(0, len(events) - 1))
    end = data.draw(st.integers(first + 1, len(events)))
    decoder = a_decoder(layout, suffix=suffix)
    found = codes(overrun(decoder, events, first, end) + decoder.flush(events[-1][3] + 5))
    assert all(code in typed for code in found), "each was typed, and in this order"


def test_events_between_an_overrun_and_the_resync_count_for_nothing() -> None:
    decoder = a_decoder()
    assert heard(decoder, [(*DROPPED, 100.0)]) == [Broken(OVERRUN)]
    assert heard(decoder, Typist(at_s=100).text("T-1").enter().events) == []
    assert heard(decoder, [(*DROPPED, 100.5), (1, KEY_A, 1, 100.5)]) == []
    assert not decoder.needs_resync, "its report is still to come"
    assert heard(decoder, [(*REPORT, 100.5)]) == []
    assert decoder.needs_resync
    assert decoder.flush(200.0) == []
    decoder.resync([RIGHT_SHIFT], caps_lock=True, at_s=200.0)
    assert heard(decoder, [(1, ENTER, 1, 200.1), (1, KEY_A, 1, 200.2), (1, RIGHT_SHIFT, 0, 200.2)]) == []
    assert codes(heard(decoder, [(1, KEY_A, 1, 200.3), (1, ENTER, 1, 200.4)])) == ["aA"]


def test_an_overrun_in_a_silence_is_forgotten_after_a_pause() -> None:
    decoder = a_decoder()
    heard(decoder, [(*DROPPED, 100.0), (*REPORT, 100.0)])
    decoder.resync([], caps_lock=False, at_s=100.0)
    assert decoder.deadline_s == 100.5
    assert decoder.lose("unplugged") == []
    heard(decoder, [(*DROPPED, 100.0), (*REPORT, 100.0)])
    decoder.resync([], caps_lock=False, at_s=100.0)
    assert decoder.flush(100.5) == []
    assert codes(heard(decoder, Typist(at_s=100.6).text("T-1").enter().events)) == ["T-1"]


def test_only_a_pause_seen_after_the_resync_ends_an_overrun() -> None:
    decoder = a_decoder(suffix="none")
    heard(decoder, [(*DROPPED, 100.0), (*REPORT, 100.0)])
    decoder.resync([], caps_lock=False, at_s=100.1)
    # What came before the resync was lost with it, so this may be the middle of a code.
    assert codes(heard(decoder, Typist(at_s=100.12).text("T-1").wait(0.05).text("T-2").enter().events)) == ["T-2"]


def test_an_overrun_in_a_code_already_told_is_not_told_again() -> None:
    decoder = a_decoder(max_chars=3)
    results = overrun(decoder, Typist().text("12345678").enter().text("T-2").enter().events, 20, 24)
    assert len(whys(results)) == 1
    assert codes(results) == ["T-2"]


def test_an_overrun_is_over_with_the_next_end() -> None:
    decoder = a_decoder(max_chars=3)
    heard(decoder, [(*DROPPED, 100.0), (*REPORT, 100.0)])
    decoder.resync([], caps_lock=False, at_s=100.0)
    (why,) = whys(heard(decoder, Typist().enter().text("123456").enter().events))
    assert why.startswith("longer")


def test_a_scanner_that_goes_in_an_overrun_is_read_again() -> None:
    for events in ([(*DROPPED, 100.0)], [(*DROPPED, 100.0), (*REPORT, 100.0)]):
        decoder = a_decoder()
        heard(decoder, events)
        assert decoder.lose("unplugged") == []
        assert codes(heard(decoder, Typist().text("T-1").enter().events)) == ["T-1"]


def test_an_alt_code_whose_beginning_was_lost_is_not_guessed() -> None:
    decoder = a_decoder(suffix="none")
    heard(decoder, [(*DROPPED, 100.0), (*REPORT, 100.0)])
    decoder.resync([LEFT_ALT], caps_lock=False, at_s=100.0)
    typist = Typist(at_s=101).key(DIGITS["3"]).event(1, LEFT_ALT, 0).enter()
    results = heard(decoder, typist.events)
    assert codes(results) == []
    assert len(whys(results)) == 1


# Whatever comes, nothing breaks and nothing grows.

SOME_KEYS = [*range(128), KEY_VOLUME_UP, 0x110, 0x2FF, -1, 2**31]
some_events = st.tuples(
    st.sampled_from([0, 1, 1, 1, 1, 2, 4, 17, 99]),
    st.sampled_from([*SOME_KEYS, *[ENTER, LEFT_ALT, CTRL, SPACE, *DIGITS.values()] * 4]),
    st.sampled_from([-1, 0, 1, 1, 1, 2, 7]),
)
some_steps = st.one_of(some_events, some_events, some_events, st.sampled_from(["flush", "lose", "resync"]))


@steady
@given(
    st.sampled_from(list(LAYOUTS)),
    st.sampled_from(["enter", "tab", "none"]),
    st.lists(st.tuples(some_steps, st.floats(-1, 4) | st.floats()), max_size=60),
)
def test_any_events_in_any_order_are_taken_and_little_is_kept(
    layout: str, suffix: Any, steps: list[tuple[Any, float]]
) -> None:
    decoder = a_decoder(layout, suffix=suffix, max_chars=6, prefix="1")
    now_s = 0.0
    for step, later_s in steps:
        now_s += later_s
        match step:
            case "flush":
                results = decoder.flush(now_s)
            case "lose":
                results = [*decoder.lose("gone")]
                assert not decoder.half_read
            case "resync":
                decoder.resync(SOME_KEYS, caps_lock=True, at_s=now_s)
                results = []
            case (type_, code, value):
                results = decoder.feed(type_, code, value, now_s)
        assert all(0 < len(code) <= 6 for code in codes(results))
        assert all(whys(results))
        assert len(decoder._text) <= 6
        assert len(decoder._alt or "") + len(decoder._held) <= 20
        assert decoder.half_read <= (decoder.deadline_s is not None)


def test_an_alt_code_that_never_ends_is_not_kept() -> None:
    decoder = a_decoder()
    assert decoder.feed(1, LEFT_ALT, 1, 0) == []
    for turn in range(1000):
        assert decoder.feed(1, DIGITS["1"], 1, turn / 1000) == []
        assert len(decoder._alt or "") < 10
    assert len(whys(decoder.feed(1, LEFT_ALT, 0, 1))) == 1


def test_who_scans_again_after_an_overrun_is_read() -> None:
    decoder = a_decoder()
    # The code's own Enter was lost with the rest of it.
    results = heard(decoder, [(*DROPPED, 100.0), (*REPORT, 100.0)])
    decoder.resync([], caps_lock=False, at_s=100.0)
    results += heard(decoder, Typist(at_s=101).text("T-1").enter().events)
    assert results == [Broken(OVERRUN), Code("T-1")]


@pytest.mark.parametrize("suffix", ["enter", "tab", "none"])
def test_a_scanner_that_types_for_ever_is_told_of_once(suffix: Any) -> None:
    decoder = a_decoder(suffix=suffix)
    results: list[Code | Broken] = []
    for turn in range(10_000):
        results += decoder.feed(1, KEY_A, 1, turn / 1000)
        assert len(decoder._text) <= 4096
    assert len(results) == len(whys(results)) == 1
