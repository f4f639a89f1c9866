"""Text out of bytes: the same on every read, and some text whatever the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera.content import identifier, plain_text, undeclared_text


def told(identifier: str, *pieces: tuple[int | None, bytes]) -> bytes:
    """Return a content by the ECI protocol; a piece without a number stands before the first ECI."""
    escaped = any(number is not None for number, _ in pieces)
    body = b"".join(
        (b"" if number is None else b"\\%06d" % number) + (piece.replace(b"\\", b"\\\\") if escaped else piece)
        for number, piece in pieces
    )
    return identifier.encode() + body


def test_the_identifier_is_what_comes_first() -> None:
    assert identifier(told("]Q2", (26, b"x"))) == "]Q2"


@pytest.mark.parametrize(
    ("number", "codec"),
    [
        (2, "cp437"), (3, "iso8859-1"), (4, "iso8859-2"), (7, "iso8859-5"), (15, "iso8859-13"), (18, "iso8859-16"),
        (20, "shift_jis"), (22, "cp1251"), (25, "utf-16-be"), (26, "utf-8"), (28, "big5"), (30, "euc-kr"),
        (31, "gbk"), (33, "utf-16-le"), (34, "utf-32-be"),
    ],
)  # fmt: skip
def test_a_declared_character_set_decides(number: int, codec: str) -> None:
    texts = ("Квиток 5", "Žluťoučký", "日本", "中文", "한국", "Łódź", "Café")
    text = next(each for each in texts if each.encode(codec, "ignore").decode(codec) == each)
    content = text.encode(codec)
    assert plain_text(content, told("]Q2", (number, content))) == text


def test_several_are_told_apart_and_backslashes_are_not_escapes() -> None:
    pieces = [(None, b"C:\\000022\\"), (22, "Ряд".encode("cp1251")), (26, "Їжак\\".encode())]
    content = b"".join(piece for _, piece in pieces)
    assert plain_text(content, told("]Q2", *pieces)) == "C:\\000022\\РядЇжак\\"


def test_what_looks_like_an_escape_is_none_where_no_set_is_declared() -> None:
    content = b"A\\000022B"
    assert plain_text(content, told("]Q1", (None, content))) == "A\\000022B"


def test_a_declared_set_that_the_bytes_contradict_counts_as_undeclared() -> None:
    content = "Ряд 5".encode("cp1251")
    assert plain_text(content, told("]Q2", (26, content))) is None
    assert plain_text("Ряд 5".encode(), told("]Q2", (27, "Ряд 5".encode()))) == "Ряд 5"


def test_undeclared_bytes_are_utf8_where_they_can_be() -> None:
    content = "Квиток — №5".encode()
    assert plain_text(content, told("]d1", (None, content))) == "Квиток — №5"


@pytest.mark.parametrize("number", [None, 899])
def test_binary_content_is_one_text_and_keeps_nul_and_controls(number: int | None) -> None:
    content = bytes(range(256))
    assert plain_text(content, told("]Q1", (number, content))) is None
    assert undeclared_text(content, None) == "".join(map(chr, range(256)))


def test_cyrillic_in_kanji_mode_is_cyrillic() -> None:
    content = "Привет-12".encode("shift_jis")
    assert plain_text(content, told("]Q1", (None, content))) is None
    assert undeclared_text(content, "Привет-12") == "Привет-12"


@pytest.mark.parametrize(
    ("content", "guess"),
    [
        ("Hélène".encode("latin-1"), "Hélène"),  # no Shift_JIS gives these bytes back
        (b"\xb1\xb2\xb3", "ｱｲｳ"),  # Shift_JIS, but no mode of a QR that encodes it
        (b"\x84P\x00\x01", "П\x00\x01"),  # controls do not come in Kanji mode, and come in binary content
    ],
)
def test_a_guess_is_not_believed_that_kanji_mode_does_not_bear_out(content: bytes, guess: str) -> None:
    assert undeclared_text(content, guess) == content.decode("latin-1")


@given(st.binary(max_size=60), st.binary(max_size=90), st.one_of(st.none(), st.text(max_size=30)))
def test_whatever_the_bytes_there_is_a_text(content: bytes, escaped: bytes, guess: str | None) -> None:
    plain_text(content, b"]Q2" + escaped)
    assert len(undeclared_text(content, guess)) <= len(content)
