"""The codes of tickets, of lengths that sellers use, drawn one pixel a module.

QR and Micro QR come from segno, the others from zint by way of zxing-cpp's writer: no reader here is shown what its own
authors drew. Shapes and quiet zones are those of the standards, except as `QUIET` says.
"""

import uuid
from dataclasses import dataclass

import cv2
import numpy as np
import segno
import zxingcpp
from numpy.random import Generator
from numpy.typing import NDArray

from drivers.camera.frames import Luma

SYMBOLOGIES = ("qr", "micro_qr", "aztec", "pdf417", "data_matrix", "code128", "code39", "ean_upc", "itf", "codabar")
"""Those that are drawn, by the names of `drivers.camera.symbologies`."""

LINEAR = frozenset({"code128", "code39", "ean_upc", "itf", "codabar"})

_FORMATS = {
    "aztec": zxingcpp.BarcodeFormat.Aztec,
    "pdf417": zxingcpp.BarcodeFormat.PDF417,
    "data_matrix": zxingcpp.BarcodeFormat.DataMatrix,
    "code128": zxingcpp.BarcodeFormat.Code128,
    "code39": zxingcpp.BarcodeFormat.Code39,
    "itf": zxingcpp.BarcodeFormat.ITF,
    "codabar": zxingcpp.BarcodeFormat.Codabar,
}
_EAN = {8: zxingcpp.BarcodeFormat.EAN8, 12: zxingcpp.BarcodeFormat.UPCA, 13: zxingcpp.BarcodeFormat.EAN13}
_UPPER = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True)
class Code:
    """A code to be shown: `cells` is 0 where it is dark and 255 where it is light, with its quiet zone."""

    symbology: str
    text: str
    cells: Luma
    quiet: int
    """Width of the quiet zone at the left and the right, in modules."""

    @property
    def modules(self) -> int:
        """Width in modules, without the quiet zone."""
        return int(self.cells.shape[1]) - 2 * self.quiet

    def corners(self) -> NDArray[np.float64]:
        """Return its four corners in modules, quiet zone left out at the sides where the picture has it."""
        height, width = self.cells.shape
        top = 0 if self.symbology in LINEAR else min(self.quiet, height // 4)
        return np.array(
            [
                [self.quiet, top],
                [width - self.quiet, top],
                [width - self.quiet, height - top],
                [self.quiet, height - top],
            ],
            dtype=np.float64,
        )


def _random(rng: Generator, alphabet: str, count: int) -> str:
    return "".join(alphabet[int(n)] for n in rng.integers(0, len(alphabet), count))


def _digits(rng: Generator, count: int) -> str:
    return _random(rng, "0123456789", count)


def _uuid(rng: Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def _matrix_text(rng: Generator) -> str:
    """Return what QR, Aztec, Data Matrix and PDF417 carry: a number, a serial, a link, or a signed ticket."""
    match int(rng.choice(7, p=(0.16, 0.22, 0.16, 0.2, 0.12, 0.08, 0.06))):
        case 0:
            return _digits(rng, int(rng.integers(8, 19)))
        case 1:
            return f"TKT-{_random(rng, _UPPER, int(rng.integers(6, 15)))}"
        case 2:
            return _uuid(rng)
        case 3:
            return f"https://tickets.example/t/{_random(rng, _UPPER, int(rng.integers(8, 23)))}"
        case 4:
            return f"{_digits(rng, 6)};{_random(rng, _UPPER, 10)};ROW {_digits(rng, 2)} SEAT {_digits(rng, 2)}"
        case 5:
            letters = _UPPER + _UPPER.lower() + "-_"
            return f"eyJ0{_random(rng, letters, int(rng.integers(70, 120)))}.{_random(rng, letters, 43)}"
        case _:
            return f"Квиток {_digits(rng, 6)}, ряд {_digits(rng, 2)}"


def _ean_upc(rng: Generator) -> str:
    """Return an EAN-13, an EAN-8 or a UPC-A with its check digit (GS1 General Specifications, 7.9)."""
    count = int(rng.choice((13, 8, 12), p=(0.6, 0.25, 0.15)))
    body = str(rng.integers(1, 10)) + _digits(rng, count - 2)
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body)))
    return body + str(-total % 10)


def make_text(rng: Generator, symbology: str) -> str:
    """Return what a ticket of this symbology would say."""
    match symbology:
        case "micro_qr":
            return _digits(rng, int(rng.integers(5, 19)))
        case "code128":
            kinds = (_digits(rng, int(rng.integers(8, 19))), _random(rng, _UPPER, 10), f"A{_digits(rng, 11)}")
            return kinds[int(rng.integers(0, 3))]
        case "code39":
            return _random(rng, _UPPER, int(rng.integers(6, 11)))
        case "ean_upc":
            return _ean_upc(rng)
        case "itf":
            return _digits(rng, 2 * int(rng.integers(4, 8)))
        case "codabar":
            return f"A{_digits(rng, int(rng.integers(8, 13)))}B"
        case _:
            return _matrix_text(rng)


def draw(symbology: str, text: str, ecc: str = "m") -> Code:
    """Return a code with its quiet zone; `ecc` is the error correction of a QR."""
    if symbology in {"qr", "micro_qr"}:
        return _drawn_by_segno(symbology, text, ecc)
    form = _EAN[len(text)] if symbology == "ean_upc" else _FORMATS[symbology]
    options = {"forceSquare": True} if symbology == "data_matrix" else {}  # else zint may take 8 by 96 modules
    barcode = zxingcpp.create_barcode(text, form, **options)
    cells = np.array(zxingcpp.write_barcode_to_image(barcode, scale=1, add_quiet_zones=False))
    quiet = {"data_matrix": 2, "pdf417": 3, "aztec": 2}.get(symbology, 10)
    top = 0 if symbology in LINEAR else quiet
    padded = cv2.copyMakeBorder(cells, top, top, quiet, quiet, cv2.BORDER_CONSTANT, value=(255,))
    return Code(symbology, text, np.ascontiguousarray(padded, dtype=np.uint8), quiet)


def _drawn_by_segno(symbology: str, text: str, ecc: str) -> Code:
    micro = symbology == "micro_qr"
    if text.isascii():
        made = segno.make(text, micro=micro, error=None if micro else ecc)
    else:
        made = segno.make(text, micro=False, error=ecc, mode="byte", encoding="utf-8")
    quiet = 2 if micro else 4
    cells = np.array([list(row) for row in made.matrix_iter(border=quiet)], dtype=np.uint8)
    return Code(symbology, text, np.ascontiguousarray(np.where(cells > 0, 0, 255), dtype=np.uint8), quiet)


def canonical(symbology: str, text: str) -> str:
    """Return a text as all readers give it: they differ in UPC-A's leading 0 and in Codabar's start and stop."""
    if symbology == "ean_upc":
        return text.zfill(13)
    return text.strip("ABCD") if symbology == "codabar" else text
