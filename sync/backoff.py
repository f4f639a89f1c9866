"""What the way to the CRM makes of failures: how long it leaves alone what has just failed."""

import random
import sqlite3

from edge.store.database import NewerSchema
from edge.store.writer import CannotRecord

FIRST_DELAY_S = 1.0
MOST_DELAY_S = 60.0
UNWELL_DELAY_S = 60.0
"""How often a refused token is tried again: somebody may have mended it in the CRM."""
CANNOT_WRITE = (sqlite3.Error, OSError, NewerSchema, CannotRecord)
"""The box's own disk is at fault, which is no reason to ask a CRM the same without pause."""


class Backoff:
    """Waiting times after failures: from one second, doubled, up to a minute, with jitter."""

    def __init__(self) -> None:
        self._delay_s = FIRST_DELAY_S

    def reset(self) -> None:
        """Begin again after a success."""
        self._delay_s = FIRST_DELAY_S

    def next(self, asked_s: float | None = None) -> float:
        """Return the next delay in seconds; never less than was asked for, up to five minutes of that."""
        delay = self._delay_s * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, not a secret)
        self._delay_s = min(MOST_DELAY_S, self._delay_s * 2)
        return max(delay, min(asked_s or 0.0, 5 * MOST_DELAY_S))
