"""Codes out of HID-POS reports, laid out as scanners of several makers lay them out."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.decoded import Broken, Code
from drivers.hid_pos_decoder import HidPosDecoder, NotAScanner
from drivers.hid_report import BadDescriptor

BYTE_COUNT = bytes.fromhex("05 01 09 3b 95 01 81 02")
VENDOR_LENGTH = bytes.fromhex("06 66 ff 09 04 95 01 81 02")
SYMBOLOGY = bytes.fromhex("05 8c 09 fb 09 fc 09 fd 95 03 81 02")
FLAG_BIT = bytes.fromhex("05 8c 09 ff 25 01 75 01 95 01 81 02 95 07 81 03")
FLAG_BYTE = bytes.fromhex("05 8c 09 ff 75 08 95 01 81 02")
KEYBOARD = bytes.fromhex("05 01 09 06 a1 01 05 07 19 e0 29 e7 75 01 95 08 81 02 c0")


@dataclass(frozen=True)
class Make:
    """A kind of scanner: its report descriptor, and how it packs a code into reports."""

    name: str
    report_id: int | None = 2
    length: bytes = BYTE_COUNT
    symbology: bool = True
    room: int = 56
    trailing: int = 0
    """Bytes of the vendor's own between the data and the flag."""
    flag: bytes = FLAG_BIT

    @property
    def descriptor(self) -> bytes:
        parts = [bytes.fromhex("05 8c 09 02 a1 01 09 12 a1 02 15 00 26 ff 00 75 08")]
        if self.report_id is not None:
            parts.append(bytes([0x85, self.report_id]))
        parts += [self.length, SYMBOLOGY if self.symbology else b""]
        parts.append(bytes([0x05, 0x8C, 0x09, 0xFE, 0x95, self.room, 0x82, 0x02, 0x01]))
        if self.trailing:
            parts.append(bytes([0x06, 0x66, 0xFF, 0x09, 0x05, 0x95, self.trailing, 0x81, 0x02]))
        return b"".join([*parts, self.flag, b"\xc0\xc0"])

    def part(self, raw: bytes, *, more: bool = False, symbology: bytes = b"]Q3") -> bytes:
        """Return one report."""
        report = b"" if self.report_id is None else bytes([self.report_id])
        report += bytes([len(raw)]) if self.length else b""
        report += symbology.ljust(3, b"\0") if self.symbology else b""
        report += raw.ljust(self.room, b"\0") + b"s" * self.trailing
        return report + bytes([more]) if self.flag else report

    def reports(self, raw: bytes, symbology: bytes = b"]Q3") -> Iterator[bytes]:
        """Return a whole code's reports."""
        while len(raw) > self.room:
            yield self.part(raw[: self.room], more=True, symbology=symbology)
            raw = raw[self.room :]
        yield self.part(raw, symbology=symbology)


USUAL = Make("64 bytes, numbered", trailing=2)
VENDOR = Make("a length on the vendor's page", length=VENDOR_LENGTH, flag=FLAG_BYTE)
UNNUMBERED = Make("no report id", report_id=None, room=59)
NO_LENGTH = Make("no length", length=b"", room=58)
PLAIN = Make("data only", report_id=None, length=b"", symbology=False, room=64, flag=b"")
MAKES = [USUAL, VENDOR, UNNUMBERED, NO_LENGTH, PLAIN]
every_make = pytest.mark.parametrize("make", MAKES, ids=lambda make: make.name)
every_make_that_continues = pytest.mark.parametrize("make", MAKES[:-1], ids=lambda make: make.name)


def decoded(decoder: HidPosDecoder, *reports: bytes) -> list[Code | Broken]:
    return [result for each in reports if (result := decoder.feed(each))]


@every_make
def test_a_code_of_one_report(make: Make) -> None:
    decoder = HidPosDecoder(make.descriptor)
    for text in ("T-1", "T-2"):
        expected = Code(text, "]Q3" if make.symbology else None)
        assert decoded(decoder, *make.reports(text.encode())) == [expected]
        assert not decoder.half_read


def test_a_report_as_it_comes_off_the_wire() -> None:
    """As the manual of the Access-IS LSR118 has it, appendix B: a boarding pass of 60 bytes in two reports."""
    head, tail = b"M1GATHERGOOD/MICHAEL YABCDEF LHRDURAK 3542 052Y003D23".ljust(56), b" 100"
    first = b"\x02\x38]Q0" + head + b"s\0\x01"
    second = b"\x02\x04]Q0" + tail + bytes(52) + b"s\0\0"
    assert (len(first), len(second)) == (64, 64)
    decoder = HidPosDecoder(USUAL.descriptor)
    assert decoder.feed(first) is None
    assert decoder.half_read
    assert decoder.feed(second) == Code((head + tail).decode(), "]Q0")


