"""Keeping the journal for good: verifying its chain, archiving what was sent, salvaging what was damaged."""

import contextlib
import gzip
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from edge.core.admission import Reason, instant_text
from edge.store.database import connect, remove, set_aside, sidecars, sync_folder
from edge.store.outbox import acked_seq, given_seq
from edge.store.pages import scans_on_pages
from edge.store.records import FIRST_PREV, INSERT_SCAN, SELECT_SCAN, SELECT_SETTLED, Scan, chain_hash, scan_of
from edge.store.tx import Tx, count_use

_KEPT_TABLES = ("meta", "usage", "passage", "shift", "parked", "dropped", "conflict", "archive", "lost")
_KEEP_SCAN = INSERT_SCAN.replace("INSERT", "INSERT OR IGNORE", 1)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk along the chain found; `problems` is empty where every row is there and unchanged."""

    rows: int
    first_seq: int
    last_seq: int
    problems: tuple[str, ...]


def verify_chain(journal: sqlite3.Connection, most_problems: int = 20) -> Verification:
    """Walk the journal from its oldest row and check that nothing was removed, edited or put in."""
    archived = journal.execute("SELECT last_seq, last_hash FROM archive ORDER BY last_seq DESC LIMIT 1").fetchone()
    lost = list(journal.execute("SELECT first_seq, last_seq FROM lost ORDER BY first_seq"))
    seq, prev = archived or (0, FIRST_PREV)
    first, rows, problems = 0, 0, []
    for row in journal.execute(f"{SELECT_SCAN} ORDER BY seq"):
        scan = scan_of(row)
        first, rows = first or scan.seq, rows + 1
        known_gap = any(low <= seq + 1 and scan.seq - 1 <= high for low, high in lost)
        if scan.seq != seq + 1 and not known_gap:
            problems.append(f"seq {seq + 1} to {scan.seq - 1}: missing")
        elif scan.prev != prev and not known_gap:
            problems.append(f"seq {scan.seq}: does not follow from the row before it")
        if scan.hash != chain_hash(scan.prev, scan.wire()):
            problems.append(f"seq {scan.seq}: was changed after it was written")
        seq, prev = scan.seq, scan.hash
        if len(problems) >= most_problems:
            break
    else:
        acked = acked_seq(journal)
        if acked > seq and not any(high >= acked for _low, high in lost):
            problems.append(f"seq {seq + 1} to {acked}: sent to the CRM but no longer here")
    return Verification(rows, first, seq, tuple(problems))


def archive_sent(tx: Tx, folder: Path, now: datetime, keep_days: int, most_rows: int = 5000) -> int:
    """Move the oldest sent rows older than `keep_days` into a gzip file; return how many.

    The file is whole and durable before a row goes. Run between transactions.
    """
    journal = tx.journal
    limit = instant_text(now - timedelta(days=keep_days))
    rows: list[Scan] = []
    for row in journal.execute(
        f"{SELECT_SETTLED} WHERE seq <= ? ORDER BY seq LIMIT ?", (acked_seq(journal), most_rows)
    ):
        scan = scan_of(row)
        if scan.at >= limit:
            break
        rows.append(scan)
    if not rows:
        return 0
    first, last = rows[0].seq, rows[-1].seq
    name, digest = _write_archive(folder, rows)
    journal.execute("BEGIN IMMEDIATE")
    try:
        journal.execute(
            "INSERT INTO archive VALUES (?, ?, ?, ?, ?, ?)",
            (first, last, name, digest, rows[-1].hash, instant_text(now)),
        )
        journal.execute("DELETE FROM passage WHERE scan_id IN (SELECT scan_id FROM scan WHERE seq <= ?)", (last,))
        journal.execute("DELETE FROM scan WHERE seq <= ?", (last,))
        journal.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            journal.execute("ROLLBACK")
        raise
    tx.reset()
    return len(rows)


def _write_archive(folder: Path, rows: list[Scan]) -> tuple[str, str]:
    """Write rows as gzip'd lines of JSON, each as sent with its hash; return the file's name and SHA-256."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"scans-{rows[0].seq:010}-{rows[-1].seq:010}.ndjson.gz"
    body = "".join(json.dumps({**row.wire(), "hash": row.hash.hex()}, ensure_ascii=False) + "\n" for row in rows)
    data = gzip.compress(body.encode(), mtime=0)
    part = folder / f"{name}.part"
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / name)
    sync_folder(folder)
    return name, hashlib.sha256(data).hexdigest()


# --- damage -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Salvage:
    """What came out of a damaged journal."""

    set_aside_path: Path
    rows: int
    lost: tuple[tuple[int, int], ...]


