"""What is known of the CRM, for those who show it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a list is that is being pulled: tickets so far, of how many where the CRM tells, and how fast they come.

    `per_s` is the mean since this attempt began; `left_s` is how many seconds it still takes at that rate.
    """

    tickets: int
    total: int | None
    per_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Pace:
    """From where and when a list is pulled on, by which its progress is told; `began_s` is monotonic."""

    total: int | None
    had: int
    began_s: float

    def at(self, count: int, now_s: float) -> Progress:
        """Return how far it is with `count` tickets."""
        per_s = (count - self.had) / max(now_s - self.began_s, 1e-3)
        left_s = max(0, self.total - count) / per_s if self.total is not None and per_s > 0 else None
        return Progress(count, self.total, round(per_s, 1), None if left_s is None else round(left_s, 1))


@dataclass(slots=True)
class CrmHealth:
    """`error` names what is wrong and what mends it; `refused` is the token's end, `revoked` the box's."""

    url: str | None = None
    """Where it is; None: there is none, or it pushes."""
    state: Literal["none", "connecting", "connected", "away", "refused", "revoked"] = "none"
    error: str | None = None
    heard_at: datetime | None = None
    unknown: int = 0
    """Kinds and fields of the feed that this release skipped."""
    progress: Progress | None = None
    """Of a list that is being pulled, where one is."""
    note: str | None = None
    """What a person may want to know of the list, where a CRM tells."""