@every_make_that_continues
def test_a_code_over_three_reports(make: Make) -> None:
    text = "0123456789" * 15
    one, two, three = make.reports(text.encode())
    decoder = HidPosDecoder(make.descriptor)
    assert decoded(decoder, one, two) == []
    assert decoder.half_read
    assert decoder.feed(three) == Code(text, "]Q3")
    assert not decoder.half_read


@every_make_that_continues
@given(raw=st.binary(max_size=400))
def test_what_is_packed_comes_out(make: Make, raw: bytes) -> None:
    assume(make.length or not raw.endswith(b"\0"))
    assume(raw.strip() and not raw.startswith(b"]"))
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    assert decoded(HidPosDecoder(make.descriptor), *make.reports(raw)) == [Code(text, "]Q3")]


def test_binary_content_keeps_every_byte() -> None:
    raw = bytes(range(256))
    (code,) = decoded(HidPosDecoder(USUAL.descriptor), *USUAL.reports(raw))
    assert code == Code(raw.decode("latin-1"), "]Q3")


def test_nuls_within_a_code_that_goes_on_are_part_of_it() -> None:
    raw = b"A".ljust(NO_LENGTH.room, b"\0") + b"B\0\0"
    assert decoded(HidPosDecoder(NO_LENGTH.descriptor), *NO_LENGTH.reports(raw)) == [
        Code("A".ljust(NO_LENGTH.room, "\0") + "B", "]Q3")
    ]


@pytest.mark.parametrize(
    ("told", "data", "code"),
    [
        (b"]Q3", b"T-1", Code("T-1", "]Q3")),
        (b"\0\0\0", b"T-1", Code("T-1")),
        (b"]\0\0", b"T-1", Code("T-1")),
        (b"Q30", b"T-1", Code("T-1")),
        (b"\0\0\0", b"]C1T-1", Code("T-1", "]C1")),
        (b"]C1", b"]C1T-1", Code("T-1", "]C1")),
        (b"]d2", b"\x1d0109501101", Code("\x1d0109501101", "]d2")),
    ],
)
def test_the_symbology_is_told_apart_from_the_code(told: bytes, data: bytes, code: Code) -> None:
    assert HidPosDecoder(USUAL.descriptor).feed(USUAL.part(data, symbology=told)) == code


def test_a_length_beyond_the_field_means_all_of_it() -> None:
    report = bytearray(USUAL.part(b"x" * USUAL.room))
    report[1] = 255
    assert HidPosDecoder(USUAL.descriptor).feed(bytes(report)) == Code("x" * USUAL.room, "]Q3")


def test_bytes_after_the_length_are_not_the_code() -> None:
    report = bytearray(USUAL.part(b"T-1 of the scan before"))
    report[1] = 3
    assert HidPosDecoder(USUAL.descriptor).feed(bytes(report)) == Code("T-1", "]Q3")


@every_make
def test_reports_that_say_nothing_are_no_codes(make: Make) -> None:
    decoder = HidPosDecoder(make.descriptor)
    assert decoded(decoder, b"", *make.reports(b""), *make.reports(b"  ")) == []
    assert not decoder.half_read


def test_other_reports_of_the_scanner_are_not_its_codes() -> None:
    decoder = HidPosDecoder(USUAL.descriptor)
    first, last = USUAL.reports(b"x" * 60)
    assert decoded(decoder, first, b"\x04" + last[1:], b"\x03") == []
    assert decoder.feed(last) == Code("x" * 60, "]Q3")


def test_a_short_report_with_all_that_its_length_says_is_whole() -> None:
    whole = USUAL.part(b"T-1")
    decoder = HidPosDecoder(USUAL.descriptor)
    assert decoder.feed(whole[: 1 + 1 + 3 + 3]) == Code("T-1", "]Q3")
    assert isinstance(decoder.feed(whole[: 1 + 1 + 3 + 2]), Broken)
    assert decoder.feed(whole) == Code("T-1", "]Q3")


@every_make
def test_a_report_that_ends_inside_the_code_or_before_its_flag_is_no_code(make: Make) -> None:
    whole = make.part(b"x" * make.room)
    for size in range(2, len(whole)):
        decoder = HidPosDecoder(make.descriptor)
        (broken,) = decoded(decoder, whole[:size])
        assert isinstance(broken, Broken)
        assert "ends inside the code" in broken.why
        assert not decoder.half_read


