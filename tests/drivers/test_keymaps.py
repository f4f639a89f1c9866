"""Keyboard layouts, each key at each level, against libxkbcommon."""

import unicodedata
from itertools import product

import pytest

from drivers.keymaps import LAYOUTS, DeadKey
from tests.drivers import xkb
from tests.drivers.xkb import Level

LEVELS = list(product([False, True], [False, True], [False, True]))


def theirs(layout: str, key: int, level: Level) -> str:
    return xkb.layout(layout).typed(key, *level)


def ours(layout: str, key: int, level: Level) -> str:
    """Return what our table says, in xkb's words."""
    shift, altgr, caps = level
    match LAYOUTS[layout].typed(key, shift=shift, altgr=altgr, caps=caps):
        case DeadKey(mark):
            return next(name for name, its_mark in xkb.MARKS.items() if its_mark == mark)
        case None:
            return xkb.NOTHING
        case char:
            return char


def test_every_layout_is_checked() -> None:
    assert set(xkb.WINDOWS) == set(LAYOUTS)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: "shift {:d} altgr {:d} caps {:d}".format(*level))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_key_types_what_xkb_says_but_for_the_differences_listed(layout: str, level: Level) -> None:
    listed = {key: symbol for (key, at), symbol in xkb.WINDOWS[layout].items() if at == level}
    by_xkb = {key: theirs(layout, key, level) for key in xkb.CHARACTER_KEYS}
    assert {key: ours(layout, key, level) for key in xkb.CHARACTER_KEYS} == by_xkb | listed
    assert all(by_xkb[key] != symbol for key, symbol in listed.items()), "a difference is listed that is none"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_keypad_types_what_xkb_says_with_num_lock_on(layout: str) -> None:
    for key, level in product(xkb.KEYPAD, LEVELS):
        # Shift turns xkb's keypad into arrows; a scanner with num lock on means the digits.
        unshifted = (False, level[1], level[2])
        assert ours(layout, key, level) == theirs(layout, key, unshifted), key


@pytest.mark.parametrize("layout", LAYOUTS)
def test_keys_that_are_no_characters_type_nothing(layout: str) -> None:
    known = {*xkb.CHARACTER_KEYS, *xkb.KEYPAD}
    for key, level in product(range(768), LEVELS):
        assert key in known or ours(layout, key, level) == xkb.NOTHING, key


@pytest.mark.parametrize(
    ("layout", "chars"),
    [
        ("uk", "€áéíóú¦£¬"),
        ("de", "@€[]{}\\~|µ²³äöüßÄÖÜẞ§°"),
        ("fr", "#{[|\\^@]}€¤éèçàù²£µ§"),
        ("ua", "іїєґІЇЄҐ'№₴"),
        ("ru", "ёъыэЁЪЫЭ№₽"),
    ],
)
def test_a_layout_types_the_characters_of_its_country(layout: str, chars: str) -> None:
    typed = {ours(layout, key, level) for key in xkb.CHARACTER_KEYS for level in LEVELS}
    assert set(chars) <= typed


@pytest.mark.parametrize(
    ("mark", "next_", "typed"),
    [
        ("CIRCUMFLEX ACCENT", "e", "ê"),
        ("CIRCUMFLEX ACCENT", " ", "^"),
        ("CIRCUMFLEX ACCENT", "x", "^x"),
        ("CIRCUMFLEX ACCENT", "1", "^1"),
        ("CIRCUMFLEX ACCENT", "\n", "^\n"),
        ("ACUTE ACCENT", "E", "É"),
        ("ACUTE ACCENT", " ", "´"),
        ("GRAVE ACCENT", "a", "à"),
        ("GRAVE ACCENT", " ", "`"),
        ("TILDE", "n", "ñ"),
        ("TILDE", " ", "~"),
        ("DIAERESIS", "U", "Ü"),
        ("DIAERESIS", " ", "¨"),
        ("CARON", "s", "š"),
        ("CARON", " ", "ˇ"),
        ("CEDILLA", "c", "ç"),
        ("HORN", "o", "ơ"),
    ],
)
def test_a_dead_key_joins_the_letter_after_it(mark: str, next_: str, typed: str) -> None:
    dead = DeadKey(unicodedata.lookup(f"COMBINING {mark}"))
    assert dead.then(next_) == typed


@pytest.mark.parametrize("mark", xkb.MARKS.values(), ids=xkb.MARKS)
def test_every_dead_key_alone_is_one_character_and_twice_is_two(mark: str) -> None:
    dead = DeadKey(mark)
    spacing = dead.then(" ")
    assert len(spacing) == 1
    assert dead.then(dead) == spacing * 2
    # Unicode tells of most accents which one stands alone; ASCII's own three and the caron have no such entry.
    if spacing not in "^`~ˇˍ" + mark:
        assert unicodedata.normalize("NFKD", spacing) == " " + mark


