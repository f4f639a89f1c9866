"""One thing that `brama doctor` looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found; `mend` says what to do about it."""

    level: Literal["ok", "note", "fault"]
    what: str
    mend: str = ""