def open_journal(path: Path, now: datetime) -> tuple[sqlite3.Connection, Salvage | None]:
    """Open the journal; a damaged one is set aside and what can be read of it goes into a new one.

    The new one is whole before the damaged one moves, so that a power cut on the way only has it done again.

    Raises:
        sqlite3.OperationalError: the folder cannot be written, or the like; nothing was set aside.
        NewerSchema: written by a later release, so it must not be touched.
    """
    salvaging, salvaged = path.with_name("journal.salvaging.db"), path.with_name("journal.salvaged.db")
    if salvaged.exists() and not path.exists():
        _take_place(salvaged, path)
    try:
        connection = _open_sound(path, thorough=suspect_path(path).exists())
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        remove(salvaging)
        with contextlib.closing(connect(salvaging, "journal")) as target:
            rows, lost = _salvage(path, target, now)
        salvaging.rename(salvaged)
        moved = set_aside(path, now)
        _take_place(salvaged, path)
        suspect_path(path).unlink(missing_ok=True)
        return connect(path, "journal"), Salvage(moved, rows, lost)
    suspect_path(path).unlink(missing_ok=True)
    return connection, None


def suspect_path(path: Path) -> Path:
    """Return the file whose presence says that the journal was found damaged at work: look at all of it."""
    return path.with_name(f"{path.name}.suspect")


def _open_sound(path: Path, *, thorough: bool) -> sqlite3.Connection:
    connection = connect(path, "journal")
    try:
        _prove_sound(connection, thorough=thorough)
    except BaseException:
        connection.close()
        raise
    return connection


def _take_place(salvaged: Path, path: Path) -> None:
    # A log that a power cut left behind is the damaged file's, and would be played into the new one.
    for sidecar in sidecars(path):
        sidecar.unlink(missing_ok=True)
    sync_folder(path.parent)
    salvaged.rename(path)
    sync_folder(path.parent)


def _prove_sound(connection: sqlite3.Connection, *, thorough: bool) -> None:
    """Look for damage where a start would meet it; the whole file only while that takes a moment."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if thorough or pages <= 5000:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    else:
        connection.execute(f"{SELECT_SCAN} ORDER BY seq DESC LIMIT 1000").fetchall()


def _salvage(damaged: Path, target: sqlite3.Connection, now: datetime) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Copy row by row what can be read; gaps are written down, and the seq goes on after the highest known."""
    target.execute("BEGIN IMMEDIATE")
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as source:
        for table in _KEPT_TABLES:
            _copy_table(source, target, table)
        archived = _archived_until(target)
        for scan in _readable_scans(source, damaged):
            if scan.seq > archived:
                target.execute(_KEEP_SCAN, scan)
    rows, seq, lost = 0, archived, list[tuple[int, int]]()
    for row in target.execute(f"{SELECT_SCAN} ORDER BY seq"):
        scan = scan_of(row)
        if scan.seq > seq + 1:
            lost.append((seq + 1, scan.seq - 1))
        if scan.verdict != "refused":
            count_use(target, scan)
        seq, rows = scan.seq, rows + 1
    target.execute(
        "DELETE FROM usage WHERE scan_id IN (SELECT of FROM scan WHERE reason = ?)", (str(Reason.NOT_PASSED),)
    )
    known = max(acked_seq(target), given_seq(target))
    if known > seq:
        lost.append((seq + 1, known))
    target.executemany(
        "INSERT OR IGNORE INTO lost VALUES (?, ?, ?)", [(low, high, instant_text(now)) for low, high in lost]
    )
    target.execute("COMMIT")
    return rows, tuple(lost)


def _archived_until(journal: sqlite3.Connection) -> int:
    return int(journal.execute("SELECT coalesce(max(last_seq), 0) FROM archive").fetchone()[0])


def _copy_table(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """Copy what a table still gives; the rest of it is gone."""
    # One that could not be brought to the newest schema has fewer columns.
    columns = [name for _, name, *_ in _readable(source, f"PRAGMA table_info({table})")]
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    for row in _readable(source, f"SELECT {names} FROM {table}"):  # noqa: S608 (names of ours)
        with contextlib.suppress(sqlite3.IntegrityError):  # a row that damage has changed
            target.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", row)  # noqa: S608


def _readable_scans(source: sqlite3.Connection, damaged: Path) -> Iterator[Scan]:
    """Yield the rows whose hash is right, some more than once: from both ends up to the damage, then page by page."""
    for order in ("seq", "seq DESC"):
        for row in _readable(source, f"{SELECT_SCAN} ORDER BY {order}"):
            with contextlib.suppress(TypeError, AttributeError, ValueError):
                scan = scan_of(row)
                if scan.hash == chain_hash(scan.prev, scan.wire()):
                    yield scan
    yield from scans_on_pages(damaged)


def _readable(source: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows up to the first that cannot be read."""
    with contextlib.suppress(sqlite3.DatabaseError):
        yield from source.execute(query)
