"""The database: opened, migrated, read in consistent snapshots, written with the feed in the same transaction.

A write takes the feed's state as it begins, adds lines to it and stores both at its end, so that the feed's seq is
gapless and in commit order, and the list's count and fingerprint are always those of the committed tickets.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm import schema
from crm.dialect import for_writing, has_one_writer, lock_migrations, make_engine, make_file, parse_url
from crm.errors import BadInput
from crm.follower import Follower
from crm.transactions import Organiser, Read, Write
from edge.core.barcodes import KEY_BYTES
from edge.core.fingerprint import Fingerprint

Clock = Callable[[], datetime]
"""Tells the time, aware UTC."""

_MIGRATIONS_PATH = Path(__file__).with_name("migrations")


def system_clock() -> datetime:
    """Tell the time by this machine's clock."""
    return datetime.now(UTC)


class Database:
    """Read and write transactions on the central's database; make it with `open_database`."""

    def __init__(self, engine: AsyncEngine, clock: Clock, organiser: Organiser) -> None:
        self.clock = clock
        self.organiser = organiser
        self.follower = Follower(self.read, engine)
        self._engine = engine
        self._writer = for_writing(engine)
        # One writer at a time is all that a feed in commit order allows; waiting here is fair, in the database not.
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[Read, None]:
        """Open a read transaction."""
        async with self._engine.begin() as connection:
            state = (await connection.execute(sa.select(schema.feed_state))).one()
            listed = Fingerprint.parse(state.tickets, state.fingerprint)
            now = self.clock()
            yield Read(self.organiser, now, state.seq, state.pruned_seq, listed, state.devices, connection)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[Write, None]:
        """Open a write transaction; it commits at the end, or takes everything back when an exception leaves it."""
        async with self._turn, self._writer.begin() as connection:
            # The lock on this one row is what puts writers in line where the database has no single writer.
            state = (await connection.execute(sa.select(schema.feed_state).with_for_update())).one()
            listed = Fingerprint.parse(state.tickets, state.fingerprint)
            now = self.clock()
            tx = Write(self.organiser, now, state.seq, state.pruned_seq, listed, state.devices, connection)
            yield tx
            await tx.store_feed()
        self.follower.ring(devices=tx.devices != state.devices)

    @asynccontextmanager
    async def aside(self) -> AsyncGenerator[AsyncConnection, None]:
        """Open a transaction that writes what the feed does not tell, and so need not wait for those that write it."""
        turn = self._turn if has_one_writer(self._engine) else nullcontext()
        async with turn, self._writer.begin() as connection:
            yield connection


@asynccontextmanager
async def open_database(
    path_or_url: str | Path, clock: Clock = system_clock, organiser: str = "Organiser"
) -> AsyncGenerator[Database, None]:
    """Open the database, making it or bringing it up to date first; `organiser` names a new one.

    Raises:
        BadInput: it cannot be opened, or is not a central's database.
    """
    url = parse_url(path_or_url)
    engine = make_engine(url)
    await asyncio.to_thread(make_file, url)
    try:
        try:
            async with for_writing(engine).begin() as connection:
                await lock_migrations(connection)
                await connection.run_sync(migrate)
                found = await _organiser(connection, organiser, clock())
        except (DBAPIError, OSError) as exc:
            why = exc.orig if isinstance(exc, DBAPIError) else exc
            what = url.render_as_string() if "://" in str(path_or_url) else url.database
            raise BadInput("db", f"cannot open {what}: {why}; check the path and its permissions") from exc
        database = Database(engine, clock, found)
        await database.follower.begin()
        # Not in a task group, which would wrap whatever the caller raises; it is awaited here all the same.
        watcher = asyncio.create_task(database.follower.run(), name="follower")
        try:
            yield database
        finally:
            database.follower.stop()
            await watcher
    finally:
        await engine.dispose()


def migrate(connection: Connection, version: str = "head") -> None:
    """Bring the tables up to a version, within the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS_PATH).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)


async def _organiser(connection: AsyncConnection, name: str, now: datetime) -> Organiser:
    """Return the organiser, founding one in a new database."""
    query = sa.select(schema.organiser.c.name, schema.organiser.c.lookup_key, schema.organiser.c.epoch)
    if row := (await connection.execute(query)).first():
        return Organiser(row.name, row.lookup_key, row.epoch)
    made = Organiser(name, secrets.token_bytes(KEY_BYTES), secrets.token_hex(8))
    await connection.execute(
        sa.insert(schema.organiser).values(
            id=1, name=made.name, lookup_key=made.lookup_key, epoch=made.epoch, created_at=now
        )
    )
    empty = Fingerprint()
    await connection.execute(
        sa.insert(schema.feed_state).values(id=1, seq=0, pruned_seq=0, tickets=0, fingerprint=empty.hex())
    )
    return made
