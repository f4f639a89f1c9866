"""Keyboard-wedge scanners: what they type comes out as it was printed, or not at all."""

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.aim import split_symbology
from drivers.decoded import Broken, Code
from drivers.keymaps import LAYOUTS
from tests.drivers.typist import (
    ALT_GR,
    CAPS_LOCK,
    CTRL,
    DIGITS,
    ENTER,
    LEFT_ALT,
    LEFT_SHIFT,
    RIGHT_SHIFT,
    TAB,
    Event,
    Text,
    Typist,
    a_decoder,
    codes,
    heard,
    texts,
    whys,
)

KEY_1, KEY_6, KEY_Q, KEY_I, KEY_RIGHT_BRACE = 2, 7, 16, 23, 27
KEY_A, KEY_J, KEY_M, KEY_F1, KEY_VOLUME_UP = 30, 36, 50, 59, 115
steady = settings(derandomize=True, max_examples=200, deadline=None)


# Every layout gives back what is typed in it.


@st.composite
def typed(draw: st.DrawFn) -> tuple[str, bool, Text]:
    """A layout, the state of caps lock, and a text typed with both."""
    layout, caps = draw(st.sampled_from(list(LAYOUTS))), draw(st.booleans())
    return layout, caps, draw(texts(layout, caps))


@steady
@given(typed(), st.sampled_from([("enter", ENTER), ("enter", 96), ("tab", TAB)]))
def test_a_text_typed_in_any_layout_is_given_back(
    text: tuple[str, bool, Text], suffix: tuple[Literal["enter", "tab"], int]
) -> None:
    layout, caps, (printed, presses) = text
    ends, key = suffix
    decoder = a_decoder(layout, suffix=ends, caps_lock=caps)
    symbology, code = split_symbology(printed)
    assert heard(decoder, Typist().presses(presses).key(key).events) == ([Code(code, symbology)] if code else [])
    assert not decoder.half_read
    assert decoder.deadline_s is None


@steady
@given(typed(), st.randoms(use_true_random=False))
def test_repeats_and_keys_without_a_character_change_nothing(text: tuple[str, bool, Text], chance: Any) -> None:
    layout, caps, (_, presses) = text
    events = Typist().presses(presses).enter().events
    noisy: list[Event] = []
    for event in events:
        noisy.append(event)
        noise = [(1, event[1], 2), (1, KEY_F1, 1), (1, KEY_F1, 0), (1, KEY_VOLUME_UP, 1), (4, 4, 30), (17, 1, 1)]
        noisy += [(*chance.choice(noise), event[3]) for _ in range(chance.randrange(3))]
    quiet = heard(a_decoder(layout, caps_lock=caps), events)
    assert heard(a_decoder(layout, caps_lock=caps), noisy) == quiet


def test_a_scanner_may_switch_caps_lock_itself() -> None:
    typist = Typist().key(CAPS_LOCK).text("Ab-1", caps=True).key(CAPS_LOCK).text("Ab-1").enter()
    assert codes(heard(a_decoder(), typist.events)) == ["Ab-1Ab-1"]


def test_the_two_shifts_are_two_keys() -> None:
    typist = Typist().event(1, LEFT_SHIFT, 1).key(RIGHT_SHIFT, KEY_A).key(KEY_A)
    typist.event(1, LEFT_SHIFT, 0).key(KEY_A).enter()
    assert codes(heard(a_decoder(), typist.events)) == ["AAa"]


def test_ctrl_and_left_alt_are_alt_gr_as_on_windows() -> None:
    typist = Typist().key(CTRL, LEFT_ALT, KEY_Q).key(LEFT_ALT, CTRL, KEY_Q).key(CTRL, ALT_GR, KEY_Q).enter()
    assert codes(heard(a_decoder("de"), typist.events)) == ["@@@"]


def test_a_dead_key_that_nothing_follows_is_its_accent() -> None:
    assert codes(heard(a_decoder("de"), Typist().key(41).enter().events)) == ["^"]


def test_the_keypad_types_digits() -> None:
    typist = Typist().presses((key,) for key in DIGITS.values()).enter()
    assert codes(heard(a_decoder("fr"), typist.events)) == ["0123456789"]


# Alt codes and control characters.


@steady
@given(
    st.sampled_from([("us", "cp1252", "cp437"), ("de", "cp1252", "cp850"), ("ua", "cp1251", "cp866")]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=8),
    st.data(),
)
def test_any_text_can_be_typed_in_alt_codes(pages: tuple[str, str, str], printed: str, data: st.DataObject) -> None:
    layout, ansi, oem = pages
    typist = Typist()
    for char in printed:
        choices = [str(ord(char))] if ord(char) > 255 or ord(char) < 32 else []
        for page, zero in [(ansi, "0"), (oem, "")]:
            encoded = char.encode(page, "ignore")
            if encoded and encoded[0] >= 32:
                choices.append(zero + str(encoded[0]))
        if not choices:
            # Between 128 and 255 there are only the code pages: a character of neither has no Alt code.
            printed = printed.replace(char, "")
            continue
        typist.alt(data.draw(st.sampled_from(choices)))
    symbology, code = split_symbology(printed)
    expected = [Code(code, symbology)] if code else []
    assert heard(a_decoder(layout), typist.enter().events) == expected


