"""The migrations make what the code expects; paths and URLs are read as people write them."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection

from crm.central import open_central
from crm.database import Database, migrate
from crm.dialect import for_writing, is_away, make_engine, parse_url
from crm.errors import BadInput
from crm.schema import change, metadata
from tests.crm.conftest import HandClock, make_event, sell
from tests.crm.postgres import Postgres


@pytest.fixture
def nothing(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Where there is no central yet."""
    if backend == "sqlite":
        return str(tmp_path / "new.db")
    server: Postgres = request.getfixturevalue("server")
    return server.url(server.create())


def differences(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_migrations_make_the_tables_of_the_code(db: Database) -> None:
    async with db.read() as tx:
        assert await tx.connection.run_sync(differences) == []


def test_sqlite_files_are_as_the_code_expects(db_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{db_path}")
    with engine.connect() as connection:
        ddl = connection.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = 'ticket'")).scalar_one()
        assert "WITHOUT ROWID" in ddl
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar_one() == "wal"
    engine.dispose()


async def test_an_older_database_is_brought_up_to_date(nothing: str) -> None:
    engine = make_engine(parse_url(nothing))
    async with for_writing(engine).begin() as connection:
        await connection.run_sync(migrate, "v0001")
        made = "INSERT INTO organiser VALUES (1, 'Old', :key, 'an-epoch', 0)"
        await connection.execute(sa.text(made), {"key": bytes(32)})
        await connection.execute(sa.text("INSERT INTO feed_state VALUES (1, 0, 0, 0, '0')"))
    await engine.dispose()
    async with open_central(nothing, HandClock()) as central:
        async with central.db.read() as tx:
            assert (tx.organiser.name, tx.seq, tx.devices) == ("Old", 0, 0)
            assert await tx.connection.run_sync(differences) == []
        await make_event(central.db)


async def test_several_processes_may_open_a_new_database_at_once(nothing: str) -> None:
    async with AsyncExitStack() as opened, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(opened.enter_async_context(open_central(nothing, HandClock(), f"Palace {number}")))
            for number in range(4)
        ]
        await asyncio.wait(tasks)
        assert len({task.result().db.organiser.epoch for task in tasks}) == 1


async def test_several_processes_write_in_one_line(db_url: str, clock: HandClock) -> None:
    async with open_central(db_url, clock) as one, open_central(db_url, clock) as other:
        await make_event(one.db)
        async with asyncio.TaskGroup() as group:
            for number in range(1, 11):
                group.create_task(sell((one.db, other.db)[number % 2], 1, first=number))
        async with other.db.read() as tx:
            rows = await tx.rows(sa.select(change.c.seq, change.c.tickets).order_by(change.c.seq))
            assert [row.seq for row in rows] == list(range(1, tx.seq + 1))
            assert [row.tickets for row in rows if row.tickets] == list(range(1, 11))


def test_only_the_owner_reads_the_file(template_path: Path) -> None:
    assert template_path.stat().st_mode & 0o777 == 0o600


async def test_a_central_opened_again_is_the_same(tmp_path: Path) -> None:
    clock = HandClock()
    async with open_central(tmp_path / "a.db", clock, "Palace") as first:
        organiser = first.db.organiser
    async with open_central(f"sqlite:///{tmp_path}/a.db", clock, "Other") as again:
        assert again.db.organiser == organiser
    async with open_central(tmp_path / "b.db", clock, "Palace") as second:
        assert second.db.organiser.lookup_key != organiser.lookup_key
        assert second.db.organiser.epoch != organiser.epoch


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:", "what://", "://"])
async def test_what_is_no_database_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="db:"):
        async with open_central(text, HandClock()):
            pass


@pytest.mark.postgresql
async def test_a_server_that_is_not_there_is_named(server: Postgres, tmp_path: Path) -> None:
    for url in (
        server.url("nowhere"),
        f"postgresql://u:secret@/x?host={tmp_path}",
        "postgresql://u:secret@127.0.0.1:1/x",
    ):
        with pytest.raises(BadInput, match="db: cannot open postgresql") as caught:
            async with open_central(url, HandClock()):
                pass
        assert "secret" not in str(caught.value)


async def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be taken for a header of one" * 40)
    for path in (tmp_path / "none" / "a.db", tmp_path / "text"):
        with pytest.raises(BadInput, match="db: cannot open"):
            async with open_central(path, HandClock()):
                pass


def test_urls_get_the_async_driver() -> None:
    assert parse_url("postgresql://u@h/brama").drivername == "postgresql+asyncpg"
    assert parse_url("sqlite:////var/x.db").drivername == "sqlite+aiosqlite"
    assert parse_url("./x.db").database == "./x.db"


class Refused(Exception):
    """As PostgreSQL's driver tells of an error, by its SQLSTATE."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("exc", "away"),
    [
        (ConnectionRefusedError(), True),
        (sa.exc.TimeoutError(), True),
        (sa.exc.OperationalError("SELECT 1", {}, Exception("database is locked")), True),
        (sa.exc.DBAPIError("SELECT 1", {}, Refused("57P03")), True),
        (sa.exc.DBAPIError("SELECT 1", {}, Refused("53300")), True),
        (sa.exc.InterfaceError("SELECT 1", {}, Exception("closed"), connection_invalidated=True), True),
        (sa.exc.IntegrityError("SELECT 1", {}, Refused("23505")), False),
        (sa.exc.DBAPIError("SELECT 1", {}, Refused("22021")), False),
        (ValueError(), False),
    ],
)
def test_a_database_that_is_away_is_no_defect(exc: Exception, away: bool) -> None:
    assert is_away(exc) is away
