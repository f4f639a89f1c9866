"""What pyzbar, over Debian's libzbar0, finds in a still picture that zxing-cpp may have missed.

It is no part of what must be there: where one of the two is missing, all works without, and `why_missing` says so. Of
what it finds, only plain ASCII is taken: it guesses character sets, and other content comes out of it changed.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from drivers.camera.decoder import Found, Placing
from drivers.camera.frames import Luma
from drivers.camera.messages import Sighting
from drivers.camera.symbologies import symbology

STEP: Final = "zbar"
_NAMES: Final = {
    "qr": ("QRCODE",),
    "code128": ("CODE128",),
    "code39": ("CODE39",),
    "ean_upc": ("EAN13", "EAN8"),
    "itf": ("I25",),
    "codabar": ("CODABAR",),
}
"""UPC-A comes as EAN-13. UPC-E is left out: it is found where there is none."""
_IDENTIFIERS: Final = {
    "QRCODE": "]Q1",
    "CODE128": "]C0",
    "CODE39": "]A0",
    "EAN13": "]E0",
    "EAN8": "]E4",
    "I25": "]I0",
    "CODABAR": "]F0",
}
_KINDS: Final = {name: kind for kind, names in _NAMES.items() for name in names}


@cache
def why_missing() -> str | None:
    """Return why there is no second opinion, and what mends it; None: there is one."""
    try:
        _zbar()
    except (ImportError, OSError) as exc:
        return f"no second opinion on still pictures ({exc}): apt install libzbar0, pip install pyzbar"
    return None


def _zbar() -> ModuleType:
    return import_module("pyzbar.pyzbar")


def second_opinion(luma: Luma, kinds: tuple[str, ...], placing: Placing) -> list[Found]:
    """Return the codes of the symbologies `kinds` in an array that lies in the shown picture as `placing` says."""
    wanted = [name for kind in kinds for name in _NAMES.get(kind, ())]
    if not wanted or 0 in luma.shape or why_missing() is not None:
        return []
    zbar = _zbar()
    symbols = [zbar.ZBarSymbol[name] for name in wanted]
    found = (_found(each, placing) for each in zbar.decode(luma, symbols=symbols))
    return [each for each in found if each is not None]


def _found(decoded: Any, placing: Placing) -> Found | None:
    data: bytes = decoded.data
    if not data.isascii() or decoded.type not in _KINDS:
        return None
    kind = _KINDS[decoded.type]
    box = decoded.rect
    right, bottom = box.left + box.width, box.top + box.height
    corners = ((box.left, box.top), (right, box.top), (right, bottom), (box.left, bottom))
    outline = tuple(placing.point(x, y) for x, y in corners)
    sighting = Sighting(data.decode("ascii"), _IDENTIFIERS[decoded.type], kind, outline, STEP, symbology(kind).certain)
    # Half an ITF reads as a shorter one here too.
    return Found(sighting, data, None, careful=kind != "itf")
