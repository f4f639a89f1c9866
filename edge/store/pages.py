"""Rows out of a damaged SQLite file, page by page, for where its own reader gives up.

A row is believed only if its hash is right, so whatever else lies on a page does no harm.

Source: sqlite.org/fileformat2.html, sections 1.6 (b-tree pages), 2.1 (record format) and 4.1 (the log).
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.store.database import sidecars
from edge.store.records import COLUMNS, Scan, chain_hash, scan_of

PAGE_BYTES = 4096
"""SQLite's default, which every journal of ours has."""
_TABLE_LEAF = 0x0D
_LOG_HEADER, _FRAME_HEADER = 32, 24
_LONGEST_ROW = 1 << 20
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Serial types that are integers, and their bytes."""
_DAMAGE = (IndexError, ValueError, KeyError, TypeError, AttributeError)


def scans_on_pages(path: Path) -> Iterator[Scan]:
    """Yield the scans on any whole page of a journal and of its log, in no order; one may come more than once."""
    for source, start, step in ((path, 0, PAGE_BYTES), (sidecars(path)[0], _LOG_HEADER, PAGE_BYTES + _FRAME_HEADER)):
        if not source.exists() or source.stat().st_size < start + step:
            continue
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            in_log = {} if start == 0 else _frames(data)
            for at in range(start + step - PAGE_BYTES, len(data) - PAGE_BYTES + 1, step):
                if data[at] == _TABLE_LEAF:
                    yield from _scans_on(data, at, in_log)


def _frames(log: mmap.mmap) -> dict[int, int]:
    """Return where the log holds each page, by page number; the newest of each."""
    step = PAGE_BYTES + _FRAME_HEADER
    starts = range(_LOG_HEADER, len(log) - step + 1, step)
    return {int.from_bytes(log[at : at + 4], "big"): at + _FRAME_HEADER for at in starts}


def _scans_on(data: mmap.mmap, page: int, in_log: dict[int, int]) -> Iterator[Scan]:
    for cell in range(int.from_bytes(data[page + 3 : page + 5], "big")):
        pointer = page + 8 + 2 * cell
        if pointer + 2 > page + PAGE_BYTES:
            return
        try:
            at = page + int.from_bytes(data[pointer : pointer + 2], "big")
            scan = _scan_at(data, at, page + PAGE_BYTES, in_log)
        except _DAMAGE:
            continue
        if scan is not None:
            yield scan


def _scan_at(data: mmap.mmap, at: int, end: int, in_log: dict[int, int]) -> Scan | None:
    """Read the row of one cell; None: it is not a scan of ours, or not as it was written."""
    size, at = _varint(data, at)
    seq, at = _varint(data, at)
    if size > _LONGEST_ROW:
        return None
    local = _local_bytes(size)
    if at + local > end:
        return None
    body = data[at : at + local]
    if local < size:
        body += _overflow(data, int.from_bytes(data[at + local : at + local + 4], "big"), size - local, in_log)
    values = _values(body)
    if len(values) != len(COLUMNS):
        return None
    scan = scan_of([seq, *values[1:]])
    return scan if scan.hash == chain_hash(scan.prev, scan.wire()) else None


def _local_bytes(size: int) -> int:
    """Return how much of a row lies on its own page."""
    most, least = PAGE_BYTES - 35, (PAGE_BYTES - 12) * 32 // 255 - 23
    if size <= most:
        return size
    kept = least + (size - least) % (PAGE_BYTES - 4)
    return kept if kept <= most else least


def _overflow(data: mmap.mmap, page: int, size: int, in_log: dict[int, int]) -> bytes:
    """Follow the pages on which the rest of a long row lies."""
    body = bytearray()
    while len(body) < size:
        at = in_log[page] if in_log else (page - 1) * PAGE_BYTES
        chunk = data[at + 4 : at + min(PAGE_BYTES, size - len(body) + 4)]
        if page == 0 or not chunk:
            raise ValueError("the row is not whole")
        page = int.from_bytes(data[at : at + 4], "big")
        body += chunk
    return bytes(body)


def _values(body: bytes) -> list[Any]:
    """Read one record."""
    header, at = _varint(body, 0)
    kinds: list[int] = []
    while at < header:
        kind, at = _varint(body, at)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        size = _INTEGERS.get(kind, 0) if kind < 12 else (kind - 12) // 2
        raw = body[at : at + size]
        at += size
        if kind >= 12:
            values.append(raw.decode() if kind % 2 else raw)
        else:
            values.append(None if kind == 0 else int.from_bytes(raw, "big", signed=True))
    return values


def _varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    """Read a variable-length integer; return it and where it ends. Ours are never negative."""
    value = 0
    for length in range(8):
        byte = data[at + length]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + length + 1
    return value << 8 | data[at + 8], at + 9
