"""Who reads codes here: Brama, and beside it plain zxing-cpp and plain pyzbar, with their defaults."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import zxingcpp

from drivers.camera.frames import Luma
from drivers.camera.stills import decode_still
from drivers.camera.symbologies import DEFAULT

BRAMA, ZXING, PYZBAR = "Brama", "zxing-cpp", "pyzbar"


Codes = tuple[tuple[str, str], ...]
"""What was read: the symbology's name, empty where the reader has other names, and the text."""


@dataclass(frozen=True)
class Result:
    """What one reader made of one picture, and the processor's time for it."""

    codes: Codes
    took_s: float


def switched_on(symbology: str | None) -> tuple[str, ...]:
    """Return what an event that sells this kind of ticket has on: what is on by default, and this."""
    return DEFAULT if symbology is None or symbology in DEFAULT else (*DEFAULT, symbology)


def still_readers(symbology: str) -> Mapping[str, Callable[[Luma], Codes]]:
    """Return the readers of still pictures; pyzbar only where it and libzbar are installed."""
    kinds = switched_on(symbology)
    readers = {
        BRAMA: lambda luma: tuple((each.kind, each.text) for each in decode_still(luma, kinds)),
        ZXING: plain_zxing,
    }
    try:
        from pyzbar import pyzbar
    except ImportError:
        return readers
    return {**readers, PYZBAR: lambda luma: tuple(("", _as_text(each.data)) for each in pyzbar.decode(luma))}


def plain_zxing(luma: Luma) -> Codes:
    """Return what zxing-cpp reads when nothing is asked of it."""
    return tuple(("", each.text) for each in zxingcpp.read_barcodes(luma))


def timed(read: Callable[[Luma], Codes], luma: Luma) -> Result:
    """Read one picture."""
    began_s = time.thread_time()
    codes = read(luma)
    return Result(codes, time.thread_time() - began_s)


def _as_text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
