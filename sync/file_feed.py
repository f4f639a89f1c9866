"""The process that turns barcode files into a change feed, so that a million rows do not hold the gate's interpreter.

`python -m sync.file_feed`: reads a `FileJob` from standard input (it holds the lookup key, which must be on no command
line), and writes to standard output one line with a `FileReport`, then the lines of the feed. It loads no models: what
memory it takes, the box has less. All files are read and checked before the first line of the feed goes out.
"""

import hashlib
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import msgspec

from edge.core.barcodes import lookup_texts
from edge.core.fingerprint import Fingerprint, row_digests
from sync.barcode_file import BadCell, BadFile, ImportRow, KnownTypes, RowReader, TicketFields, Types, csv_rows
from sync.file_job import Cursor, FileJob, FileReport, ListedEvent, ListedFile
from sync.file_staging import BATCH, Row, Staging
from sync.following import follow_the_gate

LINES_A_CURSOR = 20
MOST_TYPES = 1000
MAX_TYPE = 200
MOST_PROBLEMS = 20
NO_TYPE = "ticket"
"""The ticket type of rows that name none, where the files say which types there are."""
CHUNK = 1 << 20
_encode = msgspec.json.encode


class CannotRead(Exception):
    """Nothing can be made of the files; `lasting`: until one of them is changed."""

    def __init__(self, message: str, *, lasting: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting


class NamedTypes:
    """Ticket types that the files themselves name; capitals make no difference between two."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.names: dict[str, str] = {}
        """By id, as first written."""
        self._ids: dict[str | None, str] = {}

    def find(self, name: str | None) -> str:
        """Return an id; see `Types.find`."""
        return self._ids.get(name) or self._take(name)

    def _take(self, name: str | None) -> str:
        type_id = self._prefix + (name or NO_TYPE).casefold()
        if len(type_id) > MAX_TYPE:
            raise BadCell("type", f"at most {MAX_TYPE} characters")
        if type_id not in self.names:
            if len(self.names) == MOST_TYPES:
                raise BadCell("type", f"more than {MOST_TYPES} ticket types; is this the right column?")
            self.names[type_id] = name or NO_TYPE.capitalize()
        self._ids[name] = type_id
        return type_id


class FileFeed:
    """What a job comes to: `read` first, then `report` and, where that says so, `lines`."""

    def __init__(self, job: FileJob) -> None:
        self._job = job
        self._staging = Staging([each.name for each in job.files])
        self._types: list[tuple[str, NamedTypes]] = []
        self._rows = 0
        self._parent = os.getppid()
        self.report = FileReport(files=len(job.files))

    def close(self) -> None:
        """Let everything go."""
        self._staging.close()

    def read(self) -> None:
        """Read and check all files, unless their content is what was asked for since.

        Raises:
            CannotRead: they cannot be read, or rows are bad and bad rows are not to be skipped.
            sqlite3.Error: the disk is full, or the like.
        """
        job, since = self._job, Cursor.parse(self._job.since)
        digest, files = self._digest(), len(job.files)
        self.report = FileReport(digest, files=files)
        if since is not None and since.digest == digest and since.row is None:
            self.report = FileReport(digest, same=True, files=files)
            return
        for event in job.events:
            self._read_event(event)
        self._staging.settle()
        bad, problems = self._staging.bad, self._staging.problems(MOST_PROBLEMS)
        if bad and not job.skip_bad:
            raise CannotRead(_refusal(bad, self._rows, problems))
        self.report = FileReport(
            digest,
            files=files,
            rows=self._rows,
            tickets=self._staging.count(),
            bad=bad,
            doubles=self._staging.doubles,
            problems=problems,
        )

    def lines(self) -> Iterator[bytes]:
        """Yield the feed: all of it, or what follows the row at which the last one was cut."""
        job, since = self._job, Cursor.parse(self._job.since)
        done = since.row if since is not None and since.row is not None and since.digest == self.report.digest else 0
        if not done:
            yield b'{"kind":"reset"}'
            yield from (line.encode() for line in (*job.plan, *self._type_lines()))
        listed, number, lines = Fingerprint(), 0, 0
        for event, rows in _by_lines(self._staging.rows()):
            texts = _texts([fields for _, _, fields in rows])
            listed = listed.joined(Fingerprint.of_digests(row_digests(texts)))
            fresh = [text for (at, _, _), text in zip(rows, texts, strict=True) if at > done]
            if not fresh:
                continue
            yield _encode({"kind": "tickets", "event": event, "rows": fresh})
            number, lines = rows[-1][0], lines + 1
            if lines % LINES_A_CURSOR == 0:
                yield self._cursor(Cursor(self.report.digest, number), more=True)
        whole = Cursor(self.report.digest, None, listed.count, listed.hex())
        yield self._cursor(whole, tickets=listed.count, fingerprint=listed.hex())

    def _cursor(self, cursor: Cursor, **more: Any) -> bytes:
        return _encode({"kind": "cursor", "cursor": cursor.write(), "at": self._job.at, **more})

    def _type_lines(self) -> Iterator[str]:
        for event, types in self._types:
            for type_id, name in types.names.items():
                yield _encode({"kind": "ticket_type", "id": type_id, "event": event, "name": name}).decode()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _digest(self) -> str:
        found = hashlib.blake2b(self._job.salt, digest_size=16)
        for each in self._job.files:
            found.update(_encode([each.name, each.size]))
            with _opened(each) as file:
                while chunk := file.read(CHUNK):
                    found.update(chunk)
        return found.hexdigest()

    def _read_event(self, event: ListedEvent) -> None:
        types: Types
        if event.types is not None:
            types = KnownTypes(event.types)
        else:
            types = NamedTypes(event.prefix)
            self._types.append((event.id, types))
        for number, file in enumerate(self._job.files):
            if event.id in file.events:
                reader = RowReader(self._job.key, ZoneInfo(event.tz), types, file.source)
                with _opened(file) as opened:
                    self._read_file(event.id, number, reader, opened)

    def _read_file(self, event: str, number: int, reader: RowReader, file: BinaryIO) -> None:
        with TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            rows = self._checked(number, reader, text)
            while batch := list(islice(rows, BATCH)):
                self._staging.add(event, number, batch)
                if os.getppid() != self._parent:
                    raise BrokenPipeError("the gate is gone")

    def _checked(self, number: int, reader: RowReader, text: TextIOWrapper) -> Iterator[tuple[int, TicketFields, bool]]:
        """Yield the good rows, with whether the file names their ids, and keep what is wrong with the others."""
        for line, row in csv_rows(text):
            self._rows += 1
            found = reader.read(line, row) if isinstance(row, ImportRow) else row
            if isinstance(found, TicketFields):
                yield line, found, isinstance(row, ImportRow) and row.id is not None
            else:
                self._staging.complain(number, found)


@contextmanager
def _opened(listed: ListedFile) -> Iterator[BinaryIO]:
    """Open a file, which must be and stay as it was listed.

    Raises:
        CannotRead: it is not, or cannot be read.
    """
    path = Path(os.fsdecode(listed.path))
    try:
        with path.open("rb") as file:
            _check_unchanged(os.fstat(file.fileno()), listed)
            yield file
            _check_unchanged(path.stat(), listed)
    except BrokenPipeError:
        raise
    except BadFile as exc:
        raise CannotRead(f"{listed.name}: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise CannotRead(f"{listed.name}: not UTF-8 (byte {exc.start}); save it as CSV UTF-8") from exc
    except OSError as exc:
        raise CannotRead(f"{listed.name}: {exc.strerror}", lasting=False) from exc


def _check_unchanged(found: os.stat_result, listed: ListedFile) -> None:
    if (found.st_size, found.st_mtime_ns) != (listed.size, listed.mtime_ns):
        raise CannotRead(f"{listed.name}: changed while it was read; reading it again", lasting=False)


def _refusal(bad: int, rows: int, problems: Sequence[str]) -> str:
    more = f"; and {bad - len(problems)} more" if bad > len(problems) else ""
    return f"{bad} of {rows} rows are bad: {'; '.join(problems)}{more}. Mend them, or set crm.skip_bad = true"


def _by_lines(rows: Iterator[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Group rows of one event into as many as a line may carry."""
    held: list[Row] = []
    for row in rows:
        if held and (len(held) == BATCH or held[0][1] != row[1]):
            yield held[0][1], held
            held = []
        held.append(row)
    if held:
        yield held[0][1], held


def _texts(rows: Sequence[TicketFields]) -> list[tuple[str | None, ...]]:
    lookups = lookup_texts([row.lookup for row in rows])
    return [(lookup, *row[1:]) for lookup, row in zip(lookups, rows, strict=True)]


def main(given: BinaryIO, out: BinaryIO) -> None:
    """Read a job, and answer it."""
    follow_the_gate()
    line = given.readline()
    if not line.endswith(b"\n"):
        return  # the gate thought better of it
    job = msgspec.json.decode(line, type=FileJob)
    with closing(FileFeed(job)) as feed:
        try:
            feed.read()
            report = feed.report
        except CannotRead as exc:
            report = FileReport(why=str(exc), lasting=exc.lasting, files=len(job.files))
        except sqlite3.Error as exc:
            report = FileReport(why=f"the list cannot be put in order: {exc}; see what the box is short of")
        out.write(_encode(report) + b"\n")
        if report.why is None and not report.same and not job.dry:
            out.writelines(line + b"\n" for line in feed.lines())
        out.flush()


if __name__ == "__main__":
    try:
        main(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
