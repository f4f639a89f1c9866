"""What a decoder makes of what a reader sent: a whole code, or one that was spoiled. Values only."""

from dataclasses import dataclass
from datetime import datetime

from drivers.protocols import Read, Spoiled


@dataclass(frozen=True, slots=True)
class Code:
    """One whole code; `symbology` is its AIM identifier (ISO/IEC 15424), such as `]Q3`, where the reader told it."""

    text: str
    symbology: str | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A code that was begun but did not come whole, and why; nothing of it is offered."""

    why: str


def told(result: Code | Broken, now: datetime) -> Read | Spoiled:
    """Return a decoder's result as the reader gives it on."""
    return Read(result.text, now, result.symbology) if isinstance(result, Code) else Spoiled(result.why, now)
