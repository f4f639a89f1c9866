"""How often a list is pulled whole from a CRM that will vouch for none of what it sends.

Where its sums are wrong, the next list will no more match them than the last, and a million tickets a minute mend
nothing: only its maker can.
"""

import time
from collections.abc import Callable

MOST_FAILURES = 2
"""So many lists in a row that did not match, and it is no accident."""
FIRST_REST_S = 120.0
MOST_REST_S = 3600.0
RETURN_REST_S = 300.0
"""After a CRM was away it may have been mended; but one that comes and goes is not given everything each time."""


class Patience:
    """Tells when everything may be pulled anew because the list differs. Pure but for the clock, which is passed in."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._due_at: float | None = -1.0
        """None: it is being pulled."""
        self._failed_at = 0.0
        self.failures = 0
        """Whole lists in a row that were not what the CRM vouched for."""

    @property
    def hopeless(self) -> bool:
        """Pulling everything anew has not helped, and is no longer the first thing to try."""
        return self.failures >= MOST_FAILURES

    @property
    def rest_s(self) -> float | None:
        """How long until everything may be pulled anew, in seconds; None: it is being pulled."""
        return None if self._due_at is None else max(0.0, self._due_at - self._monotonic())

    def may_begin(self) -> bool:
        """Tell whether everything may be pulled anew now."""
        return not self.hopeless or self.rest_s == 0.0

    def began(self) -> None:
        """Note that everything is being pulled."""
        self._due_at = None

    def failed(self) -> None:
        """Note that a whole list came and was not what the CRM vouches for."""
        self.failures += 1
        self._failed_at = self._monotonic()
        rest_s = min(MOST_REST_S, FIRST_REST_S * 2.0 ** min(self.failures - MOST_FAILURES, 16))
        self._due_at = self._failed_at + (rest_s if self.hopeless else 0.0)

    def returned(self) -> None:
        """Note that the CRM was away and is back."""
        if self._due_at is not None:
            self._due_at = min(self._due_at, self._failed_at + RETURN_REST_S)

    def asked(self) -> None:
        """Note that a person wants everything now, if everything is to be pulled at all."""
        if self._due_at is not None:
            self._due_at = self._monotonic()

    def proved(self) -> None:
        """Note that the list is what the CRM vouches for, or that the CRM has begun anew."""
        self.failures, self._due_at = 0, -1.0
