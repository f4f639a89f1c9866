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
