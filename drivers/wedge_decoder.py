"""Codes out of key events: what scanners that type like a keyboard send. Pure: no device, no clock.

Source: Linux Documentation/input/event-codes.rst (EV_KEY values, SYN_DROPPED) and input-event-codes.h.
"""

from collections.abc import Iterable
from typing import Final, Literal

from drivers.aim import split_symbology
from drivers.decoded import Broken, Code
from drivers.keymaps import (
    KEY_CAPSLOCK,
    KEY_ENTER,
    KEY_KPENTER,
    KEY_LEFTALT,
    KEY_LEFTCTRL,
    KEY_LEFTSHIFT,
    KEY_RIGHTALT,
    KEY_RIGHTCTRL,
    KEY_RIGHTSHIFT,
    KEY_TAB,
    KEYPAD_DIGITS,
    DeadKey,
    Keymap,
)

Suffix = Literal["enter", "tab", "none"]

EV_SYN: Final = 0
EV_KEY: Final = 1
SYN_REPORT: Final = 0
SYN_DROPPED: Final = 3
RELEASED: Final = 0
PRESSED: Final = 1

_SHIFTS = {KEY_LEFTSHIFT, KEY_RIGHTSHIFT}
_CTRLS = {KEY_LEFTCTRL, KEY_RIGHTCTRL}
_HOLDABLE = _SHIFTS | _CTRLS | {KEY_LEFTALT, KEY_RIGHTALT}
_LINE_KEYS = {KEY_ENTER: "\n", KEY_KPENTER: "\n", KEY_TAB: "\t"}
_ALT_DIGITS_HELD = 9  # one more than any Alt code has, so that a longer one is seen to be wrong

OVERRUN_PAUSE_S = 0.5
OVERRUN = "keys were lost, because the kernel's queue ran over; scan it again"
_CUT_ALT_CODE = "an Alt code was cut short; set a shorter delay between keys in the scanner, or another keyboard mode"


