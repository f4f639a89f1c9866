"""Runs the checks in their order, each under the same roof: what goes wrong in one is its own result."""

from collections.abc import Callable, Sequence

from crm.conformance.checks import Check, Level, Outcome, Result
from crm.conformance.errors import Broken, Skipped
from crm.conformance.subject import Subject
from crm.conformance.topics import (
    admissions,
    changes,
    compression,
    cursors,
    enrolment,
    heartbeat,
    ranges,
    resumption,
    robustness,
    scan_kinds,
    scans,
    snapshot,
    tokens,
)

CHECKS: tuple[Check, ...] = (
    *enrolment.CHECKS,
    *snapshot.CHECKS,
    *compression.CHECKS,
    *cursors.CHECKS,
    *resumption.CHECKS,
    *ranges.CHECKS,
    *scans.CHECKS,
    *scan_kinds.CHECKS,
    *admissions.CHECKS,
    *heartbeat.CHECKS,
    *tokens.CHECKS,
    # These look back at what the others have got, so they come last.
    *changes.CHECKS,
    *robustness.CHECKS,
)


async def run(subject: Subject, begins: Callable[[Check], None] = lambda _check: None) -> list[Result]:
    """Make every check, and return what came of each; `begins` is told of each before it is made."""
    results = []
    for check in CHECKS:
        begins(check)
        results.append(await _made(check, subject))
    return results


async def _made(check: Check, subject: Subject) -> Result:
    try:
        remark = await check.work(subject)
    except Broken as exc:
        return Result(check, Outcome.FAILED, exc.got, exc.mend)
    except Skipped as exc:
        return Result(check, Outcome.SKIPPED, exc.reason)
    return Result(check, Outcome.PASSED, remark or "")


def keeps_it(results: Sequence[Result], *, strict: bool = False) -> bool:
    """Tell whether every MUST passed or, unless `strict`, could not be made."""
    bad = {Outcome.FAILED, Outcome.SKIPPED} if strict else {Outcome.FAILED}
    return not any(result.check.level is Level.MUST and result.outcome in bad for result in results)
