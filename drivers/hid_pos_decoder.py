"""Codes out of the reports of a scanner in HID-POS mode. Pure: no device, no clock.

Source: HID Point of Sale Usage Tables 1.02, section 3 (Bar Code Scanner page, 0x8C).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.aim import split_symbology
from drivers.decoded import Broken, Code
from drivers.hid_report import BadDescriptor, Field, ReportLayout, parse
from drivers.line_decoder import MAX_LINE_BYTES, text_of

_PAGE = 0x8C << 16
_SYMBOLOGY = (_PAGE | 0xFB, _PAGE | 0xFC, _PAGE | 0xFD)
_DECODED_DATA = _PAGE | 0xFE
_CONTINUED = _PAGE | 0xFF
_BYTE_COUNT = 0x01 << 16 | 0x3B
"""Generic Desktop page: how many bytes of the data are meant."""
_FIRST_VENDOR_USAGE = 0xFF00 << 16
_KEYBOARD = 0x01 << 16 | 0x06


class NotAScanner(BadDescriptor):
    """The device may be sound, but sends no decoded bar codes."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """One value of a report."""

    field: Field
    index: int

    @property
    def start(self) -> int:
        """Where it begins, in bits from the first byte after the report's id."""
        return self.field.offset_of(self.index)

    @property
    def end(self) -> int:
        """The bit after its last."""
        return self.start + self.field.bit_size

    def read(self, data: bytes) -> int | None:
        """Return its value; None: the report ends before it."""
        return self.field.value(data, self.index)


@dataclass(frozen=True, slots=True)
class _ScannedData:
    """Where the report with the decoded data has what."""

    report_id: int
    numbered: bool
    data: tuple[_Spot, ...]
    length: _Spot | None
    symbology: tuple[_Spot, ...]
    continued: _Spot | None


@dataclass(frozen=True, slots=True)
class _Part:
    """What one report carries of a code. `continued` is None where the report ends before it says."""

    raw: bytes
    symbology: str | None
    continued: bool | None
    why: str | None = None
    """The report is too short, so that `raw` is not to be used."""


class HidPosDecoder:
    """Puts together the codes that a scanner sends, one or more reports each.

    Of a code that is too long, or of which a report came too short, nothing is offered: what may still follow of it is
    dropped up to the report that ends it.
    """

    def __init__(self, descriptor: bytes, max_bytes: int = MAX_LINE_BYTES) -> None:
        """`descriptor` is the device's report descriptor.

        Raises:
            BadDescriptor: it is not one.
            NotAScanner: it declares no decoded data.
        """
        self._layout = _scanned_data(parse(descriptor))
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._symbology: str | None = None
        self._begun = False
        self._dropping = False

    @property
    def half_read(self) -> bool:
        """Tell whether a code has begun that goes on in a report yet to come."""
        return self._begun

    def feed(self, report: bytes) -> Code | Broken | None:
        """Take one input report, with its id where reports have one; return the code that it ends, if it ends one."""
        layout = self._layout
        if layout.numbered:
            if report[:1] != bytes([layout.report_id]):
                return None
            report = report[1:]
        elif not report:
            return None
        return self._join(_part(layout, report))

    def lose(self, why: str) -> list[Broken]:
        """Drop what is half-read, since the scanner is gone, and say so if anything was."""
        lost = [Broken(why)] if self._begun else []
        self._forget()
        self._dropping = False
        return lost

    def _join(self, part: _Part) -> Code | Broken | None:
        if self._dropping:
            self._dropping = part.continued is not False
            return None
        if part.why is not None:
            return self._drop(part, part.why)
        if not self._begun:
            self._symbology = part.symbology
        self._held += part.raw[: self._max_bytes + 1 - len(self._held)]
        if len(self._held) > self._max_bytes:
            return self._drop(part, f"longer than {self._max_bytes} bytes: not a ticket")
        self._begun = bool(part.continued)
        return None if self._begun else self._take()

    def _drop(self, part: _Part, why: str) -> Broken:
        self._forget()
        self._dropping = part.continued is not False
        return Broken(why)

    def _take(self) -> Code | None:
        raw, symbology = bytes(self._held), self._symbology
        self._forget()
        if not raw.strip():
            return None
        in_text, text = split_symbology(text_of(raw))
        return Code(text, symbology or in_text) if text else None

    def _forget(self) -> None:
        self._held.clear()
        self._symbology = None
        self._begun = False


def _part(layout: _ScannedData, report: bytes) -> _Part:
    """Take a report apart."""
    values = [spot.read(report) for spot in layout.data]
    there = bytes(value for value in values if value is not None)
    length = layout.length.read(report) if layout.length else None
    wanted = len(values) if length is None else min(length, len(values))
    flag = layout.continued.read(report) if layout.continued else 0
    # Only a part that fills its field may be continued, so a shorter one needs no flag to be the last.
    continued = bool(flag) if flag is not None or wanted < len(values) else None
    if len(there) < wanted or continued is None:
        why = f"a report of {len(report)} bytes ends inside the code; scan again, or check the cable"
        return _Part(b"", None, continued, why)
    # Without a length, NULs at the end are taken for padding; a part that is continued has none.
    raw = there[:wanted] if layout.length or continued else there.rstrip(b"\0")
    return _Part(raw, _identifier(layout, report), continued)


def _identifier(layout: _ScannedData, report: bytes) -> str | None:
    """Return the AIM symbology identifier (ISO/IEC 15424) that the report tells, if it does."""
    values = [spot.read(report) or 0 for spot in layout.symbology]
    text = "".join(map(chr, values))
    found, rest = split_symbology(text)
    return found if not rest else None


def _scanned_data(layout: ReportLayout) -> _ScannedData:
    """Find the report with the decoded data.

    Raises:
        NotAScanner: there is none.
    """
    for report_id, fields in layout.inputs.items():
        octets = tuple(each for each in fields if each.bit_size == 8)
        if data := tuple(_spots(octets, _DECODED_DATA)):
            symbology = tuple(filter(None, (next(_spots(octets, usage), None) for usage in _SYMBOLOGY)))
            continued = next(_spots(fields, _CONTINUED), None)
            length = next(_spots(fields, _BYTE_COUNT), None) or _vendor_length(octets, (*symbology, *data))
            return _ScannedData(report_id, layout.numbered, data, length, symbology, continued)
    mend = "set the scanner to HID-POS mode"
    if _KEYBOARD in layout.applications:
        mend += ', or read it as a keyboard: driver = "evdev"'
    raise NotAScanner(f"not a scanner in HID-POS mode: it sends no decoded data; {mend}")


def _spots(fields: tuple[Field, ...], usage: int) -> Iterator[_Spot]:
    for each in fields:
        for index in each.places(usage):
            yield _Spot(each, index)


def _vendor_length(fields: tuple[Field, ...], after: tuple[_Spot, ...]) -> _Spot | None:
    """Return the byte just before the symbology and the data, where it is of the vendor's own page.

    That is where scanners that know no Generic Desktop byte count tell the length.
    """
    start = min(spot.start for spot in after)
    for each in fields:
        spot = _Spot(each, each.count - 1)
        if spot.end == start and not each.constant:
            return spot if each.usages and each.usages[-1][-1] >= _FIRST_VENDOR_USAGE else None
    return None
