"""Barcode lists come in: from a CSV file or from rows, in bounded memory, and the same list again changes nothing.

A list is first read whole and checked row by row into a private temporary database, where doubles show and codes are
lookups already; only then is it stored, a thousand tickets a transaction, in the order of the list. A crash half-way
leaves a list that importing again completes.
"""

import asyncio
import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TextIO
from zoneinfo import ZoneInfo

from crm import catalogue
from crm.database import Database, Read
from crm.errors import BadInput, NotFound
from crm.instants import read_instant
from crm.staging import Staging
from crm.tickets import TicketRecord, id_taken, ids_of_lookups, lookups_of_ids, put_tickets
from edge.core.barcodes import is_readable, lookup_of, lookup_text
from edge.core.model import TicketState
from sync.instants import write_instant
from sync.wire import MAX_ROWS, EventLine

_MAX_TEXT = 1000
_MAX_ID = 200
_MAX_CELL = 100_000


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


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one row; `line` counts from 1, as an editor does (rows: from 1)."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.message}"


@dataclass(slots=True)
class ImportResult:
    """What an import did: rows read, bad (left out), new, replaced, and there already word for word."""

    read: int = 0
    bad: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0


class NothingImported(BadInput):
    """The list has bad rows, each already reported, and bad rows were not to be skipped."""

    def __init__(self, bad: int, read: int) -> None:
        self.bad = bad
        super().__init__("file", f"{bad} of {read} rows are bad; nothing was imported. Mend them, or use --skip-bad")


Report = Callable[[Problem], None]
Numbered = Iterable[tuple[int, ImportRow | Problem]]


async def import_rows(
    db: Database,
    event: str,
    rows: Iterable[tuple[str | None, ...]],
    *,
    source: str | None = None,
    skip_bad: bool = False,
    report: Report = lambda _: None,
) -> ImportResult:
    """Import tickets from tuples `(code, type, id, state, valid_from, valid_until, holder, seat)`, cut where you like.

    `source` names the seller; `report` gets every problem.

    Raises:
        NotFound: no such event.
        NothingImported: a row is bad and `skip_bad` is not set.
    """
    numbered = ((number, ImportRow(*row)) for number, row in enumerate(rows, 1))  # type: ignore[arg-type]
    return await _import(db, event, numbered, source, skip_bad, report)


async def import_file(
    db: Database,
    event: str,
    path: Path,
    *,
    source: str | None = None,
    skip_bad: bool = False,
    report: Report = lambda _: None,
) -> ImportResult:
    """Import a CSV file: UTF-8, with or without BOM, `,` or `;` or tab, a header that names at least `code`.

    Raises:
        BadInput: the file cannot be read, or its header will not do.
        NotFound, NothingImported: as in `import_rows`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return await _import(db, event, csv_rows(file), source, skip_bad, report)
    except OSError as exc:
        raise BadInput("file", f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise BadInput("file", f"{path} is not UTF-8 (byte {exc.start}): save it as CSV UTF-8") from exc


def csv_rows(file: TextIO) -> Iterator[tuple[int, ImportRow | Problem]]:
    """Yield the rows of a CSV file with their line numbers; a row that is none comes as a problem.

    Raises:
        BadInput: the header will not do.
    """
    header = file.readline()
    if not header.strip():
        raise BadInput("header", "the file is empty; its first line names the columns, at least code")
    delimiter = max(";,\t", key=header.count)
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter))]
    if "code" not in names:
        raise BadInput("code", f"no such column; the header has {', '.join(names)[:200]}")
    if doubled := {name for name in names if name in ImportRow._fields and names.count(name) > 1}:
        raise BadInput(min(doubled), "the header names this column twice")
    return _rows(file, names, delimiter)


def _rows(file: TextIO, names: list[str], delimiter: str) -> Iterator[tuple[int, ImportRow | Problem]]:
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
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
        found = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name in ImportRow._fields}
        yield line, ImportRow(**{"code": "", **{name: cell for name, cell in found.items() if cell}})


async def _import(
    db: Database, event: str, rows: Numbered, source: str | None, skip_bad: bool, report: Report
) -> ImportResult:
    if source is not None and not 0 < len(source) <= _MAX_TEXT:
        raise BadInput("source", "the seller's name, up to 1,000 characters")
    reader = await _reader(db, event, source)
    result = ImportResult()
    with closing(await asyncio.to_thread(Staging)) as staging:
        await asyncio.to_thread(_stage, reader, rows, staging, result, report)
        await _check_ids(db, staging, result, report)
        if result.bad and not skip_bad:
            raise NothingImported(result.bad, result.read)
        batches = staging.batches(MAX_ROWS)
        while batch := await asyncio.to_thread(next, batches, None):
            async with db.write() as tx:
                put = await put_tickets(tx, event, await _with_held_ids(tx, event, [record for _, record in batch]))
            result.added += put.added
            result.changed += put.changed
            result.unchanged += len(batch) - put.added - put.changed
    return result


def _stage(reader: "_Reader", rows: Numbered, staging: Staging, result: ImportResult, report: Report) -> None:
    for line, row in rows:
        result.read += 1
        found = reader.read(line, row) if isinstance(row, ImportRow) else row
        if isinstance(found, TicketRecord):
            fault = staging.put(line, found)
            found = Problem(line, *fault) if fault else found
        if isinstance(found, Problem):
            result.bad += 1
            report(found)


async def _check_ids(db: Database, staging: Staging, result: ImportResult, report: Report) -> None:
    """Report, and leave out, rows whose id is another ticket's in the list that is held."""
    for batch in staging.batches(MAX_ROWS):
        async with db.read() as tx:
            owners = await lookups_of_ids(tx, [record.id for _, record in batch])
        for line, record in batch:
            if owners.get(record.id, record.lookup) != record.lookup:
                staging.drop(record.lookup)
                result.bad += 1
                report(Problem(line, "id", id_taken(record.id)))