class WedgeDecoder:
    """Turns key events into codes.

    A code ends with its suffix: Enter (also Ctrl+M, Ctrl+J and their Alt codes) or Tab (also Ctrl+I); with the suffix
    `none`, with Enter or a pause of `gap_s`. With a suffix, a code that pauses for `stale_s` is broken. A broken code
    is told at once and only once, and what still comes of it up to its end, or up to such a pause, is discarded.
    `prefix` is taken off where the code has it, before or after an AIM identifier; codes that are then empty are none.

    As on Windows, whose keyboards scanners emulate: Ctrl and left Alt are AltGr; left Alt and keypad digits are an Alt
    code, typed when Alt is released; any other key with left Alt types nothing. Auto-repeat is ignored: a scanner that
    holds a key typed it once. So are keys without a character (F1, volume).

    After `SYN_DROPPED` it is unknown how much is missing, perhaps a whole code, so it is told as broken at once, and
    everything up to the next end is discarded, or up to a pause of `OVERRUN_PAUSE_S`: keys that run the kernel's queue
    over come fast, and whoever scans again must not be discarded too.
    Times are seconds of any clock that does not jump, the same for `feed`, `flush` and `resync`.
    """

    def __init__(
        self,
        keymap: Keymap,
        *,
        prefix: str = "",
        suffix: Suffix = "enter",
        max_chars: int = 4096,
        caps_lock: bool = False,
        gap_s: float = 0.05,
        stale_s: float = 3.0,
    ) -> None:
        """`max_chars` counts what is typed, prefix and AIM identifier included; `caps_lock` is its state now."""
        self._keymap = keymap
        self._prefix = prefix
        self._ends = "\t" if suffix == "tab" else "\r\n"
        self._pause_s = gap_s if suffix == "none" else stale_s
        end = "Tab" if suffix == "tab" else "Enter"
        mend = f'set the scanner to send {end}, or suffix = "none"'
        self._stale = None if suffix == "none" else f"no suffix within {stale_s:g} s: {mend}"
        self._max_chars = max_chars
        self._too_long = f"longer than {max_chars} characters: set the scanner to send {end} after each code"
        self._caps = caps_lock
        self._needs_report = False
        self._needs_resync = False
        self._forget()

    def _forget(self) -> None:
        self._held: set[int] = set()
        self._text: list[str] = []
        self._dead: DeadKey | None = None
        # The digits of the Alt code; None unless left Alt was seen to be pressed and all its digits since.
        self._alt: str | None = None
        self._discarding = False
        self._overrun = False
        self._last_at_s = 0.0

    @property
    def half_read(self) -> bool:
        """Tell whether a code has begun that neither ended nor was told as broken."""
        return not self._discarding and bool(self._text or self._dead or self._alt)

    @property
    def needs_resync(self) -> bool:
        """Tell whether events were lost, so that `resync` must be called; until then all events are ignored."""
        return self._needs_resync

    @property
    def deadline_s(self) -> float | None:
        """When to call `flush` if no event comes before; None while there is nothing to wait for."""
        if self._needs_report or self._needs_resync or not (self._discarding or self.half_read):
            return None
        pause_s = min(self._pause_s, OVERRUN_PAUSE_S) if self._overrun else self._pause_s
        return self._last_at_s + pause_s

    def feed(self, type_: int, code: int, value: int, at_s: float) -> list[Code | Broken]:
        """Return what this event completes. `at_s` is its own time stamp, by which pauses are measured."""
        if type_ == EV_SYN and code == SYN_DROPPED:
            return self._lost()
        if self._needs_report or self._needs_resync:
            if type_ == EV_SYN and code == SYN_REPORT and self._needs_report:
                self._needs_report, self._needs_resync = False, True
            return []
        if type_ != EV_KEY or value not in {PRESSED, RELEASED}:
            return []
        results = self.flush(at_s)
        if value == PRESSED:
            return results + self._press(code, at_s)
        return results + self._release(code, at_s)

    def flush(self, at_s: float) -> list[Code | Broken]:
        """Return what a pause up to `at_s` ends, nothing before `deadline_s`. Feed all that is readable first."""
        deadline_s = self.deadline_s
        if deadline_s is None or at_s < deadline_s:
            return []
        results: list[Code | Broken] = []
        if self._alt:
            self._alt = None
            results += self._spoil(_CUT_ALT_CODE)
        elif self._stale is not None and not self._discarding:
            results += self._spoil(self._stale)
        elif self._dead is not None:
            results += self._type(" ")
        return results + self._end()

    def lose(self, why: str) -> list[Broken]:
        """Drop what is half-read and every key held, because the device has gone."""
        broken = [Broken(why)] if self.half_read else []
        self._needs_report = self._needs_resync = False
        self._forget()
        return broken

    def resync(self, pressed: Iterable[int], caps_lock: bool, at_s: float) -> None:
        """Take the state of the keys from the kernel, after events were lost; `at_s` is when it was asked.

        Asking empties the kernel's queue of key events, so feed what was read before first: none of it counts.
        """
        self._held = _HOLDABLE.intersection(pressed)
        self._caps = caps_lock
        self._last_at_s = at_s
        self._needs_resync = False

    def _lost(self) -> list[Code | Broken]:
        """Begin to discard. The event's time tells of no pause, because what was lost came before it."""
        results = self._spoil(OVERRUN)
        self._overrun = True
        self._alt = None
        self._needs_report, self._needs_resync = True, False
        return results

    def _press(self, code: int, at_s: float) -> list[Code | Broken]:
        if code in _HOLDABLE or code == KEY_CAPSLOCK:
            self._last_at_s = at_s
            self._caps ^= code == KEY_CAPSLOCK
            if code == KEY_LEFTALT:
                self._alt = ""
            self._held |= _HOLDABLE & {code}
            return []
        if KEY_LEFTALT in self._held and (code in KEYPAD_DIGITS or self._alt):
            self._last_at_s = at_s
            return self._press_within_alt_code(code)
        typed = self._typed_by(code)
        if typed is None:
            return []
        self._last_at_s = at_s
        return self._type(typed)

    def _press_within_alt_code(self, code: int) -> list[Code | Broken]:
        if self._alt is None or code not in KEYPAD_DIGITS:
            self._alt = None
            return self._spoil(_CUT_ALT_CODE)
        self._alt = (self._alt + KEYPAD_DIGITS[code])[:_ALT_DIGITS_HELD]
        return []

    def _release(self, code: int, at_s: float) -> list[Code | Broken]:
        self._held.discard(code)
        if code != KEY_LEFTALT or not self._alt:
            return []
        digits, self._alt = self._alt, None
        self._last_at_s = at_s
        char = self._keymap.alt_code(digits)
        if char is None:
            return self._spoil(f"Alt code {digits} is no character; set the scanner to this layout's Windows code page")
        return self._type(char)

    def _typed_by(self, code: int) -> str | DeadKey | None:
        shift, ctrl = bool(self._held & _SHIFTS), bool(self._held & _CTRLS)
        alt, altgr = KEY_LEFTALT in self._held, KEY_RIGHTALT in self._held
        if alt and not (ctrl or altgr):
            return None
        if code in _LINE_KEYS:
            return _LINE_KEYS[code]
        if ctrl and not (alt or altgr):
            return self._keymap.control(code, shift=shift)
        return self._keymap.typed(code, shift=shift, altgr=alt or altgr, caps=self._caps)

    def _type(self, typed: str | DeadKey) -> list[Code | Broken]:
        dead, self._dead = self._dead, None
        if dead is not None:
            typed = dead.then(typed)
        if isinstance(typed, DeadKey):
            self._dead = typed
            return []
        return [result for char in typed for result in self._put(char)]

    def _put(self, char: str) -> list[Code | Broken]:
        if char in self._ends:
            return self._end()
        if self._discarding or len(self._text) == self._max_chars:
            return self._spoil(self._too_long)
        self._text.append(char)
        return []

    def _spoil(self, why: str) -> list[Code | Broken]:
        """Break the code that is being read, or go on discarding the one that is broken; tell of it once."""
        told, self._discarding = self._discarding, True
        self._dead = None
        return [] if told else [Broken(why)]

    def _end(self) -> list[Code | Broken]:
        typed = "".join(self._text)
        self._text.clear()
        if self._discarding:
            self._discarding = self._overrun = False
            return []
        symbology, code = split_symbology(typed.removeprefix(self._prefix))
        if not typed.startswith(self._prefix):
            code = code.removeprefix(self._prefix)
        return [Code(code, symbology)] if code else []