@pytest.mark.parametrize(
    ("layout", "key", "shift", "control"),
    [
        pytest.param("us", 27, False, "\x1d", id="Ctrl+] is GS"),
        pytest.param("us", 26, False, "\x1b", id="Ctrl+[ is ESC"),
        pytest.param("us", 43, False, "\x1c", id="Ctrl+backslash is FS"),
        pytest.param("us", 7, True, "\x1e", id="Ctrl+^ is RS"),
        pytest.param("us", 7, False, "\x1e", id="Ctrl+6 is RS"),
        pytest.param("us", 12, True, "\x1f", id="Ctrl+_ is US"),
        pytest.param("us", 12, False, "\x1f", id="Ctrl+- is US"),
        pytest.param("us", 3, True, "\x00", id="Ctrl+@ is NUL"),
        pytest.param("us", 32, False, "\x04", id="Ctrl+D is EOT"),
        pytest.param("us", 32, True, "\x04", id="Ctrl+Shift+D too"),
        pytest.param("us", 2, False, None, id="Ctrl+1 is nothing"),
        pytest.param("us", 57, False, None, id="Ctrl+space is nothing"),
        pytest.param("us", 59, False, None, id="Ctrl+F1 is nothing"),
        pytest.param("us", 79, False, None, id="Ctrl and the keypad are nothing"),
        pytest.param("de", 27, False, "\x1d", id="de: Ctrl and the key right of Ü is GS"),
        pytest.param("de", 21, False, "\x1a", id="de: Ctrl+Z is where Z is"),
        pytest.param("de", 41, False, None, id="de: a dead key has no control"),
        pytest.param("fr", 16, False, "\x01", id="fr: Ctrl+A is where A is"),
        pytest.param("fr", 9, False, "\x1f", id="fr: Ctrl+_ needs no Shift"),
        pytest.param("fr", 26, False, "\x1b", id="fr: the dead circumflex is where [ is"),
        pytest.param("ua", 27, False, "\x1d", id="ua: Ctrl+Ї is GS"),
        pytest.param("ru", 50, False, "\x0d", id="ru: Ctrl+Ь is CR"),
    ],
)
def test_ctrl_makes_control_characters(layout: str, key: int, shift: bool, control: str | None) -> None:
    assert LAYOUTS[layout].control(key, shift=shift) == control


@pytest.mark.parametrize(
    ("layout", "digits", "char"),
    [
        ("us", "65", "A"),
        ("us", "065", "A"),
        ("us", "29", "\x1d"),
        ("us", "029", "\x1d"),
        ("us", "0", "\x00"),
        ("us", "128", "Ç"),
        ("us", "0128", "€"),
        ("us", "155", "¢"),
        ("uk", "155", "ø"),
        ("fr", "0233", "é"),
        ("ua", "0191", "ї"),
        ("ua", "245", "ї"),
        ("ru", "0233", "й"),
        ("ru", "169", "й"),
        ("us", "256", "Ā"),
        ("us", "8364", "€"),
        ("us", "08364", "€"),
        ("ua", "1031", "Ї"),
        ("us", "128512", "😀"),
        ("us", "1114111", "\U0010ffff"),
        ("us", "01114111", "\U0010ffff"),
        ("us", "0129", None),  # not a character of cp1252
        ("ua", "0152", None),  # nor of cp1251
        ("us", "55296", None),  # half a character
        ("us", "57343", None),
        ("us", "1114112", None),
        ("us", "000000065", None),  # longer than any Alt code
        ("us", "", None),
    ],
)
def test_alt_codes_are_those_of_windows(layout: str, digits: str, char: str | None) -> None:
    assert LAYOUTS[layout].alt_code(digits) == char


@pytest.mark.parametrize(
    ("layout", "ansi", "oem"),
    [
        ("us", "cp1252", "cp437"),
        ("uk", "cp1252", "cp850"),
        ("de", "cp1252", "cp850"),
        ("fr", "cp1252", "cp850"),
        ("ua", "cp1251", "cp866"),
        ("ru", "cp1251", "cp866"),
    ],
)
def test_every_character_of_the_code_pages_has_its_alt_code(layout: str, ansi: str, oem: str) -> None:
    for value in range(32, 256):
        for page, digits in [(ansi, f"0{value}"), (oem, f"{value}")]:
            char = LAYOUTS[layout].alt_code(digits)
            assert (char or "\ufffd") == bytes([value]).decode(page, "replace")
