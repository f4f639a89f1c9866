"""Keyboards made through uinput: scanners that type, as many at once as a test needs.

Source: Linux Documentation/input/uinput.rst.
"""

from contextlib import closing

from evdev import UInput, ecodes

from tests.hardware.guest.keys import strokes

_plugged: dict[str, UInput] = {}


def plug(name: str, vendor: int = 0x05E0, product: int = 0x1200) -> str:
    """Plug a keyboard in; return its device node, /dev/input/event*."""
    keys = [code for code in ecodes.KEY if code < ecodes.BTN_MISC]
    _plugged[name] = UInput({ecodes.EV_KEY: keys}, name=name, vendor=vendor, product=product)
    node: str = _plugged[name].device.path
    return node


def unplug(name: str) -> None:
    """Pull it out."""
    with closing(_plugged.pop(name)):
        pass


def type_text(name: str, text: str) -> None:
    """Type a text as the US layout has it, as fast as the kernel takes it; a newline is Enter."""
    press(name, [(key.linux, int(down)) for key, down in strokes(text)])


def press(name: str, events: list[tuple[str, int]]) -> None:
    """Send key events, such as KEY_A with 1 (down), 0 (up) or 2 (held), each in a report of its own."""
    device = _plugged[name]
    for key, value in events:
        device.write(ecodes.EV_KEY, ecodes.ecodes[key], value)
        device.write(ecodes.EV_SYN, ecodes.SYN_REPORT, 0)
