"""How often a list is pulled whole: a CRM may send everything without end, and mend nothing by it.

Where its sums are wrong, the next list will no more match them than the last, and a million tickets a minute mend
nothing: only its maker can. Where it takes no cursor of its own, or sends everything each time, the lists are right,
and yet a gate must not do nothing but pull them.
"""

import time
from collections.abc import Callable

from sync.errors import LinkDown

MOST_AT_ONCE = 3
"""Whole lists one after the other: the first, one that mends it, and one of a CRM that was restored meanwhile."""
FIRST_SPACE_S = 1.0
MOST_SPACE_S = 30.0
MOST_SHARE = 10
"""Or so many times what the last list took, where that is longer: pulling takes at most a tenth of the time."""
FORGET_S = 300.0
"""A list begun so long after it might have been is not one more of a row."""
MOST_FAILURES = 2
"""So many lists in a row that did not match, and it is no accident."""
FIRST_REST_S = 120.0
MOST_REST_S = 3600.0
RETURN_REST_S = 300.0
"""After a CRM was away it may have been mended; but one that comes and goes is not given everything each time."""


class TooSoon(LinkDown):
    """Everything was sent without being asked for, and too soon after the last time; none of it was taken."""


class Patience:
    """Tells when everything may be pulled anew. Pure but for the clock, which is passed in, in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._began_at = self._last_at = self._due_at = monotonic()
        self._lists = 0
        """Whole lists in a row, each soon after the one before."""
        self._took_s = 0.0
        self._open = False
        """It is not known yet what has become of the last list that was begun."""
        self._excused = False
        """The lists in a row that did not match were once put down to another CRM."""
        self.failures = 0
        """Whole lists in a row that were not what the CRM vouched for."""

    @property
    def hopeless(self) -> bool:
        """Pulling everything anew has not helped, and is no longer the first thing to try."""
        return self.failures >= MOST_FAILURES

    @property
    def rest_s(self) -> float:
        """How long until everything may be pulled anew, in seconds."""
        return max(0.0, self._due_at - self._monotonic())

    def may_begin(self) -> bool:
        """Tell whether everything may be pulled anew now."""
        return self.rest_s == 0.0

    def began(self) -> None:
        """Note that everything has begun to come."""
        now = self._monotonic()
        if now >= self._last_at + self._space_s + FORGET_S:
            self._lists = 0
        self._lists += 1
        self._began_at = self._last_at = now
        self._open = True
        self._rest()

    def failed(self) -> None:
        """Note that a whole list came and was not what the CRM vouches for; once for each that was begun."""
        if self._open:
            self.failures += 1
            self._end()
            self._rest()

    def proved(self) -> None:
        """Note that the list is what the CRM vouches for, or that a whole one came to which it says nothing."""
        self.failures, self._excused = 0, False
        if self._open:
            self._end()
        self._rest()

    def expired(self) -> None:
        """Note that the CRM has everything pulled; the first time it may be another one, whose sums may be right."""
        if self.hopeless and not self._excused:
            self._excused = True
            self._due_at = min(self._due_at, self._last_at + self._space_s)

    def returned(self) -> None:
        """Note that the CRM was away and is back."""
        self._due_at = min(self._due_at, self._last_at + max(self._space_s, RETURN_REST_S))

    def asked(self) -> None:
        """Note that a person wants everything now, if everything is to be pulled at all."""
        self._lists, self._due_at = 0, self._monotonic()

    @property
    def _space_s(self) -> float:
        """How long everything is left alone after a list, whatever has become of it."""
        if self._lists < MOST_AT_ONCE:
            return 0.0
        most_s = min(MOST_REST_S, max(MOST_SPACE_S, MOST_SHARE * self._took_s))
        return min(most_s, FIRST_SPACE_S * 2.0 ** min(self._lists - MOST_AT_ONCE, 16))

    def _end(self) -> None:
        self._open, self._last_at = False, self._monotonic()
        self._took_s = self._last_at - self._began_at

    def _rest(self) -> None:
        rest_s = FIRST_REST_S * 2.0 ** min(self.failures - MOST_FAILURES, 16) if self.hopeless else 0.0
        self._due_at = self._last_at + max(self._space_s, min(MOST_REST_S, rest_s))
