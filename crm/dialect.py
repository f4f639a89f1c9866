"""The one place that knows which database this is.

SQLite (3.35 or newer): WAL, foreign keys, full sync, since an acknowledged scan may not be lost; a writer takes its
lock at BEGIN, so that a read never has to grow into a write and fail. Any other database does with the SQL of the
rest; PostgreSQL needs its async driver installed (`postgresql+asyncpg://`).
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from crm.errors import BadInput

BUSY_TIMEOUT_MS = 15_000
_WRITES = "brama_writes"
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
)
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def parse_url(path_or_url: str | Path) -> sa.URL:
    """Read a file path or a database URL; a URL without a driver gets the async one.

    Raises:
        BadInput: not a URL, or a SQLite database in memory, which the server's connections could not share.
    """
    text = str(path_or_url)
    if "://" not in text:
        return sa.URL.create("sqlite+aiosqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError as exc:
        raise BadInput("db", "give a file path, or a URL such as sqlite:////var/lib/brama/central.db") from exc
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if is_sqlite(url) and url.database in (None, "", ":memory:"):
        raise BadInput("db", "name a file: a database in memory is lost at the end and cannot be shared")
    return url


def is_sqlite(url: sa.URL) -> bool:
    """Tell whether the database is an embedded SQLite file."""
    return url.get_backend_name() == "sqlite"


def make_file(url: sa.URL) -> None:
    """Make a new SQLite file for its owner alone, since it holds the lookup key; SQLite's side files follow it.

    Raises:
        BadInput: it cannot be made.
    """
    if not is_sqlite(url) or not url.database:
        return
    try:
        Path(url.database).touch(mode=0o600)
    except OSError as exc:
        message = f"cannot open {url.database}: {exc.strerror}; check the path and its permissions"
        raise BadInput("db", message) from exc


def make_engine(url: sa.URL) -> AsyncEngine:
    """Build the engine; connections open as they are needed.

    Raises:
        BadInput: the driver for this URL is not installed or not known.
    """
    options: dict[str, Any] = {} if is_sqlite(url) else {"isolation_level": "REPEATABLE READ"}
    try:
        # Each waiting gate holds a connection only while it reads, so a small pool serves many gates.
        engine = create_async_engine(url, pool_size=4, max_overflow=8, **options)
    except (ModuleNotFoundError, ArgumentError) as exc:
        raise BadInput("db", f"no driver for {url.drivername} ({exc}): install it, or use a SQLite file") from exc
    if is_sqlite(url):
        sa.event.listen(engine.sync_engine, "connect", _set_up)
        sa.event.listen(engine.sync_engine, "begin", _begin)
    return engine


def for_writing(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine, whose transactions take the write lock as they begin."""
    return engine.execution_options(**{_WRITES: True})


def upsert(connection: AsyncConnection, table: sa.Table) -> Any:
    """Return an INSERT that replaces the row with the same primary key."""
    maker: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = maker(table)
    keys = [column.name for column in table.primary_key]
    rest = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


async def commit_mark(connection: AsyncConnection) -> int:
    """Return a number that differs once any other connection or process has committed a change.

    SQLite: `PRAGMA data_version`, which is for one connection only to compare with its own earlier answers.
    Elsewhere: the feed's seq.
    """
    query = "PRAGMA data_version" if connection.dialect.name == "sqlite" else "SELECT seq FROM feed_state"
    return int((await connection.execute(sa.text(query))).scalar_one())


def _set_up(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # None: the driver begins no transaction by itself, `_begin` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
