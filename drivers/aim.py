"""AIM symbology identifiers: the three characters with which a scanner may say what kind of barcode it read.

Source: ISO/IEC 15424, "Data Carrier Identifiers": a flag "]", a code character (a letter) and a modifier character.
"""

import re

_IDENTIFIER = re.compile(r"\][A-Za-z][0-9A-Za-z]")


def split_symbology(text: str) -> tuple[str | None, str]:
    """Return the identifier at the very start of `text`, such as `]Q3`, or None, and the code without it."""
    found = _IDENTIFIER.match(text)
    return (found[0], text[found.end() :]) if found else (None, text)
