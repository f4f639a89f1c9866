"""Opening SQLite files: schema versions, pragmas, setting a bad file aside.

Source of the settings: sqlite.org/wal.html and sqlite.org/pragma.html.
"""

import os
import sqlite3
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Literal

Kind = Literal["journal", "whitelist", "building"]
"""`building` is a whitelist that is not in use yet."""
Schema = Literal["journal", "whitelist"]

VERSIONS: dict[Schema, int] = {"journal": 2, "whitelist": 2}
"""The schema version that this release writes; each has its file in `schema/`."""

# A page of 4 KiB; -2000 is 2,000 KiB of page cache. A probe touches four pages, so more would only cost memory.
_PRAGMAS: dict[Kind, tuple[str, ...]] = {
    "journal": ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA cache_size=-1000"),
    "whitelist": ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA cache_size=-2000"),
    # Nobody reads it meanwhile, and nearly all that is written is new: without a write-ahead log it is written once.
    "building": ("PRAGMA journal_mode=DELETE", "PRAGMA synchronous=FULL", "PRAGMA cache_size=-2000"),
}
BUSY_TIMEOUT_MS = 5000


class NewerSchema(Exception):
    """The file was written by a later release; the message says so."""


def connect(path: Path, kind: Kind) -> sqlite3.Connection:
    """Open or make `path` with the newest schema of its kind; transactions are begun by hand.

    Raises:
        sqlite3.DatabaseError: not a database, or a damaged one.
        NewerSchema: written by a later release.
    """
    # SQLite gives the log and its index the mode of the file itself, so that must be right before they are made.
    path.touch(mode=0o600)
    path.chmod(0o600)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        for pragma in _PRAGMAS[kind]:
            connection.execute(pragma)
        migrate(connection, "journal" if kind == "journal" else "whitelist", str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing file to read; it cannot change it.

    Raises:
        sqlite3.OperationalError: no such file, or not readable.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA cache_size=-256")
    return connection


def migrate(connection: sqlite3.Connection, kind: Schema, name: str) -> None:
    """Bring a file to the newest schema: one transaction a version, so a power cut leaves a whole version."""
    version = _version_of(connection)
    if version > VERSIONS[kind]:
        raise NewerSchema(
            f"{name}: schema version {version} is newer than this release knows ({VERSIONS[kind]}); upgrade"
        )
    for number in range(version + 1, VERSIONS[kind] + 1):
        script = resources.files("edge.store").joinpath(f"schema/{kind}_{number:04}.sql").read_text("utf-8")
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version={number};\nCOMMIT;")
        except sqlite3.OperationalError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            # What a killed gate has left behind may have made the same file at this moment.
            if _version_of(connection) < number:
                raise


def _version_of(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


_SIDECARS = ("-wal", "-shm", "-journal")


def sidecars(path: Path) -> tuple[Path, Path, Path]:
    """Return the write-ahead log, its index and the rollback journal that belong to a database file."""
    log, index, journal = (path.with_name(path.name + suffix) for suffix in _SIDECARS)
    return log, index, journal


def is_damage(exc: BaseException) -> bool:
    """Tell whether SQLite says that a file is damaged, and not that it cannot be used just now."""
    return _primary_code(exc) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_busy(exc: BaseException) -> bool:
    """Tell whether another connection's transaction was in the way for longer than the busy timeout."""
    return _primary_code(exc) == sqlite3.SQLITE_BUSY


def _primary_code(exc: BaseException) -> int:
    return int(getattr(exc, "sqlite_errorcode", 0)) & 0xFF


def set_aside(path: Path, now: datetime) -> Path:
    """Move a damaged database and what belongs to it out of the way, under a dated name; return that name."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    for source, suffix in ((path, ""), *zip(sidecars(path), _SIDECARS, strict=True)):
        if source.exists():
            source.rename(target.with_name(target.name + suffix))
    sync_folder(path.parent)
    return target


def remove(path: Path) -> None:
    """Delete a database and what belongs to it, if there.

    The file goes first: beside a new and empty one SQLite drops a log or journal, but a file without its journal may be
    half written.
    """
    for each in (path, *sidecars(path)):
        each.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make renames and new names in a folder durable (fsync on the directory, as POSIX has it)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
