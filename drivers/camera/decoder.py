"""One look through zxing-cpp at one array: which codes stand in it, what they say, and where."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import zxingcpp

from drivers.camera.content import identifier, plain_text, undeclared_text
from drivers.camera.frames import Luma
from drivers.camera.messages import Point, Sighting
from drivers.camera.symbologies import SYMBOLOGIES, symbology

_FORMATS: Final[dict[str, tuple[zxingcpp.BarcodeFormat, ...]]] = {
    name: tuple(zxingcpp.BarcodeFormat[each] for each in symbology(name).formats) for name in SYMBOLOGIES
}
_KINDS: Final = {
    zxingcpp.BarcodeFormat.QRCode: "qr",
    zxingcpp.BarcodeFormat.Aztec: "aztec",
    zxingcpp.BarcodeFormat.PDF417: "pdf417",
    zxingcpp.BarcodeFormat.DataMatrix: "data_matrix",
    zxingcpp.BarcodeFormat.Code128: "code128",
    zxingcpp.BarcodeFormat.Code39: "code39",
    zxingcpp.BarcodeFormat.EANUPC: "ean_upc",
    zxingcpp.BarcodeFormat.ITF: "itf",
    zxingcpp.BarcodeFormat.Codabar: "codabar",
}
"""By the family of formats; Micro QR is of QR's."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard zxing-cpp tries."""

    rotate: bool = False
    downscale: bool = False
    invert: bool = True


ALL: Final = Effort(rotate=True, downscale=True)


@dataclass(frozen=True, slots=True)
class Placing:
    """Where the pixels of an array lie in the shown picture: `x` and `y` right and down, as fractions of it.

    Each of the three is a pair for right and down: of the array's first pixel, and of a step of one pixel along its
    rows and along its columns.
    """

    origin: Point
    across: Point
    down: Point

    def point(self, x: float, y: float) -> Point:
        """Return where a pixel lies."""
        return (
            self.origin[0] + x * self.across[0] + y * self.down[0],
            self.origin[1] + x * self.across[1] + y * self.down[1],
        )

    def within(self, inner: "Placing") -> "Placing":
        """Return the placing in the whole of an array that `inner` places, in pixels, in the array of this one."""
        start = self.point(0.0, 0.0)

        def step(of: Point) -> Point:
            to = self.point(*of)
            return (to[0] - start[0], to[1] - start[1])

        return Placing(self.point(*inner.origin), step(inner.across), step(inner.down))


@dataclass(frozen=True, slots=True)
class Found:
    """A code, and what is known of how far it is to be believed."""

    sighting: Sighting
    content: bytes
    spare: float | None
    """How much of the symbol's error correction was left over, 0 to 1; None where the symbology tells none."""
    short: bool = False
    """It is of a shortened form that holds less of a check: UPC-E."""
    whole: bool | None = None
    """It reaches from end to end of the bars in which it stands, or does not; None: that is not known."""
    careful: bool = False
    """Bars that were read in a way that seldom misreads them: see `ladder` and `second_opinion`."""


def owned(luma: Luma) -> Luma:
    """Return the same pixels contiguous and in memory of their own: zxing-cpp crashes on a view of what is gone."""
    return luma if luma.flags.c_contiguous and luma.flags.owndata else luma.copy(order="C")


def decode(luma: Luma, kinds: Iterable[str], effort: Effort, placing: Placing, step: str) -> list[Found]:
    """Return the codes of the symbologies `kinds` that `step` of the decoding finds in `luma`."""
    wanted = [form for kind in kinds for form in _FORMATS[kind]]
    if not wanted or 0 in luma.shape:
        return []
    luma, formats = owned(luma), zxingcpp.BarcodeFormats(wanted)
    found = []
    for barcode in _barcodes(luma, formats, effort, zxingcpp.TextMode.HexECI):
        told = bytes.fromhex(barcode.text)
        text = plain_text(barcode.bytes, told)
        if text is None:
            text = undeclared_text(barcode.bytes, _guess(luma, barcode, formats, effort))
        kind = _kind(barcode)
        outline = _outline(barcode.position, placing)
        sighting = Sighting(text, identifier(told), kind, outline, step, symbology(kind).certain)
        extra = cast("dict[str, Any]", barcode.extra or {})
        found.append(Found(sighting, barcode.bytes, extra.get("UEC"), short="UPCE" in extra))
    return found


def _barcodes(
    luma: Luma, formats: zxingcpp.BarcodeFormats, effort: Effort, mode: zxingcpp.TextMode
) -> list[zxingcpp.Barcode]:
    return zxingcpp.read_barcodes(
        luma,
        formats=formats,
        try_rotate=effort.rotate,
        try_downscale=effort.downscale,
        try_invert=effort.invert,
        text_mode=mode,
    )


def _kind(barcode: zxingcpp.Barcode) -> str:
    micro = barcode.format == zxingcpp.BarcodeFormat.MicroQRCode
    return "micro_qr" if micro else _KINDS[barcode.symbology]


def _guess(luma: Luma, known: zxingcpp.Barcode, formats: zxingcpp.BarcodeFormats, effort: Effort) -> str | None:
    """Return what zxing-cpp takes a QR to say that declares no character set; it tells one form of a text at a time."""
    if known.symbology != zxingcpp.BarcodeFormat.QRCode:
        return None
    for barcode in _barcodes(luma, formats, effort, zxingcpp.TextMode.Plain):
        if barcode.bytes == known.bytes:
            return barcode.text if barcode.content_type == zxingcpp.ContentType.Text else None
    return None


def _outline(at: zxingcpp.Position, placing: Placing) -> tuple[Point, ...]:
    corners = (at.top_left, at.top_right, at.bottom_right, at.bottom_left)
    return tuple(placing.point(corner.x, corner.y) for corner in corners)


def distinct(found: Iterable[Found]) -> list[Found]:
    """Return the codes without those that say the same as an earlier one of the same symbology."""
    first: dict[tuple[str, bytes], Found] = {}
    for each in found:
        first.setdefault((each.sighting.kind, each.content), each)
    return list(first.values())


def nearest_first(found: Iterable[Found], centre: Point, aspect: float) -> list[Found]:
    """Return the codes by their distance from `centre`; `aspect` is the shown picture's width by its height."""

    def distance(each: Found) -> float:
        corners = each.sighting.outline
        across = sum(x for x, _ in corners) / len(corners) - centre[0]
        down = sum(y for _, y in corners) / len(corners) - centre[1]
        return (across * aspect) ** 2 + down**2

    return sorted(found, key=distance)
