"""What a symbol says: text out of its bytes. Pure.

Bytes are taken, not the decoder's text, because a decoder guesses: the same ticket must give the same text on every
read, and binary content must give some text at all. The order: the character set that the symbol declares; UTF-8 where
the bytes are that; what QR's Kanji mode encodes; else ISO 8859-1, in which any bytes are text.

Source of the numbers: AIM ITS/04-023, "ECI Part 3: Register". Of Kanji mode: ISO/IEC 18004, 7.4.6.
"""

import re

_CODECS = {
    0: "cp437",
    1: "iso8859-1",
    2: "cp437",
    3: "iso8859-1",
    **{number: f"iso8859-{number - 2}" for number in (*range(4, 14), *range(15, 19))},
    20: "shift_jis",
    21: "cp1250",
    22: "cp1251",
    23: "cp1252",
    24: "cp1256",
    25: "utf-16-be",
    26: "utf-8",
    27: "ascii",
    28: "big5",
    29: "gb2312",
    30: "euc-kr",
    31: "gbk",
    32: "gb18030",
    33: "utf-16-le",
    34: "utf-32-be",
    35: "utf-32-le",
    170: "ascii",
}
"""Python's codec for each ECI number that names a character set. 899, "8-bit binary data", names none."""

_IDENTIFIER_BYTES = 3
_ESCAPED = re.compile(rb"\\(?:([0-9]{6})|\\)")
_KANJI = re.compile(rb"(?:[\x20-\x7e]|[\x81-\x9f\xe0-\xea][\x40-\x7e\x80-\xfc]|\xeb[\x40-\x7e\x80-\xbf])*")


def identifier(told: bytes) -> str:
    """Return the AIM identifier with which `told` begins, such as `]Q2`.

    `told` is the content by the ECI protocol: identifier, then the bytes, with escapes where an ECI is declared.
    """
    return told[:_IDENTIFIER_BYTES].decode("latin-1")


def plain_text(content: bytes, told: bytes) -> str | None:
    """Return the text of `content` by what the symbol declares, or as UTF-8; None where it is neither.

    `told` as in `identifier`: it holds escapes if, and only if, an ECI was declared.
    """
    declared = _by_declaration(content, told[_IDENTIFIER_BYTES:])
    if declared is not None:
        return declared
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def undeclared_text(content: bytes, guess: str | None) -> str:
    """Return the text of bytes that `plain_text` gives none for.

    `guess` is what a decoder that knows the symbol's modes takes a QR to say, where it takes it for text at all. It is
    believed only where the bytes are such as Kanji mode encodes: zint writes Cyrillic so.
    """
    if guess is not None and _KANJI.fullmatch(content):
        try:
            if guess.encode("shift_jis") == content:
                return guess
        except UnicodeEncodeError:
            pass
    return content.decode("latin-1")


def _by_declaration(content: bytes, told: bytes) -> str | None:
    """Return the text by the declared character sets; None if there is none, or if the bytes are no such text."""
    if told == content:
        return None
    pieces = _pieces(told)
    if b"".join(piece for _, piece in pieces) != content:
        return None
    try:
        return "".join(piece.decode(_CODECS[number]) for number, piece in pieces if piece)
    except (KeyError, UnicodeDecodeError):
        return None


def _pieces(told: bytes) -> list[tuple[int, bytes]]:
    """Split at the escapes, each six digits after a backslash; a backslash of the content comes twice."""
    pieces: list[tuple[int, bytes]] = [(3, b"")]
    end = 0
    for found in _ESCAPED.finditer(told):
        number, piece = pieces[-1]
        pieces[-1] = (number, piece + told[end : found.start()] + (b"" if found[1] else b"\\"))
        if found[1]:
            pieces.append((int(found[1]), b""))
        end = found.end()
    number, piece = pieces[-1]
    pieces[-1] = (number, piece + told[end:])
    return pieces
