"""What the keys of a keyboard type, in the layouts that scanners can be set to.

Sources: key codes, Linux include/uapi/linux/input-event-codes.h; layouts, xkeyboard-config 2.35 (us, gb, de, fr, ua, ru
on a pc105 keyboard), but as on Windows, which scanners emulate, where the two differ in what a scanner would use: on
AltGr, uk types á é í ó ú ¦ and fr has a dead tilde and a dead grave. Alt codes: Microsoft, "National Language Support",
code pages of each locale.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

KEY_TAB: Final = 15
KEY_ENTER: Final = 28
KEY_LEFTCTRL: Final = 29
KEY_LEFTSHIFT: Final = 42
KEY_RIGHTSHIFT: Final = 54
KEY_LEFTALT: Final = 56
KEY_CAPSLOCK: Final = 58
KEY_KPENTER: Final = 96
KEY_RIGHTCTRL: Final = 97
KEY_RIGHTALT: Final = 100

KEYPAD_DIGITS: Final[Mapping[int, str]] = dict(zip([82, 79, 80, 81, 75, 76, 77, 71, 72, 73], "0123456789", strict=True))
"""KEY_KP0 to KEY_KP9; num lock is taken as on."""

# KEY_SPACE; then the keypad's / * - + = +/- , ( ), of which the comma is a second decimal point.
_EVERYWHERE = {57: " ", 98: "/", 55: "*", 74: "-", 78: "+", 117: "=", 118: "±", 121: ".", 179: "(", 180: ")"}
_KEY_KPDOT = 83

# From left to right and from top to bottom, KEY_BACKSLASH at the end of the third row and KEY_102ND before the fourth.
_KEYS = [41, *range(2, 14), *range(16, 28), *range(30, 41), 43, 86, *range(44, 54)]

_NOTHING = "␀"
_A_KEY = re.compile(r"◌.|\S")

# The character that a dead key types when a space follows it. Three marks have none and stand alone.
_SPACING = dict(zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b", "`´^~¯˘˙¨˚˝", strict=True)) | dict(
    zip("\u030c\u0327\u0328\u0331", "ˇ¸˛ˍ", strict=True)
)
# Where caps lock does not do what str.upper does.
_CAPITALS = {"ß": "ẞ", "µ": "µ", "ı": "ı"}

_MAX_ALT_DIGITS = 8  # U+10FFFF is 1114111, and a leading zero


@dataclass(frozen=True, slots=True)
class DeadKey:
    """A key that types nothing until the next one; `mark` is its combining character."""

    mark: str

    @property
    def spacing(self) -> str:
        """The accent alone, as a character of its own."""
        return _SPACING.get(self.mark, self.mark)

    def then(self, typed: "str | DeadKey") -> str:
        """Return what this and the next key type together: a letter of Unicode's (NFC) where there is one."""
        if isinstance(typed, DeadKey):
            return self.spacing + typed.spacing
        if typed == " ":
            return self.spacing
        joined = unicodedata.normalize("NFC", typed + self.mark)
        return joined if len(joined) == 1 else self.spacing + typed


class Keymap:
    """What each key types in one layout."""

    def __init__(self, table: str, *, ansi: str, oem: str, decimal: str = ".") -> None:
        """Take a table of four lines: the keys alone, with Shift, with AltGr, and with both.

        `◌` and a combining mark is a dead key, `␀` a key without a character; spaces only divide the rows. `ansi` and
        `oem` name the Windows code pages of Alt codes, `decimal` is on the keypad.
        """
        common = {**KEYPAD_DIGITS, **_EVERYWHERE, _KEY_KPDOT: decimal}
        self._levels = [{**_level(line), **common} for line in table.strip().split("\n")]
        self._ansi = ansi
        self._oem = oem

    def typed(self, code: int, *, shift: bool = False, altgr: bool = False, caps: bool = False) -> str | DeadKey | None:
        """Return the character or dead key of key `code`; None where it types nothing. Caps lock is for letters."""
        pair = [level.get(code) for level in self._levels[2 * altgr : 2 * altgr + 2]]
        if caps and _is_letter(*pair):
            return pair[not shift]
        char = pair[shift]
        return _CAPITALS.get(char, char.upper()) if caps and isinstance(char, str) else char

    def control(self, code: int, *, shift: bool = False) -> str | None:
        """Return the control character of Ctrl and key `code`, if they make one.

        It is that of the key's own character; else, as scanners that know no layout mean it, that of the key's
        character on a US keyboard, where Shift may be left out (Ctrl+6 is RS).
        """
        for char in (self.typed(code, shift=shift), US.typed(code, shift=shift), US.typed(code, shift=True)):
            if isinstance(char, str) and ("@" <= char <= "_" or "a" <= char <= "z"):
                return chr(ord(char) & 0x1F)
        return None

    def alt_code(self, digits: str) -> str | None:
        """Return the character of Alt and keypad `digits`; None where there is none.

        Above 255 it is the Unicode code point; else a leading zero tells the ANSI code page from the OEM one. Below 32
        both have the control characters.
        """
        if not 0 < len(digits) <= _MAX_ALT_DIGITS:
            return None
        value = int(digits)
        if value > 255:
            return chr(value) if value <= 0x10FFFF and not 0xD800 <= value <= 0xDFFF else None
        try:
            return bytes([value]).decode(self._ansi if digits.startswith("0") else self._oem)
        except UnicodeDecodeError:
            return None


