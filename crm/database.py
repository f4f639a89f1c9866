"""The database: opened, migrated, read in consistent snapshots, written with the feed in the same transaction.

A write takes the feed's state as it begins, adds lines to it and stores both at its end, so that the feed's seq is
gapless and in commit order, and the list's count and fingerprint are always those of the committed tickets.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm import schema
from crm.bell import Bell
from crm.dialect import for_writing, make_engine, make_file, parse_url
from crm.errors import BadInput
from edge.core.barcodes import KEY_BYTES
from edge.core.fingerprint import Fingerprint

Clock = Callable[[], datetime]
"""Tells the time, aware UTC."""

_MIGRATIONS_PATH = Path(__file__).with_name("migrations")


def system_clock() -> datetime:
    """Tell the time by this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Organiser:
    """Whose central this is; `lookup_key` is 32 bytes, `epoch` names this database in every cursor."""

    name: str
    lookup_key: bytes
    epoch: str


@dataclass(slots=True)
class Read:
    """A read transaction: all it sees is of one moment, at which the feed stood at `seq`."""

    connection: AsyncConnection
    organiser: Organiser
    now: datetime
    seq: int
    pruned_seq: int
    listed: Fingerprint

    async def rows(self, query: sa.Executable) -> Sequence[sa.Row[Any]]:
        """Return all rows of a query."""
        return (await self.connection.execute(query)).all()

    async def row(self, query: sa.Executable) -> sa.Row[Any] | None:
        """Return the first row of a query, if there is one."""
        return (await self.connection.execute(query)).first()


@dataclass(slots=True)
class Write(Read):
    """A write transaction; `say` adds to the feed, `listed` is moved by whoever changes tickets."""

    said: list[dict[str, Any]] = field(default_factory=list)

    def say(
        self, kind: str, line: str, *, to: str | None = None, not_to: str | None = None, before: Any = None
    ) -> None:
        """Add a line to the feed: to one device, to all but one, or to all; call after `listed` has moved."""
        self.seq += 1
        self.said.append(
            {
                "seq": self.seq,
                "kind": kind,
                "line": line,
                "only_device": to,
                "not_device": not_to,
                "before": before,
                "tickets": self.listed.count,
                "fingerprint": self.listed.hex(),
                "at": self.now,
            }
        )

    async def store_feed(self) -> None:
        """Write the lines said and the state reached."""
        if self.said:
            await self.connection.execute(sa.insert(schema.change), self.said)
        await self.connection.execute(
            sa.update(schema.feed_state).values(
                seq=self.seq,
                pruned_seq=self.pruned_seq,
                tickets=self.listed.count,
                fingerprint=self.listed.hex(),
            )
        )


class Database:
    """Read and write transactions on the central's database; make it with `open_database`."""

    def __init__(self, engine: AsyncEngine, clock: Clock, organiser: Organiser) -> None:
        self.clock = clock
        self.bell = Bell()
        self.organiser = organiser
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
            yield Read(connection, self.organiser, self.clock(), state.seq, state.pruned_seq, listed)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[Write, None]:
        """Open a write transaction; it commits at the end, or takes everything back when an exception leaves it."""
        async with self._turn, self._writer.begin() as connection:
            # The lock on this one row is what puts writers in line where the database has no single writer.
            state = (await connection.execute(sa.select(schema.feed_state).with_for_update())).one()
            listed = Fingerprint.parse(state.tickets, state.fingerprint)
            tx = Write(connection, self.organiser, self.clock(), state.seq, state.pruned_seq, listed)
            yield tx
            await tx.store_feed()
        self.bell.ring()


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
                await connection.run_sync(_migrate)
                found = await _organiser(connection, organiser, clock())
        except DBAPIError as exc:
            raise BadInput("db", f"cannot open {url.database}: {exc.orig}; check the path and its permissions") from exc
        database = Database(engine, clock, found)
        # Not in a task group, which would wrap whatever the caller raises; it is awaited here all the same.
        watcher = asyncio.create_task(database.bell.watch(engine), name="bell")
        try:
            yield database
        finally:
            database.bell.stop()
            await watcher
    finally:
        await engine.dispose()


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS_PATH).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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
