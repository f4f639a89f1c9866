"""The floor under a decision: plain sqlite3, one insert a transaction, flushed to the same disk."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bench.figures import Figures


def commit_floor(folder: Path, count: int = 2000) -> Figures:
    """Time `BEGIN IMMEDIATE`, one insert, `COMMIT` with WAL and synchronous=FULL."""
    path = folder / "floor.db"
    path.unlink(missing_ok=True)
    took = []
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, body TEXT)")
        for _ in range(count):
            started = time.perf_counter()
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO row (body) VALUES (?)", ("x" * 300,))
            db.execute("COMMIT")
            took.append(time.perf_counter() - started)
    return Figures(took)
