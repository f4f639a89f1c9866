"""The one place that knows which database this is.

SQLite (3.35 or newer): WAL, foreign keys, full sync, since an acknowledged scan may not be lost; a writer takes its
lock at BEGIN, so that a read never has to grow into a write and fail.

PostgreSQL (15 or newer, through asyncpg): a read sees one moment (REPEATABLE READ); a writer waits for the lock on
the feed's row and must then see what the one before it wrote, and so has READ COMMITTED. Commits that move the feed
are announced (NOTIFY), so that another process need not look for them often.
"""

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from crm.errors import BadInput

BUSY_TIMEOUT_MS = 15_000
LOOK_S = 0.05
"""How often the commits of other processes are looked for where the database does not announce them."""
LOOK_ANNOUNCED_S = 2.0
"""The same where it does: a pooler between, for one, may let no announcement through."""
_WRITES = "brama_writes"
_CHANNEL = "brama_feed"
_MIGRATION_LOCK = 0x6272616D61  # any number will do that no other program on this database uses
_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
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
    """Return the same engine, whose transactions may write: see above."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_WRITES: True})
    return engine.execution_options(isolation_level="READ COMMITTED")


def has_one_writer(engine: AsyncEngine) -> bool:
    """Tell whether the database lets one transaction write at a time, whatever it writes."""
    return engine.dialect.name == "sqlite"


async def lock_migrations(connection: AsyncConnection) -> None:
    """Have processes that open a new database at once make it one after the other; holds until the commit."""
    if connection.dialect.name != "sqlite":
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))


def upsert(connection: AsyncConnection, table: sa.Table) -> Any:
    """Return an INSERT that replaces the row with the same primary key."""
    maker: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = maker(table)
    keys = [column.name for column in table.primary_key]
    rest = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


async def insert_many(connection: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that each name every column of the table.

    Left to SQLAlchemy each value of each row is gone through several times, which took a tenth of what scans cost.
    """
    dialect = connection.dialect
    sql, names = _insert_of(table, dialect)
    makers = [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]
    columns = [
        [row[name] for row in rows] if make is None else [make(row[name]) for row in rows]
        for name, make in zip(names, makers, strict=True)
    ]
    await connection.exec_driver_sql(sql, list(zip(*columns, strict=True)))


@lru_cache(maxsize=16)
def _insert_of(table: sa.Table, dialect: sa.Dialect) -> tuple[str, Sequence[str]]:
    """Return the INSERT of a whole row, and the columns in the order of its parameters."""
    made = sa.insert(table).compile(dialect=dialect, column_keys=[column.name for column in table.columns])
    return str(made), made.positiontup or ()


def by_code_point(column: sa.ColumnElement[str], connection: AsyncConnection) -> sa.ColumnElement[str]:
    """Return a text column that compares and sorts as Python's texts do, whatever the database's language is."""
    return column if connection.dialect.name == "sqlite" else column.collate("C")


def among(column: sa.ColumnElement[str], values: Iterable[str], connection: AsyncConnection) -> sa.ColumnElement[bool]:
    """Compare a text column with many values at once, sent as one: written out one by one they cost the driver more
    than finding them costs the database.
    """
    found = sorted(values)
    if connection.dialect.name == "sqlite":
        each = sa.func.json_each(json.dumps(found, ensure_ascii=False)).table_valued("value")
        return column.in_(sa.select(each.c.value))
    return column == sa.any_(sa.literal(found, postgresql.ARRAY(sa.String)))


async def announce(connection: AsyncConnection) -> None:
    """Tell the listeners of other connections of this transaction, once it commits."""
    if connection.dialect.name != "sqlite":
        await connection.execute(sa.select(sa.func.pg_notify(_CHANNEL, "")))


@asynccontextmanager
async def listening(engine: AsyncEngine, heard: Callable[[], None]) -> AsyncGenerator[Callable[[], float | None]]:
    """Call `heard` after each announced commit, and when no more can be heard.

    Yield what tells how long to go without hearing before looking, in seconds; None: listen anew.

    Raises:
        SQLAlchemyError, OSError: the database cannot be reached.
    """
    if engine.dialect.name == "sqlite":
        yield lambda: LOOK_S
        return
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.add_termination_listener(lambda *_: heard())
        try:
            await _listen(driver, heard)
            yield lambda: None if driver.is_closed() else LOOK_ANNOUNCED_S
        finally:
            # Not back into the pool, with its listeners.
            await connection.invalidate()


async def _listen(driver: Any, heard: Callable[[], None]) -> None:
    import asyncpg

    try:
        await driver.add_listener(_CHANNEL, lambda *_: heard())
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        raise ConnectionError(f"cannot listen: {exc}") from exc


def is_away(exc: BaseException) -> bool:
    """Tell whether this says that the database cannot be reached, or has no time, and so may answer later."""
    if isinstance(exc, DBAPIError) and not isinstance(exc, OperationalError):
        state = str(getattr(exc.orig, "sqlstate", None) or "")
        # PostgreSQL's classes: 08 connection, 53 resources (too many connections), 57 somebody stops or starts it.
        return exc.connection_invalidated or state.startswith(("08", "53", "57"))
    return isinstance(exc, OSError | OperationalError | NoConnection)


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
