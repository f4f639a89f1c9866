"""Codes that may have been misread: what nobody knows is not refused before it was read twice. Pure."""

from datetime import datetime, timedelta

PATIENCE = timedelta(seconds=10)
"""A guest who is told to scan again does so within this time."""
MOST = 8
"""Misreads of one ticket differ from one another; older ones are forgotten."""


class Doubts:
    """The codes of one lane that nobody knew and that wait to be read again."""

    def __init__(self) -> None:
        self._noted: dict[str, datetime] = {}

    def note(self, code: str, at: datetime) -> None:
        """Let a code wait that was read at this instant, aware UTC."""
        self._noted.pop(code, None)
        self._noted[code] = at
        if len(self._noted) > MOST:
            del self._noted[next(iter(self._noted))]

    def settle(self, code: str, at: datetime, *, again: bool) -> bool:
        """Tell whether a read bears out one that waits, which then waits no longer.

        `again`: it was still being shown since then, however long ago that is.
        """
        noted_at = self._noted.pop(code, None)
        return noted_at is not None and (again or at - noted_at < PATIENCE)
