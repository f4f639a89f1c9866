"""The process that turns barcode files into a change feed, so that a million rows do not hold the gate's interpreter.

`python -m sync.file_feed`: reads a `FileJob` from standard input (it holds the lookup key, which must be on no command
line), and writes to standard output one line with a `FileReport`, then the lines of the feed. It loads no models: what
memory it takes, the box has less. All files are read and checked before the first line of the feed goes out.
"""

import hashlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from io import TextIOWrapper
from itertools import islice
from typing import BinaryIO
from zoneinfo import ZoneInfo

import msgspec

from edge.core.barcodes import lookup_texts
from edge.core.fingerprint import Fingerprint, row_digests
from sync.barcode_file import BadCell, BadFile, ImportRow, KnownTypes, Problem, RowReader, Types, csv_rows
from sync.file_job import Cursor, FileJob, FileReport, ListedEvent, ListedFile
from sync.file_staging import BATCH, Staging

NICENESS = 10
"""The gate comes first."""
LINES_A_CURSOR = 20
MOST_TYPES = 1000
MOST_PROBLEMS = 20
MAX_TYPE = 200
NO_TYPE = "ticket"
"""The ticket type of rows that name none, where the files say which types there are."""


class Refused(Exception):
    """Nothing can be made of the files; `lasting`: until one of them is changed."""

    def __init__(self, message: str, *, lasting: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting


class NamedTypes:
    """Ticket types that the files themselves name; one is another only if it differs in more than capitals."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        """By id, as first written."""
        self._ids: dict[str | None, str] = {}

    def find(self, name: str | None) -> str:
        """Return an id; see `Types.find`."""
        return self._ids.get(name) or self._take(name)

    def _take(self, name: str | None) -> str:
        type_id = (name or NO_TYPE).casefold()
        if len(type_id) > MAX_TYPE:
            raise BadCell("type", f"at most {MAX_TYPE} characters")
        if type_id not in self.names:
            if len(self.names) == MOST_TYPES:
                raise BadCell("type", f"more than {MOST_TYPES} ticket types; is this the right column?")
            self.names[type_id] = name or NO_TYPE.capitalize()
        self._ids[name] = type_id
        return type_id


class Feed:
    """Reads what a job names; `report` says what was found, `lines` are the feed."""

    def __init__(self, job: FileJob) -> None:
        self._job = job
        self._staging = Staging([each.name for each in job.files])
        self._named: dict[str, NamedTypes] = {}
        self._rows = 0
        self._since = Cursor.parse(job.since)
        self.report = FileReport()

    def close(self) -> None:
        """Let everything go."""
        self._staging.close()

    def read(self) -> None:
        """Read and check all files, unless their content is what was asked for since.

        Raises:
            Refused: they cannot be read, or rows are bad and bad rows are not to be skipped.
            BadFile, OSError, sqlite3.Error: as named.
        """
        job = self._job
        digest = hashlib.blake2b(job.salt, digest_size=16)
        for each in job.files:
            _opened(each, lambda file: _add_content(digest, file))
        self.report = FileReport(digest.hexdigest(), files=len(job.files))
        if self._since is not None and self._since == Cursor(
            self.report.digest, None, self._since.tickets, self._since.fingerprint
        ):
            self.report = FileReport(self.report.digest, same=True, files=len(job.files))
            return
        for event in job.events:
            self._read_event(event)
        self._staging.settle()
        self._finish()

    def _finish(self) -> None:
        found, job = self._staging, self._job
        problems = found.problems(MOST_PROBLEMS)
        if found.bad and not job.skip_bad:
            raise Refused(_refusal(found.bad, self._rows, problems))
        self.report = FileReport(
            self.report.digest,
            files=len(job.files),
            rows=self._rows,
            bad=found.bad,
            doubles=found.doubles,
            problems=problems,
        )

    def _read_event(self, event: ListedEvent) -> None:
        types: Types
        if event.types is None:
            types = self._named[event.id] = NamedTypes()
        else:
            types = KnownTypes(event.types)
        for number, file in enumerate(self._job.files):
            if event.id in file.events:
                reader = RowReader(self._job.key, ZoneInfo(event.tz), types, file.source)
                _opened(file, lambda opened, number=number, reader=reader: self._read(event.id, number, opened, reader))

    def _read(self, event: str, number: int, file: BinaryIO, reader: RowReader) -> None:
        with TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            rows = self._checked(number, reader, csv_rows(text))
            while batch := list(islice(rows, BATCH)):
                self._staging.add(event, number, batch)
"""
"""
