"""What came of a run, for people and for machines."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from crm.conformance.checks import Level, Outcome, Result

_STYLES = {Outcome.PASSED: "green", Outcome.FAILED: "bold red", Outcome.SKIPPED: "yellow"}


def table_of(url: str, results: Sequence[Result], *, kept: bool) -> RenderableType:
    """Draw the checks in their order, and what they come to."""
    table = Table(Column("check", overflow="fold"), "level", "result", "what", box=None, padding=(0, 2, 0, 0))
    for result in results:
        outcome = Text(result.outcome, style=_STYLES[result.outcome])
        table.add_row(Text(result.check.name), Text(result.check.level), outcome, _what(result))
    verdict = Text("The Gate API is kept" if kept else "The Gate API is not kept", style="bold")
    return Group(table, Text(), verdict.append(f" at {url}: {_sums(results)}.", style="not bold"))


def _what(result: Result) -> Text:
    wants, said = Text(result.check.wants), _clean(result.said)
    match result.outcome:
        case Outcome.PASSED:
            return wants.append(f"\nnote: {said}" if said else "", style="dim")
        case Outcome.SKIPPED:
            return wants.append(f"\nwhy:  {said}", style="yellow")
    wants.append(f"\nsee:  docs/gate-api.md, {result.check.section}")
    return wants.append(f"\ngot:  {said}\nmend: {result.mend}", style="red")


def _sums(results: Sequence[Result]) -> str:
    count = Counter((result.outcome, result.check.level) for result in results)
    words = (
        f"{count[outcome, Level.MUST] + count[outcome, Level.MAY]} {outcome} ({count[outcome, Level.MUST]} MUST)"
        for outcome in Outcome
    )
    return ", ".join(words)


def _clean(text: str) -> str:
    """Return a text of the CRM as it can be printed anywhere: one line, no control characters, no surrogates."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable.encode("utf-8", "replace").decode()


def as_data(url: str, results: Sequence[Result], *, kept: bool) -> dict[str, Any]:
    """Return the run as JSON holds it."""
    return {
        "url": url,
        "version": 1,
        "kept": kept,
        **{outcome.value: sum(result.outcome is outcome for result in results) for outcome in Outcome},
        "checks": [
            {
                "name": result.check.name,
                "level": result.check.level.value,
                "section": result.check.section,
                "wants": result.check.wants,
                "result": result.outcome.value,
                "said": _clean(result.said),
                "mend": result.mend,
            }
            for result in results
        ],
    }