@every_make_that_continues
def test_what_follows_of_a_broken_code_is_not_offered(make: Make) -> None:
    one, two, three = make.reports(b"0123456789" * 15)
    for cut, size in ((1, 20), (2, 20), (1, len(one) - 1)):
        decoder = HidPosDecoder(make.descriptor)
        sent = [one, two, three]
        sent[cut - 1] = sent[cut - 1][:size]
        (broken,) = decoded(decoder, *sent)
        assert isinstance(broken, Broken)
        assert decoded(decoder, *make.reports(b"T-2")) == [Code("T-2", "]Q3")]


@every_make_that_continues
def test_a_code_that_is_too_long_is_told_once_and_dropped_to_its_end(make: Make) -> None:
    decoder = HidPosDecoder(make.descriptor, max_bytes=100)
    assert decoded(decoder, *make.reports(b"x" * 100)) == [Code("x" * 100, "]Q3")]
    (broken,) = decoded(decoder, *make.reports(b"x" * 1000))
    assert broken == Broken("longer than 100 bytes: not a ticket")
    assert decoded(decoder, *make.reports(b"T-2")) == [Code("T-2", "]Q3")]


def test_a_scanner_that_goes_inside_a_code_loses_that_code_only() -> None:
    decoder = HidPosDecoder(USUAL.descriptor)
    assert decoder.lose("unplugged") == []
    decoder.feed(USUAL.part(b"x" * 56, more=True))
    assert decoder.lose("unplugged") == [Broken("unplugged")]
    assert decoder.lose("unplugged") == []
    assert decoded(decoder, *USUAL.reports(b"T-1")) == [Code("T-1", "]Q3")]


def test_a_length_of_the_vendors_is_the_byte_before_the_symbology_only() -> None:
    between = bytes.fromhex("05 01 09 30 95 01 81 02")
    make = Make("another byte between", length=VENDOR_LENGTH + between)
    report = b"\x02\x01\x63]Q3" + b"T-1".ljust(56, b"\0") + b"\0"
    assert HidPosDecoder(make.descriptor).feed(report) == Code("T-1", "]Q3")


def test_values_of_several_pages_in_one_item() -> None:
    """Length, symbology and data declared by one item of 60 bytes."""
    descriptor = bytes.fromhex("05 8c 09 02 a1 01 85 02 75 08 95 3c 05 01 09 3b 05 8c 19 fb 29 fe 81 02 c0")
    report = b"\x02\x03]E0" + b"T-1".ljust(56, b"x")
    assert HidPosDecoder(descriptor).feed(report) == Code("T-1", "]E0")


@pytest.mark.parametrize(
    ("descriptor", "mend"),
    [
        pytest.param(KEYBOARD, 'driver = "evdev"', id="a keyboard"),
        pytest.param(b"", "set the scanner to HID-POS mode", id="nothing"),
        pytest.param(
            bytes.fromhex("05 8c 09 02 a1 01 75 08 95 38 09 fe 91 02 c0"), "no decoded data", id="output only"
        ),
        pytest.param(bytes.fromhex("05 8c 09 02 a1 01 75 01 95 38 09 fe 81 02 c0"), "no decoded data", id="bits"),
    ],
)
def test_what_is_no_scanner_says_what_to_do(descriptor: bytes, mend: str) -> None:
    with pytest.raises(NotAScanner, match=mend):
        HidPosDecoder(descriptor)


@given(st.sampled_from(MAKES), st.lists(st.tuples(st.binary(max_size=70), st.booleans()), max_size=12))
def test_any_reports_are_taken(make: Make, reports: list[tuple[bytes, bool]]) -> None:
    decoder = HidPosDecoder(make.descriptor, max_bytes=200)
    for noise, numbered in reports:
        report = bytes([make.report_id]) + noise if numbered and make.report_id is not None else noise
        result = decoder.feed(report)
        assert result is None or isinstance(result, Code | Broken)
        if isinstance(result, Code):
            assert 0 < len(result.text) <= 200
        if result is not None:
            assert not decoder.half_read


@given(st.sampled_from(MAKES), st.data())
def test_any_descriptor_is_taken_or_refused(make: Make, data: st.DataObject) -> None:
    spoiled = bytearray(make.descriptor)
    for _ in range(data.draw(st.integers(1, 4))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoder = HidPosDecoder(bytes(spoiled))
    except BadDescriptor:
        return
    for report in data.draw(st.lists(st.binary(max_size=80), max_size=4)):
        decoder.feed(report)