@pytest.mark.parametrize("digits", ["0129", "55296", "1114112", "000000065", "0" * 99 + "65"])
def test_an_alt_code_of_no_character_breaks_its_code(digits: str) -> None:
    decoder = a_decoder()
    results = heard(decoder, Typist().text("T-").alt(digits).text("1").enter().text("T-2").enter().events)
    assert [type(result) for result in results] == [Broken, Code]
    assert "is no character" in whys(results)[0]
    assert codes(results) == ["T-2"]


def test_an_alt_code_cut_by_another_key_breaks_its_code() -> None:
    typist = Typist().event(1, LEFT_ALT, 1).key(DIGITS["1"]).key(KEY_A).key(DIGITS["3"]).event(1, LEFT_ALT, 0)
    results = heard(a_decoder(), typist.text("T-1").enter().text("T-2").enter().events)
    assert len(whys(results)) == 1
    assert codes(results) == ["T-2"]


def test_a_key_with_left_alt_types_nothing() -> None:
    assert codes(heard(a_decoder(), Typist().key(LEFT_ALT, KEY_A).text("T-1").enter().events)) == ["T-1"]


def test_ctrl_types_the_separators_of_gs1() -> None:
    typist = Typist().text("01").key(CTRL, KEY_RIGHT_BRACE).text("21").key(CTRL, LEFT_SHIFT, KEY_6).key(CTRL, KEY_1)
    assert codes(heard(a_decoder(), typist.enter().events)) == ["01\x1d21\x1e"]


# Where a code ends.


@pytest.mark.parametrize(
    ("suffix", "ended_by", "found"),
    [
        ("enter", lambda typist: typist.key(ENTER), ["T-1"]),
        ("enter", lambda typist: typist.key(CTRL, KEY_M), ["T-1"]),
        ("enter", lambda typist: typist.key(CTRL, KEY_J), ["T-1"]),
        ("enter", lambda typist: typist.key(CTRL, KEY_M).key(CTRL, KEY_J), ["T-1"]),
        ("enter", lambda typist: typist.alt("013").alt("10"), ["T-1"]),
        ("enter", lambda typist: typist.key(TAB).enter(), ["T-1\t"]),
        ("enter", lambda typist: typist.key(CTRL, KEY_I).enter(), ["T-1\t"]),
        ("tab", lambda typist: typist.key(TAB), ["T-1"]),
        ("tab", lambda typist: typist.key(LEFT_SHIFT, TAB), ["T-1"]),
        ("tab", lambda typist: typist.key(CTRL, KEY_I), ["T-1"]),
        ("tab", lambda typist: typist.key(ENTER).key(TAB), ["T-1\n"]),
        ("tab", lambda typist: typist.key(CTRL, KEY_M).key(TAB), ["T-1\r"]),
        ("none", lambda typist: typist.key(ENTER), ["T-1"]),
        ("none", lambda typist: typist.key(CTRL, KEY_M), ["T-1"]),
        ("none", lambda typist: typist.key(TAB).enter(), ["T-1\t"]),
    ],
)
def test_a_code_ends_with_its_suffix(suffix: Any, ended_by: Any, found: list[str]) -> None:
    typist = Typist().text("T-1")
    ended_by(typist)
    assert codes(heard(a_decoder(suffix=suffix), typist.events)) == found


def test_a_suffix_alone_is_no_code() -> None:
    assert heard(a_decoder(prefix="#"), Typist().enter().enter().text("#").enter().text("]Q3").enter().events) == []


@pytest.mark.parametrize(
    ("sent", "result"),
    [
        ("#T-1", Code("T-1")),
        ("T-1", Code("T-1")),
        ("##T-1", Code("#T-1")),
        ("T-1#", Code("T-1#")),
        ("#]Q3T-1", Code("T-1", "]Q3")),
        ("]Q3#T-1", Code("T-1", "]Q3")),
        ("#]Q3#T-1", Code("#T-1", "]Q3")),
    ],
)
def test_prefix_and_symbology_are_no_part_of_the_code(sent: str, result: Code) -> None:
    assert heard(a_decoder(prefix="#"), Typist().text(sent).enter().events) == [result]


def test_without_a_suffix_a_pause_ends_a_code_even_in_events_that_come_late() -> None:
    decoder = a_decoder(suffix="none")
    typist = Typist().text("T-1").wait(0.05).text("T-2")
    assert codes(heard(decoder, typist.events)) == ["T-1"]
    assert decoder.half_read
    deadline_s = decoder.deadline_s
    assert deadline_s is not None
    assert decoder.flush(deadline_s - 0.001) == []
    assert decoder.flush(deadline_s) == [Code("T-2")]
    assert decoder.deadline_s is None
    assert decoder.flush(deadline_s + 10) == []


