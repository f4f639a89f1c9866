"""What a check is, and what can come of one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from crm.conformance.subject import Subject


class Level(StrEnum):
    """MUST: the contract asks for it. MAY: the contract allows otherwise, and gates are better off with it."""

    MUST = "MUST"
    MAY = "MAY"


class Outcome(StrEnum):
    """What came of a check; `skipped` is one that could not be made, which says nothing of the CRM."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


Work = Callable[[Subject], Awaitable[str | None]]
"""Makes a check. Returns a remark, or none; raises `Broken` or `Skipped`."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the contract wants: a short name, the section of docs/gate-api.md, one sentence."""

    name: str
    level: Level
    section: str
    wants: str
    work: Work


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check: `said` is what was got, why it was skipped, or a remark; `mend` only where it failed."""

    check: Check
    outcome: Outcome
    said: str = ""
    mend: str = ""


def must(name: str, section: str, wants: str) -> Callable[[Work], Check]:
    """Make a check of a function, for what the contract asks for."""
    return lambda work: Check(name, Level.MUST, section, wants, work)


def may(name: str, section: str, wants: str) -> Callable[[Work], Check]:
    """Make a check of a function, for what the contract allows to be otherwise."""
    return lambda work: Check(name, Level.MAY, section, wants, work)
