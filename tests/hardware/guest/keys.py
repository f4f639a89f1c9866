"""Which keys of a US keyboard make a text, by the names that the kernel, QEMU and USB have for them.

Sources: linux/input-event-codes.h; QEMU qapi/ui.json, QKeyCode; HID Usage Tables, Keyboard/Keypad Page (0x07).
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """One key."""

    linux: str
    qemu: str
    usage: int


SHIFT = Key("KEY_LEFTSHIFT", "shift", 0xE1)
KEYS = {
    **{letter: Key(f"KEY_{letter.upper()}", letter, 0x04 + at) for at, letter in enumerate(string.ascii_lowercase)},
    **{digit: Key(f"KEY_{digit}", digit, 0x1E + at) for at, digit in enumerate("1234567890")},
    "\n": Key("KEY_ENTER", "ret", 0x28),
    "\t": Key("KEY_TAB", "tab", 0x2B),
    " ": Key("KEY_SPACE", "spc", 0x2C),
    "-": Key("KEY_MINUS", "minus", 0x2D),
    "=": Key("KEY_EQUAL", "equal", 0x2E),
    "[": Key("KEY_LEFTBRACE", "bracket_left", 0x2F),
    "]": Key("KEY_RIGHTBRACE", "bracket_right", 0x30),
    "\\": Key("KEY_BACKSLASH", "backslash", 0x31),
    ";": Key("KEY_SEMICOLON", "semicolon", 0x33),
    "'": Key("KEY_APOSTROPHE", "apostrophe", 0x34),
    "`": Key("KEY_GRAVE", "grave_accent", 0x35),
    ",": Key("KEY_COMMA", "comma", 0x36),
    ".": Key("KEY_DOT", "dot", 0x37),
    "/": Key("KEY_SLASH", "slash", 0x38),
}
SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./", strict=True))


def typed(text: str) -> Iterator[tuple[Key, bool]]:
    """Yield for each character its key, and whether shift is held.

    Raises:
        KeyError: no such key on a US keyboard.
    """
    for character in text:
        plain = SHIFTED.get(character, character.lower())
        yield KEYS[plain], plain != character


def strokes(text: str) -> Iterator[tuple[Key, bool]]:
    """Yield what a hand does: each key with True as it goes down and False as it comes up."""
    for key, shifted in typed(text):
        held = [SHIFT, key] if shifted else [key]
        yield from ((each, True) for each in held)
        yield from ((each, False) for each in reversed(held))
