"""Codes out of bytes: what terminals and serial scanners send, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.line_decoder import MAX_LINE_BYTES, LineDecoder


@pytest.mark.parametrize(
    ("sent", "codes"),
    [
        (b"T-1\r", ["T-1"]),
        (b"T-1\n", ["T-1"]),
        (b"T-1\r\nT-2\r\n", ["T-1", "T-2"]),
        (b"\r\n\n  \n", []),
        (b"half", []),
        ("квиток-7\n".encode(), ["квиток-7"]),
        (b"caf\xe9\n", ["café"]),  # not UTF-8: read as Latin-1
        (b"\x1dGS\n", ["\x1dGS"]),
    ],
)
def test_lines_are_codes(sent: bytes, codes: list[str]) -> None:
    assert LineDecoder().feed(sent) == codes


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_it_does_not_matter_how_the_bytes_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(lines) + b"\n"
    whole = LineDecoder().feed(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder, found = LineDecoder(), list[str]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += decoder.feed(stream[start:end])
    assert found == whole


def test_a_scanner_that_never_ends_a_line_holds_no_more_than_the_limit() -> None:
    decoder = LineDecoder()
    for _ in range(100):
        assert decoder.feed(b"x" * 1000) == []
    assert decoder.half_read
    (code,) = decoder.feed(b"\nT-2")
    assert len(code) == MAX_LINE_BYTES + 1
    assert decoder.feed(b"\n") == ["T-2"]


def test_the_last_line_of_a_stream_needs_no_end() -> None:
    decoder = LineDecoder()
    assert decoder.feed(b"T-1\nT-2") == ["T-1"]
    assert decoder.flush() == "T-2"
    assert decoder.flush() is None
