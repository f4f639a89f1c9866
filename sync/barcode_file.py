"""Barcode files as ticket sellers write them: CSV in, tickets or named problems out. Pure.

UTF-8, with or without BOM, cells divided by `,` or `;` or tab; the first line names the columns, at least `code`.
Columns that nobody knows are passed over. The central and a gate without a CRM read such files alike.

Source of the form: RFC 4180, read leniently as to dividers and line ends.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TextIO
from zoneinfo import ZoneInfo

from edge.core.barcodes import is_readable, lookup_of_normalised, lookup_text, normalise
from edge.core.model import TicketState
from sync.instants import read_local_instant, write_instant

MAX_TEXT = 1000
MAX_ID = 200
MAX_CELL = 100_000
MAX_LINE = 1_000_000
"""The longest line that is read, in characters: a file that is no list must not fill the memory."""
_STATES = frozenset(each.value for each in TicketState)


class ImportRow(NamedTuple):
    """One row of a list; only `code` is needed, and `type` where the event has several ticket types.

    `type` is a ticket type's id or name. Instants are ISO 8601; without a zone they are the event's local time.
    """

    code: str
    type: str | None = None
    id: str | None = None
    state: str | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    holder: str | None = None
    seat: str | None = None


class TicketFields(NamedTuple):
    """What a row comes to, in the order of the wire; instants are texts of the wire, `lookup` is 16 bytes."""

    lookup: bytes
    id: str
    type: str
    state: str
    valid_from: str | None
    valid_until: str | None
    holder: str | None
    seat: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one row; `line` counts from 1, as an editor does (rows: from 1)."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.message}"


class BadFile(ValueError):
    """A file that is no list of barcodes; `field` names what is wrong, `message` how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


class BadCell(BadFile):
    """A cell that will not do."""


class Types(Protocol):
    """The ticket types of an event."""

    def find(self, name: str | None) -> str:
        """Return the id of the ticket type that a row names; None: it names none.

        Raises:
            BadCell: there is no such type.
        """


class KnownTypes:
    """Ticket types that the event has, which rows name by id or by name."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """`names` are by id."""
        self._ids = {name.casefold(): type_id for type_id, name in names.items()} | {each: each for each in names}
        self._only = next(iter(names)) if len(names) == 1 else None

    def find(self, name: str | None) -> str:
        """Return an id; see `Types.find`. Where there is but one type, a row need not name it."""
        if name is None and self._only:
            return self._only
        found = self._ids.get(name or "") or self._ids.get((name or "").casefold())
        if found is None:
            known = ", ".join(sorted(set(self._ids.values()))) or "none yet"
            raise BadCell("type", f"{(name or '')[:40]!r} is no ticket type of this event; its types: {known}")
        return found


def csv_rows(file: TextIO) -> Iterator[tuple[int, ImportRow | Problem]]:
    """Yield the rows of a CSV file with their line numbers; a row that is none comes as a problem.

    Raises:
        BadFile: the header will not do, or a line is too long.
    """
    lines = _bounded_lines(file)
    header = next(lines, "")
    if not header.strip():
        raise BadFile("header", "the file is empty; its first line names the columns, at least code")
    delimiter = max(";,\t", key=header.count)
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter))]
    if "code" not in names:
        raise BadFile("code", f"no such column; the header has {', '.join(names)[:200]}")
    if doubled := {name for name in names if name in ImportRow._fields and names.count(name) > 1}:
        raise BadFile(min(doubled), "the header names this column twice")
    return _rows(lines, names, delimiter)


def _bounded_lines(file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise BadFile("line", f"line {number} is longer than {MAX_LINE} characters; this is no list of barcodes")
        yield line


def _rows(lines: Iterable[str], names: list[str], delimiter: str) -> Iterator[tuple[int, ImportRow | Problem]]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    places = [(at, name) for at, name in enumerate(names) if name in ImportRow._fields]
    while True:
        line = reader.line_num + 2
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            yield line, Problem(line, "line", f"not CSV: {exc}")
            continue
        if not any(cells):
            continue
        if len(cells) > len(names):
            yield line, Problem(line, "line", f"{len(cells)} cells, but the header names {len(names)}")
            continue
        found = {name: cell for at, name in places if at < len(cells) and (cell := cells[at].strip())}
        yield line, ImportRow(**{"code": "", **found})


class RowReader:
    """Turns rows into tickets of one event, or says what is wrong with them."""

    def __init__(self, key: bytes, zone: ZoneInfo, types: Types, source: str | None) -> None:
        """`key` is the lookup key, `zone` the event's, `source` the seller."""
        self._key = key
        self._zone = zone
        self._types = types
        self._source = source

    def read(self, line: int, row: ImportRow) -> TicketFields | Problem:
        """Read one row."""
        try:
            return self._fields(row)
        except BadCell as exc:
            return Problem(line, exc.field, exc.message)

    def _fields(self, row: ImportRow) -> TicketFields:
        bare = normalise(row.code)
        if not is_readable(row.code, bare):
            raise BadCell("code", "1 to 4,096 characters, at least one of which prints")
        lookup = lookup_of_normalised(self._key, bare)
        state = row.state.lower() if row.state else TicketState.VALID.value
        if state not in _STATES:
            raise BadCell("state", f"{state[:40]!r} is none of {', '.join(TicketState)}")
        valid_from = self._instant("valid_from", row.valid_from)
        valid_until = self._instant("valid_until", row.valid_until)
        if valid_from and valid_until and valid_from >= valid_until:
            raise BadCell("valid_until", "must be after valid_from")
        for name, text in (("holder", row.holder), ("seat", row.seat)):
            if text is not None and len(text) > MAX_TEXT:
                raise BadCell(name, "at most 1,000 characters")
        if row.id is not None and not 0 < len(row.id) <= MAX_ID:
            raise BadCell("id", "1 to 200 characters")
        return TicketFields(
            lookup,
            row.id or own_id(lookup),
            self._types.find(row.type),
            state,
            write_instant(valid_from) if valid_from else None,
            write_instant(valid_until) if valid_until else None,
            row.holder or None,
            row.seat or None,
            self._source,
        )

    def _instant(self, field: str, text: str | None) -> datetime | None:
        if not text:
            return None
        try:
            return read_local_instant(text, self._zone)
        except ValueError as exc:
            raise BadCell(field, str(exc)) from exc


def own_id(lookup: bytes) -> str:
    """Return the id of a ticket that its list names by none.

    It is made of the lookup alone: a code that stands for several events is one ticket there too.
    """
    return f"t-{lookup_text(lookup)}"
