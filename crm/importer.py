"""Barcode lists come in: from a CSV file or from rows, in bounded memory, and the same list again changes nothing.

A list is first read whole and checked row by row into a private temporary database, where doubles show and codes are
lookups already; only then is it stored, a thousand tickets a transaction, in the order of the list. A crash half-way
leaves a list that importing again completes.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from crm import catalogue
from crm.database import Database
from crm.errors import BadInput, NotFound
from crm.schema import is_storable
from crm.staging import Staging
from crm.tickets import TicketRecord, id_taken, ids_of_lookups, lookups_of_ids, put_tickets, unstorable
from crm.transactions import Read
from sync.barcode_file import (
    MAX_TEXT,
    BadFile,
    ImportRow,
    KnownTypes,
    Problem,
    RowReader,
    TicketFields,
    csv_rows,
    own_id,
)
from sync.cutting import MAX_LINE_BYTES
from sync.wire import MAX_ROWS, EventLine

MAX_ROW_BYTES = (MAX_LINE_BYTES - 1024) // MAX_ROWS - 1
"""A ticket as it is sent: so many to a line, and the longest are still not more than a gate reads."""
_SURELY_FIT_CHARS = 500
"""Of the texts in a row; each character may take six bytes, and what else there is in a row two hundred."""

__all__ = ["ImportResult", "ImportRow", "NothingImported", "Problem", "import_file", "import_rows"]


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
    except BadFile as exc:
        raise BadInput(exc.field, exc.message) from exc
    except OSError as exc:
        raise BadInput("file", f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise BadInput("file", f"{path} is not UTF-8 (byte {exc.start}): save it as CSV UTF-8") from exc


async def _import(
    db: Database, event: str, rows: Numbered, source: str | None, skip_bad: bool, report: Report
) -> ImportResult:
    if source is not None and not (0 < len(source) <= MAX_TEXT and is_storable(source) and _is_text(source)):
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


def _stage(reader: RowReader, rows: Numbered, staging: Staging, result: ImportResult, report: Report) -> None:
    for line, row in rows:
        result.read += 1
        found = reader.read(line, row) if isinstance(row, ImportRow) else row
        if isinstance(found, TicketFields):
            record = TicketRecord.of(found)
            fault = unstorable(record) or _unsendable(record) or staging.put(line, record)
            found = Problem(line, *fault) if fault else found
        if isinstance(found, Problem):
            result.bad += 1
            report(found)


def _unsendable(record: TicketRecord) -> tuple[str, str] | None:
    """Return the field that no gate could be sent, and why: one such row would keep the whole list from all gates."""
    for name in ("id", "holder", "seat"):
        text = getattr(record, name)
        if text is not None and not _is_text(text):
            return name, "is no text (half of a surrogate pair); is this file UTF-8?"
    texts = (record.id, record.holder, record.seat, record.source)
    if sum(len(text) for text in texts if text) <= _SURELY_FIT_CHARS:
        return None
    size = len(json.dumps(record.wire_row(), ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_ROW_BYTES:
        return "holder", f"with id, seat and seller {size} bytes as sent; shorten them to {MAX_ROW_BYTES}"
    return None


def _is_text(text: str) -> bool:
    """Tell whether a text can be written as UTF-8, which half of a surrogate pair cannot."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


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
    unnamed = {record.lookup for record in records if record.id == own_id(record.lookup)}
    held = await ids_of_lookups(tx, event, unnamed) if unnamed else {}
    return [replace(record, id=held.get(record.lookup, record.id)) for record in records] if held else records


async def _reader(db: Database, event: str, source: str | None) -> RowReader:
    async with db.read() as tx:
        found = await catalogue.get(tx, "event", event)
        if not isinstance(found, EventLine):
            raise NotFound("event", f"no event has the id {event}; see brama crm event list")
        types = await catalogue.every(tx, "ticket_type", event)
    known = KnownTypes({each.id: each.name for each in types})
    return RowReader(db.organiser.lookup_key, ZoneInfo(found.tz), known, source)