def _level(line: str) -> dict[int, str | DeadKey]:
    keys = zip(_KEYS, _A_KEY.findall(line), strict=True)
    return {code: DeadKey(key[1]) if key[1:] else key for code, key in keys if key != _NOTHING}


def _is_letter(small: str | DeadKey | None, capital: str | DeadKey | None) -> bool:
    return isinstance(small, str) and small.islower() and isinstance(capital, str) and capital.isupper()


US: Final = Keymap(
    r"""
`1234567890-= qwertyuiop[] asdfghjkl;'\ <zxcvbnm,./
~!@#$%^&*()_+ QWERTYUIOP{} ASDFGHJKL:"| >ZXCVBNM<>?
`1234567890-= qwertyuiop[] asdfghjkl;'\ |zxcvbnm,./
~!@#$%^&*()_+ QWERTYUIOP{} ASDFGHJKL:"| ¦ZXCVBNM<>?
""",
    ansi="cp1252",
    oem="cp437",
)
_UK = Keymap(
    r"""
`1234567890-= qwertyuiop[] asdfghjkl;'# \zxcvbnm,./
¬!"£$%^&*()_+ QWERTYUIOP{} ASDFGHJKL:@~ |ZXCVBNM<>?
¦¹²³€½¾{[]}\◌̧ @ſé¶ŧ←úíóþ◌̈◌̃ áßðđŋħ◌̉ĸł◌́◌̂◌̀ |«»¢„“”µ•·◌̣
|¡⅛£¼⅜⅝⅞™±°¿◌̨ Ω§É®Ŧ¥ÚÍÓÞ◌̊◌̄ ÁẞÐªŊĦ◌̛&Ł◌̋◌̌◌̆ ¦<>©‚‘’º×÷◌̇
""",
    ansi="cp1252",
    oem="cp850",
)
_DE = Keymap(
    r"""
◌̂1234567890ß◌́ qwertzuiopü+ asdfghjklöä# <yxcvbnm,.-
°!"§$%&/()=?◌̀ QWERTZUIOPÜ* ASDFGHJKLÖÄ' >YXCVBNM;:_
′¹²³¼½¬{[]}\◌̧ @ſ€¶ŧ←↓→øþ◌̈~ æſðđŋħ◌̣ĸł◌̋◌̂’ |»«¢„“”µ·…–
″¡⅛£¤⅜⅝⅞™±°¿◌̨ Ω§€®Ŧ¥↑ıØÞ◌̊¯ ÆẞÐªŊĦ◌̇&Ł◌̣◌̌◌̆ ◌̱›‹©‚‘’º×÷—
""",
    ansi="cp1252",
    oem="cp850",
    decimal=",",
)
_FR = Keymap(
    r"""
²&é"'(-è_çà)= azertyuiop◌̂$ qsdfghjklmù* <wxcvbn,;:!
~1234567890°+ AZERTYUIOP◌̈£ QSDFGHJKLM%µ >WXCVBN?./§
¬¹◌̃#{[|◌̀\^@]} æ«€¶ŧ←↓→øþ◌̈¤ @ßðđŋħ◌̉ĸłµ◌̂◌̀ |ł»¢„“”◌́•·◌̣
¬¡⅛£$⅜⅝⅞™±°¿◌̨ Æ<¢®Ŧ¥↑ıØÞ◌̊◌̄ ΩẞÐªŊĦ◌̛&Łº◌̌◌̆ ¦Ł>©‚‘’◌̋×÷◌̇
""",
    ansi="cp1252",
    oem="cp850",
)
# The first key of the third line types the stress mark itself; it is no dead key.
_UA = Keymap(
    """
'1234567890-= йцукенгшщзхї фівапролджєґ /ячсмитьбю.
ʼ!"№;%:?*()_+ ЙЦУКЕНГШЩЗХЇ ФІВАПРОЛДЖЄҐ |ЯЧСМИТЬБЮ,
\u0301¹²§$°<>•[]—≠ јџў®ёњгшщзхъ фывапрољђжэ\\ |яћ©ми™ь«»/
~␀’₴€␀␀␀␀{}–± ЈЏЎ␀ЁЊГШЩЗХЪ ФЫВАПРОЉЂЖЭ| ¦ЯЋ␀МИ␀Ь„“…
""",
    ansi="cp1251",
    oem="cp866",
)
_RU = Keymap(
    r"""
ё1234567890-= йцукенгшщзхъ фывапролджэ\ /ячсмитьбю.
Ё!"№;%:?*()_+ ЙЦУКЕНГШЩЗХЪ ФЫВАПРОЛДЖЭ/ |ЯЧСМИТЬБЮ,
ё1234567₽90-= йцукенгшщзхъ фывапролджэ\ |ячсмитьбю.
Ё!"№;%:?␀()_+ ЙЦУКЕНГШЩЗХЪ ФЫВАПРОЛДЖЭ/ ¦ЯЧСМИТЬБЮ,
""",
    ansi="cp1251",
    oem="cp866",
    decimal=",",
)

LAYOUTS: Final[Mapping[str, Keymap]] = {"us": US, "uk": _UK, "de": _DE, "fr": _FR, "ua": _UA, "ru": _RU}
"""By the names that settings use."""
