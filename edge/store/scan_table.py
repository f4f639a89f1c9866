"""Scans as rows of a table, for people and spreadsheets."""

from collections.abc import Mapping
from typing import Any

COLUMNS = (
    "seq",
    "at",
    "lane",
    "checkpoint",
    "controller",
    "direction",
    "verdict",
    "reason",
    "ticket_id",
    "code",
    "clock",
    "passage",
    "note",
    "scan_id",
    "of",
)


def cells_of(scan: Mapping[str, Any]) -> list[object]:
    """Return the cells of a scan as it goes to the CRM, in the order of `COLUMNS`.

    A cell that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    return [_inert(scan.get(name)) for name in COLUMNS]


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
