"""When a code that stands before a camera is a new showing of it. Pure: times are passed in.

A camera sees one code in many frames, and a code that stays in view is one showing, however often it is seen. It is
shown anew once it has been away for a while; while nobody was looking, since the camera's process had died, nothing can
be known to have been away, and that time does not count.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

ABSENT_S = 2.0
"""A code that was not seen for longer than this, while the camera looked, is shown anew."""
CONFIRM_S = 0.5
"""A code that is not certain is offered once more when it is seen this long after the first time."""
GAP_S = 1.5
"""A camera that looks says so every second."""
FORGET_S = 30.0
"""After nobody has looked for longer than this, whatever is seen is shown anew. A process that hangs is given up after
ten seconds, and another takes some to start on a slow box."""
LATE_S = 3.0
"""What is heard later than this is no longer news."""

Showing = Literal["new", "again"]


@dataclass(slots=True)
class _Code:
    first_s: float
    last_s: float
    to_confirm: bool


class Presence:
    """The codes in view of one camera. All times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._codes: dict[Hashable, _Code] = {}
        self._looked_s: float | None = None

    def looking(self, now_s: float) -> None:
        """Note that the camera gives pictures at `now_s`, which is to be said before what is seen in them."""
        gap_s = 0.0 if self._looked_s is None else now_s - self._looked_s
        if gap_s > FORGET_S:
            self._codes.clear()
        elif gap_s > GAP_S:
            for code in self._codes.values():
                code.last_s += gap_s
        self._looked_s = now_s
        for key in [key for key, code in self._codes.items() if now_s - code.last_s > ABSENT_S + LATE_S]:
            del self._codes[key]

    def seen(self, key: Hashable, at_s: float, now_s: float, *, certain: bool = True) -> Showing | None:
        """Take in that a code was seen at `at_s`, which is heard of at `now_s`; say what it is, if it is to be told.

        `new`: it was not in view before. `again`: it was, and is not `certain`; once in each showing. None: it was,
        or the news is too old for anyone to still stand there.
        """
        is_late = now_s - at_s > LATE_S
        code = self._codes.get(key)
        if code is None or at_s - code.last_s > ABSENT_S:
            if is_late:
                return None
            self._codes[key] = _Code(at_s, at_s, to_confirm=not certain)
            return "new"
        code.last_s = max(code.last_s, at_s)
        if is_late or not code.to_confirm or at_s - code.first_s < CONFIRM_S:
            return None
        code.to_confirm = False
        return "again"
