"""What a key types according to libxkbcommon: the oracle for our own tables.

Source: xkbcommon/xkbcommon.h of libxkbcommon 1.5; a key code of xkb is one of evdev plus 8.
"""

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from itertools import product

MEND = "apt-get install -y libxkbcommon0 xkb-data"
NAMES = {"uk": "gb"}  # where xkb calls a layout otherwise than we do

SPACE = 57
CHARACTER_KEYS = [41, *range(2, 14), *range(16, 28), *range(30, 41), 43, 86, *range(44, 54), SPACE]
KEYPAD = [55, 74, 78, 98, 117, 118, 121, 179, 180, *range(71, 74), *range(75, 78), *range(79, 84)]

# The combining characters of xkb's dead keys.
MARKS = {
    "dead_abovedot": "\N{COMBINING DOT ABOVE}",
    "dead_abovering": "\N{COMBINING RING ABOVE}",
    "dead_acute": "\N{COMBINING ACUTE ACCENT}",
    "dead_belowdot": "\N{COMBINING DOT BELOW}",
    "dead_belowmacron": "\N{COMBINING MACRON BELOW}",
    "dead_breve": "\N{COMBINING BREVE}",
    "dead_caron": "\N{COMBINING CARON}",
    "dead_cedilla": "\N{COMBINING CEDILLA}",
    "dead_circumflex": "\N{COMBINING CIRCUMFLEX ACCENT}",
    "dead_diaeresis": "\N{COMBINING DIAERESIS}",
    "dead_doubleacute": "\N{COMBINING DOUBLE ACUTE ACCENT}",
    "dead_grave": "\N{COMBINING GRAVE ACCENT}",
    "dead_hook": "\N{COMBINING HOOK ABOVE}",
    "dead_horn": "\N{COMBINING HORN}",
    "dead_macron": "\N{COMBINING MACRON}",
    "dead_ogonek": "\N{COMBINING OGONEK}",
    "dead_tilde": "\N{COMBINING TILDE}",
}

Level = tuple[bool, bool, bool]
"""Shift, AltGr, caps lock."""

NOTHING = "NoSymbol"


def _windows_vowel(key: int, small: str) -> dict[tuple[int, Level], str]:
    """Caps lock turns Shift round."""
    levels = product([False, True], [False, True])
    return {(key, (shift, True, caps)): small if shift == caps else small.upper() for shift, caps in levels}


# Where Windows' keys are meant, not xkb's: AltGr on the UK and the French layout, and the micro sign, which caps lock
# leaves alone.
WINDOWS: dict[str, dict[tuple[int, Level], str]] = {
    "us": {},
    "uk": {
        (41, (False, True, False)): "¦",
        (41, (False, True, True)): "¦",
        (50, (False, True, True)): "µ",
        **_windows_vowel(18, "é"),
        **_windows_vowel(22, "ú"),
        **_windows_vowel(23, "í"),
        **_windows_vowel(24, "ó"),
        **_windows_vowel(30, "á"),
    },
    "de": {(50, (False, True, True)): "µ"},
    "fr": {
        (3, (False, True, False)): "dead_tilde",
        (3, (False, True, True)): "dead_tilde",
        (8, (False, True, False)): "dead_grave",
        (8, (False, True, True)): "dead_grave",
        (39, (False, True, True)): "µ",
        (43, (True, False, True)): "µ",
    },
    "ua": {},
    "ru": {},
}


class _Names(ctypes.Structure):
    _fields_ = [(name, c_char_p) for name in ("rules", "model", "layout", "variant", "options")]


@cache
def _library() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libxkbcommon.so.0")
    except OSError as exc:
        raise AssertionError(f"the layouts cannot be checked without libxkbcommon: {MEND}") from exc
    for name, result, arguments in [
        ("xkb_context_new", c_void_p, [c_int]),
        ("xkb_keymap_new_from_names", c_void_p, [c_void_p, POINTER(_Names), c_int]),
        ("xkb_keymap_mod_get_index", c_uint32, [c_void_p, c_char_p]),
        ("xkb_state_new", c_void_p, [c_void_p]),
        ("xkb_state_update_mask", c_int, [c_void_p] + [c_uint32] * 6),
        ("xkb_state_key_get_utf8", c_int, [c_void_p, c_uint32, c_char_p, c_size_t]),
        ("xkb_state_key_get_one_sym", c_uint32, [c_void_p, c_uint32]),
        ("xkb_keysym_get_name", c_int, [c_uint32, c_char_p, c_size_t]),
    ]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Xkb:
    """One layout on a pc105 keyboard. Lives as long as the tests do: nothing is given back."""

    def __init__(self, layout: str) -> None:
        self._lib = _library()
        names = _Names(b"evdev", b"pc105", NAMES.get(layout, layout).encode(), None, None)
        keymap = self._lib.xkb_keymap_new_from_names(self._lib.xkb_context_new(0), names, 0)
        assert keymap, f"no layout {layout!r}: {MEND}"
        self._state = self._lib.xkb_state_new(keymap)
        self._mods = {
            name: 1 << self._lib.xkb_keymap_mod_get_index(keymap, name.encode())
            for name in ("Shift", "Lock", "Mod2", "Mod5")
        }

    def typed(self, key: int, shift: bool, altgr: bool, caps: bool) -> str:
        """Return the character, or the name of the key symbol where it is none, such as `dead_acute`."""
        held = shift * self._mods["Shift"] | altgr * self._mods["Mod5"]
        locked = self._mods["Mod2"] | caps * self._mods["Lock"]
        self._lib.xkb_state_update_mask(self._state, held, 0, locked, 0, 0, 0)
        text = ctypes.create_string_buffer(64)
        if not self._lib.xkb_state_key_get_utf8(self._state, key + 8, text, 64):
            symbol = self._lib.xkb_state_key_get_one_sym(self._state, key + 8)
            self._lib.xkb_keysym_get_name(symbol, text, 64)
        return text.value.decode()


@cache
def layout(name: str) -> Xkb:
    """Return the layout of that name of ours."""
    return Xkb(name)


def scanner_types(name: str, key: int, level: Level) -> str:
    """Return what a scanner set to that layout means by a key: as Windows has it."""
    return WINDOWS[name].get((key, level)) or layout(name).typed(key, *level)
