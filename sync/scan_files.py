"""Scans written out for people: one CSV file a local day, each scan once, never half a row.

The columns are those of `brama export` (RFC 4180, with a heading). Rows are appended and flushed to the disk before
they count as handed over. What a power cut left of a row is cut off before the next is written.
"""

import csv
import errno
import hashlib
import io
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from edge.store.database import sync_folder
from edge.store.scan_table import COLUMNS, cells_of
from sync.errors import LinkDown
from sync.instants import parse_instant

_HEADING = ",".join(COLUMNS).encode() + b"\r\n"
MAX_LINE = 1 << 20
"""Longer is no row; a code has at most 4,096 characters."""
_SEQ, _SCAN_ID = COLUMNS.index("seq"), COLUMNS.index("scan_id")
Scan = Mapping[str, Any]


@dataclass(slots=True)
class _Known:
    """A file that was looked at: its size, and the highest seq in it."""

    size: int = 0
    last_seq: int = 0
    ids: set[bytes] | None = None
    """Digests of the scan ids in it; None: nobody has had to ask. 100,000 rows take about 10 MB."""


class ScanFiles:
    """Writes scans into a folder. Blocking: call it off the event loop; one that was given up goes on to its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def write(self, scans: Sequence[Scan], zone: ZoneInfo) -> None:
        """Write those scans that are not there yet, each into the file of its day in `zone`.

        Raises:
            LinkDown: the folder or a file cannot be written; what was written stays.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with self._lock:
                for day, group in groupby(scans, lambda scan: _day(scan, zone)):
                    self._write_day(f"scans-{day}.csv", list(group))
        except FileNotFoundError as exc:
            raise LinkDown(f"crm.scans_path: {self._folder}: not there; put it back, or mend the settings") from exc
        except OSError as exc:
            raise LinkDown(f"crm.scans_path: {self._folder}: {exc.strerror}; the scans stay in the journal") from exc

    def _write_day(self, name: str, scans: list[Scan]) -> None:
        path = self._folder / name
        known = self._look_at(path)
        ids = self._ids_in(path, known, scans)
        fresh = [scan for scan in scans if _digest(scan["scan_id"]) not in ids]
        if not fresh:
            return
        is_new = not path.exists() or path.stat().st_size == 0
        body = (_HEADING if is_new else b"") + _written(fresh)
        with open(path, "ab", buffering=0, opener=_private) as file:
            before = os.fstat(file.fileno()).st_size
            try:
                _write_whole(file, body)
            except OSError:
                with suppress(OSError):
                    file.truncate(before)
                raise
        if is_new:
            _sync_folder(self._folder)
        known.size = before + len(body)
        known.last_seq = max(known.last_seq, *(scan["seq"] for scan in fresh))
        if known.ids is not None:
            known.ids.update(_digest(scan["scan_id"]) for scan in fresh)

    def _look_at(self, path: Path) -> _Known:
        """Return what is known of a file, as it is now; what is not a whole row at its end is cut off."""
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            found = self._known[path.name] = _Known()
            return found
        known = self._known.get(path.name)
        if known is None or known.size != size:
            known = self._known[path.name] = _mended(path)
        return known

    def _ids_in(self, path: Path, known: _Known, scans: Sequence[Scan]) -> Collection[bytes]:
        """Return what may be there already of some scans: nothing where each has a higher seq than all that are.

        Where a journal was begun anew, or much is handed over again, seqs repeat batch after batch: the file is read
        for the first of them.
        """
        if all(scan["seq"] > known.last_seq for scan in scans):
            known.ids = None
        elif known.ids is None:
            for each in self._known.values():
                each.ids = None  # those of one file at a time are enough in memory
            known.ids = _ids_of(path)
        return known.ids or ()


def _mended(path: Path) -> _Known:
    """Cut off what is not a whole row at the end of a file; return what is known of it then.

    Raises:
        LinkDown: it is not such a file.
    """
    good, last, torn = 0, 0, False
    with path.open("r+b") as file:
        for end, cells in _records(file):
            is_row = len(cells) == len(COLUMNS) and cells[_SEQ].isdecimal()
            if not is_row and (good or cells != list(COLUMNS)):
                torn = True
                continue
            if torn or bool(good) != is_row:
                raise LinkDown(_foreign(path))
            good, last = end, max(last, int(cells[_SEQ]) if is_row else 0)
        if torn:
            file.seek(0)
            if not good and not _HEADING.startswith(file.read(len(_HEADING))):
                raise LinkDown(_foreign(path))
            file.truncate(good)
            os.fsync(file.fileno())
    return _Known(good, last)


def _foreign(path: Path) -> str:
    return f"crm.scans_path: {path}: not as the gate wrote it; move it away, and the gate begins another"


def _ids_of(path: Path) -> set[bytes]:
    with path.open("rb") as file:
        return {_digest(cells[_SCAN_ID]) for _, cells in _records(file) if len(cells) == len(COLUMNS)}


def _digest(scan_id: str) -> bytes:
    return hashlib.blake2b(scan_id.encode(), digest_size=16).digest()


def _records(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the place of its end; one that has no end, or was never one, has no cells."""
    held, end = b"", 0
    while line := file.readline(MAX_LINE):
        held, end = held + line, end + len(line)
        if held.count(b'"') % 2 and len(held) < MAX_LINE:
            continue  # a line end within quotes
        yield end, _cells(held)
        held = b""
    if held:
        yield end, []


def _cells(record: bytes) -> list[str]:
    if not record.endswith(b"\n"):
        return []
    try:
        return next(csv.reader(io.StringIO(record.decode(), newline=""), strict=True), [])
    except (csv.Error, UnicodeDecodeError):
        return []


def _written(scans: Sequence[Scan]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(map(cells_of, scans))
    return out.getvalue().encode()


def _write_whole(file: io.FileIO, body: bytes) -> None:
    left = memoryview(body)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    try:
        sync_folder(folder)
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # some file systems of sticks cannot, and need not
            raise


def _day(scan: Scan, zone: ZoneInfo) -> str:
    return parse_instant(scan["at"]).astimezone(zone).date().isoformat()
