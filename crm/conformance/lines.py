"""One line of the feed, held against the contract to the letter. Pure."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sync.instants import parse_instant
from sync.lines import describe
from sync.wire import LINE_KINDS, MAX_ROWS, ROW_WIDTHS, WireModel

MAX_LINE_BYTES = 4 * 1024 * 1024
"""The longest line that a gate reads."""
# docs/gate-api.md, "Basics": the one form, where ISO 8601 has many.
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_INSTANT_FIELDS = frozenset({"starts_at", "ends_at", "opens_at", "closes_at", "at"})
_INSTANT_COLUMNS = {"tickets": (4, 5), "admissions": (4,)}


class Aspect(StrEnum):
    """What a line can be wrong in; each is a check of its own."""

    LINES = "lines"
    FIELDS = "fields"
    ROWS = "rows"
    INSTANTS = "instants"
    COUNT = "count"
    FINGERPRINT = "fingerprint"
    WORDS = "words"


@dataclass(slots=True)
class LineRead:
    """A line, and what is wrong with it.

    `line` is None where nothing can be applied: it cannot be read, its fields are wrong, or its kind is not known.
    """

    line: dict[str, Any] | None = None
    kind: str | None = None
    complaints: list[tuple[Aspect, str]] = field(default_factory=list)

    @property
    def is_lost(self) -> bool:
        """Whether this line should have been applied, and cannot be."""
        return self.line is None and (self.kind is None or self.kind in LINE_KINDS)

    def complain(self, aspect: Aspect, what: str) -> None:
        """Note what is wrong."""
        self.complaints.append((aspect, what))


def is_instant(text: object) -> bool:
    """Tell whether a value is an instant as the contract writes it."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        return False
    try:
        parse_instant(text)
    except ValueError:
        return False
    return True


def read_line(raw: bytes) -> LineRead:
    """Read one feed line, without its end."""
    read = LineRead()
    if len(raw) > MAX_LINE_BYTES:
        read.complain(Aspect.ROWS, f"a line of {len(raw)} bytes; at most {MAX_LINE_BYTES}")
    try:
        line = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        read.complain(Aspect.LINES, f"not JSON: {_start(raw)}")
        return read
    if not isinstance(line, dict) or not isinstance(line.get("kind"), str):
        read.complain(Aspect.LINES, f"not an object with a kind: {_start(raw)}")
        return read
    read.kind = line["kind"]
    if read.kind not in LINE_KINDS:
        read.complain(Aspect.WORDS, f"kind {read.kind[:40]}")
    elif _fields_are_right(read, line, raw):
        read.line = line
    for name, value in _instants(line) if read.kind in LINE_KINDS else ():
        if isinstance(value, str) and not is_instant(value):
            read.complain(Aspect.INSTANTS, f"{read.kind}: {name} {value[:40]!r}")
    return read


def _fields_are_right(read: LineRead, line: dict[str, Any], raw: bytes) -> bool:
    """Hold a line against its model; note what is wrong, or not known."""
    right = True
    for piece in _pieces(read, line, raw):
        try:
            model = LINE_KINDS[line["kind"]].model_validate_json(piece, strict=True)
        except ValidationError as exc:
            errors = exc.errors(include_url=False)
            for error in [each for each in errors if not _is_of_an_instant(line["kind"], each)]:
                right = False
                read.complain(Aspect.FIELDS, f"{read.kind}: {describe(error)}")
        else:
            for name in sorted({*_unknown(model)}):
                read.complain(Aspect.WORDS, f"{read.kind}: field {name[:40]}")
    return right


def _pieces(read: LineRead, line: dict[str, Any], raw: bytes) -> Iterator[bytes]:
    """Yield the line in parts that its model takes: rows of known columns, and not too many of them."""
    rows, width = line.get("rows"), ROW_WIDTHS.get(line["kind"])
    if not isinstance(rows, list) or width is None:
        yield raw
        return
    if widest := max((len(row) for row in rows if isinstance(row, list) and len(row) > width), default=0):
        read.complain(Aspect.WORDS, f"{read.kind}: rows of {widest} columns; known are {width}")
        rows = [row[:width] if isinstance(row, list) else row for row in rows]
    if line["kind"] == "tickets" and len(rows) > MAX_ROWS:
        read.complain(Aspect.ROWS, f"a line of {len(rows)} rows")
    elif rows is line["rows"]:
        yield raw
        return
    for at in range(0, len(rows), MAX_ROWS):
        yield json.dumps({**line, "rows": rows[at : at + MAX_ROWS]}).encode()


def _is_of_an_instant(kind: str, error: ErrorDetails) -> bool:
    """Tell whether an error is of a text that should be an instant: a check of its own looks at those."""
    where, columns = error["loc"], _INSTANT_COLUMNS.get(kind, ())
    in_a_row = len(where) > 2 and where[0] == "rows" and where[2] in columns
    return isinstance(error["input"], str) and (in_a_row or (bool(where) and where[-1] in _INSTANT_FIELDS))


def _instants(line: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values of a line that should be instants, with where they are."""
    within = [each for name in ("hours", "scans") if isinstance(each := line.get(name), list)]
    for thing in (line, *(part for parts in within for part in parts if isinstance(part, dict))):
        yield from ((name, thing[name]) for name in sorted(_INSTANT_FIELDS & thing.keys()))
    rows = line.get("rows")
    for row in rows if isinstance(rows, list) else ():
        for column in _INSTANT_COLUMNS.get(line["kind"], ()):
            if isinstance(row, list) and len(row) > column:
                yield f"column {column}", row[column]


def _unknown(model: WireModel) -> Iterator[str]:
    """Yield the names of fields that the contract does not know, in nested objects too."""
    yield from model.model_extra or ()
    for name in type(model).model_fields:
        value = getattr(model, name)
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, WireModel):
                yield from _unknown(each)


def _start(raw: bytes) -> str:
    return repr(raw[:80].decode("utf-8", "replace"))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
