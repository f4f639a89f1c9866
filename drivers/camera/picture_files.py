"""Image files: what they are and how large, told from their first bytes, so that no hostile one fills the memory.

Sources: PNG (ISO/IEC 15948) 11.2.2; JPEG (ITU-T T.81) annex B; GIF89a section 18; TIFF 6.0 section 2; WebP (RFC 9649)
section 2; BMP as Microsoft documents BITMAPCOREHEADER and BITMAPINFOHEADER.
"""

import struct
from collections.abc import Callable
from typing import Final

Size = tuple[int, int]
"""Width and height in pixels."""

_STANDALONE: Final = {0x01, *range(0xD0, 0xD9)}
"""JPEG markers without a length."""
_FRAMES: Final = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN: Final = 0xDA
_END: Final = b"\xff\xd9"


class Unreadable(Exception):
    """It is no picture that can be read; the message says why, and what mends it."""


def form_of(data: bytes) -> str:
    """Return what kind of picture a file is by its first bytes.

    Raises:
        Unreadable: none that is read here.
    """
    if not data:
        raise Unreadable("the file is empty: copy it again")
    for form, begins in _FORMS.items():
        if any(data.startswith(each) for each in begins) and (form != "WebP" or data[8:12] == b"WEBP"):
            return form
    name = next((name for name, begins in _OTHERS.items() if begins in data[:32]), None)
    what = "not a picture" if name is None else f"{name}, which is not read here"
    raise Unreadable(f"{what}: save it as PNG or JPEG (WebP, BMP, TIFF and GIF are read too)")


def size_of(data: bytes, form: str) -> Size:
    """Return the size that the header of a picture of this form tells.

    Raises:
        Unreadable: it tells none.
    """
    try:
        size = _SIZES[form](data)
    except (struct.error, IndexError):
        size = None
    if size is None or min(size) < 1:
        raise Unreadable(f"{form} without a size in its header, so damaged or cut short: copy it again")
    return size


def is_cut_short(data: bytes, form: str) -> bool:
    """Tell whether a JPEG or a PNG lacks its end; of the others it is not known."""
    if form == "PNG":
        return b"IEND" not in data[-64:]
    if form != "JPEG":
        return False
    # Within a scan 0xFF is always followed by another byte than this one.
    scan = _jpeg_segment(data, {_SCAN})
    return scan is None or data.find(_END, scan) < 0


def with_end(jpeg: bytes) -> bytes:
    """Return a JPEG that was cut short in such a form that what there is of it can be unpacked."""
    return jpeg + _END


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> Size:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _webp(data: bytes) -> Size | None:
    match data[12:16]:
        case b"VP8X":
            across, down = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
            return across + 1, down + 1
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(data: bytes) -> Size | None:
    at = _jpeg_segment(data, _FRAMES)
    if at is None:
        return None
    height, width = struct.unpack_from(">HH", data, at + 5)
    return width, height


def _jpeg_segment(data: bytes, markers: set[int]) -> int | None:
    """Return where the first segment with one of the markers begins: at its 0xFF."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in markers:
            return at
        if marker == 0xFF:
            at += 1
        elif marker in _STANDALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _tiff(data: bytes) -> Size | None:
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    found = {}
    for number in range(count):
        tag, kind = struct.unpack_from(order + "HH", data, at + 2 + 12 * number)
        if tag in {256, 257}:
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 10 + 12 * number)
    return (found[256], found[257]) if len(found) == 2 else None


_FORMS: Final[dict[str, tuple[bytes, ...]]] = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "WebP": (b"RIFF",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*"),
    "BMP": (b"BM",),
}
_SIZES: Final[dict[str, Callable[[bytes], Size | None]]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WebP": _webp,
    "GIF": _gif,
    "TIFF": _tiff,
    "BMP": _bmp,
}
_OTHERS: Final = {
    "a PDF": b"%PDF",
    "HEIC": b"ftyphei",
    "HEIF": b"ftypmif1",
    "AVIF": b"ftypavif",
    "SVG": b"<svg",
}