def test_without_a_suffix_a_slow_scanner_is_given_the_pause_it_needs() -> None:
    decoder = a_decoder(suffix="none", gap_s=0.2)
    typist = Typist(key_s=0.04).text("T-1")
    assert heard(decoder, typist.events) == []
    assert decoder.flush(typist.now_s + 0.2) == [Code("T-1")]


def test_shift_and_the_keys_of_an_alt_code_are_no_pause() -> None:
    typist = Typist(key_s=0).key(KEY_A).wait(0.04).event(1, LEFT_SHIFT, 1).wait(0.04).key(KEY_A)
    typist.event(1, LEFT_SHIFT, 0).wait(0.04).event(1, LEFT_ALT, 1).wait(0.04).key(DIGITS["6"])
    typist.wait(0.04).key(DIGITS["5"]).wait(0.04).event(1, LEFT_ALT, 0).wait(0.04).key(KEY_A)
    decoder = a_decoder(suffix="none")
    assert heard(decoder, typist.events) == []
    assert decoder.flush(typist.now_s + 1) == [Code("aAAa")]


def test_a_pause_inside_an_alt_code_breaks_the_code_and_the_rest_is_no_character() -> None:
    decoder = a_decoder(suffix="none")
    typist = Typist().text("T").event(1, LEFT_ALT, 1).key(DIGITS["6"]).wait(0.06).key(DIGITS["5"])
    results = heard(decoder, typist.event(1, LEFT_ALT, 0).wait(0.06).text("T-2").enter().events)
    assert codes(results) == ["T-2"]
    assert set(whys(results)) == {whys(results)[0]}
    assert "Alt code" in whys(results)[0]


def test_a_pause_after_a_dead_key_types_its_accent() -> None:
    decoder = a_decoder("de", suffix="none")
    typist = Typist().text("T").key(41)
    assert heard(decoder, typist.events) == []
    assert decoder.flush(typist.now_s + 1) == [Code("T^")]


@pytest.mark.parametrize(("suffix", "key", "name"), [("enter", ENTER, "Enter"), ("tab", TAB, "Tab")])
def test_a_code_without_its_suffix_is_told_with_the_mend(suffix: Any, key: int, name: str) -> None:
    decoder = a_decoder(suffix=suffix)
    assert heard(decoder, Typist(at_s=50).text("T").events) == []
    assert decoder.deadline_s == pytest.approx(53.001)
    why = f'no suffix within 3 s: set the scanner to send {name}, or suffix = "none"'
    assert decoder.flush(53) == []
    assert decoder.flush(53.002) == [Broken(why)]
    assert not decoder.half_read
    assert codes(heard(decoder, Typist(at_s=54).text("T-2").key(key).events)) == ["T-2"]


@pytest.mark.parametrize("suffix", ["enter", "none"])
def test_a_code_that_is_too_long_is_told_once_and_dropped_to_its_end(suffix: Any) -> None:
    decoder = a_decoder(suffix=suffix, max_chars=5)
    typist = Typist().text("12345").enter().text("123456789").text("123456789")
    results = heard(decoder, typist.events)
    assert codes(results) == ["12345"]
    (why,) = whys(results)
    assert why.startswith("longer than 5 characters")
    assert not decoder.half_read
    assert decoder.lose("unplugged") == []
    results = heard(decoder, typist.enter().text("T-2").enter().events[-20:])
    assert codes(results) == ["T-2"]


def test_what_is_too_long_ends_with_a_pause_too() -> None:
    decoder = a_decoder(max_chars=2)
    typist = Typist().text("123456")
    assert len(heard(decoder, typist.events)) == 1
    assert decoder.flush(typist.now_s + 3) == []
    assert decoder.deadline_s is None


@pytest.mark.parametrize(
    "begun", [Typist().key(41), Typist().event(1, LEFT_ALT, 1).key(DIGITS["6"])], ids=["dead key", "Alt code"]
)
def test_a_code_of_which_no_character_has_come_yet_is_half_read_too(begun: Typist) -> None:
    decoder = a_decoder("de")
    heard(decoder, begun.events)
    assert decoder.half_read
    assert decoder.lose("unplugged") == [Broken("unplugged")]
    decoder = a_decoder("de")
    heard(decoder, begun.events)
    assert len(whys(decoder.flush(begun.now_s + 3))) == 1
    typist = Typist(at_s=begun.now_s + 4).event(1, LEFT_ALT, 0).text("e", "de").enter()
    assert heard(decoder, typist.events) == [Code("e")]


def test_a_scanner_that_goes_breaks_what_is_half_read_and_its_keys_are_up_again() -> None:
    decoder = a_decoder()
    assert decoder.lose("unplugged") == []
    typist = Typist().text("T-1").event(1, LEFT_SHIFT, 1).event(1, CTRL, 1)
    assert heard(decoder, typist.events) == []
    assert decoder.half_read
    assert decoder.lose("unplugged") == [Broken("unplugged")]
    assert not decoder.half_read
    assert codes(heard(decoder, Typist().text("t-2").enter().events)) == ["t-2"]
