"""The migrations make what the code expects; paths and URLs are read as people write them."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from crm.central import open_central
from crm.dialect import parse_url
from crm.errors import BadInput
from crm.schema import metadata
from tests.crm.conftest import HandClock


def test_migrations_make_the_tables_of_the_code(db_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{db_path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        ddl = connection.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = 'ticket'")).scalar_one()
        assert "WITHOUT ROWID" in ddl
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar_one() == "wal"
    engine.dispose()


def test_the_schema_is_postgresql_too() -> None:
    for table in metadata.sorted_tables:
        assert CreateTable(table).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]


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
