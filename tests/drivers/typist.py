"""A scanner that types: the key events that the kernel makes of it. Its layouts come from xkb, not from our tables."""

import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import product
from typing import Any

from hypothesis import strategies as st

from drivers.decoded import Broken, Code
from drivers.keymaps import LAYOUTS
from drivers.wedge_decoder import WedgeDecoder
from tests.drivers import xkb

Event = tuple[int, int, int, float]
"""Type, code, value, and its time in seconds."""
Press = tuple[int, ...]
"""Keys to hold, and the key to press with them."""

TAB, ENTER, CTRL, LEFT_SHIFT, RIGHT_SHIFT, LEFT_ALT, SPACE, CAPS_LOCK, ALT_GR = 15, 28, 29, 42, 54, 56, 57, 58, 100
DIGITS = dict(zip("0123456789", [82, 79, 80, 81, 75, 76, 77, 71, 72, 73], strict=True))
REPORT: tuple[int, int, int] = (0, 0, 0)
DROPPED: tuple[int, int, int] = (0, 3, 0)

# Which character a dead key and a space type on Windows.
ALONE = {"dead_acute": "´", "dead_grave": "`", "dead_circumflex": "^", "dead_tilde": "~", "dead_diaeresis": "¨"}


class Typist:
    """Makes events, each key press and release a report of its own, `key_s` apart."""

    def __init__(self, *, key_s: float = 0.001, at_s: float = 100.0) -> None:
        self.events: list[Event] = []
        self.now_s = at_s
        self._key_s = key_s

    def key(self, *keys: int) -> "Typist":
        """Hold all keys but the last, press that, and let go of all."""
        for key in keys:
            self.event(1, key, 1)
        for key in reversed(keys):
            self.event(1, key, 0)
        return self

    def presses(self, presses: Iterable[Press]) -> "Typist":
        """Type one press after another."""
        for press in presses:
            self.key(*press)
        return self

    def text(self, text: str, layout: str = "us", *, caps: bool = False) -> "Typist":
        """Type a text in the first way that the layout has for each character."""
        for char in text:
            self.presses(ways(layout, caps)[char][0])
        return self

    def alt(self, digits: str) -> "Typist":
        """Type an Alt code."""
        self.event(1, LEFT_ALT, 1)
        for digit in digits:
            self.key(DIGITS[digit])
        return self.event(1, LEFT_ALT, 0)

    def enter(self) -> "Typist":
        """Send the usual suffix."""
        return self.key(ENTER)

    def wait(self, seconds: float) -> "Typist":
        """Let time pass."""
        self.now_s += seconds
        return self

    def event(self, type_: int, code: int, value: int) -> "Typist":
        """Make one event and the report that follows it."""
        self.events += [(type_, code, value, self.now_s), (*REPORT, self.now_s)]
        self.now_s += self._key_s
        return self


@cache
def ways(layout: str, caps: bool) -> dict[str, list[list[Press]]]:
    """Return all ways in which a layout types each character, or accent and character, the shortest first."""
    found: dict[str, list[list[Press]]] = {}
    direct, dead = _presses(layout, caps)
    for char, press in direct:
        found.setdefault(char, []).append([press])
    for name, press in dead:
        for char, next_ in direct:
            if text := _joined(name, char):
                found.setdefault(text, []).append([press, next_])
    return found


def _joined(dead: str, char: str) -> str | None:
    """Return what a dead key and a character type; None where it is not a common accent and joins with nothing."""
    text = unicodedata.normalize("NFC", char + xkb.MARKS[dead])
    if len(text) == 1:
        return text
    return ALONE[dead] + char.strip(" ") if dead in ALONE else None


def _presses(layout: str, caps: bool) -> tuple[list[tuple[str, Press]], list[tuple[str, Press]]]:
    direct: list[tuple[str, Press]] = []
    dead: list[tuple[str, Press]] = []
    for altgr, shift, key in product([(), (ALT_GR,)], [(), (LEFT_SHIFT,), (RIGHT_SHIFT,)], xkb.CHARACTER_KEYS):
        symbol = xkb.scanner_types(layout, key, (bool(shift), bool(altgr), caps))
        if symbol != xkb.NOTHING:
            (dead if symbol in xkb.MARKS else direct).append((symbol, (*altgr, *shift, key)))
    return direct, dead


Text = tuple[str, list[Press]]
"""What is typed, and the keys that type it."""


@st.composite
def texts(draw: st.DrawFn, layout: str, caps: bool = False) -> Text:
    """Some text that a layout can type, in any of its ways."""
    keyboard = ways(layout, caps)
    chars = draw(st.lists(st.sampled_from(list(keyboard)), min_size=1, max_size=12))
    return "".join(chars), [press for char in chars for press in draw(st.sampled_from(keyboard[char]))]


def a_decoder(layout: str = "us", **options: Any) -> WedgeDecoder:
    return WedgeDecoder(LAYOUTS[layout], **options)


def heard(decoder: WedgeDecoder, events: Iterable[Event]) -> list[Code | Broken]:
    return [result for event in events for result in decoder.feed(*event)]


def codes(results: Iterable[Code | Broken]) -> list[str]:
    return [result.text for result in results if isinstance(result, Code)]


def whys(results: Iterable[Code | Broken]) -> list[str]:
    return [result.why for result in results if isinstance(result, Broken)]