async def _with_held_ids(tx: Read, event: str, records: list[TicketRecord]) -> list[TicketRecord]:
    """Let tickets that the list names by no id keep the id under which they are held and may have been used."""
    unnamed = {record.lookup for record in records if record.id == _own_id(record.lookup)}
    held = await ids_of_lookups(tx, event, unnamed) if unnamed else {}
    return [replace(record, id=held.get(record.lookup, record.id)) for record in records] if held else records


def _own_id(lookup: bytes) -> str:
    # Of the lookup alone: a code that stands for several events is one ticket there too.
    return f"t-{lookup_text(lookup)}"


async def _reader(db: Database, event: str, source: str | None) -> "_Reader":
    async with db.read() as tx:
        found = await catalogue.get(tx, "event", event)
        if not isinstance(found, EventLine):
            raise NotFound("event", f"no event has the id {event}; see brama crm event list")
        types = await catalogue.every(tx, "ticket_type", event)
    names = {each.name.casefold(): each.id for each in types} | {each.id: each.id for each in types}
    return _Reader(db.organiser.lookup_key, ZoneInfo(found.tz), names, source)


class _Reader:
    """Turns rows into tickets, or says what is wrong with them."""

    def __init__(self, key: bytes, zone: ZoneInfo, types: dict[str, str], source: str | None) -> None:
        self._key = key
        self._zone = zone
        self._types = types
        self._only = next(iter(types.values())) if len(set(types.values())) == 1 else None
        self._source = source

    def read(self, line: int, row: ImportRow) -> TicketRecord | Problem:
        try:
            return self._record(row)
        except BadInput as exc:
            return Problem(line, exc.field, exc.message)

    def _record(self, row: ImportRow) -> TicketRecord:
        if not is_readable(row.code):
            raise BadInput("code", "1 to 4,096 characters, at least one of which prints")
        lookup = lookup_of(self._key, row.code)
        state = (row.state or TicketState.VALID.value).lower()
        if state not in list(TicketState):
            raise BadInput("state", f"{state[:40]!r} is none of {', '.join(TicketState)}")
        valid_from = self._instant("valid_from", row.valid_from)
        valid_until = self._instant("valid_until", row.valid_until)
        if valid_from and valid_until and valid_from >= valid_until:
            raise BadInput("valid_until", "must be after valid_from")
        for name in ("holder", "seat"):
            if len(getattr(row, name) or "") > _MAX_TEXT:
                raise BadInput(name, "at most 1,000 characters")
        if row.id is not None and not 0 < len(row.id) <= _MAX_ID:
            raise BadInput("id", "1 to 200 characters")
        return TicketRecord(
            lookup,
            row.id or _own_id(lookup),
            self._type(row.type),
            state,
            write_instant(valid_from) if valid_from else None,
            write_instant(valid_until) if valid_until else None,
            row.holder or None,
            row.seat or None,
            self._source,
        )

    def _type(self, name: str | None) -> str:
        if name is None and self._only:
            return self._only
        found = self._types.get(name or "") or self._types.get((name or "").casefold())
        if found is None:
            known = ", ".join(sorted(set(self._types.values()))) or "none yet"
            raise BadInput("type", f"{(name or '')[:40]!r} is no ticket type of this event; its types: {known}")
        return found

    def _instant(self, field: str, text: str | None) -> datetime | None:
        return read_instant(field, text, self._zone) if text else None
