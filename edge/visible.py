"""Codes as people may see them: what would not show, or would make its neighbours show wrongly, is written by name."""

_NAMES = {9: "TAB", 10: "LF", 13: "CR", 27: "ESC", 28: "FS", 29: "GS", 30: "RS", 31: "US", 4: "EOT", 2: "STX", 3: "ETX"}


def visible(text: str) -> str:
    """Return `text` as one line that any terminal shows: controls, marks of direction and the like by name."""
    return "".join(char if char.isprintable() else f"<{_name(char)}>" for char in text)


def shortened(text: str, most: int) -> str:
    """Return `text` in at most `most` characters: where some are left out, an ellipsis stands in their place."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _name(char: str) -> str:
    return _NAMES.get(ord(char), f"U+{ord(char):04X}")
