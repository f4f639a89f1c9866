"""The symbologies that a camera reads, by the names that settings use. Names only: no decoder is loaded for them."""

from dataclasses import dataclass
from typing import Literal

Shape = Literal["matrix", "stacked", "linear"]


@dataclass(frozen=True, slots=True)
class Symbology:
    """How a symbology is looked for, and how far a read of it is to be believed."""

    shape: Shape
    formats: tuple[str, ...]
    """Names in zxing-cpp's `BarcodeFormat`; variants that no ticket is made in, such as Code 32, are left out."""
    certain: bool = True
    """False: its check, if it has one, lets misreads through even where several reads are equal."""


_ALL = {
    "qr": Symbology("matrix", ("QRCodeModel2", "QRCodeModel1")),
    "micro_qr": Symbology("matrix", ("MicroQRCode",)),
    "aztec": Symbology("matrix", ("AztecCode",)),
    "pdf417": Symbology("stacked", ("PDF417", "CompactPDF417")),
    "data_matrix": Symbology("matrix", ("DataMatrix",)),
    "code128": Symbology("linear", ("Code128",)),
    # The characters as they are printed: whether pairs such as "+A" stand for small letters, only the printer knows.
    "code39": Symbology("linear", ("Code39Std",), certain=False),
    "ean_upc": Symbology("linear", ("EAN13", "EAN8", "UPCA", "UPCE"), certain=False),
    "itf": Symbology("linear", ("ITF",), certain=False),
    "codabar": Symbology("linear", ("Codabar",), certain=False),
}

SYMBOLOGIES: tuple[str, ...] = tuple(_ALL)
"""All that can be switched on."""

DEFAULT: tuple[str, ...] = tuple(name for name in _ALL if name not in {"itf", "code39"})
"""On unless a person says otherwise: the two left out have no check of their own and find codes in fences and text."""


def symbology(name: str) -> Symbology:
    """Return what is known of one in `SYMBOLOGIES`.

    Raises:
        KeyError: no such symbology.
    """
    return _ALL[name]


def of_shape(names: tuple[str, ...], *shapes: Shape) -> tuple[str, ...]:
    """Return those of the symbologies `names` that have one of the shapes."""
    return tuple(name for name in names if _ALL[name].shape in shapes)
