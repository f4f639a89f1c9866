"""A list that is not the CRM's is mended where it differs, whether the cursor or the audit shows it.

A real central on a socket, a real gate's store and sync engine.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from crm import service
from crm.central import Central, open_central
from crm.importer import import_rows
from edge.core.fingerprint import Fingerprint
from edge.store.store import Store
from sync.engine import SyncEngine
from sync.pull import Puller
from tests.edge.store.test_whitelist import fresh_sum
from tests.sync.office import stocked
from tests.sync.rig import HostRecord, News, open_engine, served

COUNT = 300


@dataclass
class Pair:
    """A central with tickets, and a gate that has them."""

    central: Central
    store: Store
    puller: Puller
    engine: SyncEngine
    host: HostRecord
    asked: list[str]
    """The path and query of each request."""

    def by_hand(self, *statements: str) -> None:
        """Change the gate's list behind its back."""
        with closing(sqlite3.connect(self.store.whitelist_path)) as db, db:
            for statement in statements:
                db.execute(statement)

    async def until_same(self) -> None:
        """Wait until the rows of the gate's list, counted anew, are the central's."""
        async with self.central.db.read() as tx:
            listed = tx.listed
        await self.host.news.until(lambda: self._rows() == listed and self.store.data.fingerprint == listed.hex())

    def _rows(self) -> Fingerprint:
        return fresh_sum(self.store.whitelist_path)

    @property
    def whole_lists(self) -> int:
        return self.asked.count("/gate/v1/changes")


@asynccontextmanager
async def open_pair(folder: Path, *, ranges: bool = True) -> AsyncIterator[Pair]:
    news, asked = News(), list[str]()

    @web.middleware
    async def noted(request: web.Request, handler: object) -> web.StreamResponse:
        asked.append(request.path_qs)
        if not ranges and request.path.endswith("/fingerprints"):
            raise web.HTTPNotFound
        answer: web.StreamResponse = await handler(request)  # type: ignore[operator]
        return answer

    async with AsyncExitStack() as opened:
        central = await opened.enter_async_context(open_central(folder / "central.db"))
        identity, token = await stocked(central)
        await import_rows(central.db, "e-1", [(f"CODE-{n}", None, f"T-{n}") for n in range(COUNT)])
        app = central.app()
        app.middlewares.append(noted)
        url = await opened.enter_async_context(served(app))
        gate = await opened.enter_async_context(open_engine(folder / "gate", url, identity, token, news))
        yield Pair(central, gate.store, gate.puller, gate.engine, gate.host, asked)


@asynccontextmanager
async def running(pair: Pair, *jobs: str) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(getattr(pair.engine, f"run_{job}")(), name=job) for job in ("changes", *jobs)]
        await pair.until_same()
        yield
        for task in tasks:
            task.cancel()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with open_pair(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ticket SET state = 'cancelled' WHERE id = 'T-7'",
        "UPDATE ticket SET holder = NULL, valid_until = '2020-01-01T00:00:00Z' WHERE id IN ('T-7', 'T-8', 'T-9')",
        "DELETE FROM ticket WHERE id = 'T-7'",
        "INSERT INTO ticket (lookup, event, id, type, state) VALUES (randomblob(16), 'e-1', 'T-x', 't-1', 'valid')",
        "UPDATE bucket SET tickets = tickets + 1 WHERE first_byte = 7",
    ],
)
async def test_what_was_changed_by_hand_is_found_and_mended_without_a_new_list(pair: Pair, statement: str) -> None:
    async with running(pair, "audit"):
        pair.by_hand(statement)
        if "bucket" not in statement:
            async with pair.central.db.read() as tx:
                assert fresh_sum(pair.store.whitelist_path) != tx.listed
        await pair.until_same()
    assert pair.whole_lists == 1
    assert any(path.startswith("/gate/v1/tickets?prefix=") for path in pair.asked) or "bucket" in statement


async def test_many_rows_changed_by_hand_are_found_at_once(pair: Pair) -> None:
    async with running(pair, "audit"):
        pair.by_hand("UPDATE ticket SET type = 't-2'")
        await pair.until_same()
    assert pair.whole_lists == 2


async def test_a_change_on_top_of_a_corrupted_row_shows_at_its_cursor(pair: Pair) -> None:
    """The row that goes is not the one whose digest was added, so the sum is off from then on, without any audit."""
    async with running(pair):
        pair.by_hand("UPDATE ticket SET state = 'blocked' WHERE id = 'T-7'")
        await service.set_ticket_state(pair.central.db, "T-7", "revoked")
        await pair.until_same()
    assert pair.whole_lists == 1


async def test_a_list_that_differs_all_over_is_pulled_anew(pair: Pair) -> None:
    async with running(pair):
        pair.by_hand("UPDATE ticket SET type = 't-2'", "DELETE FROM bucket")
        await service.set_ticket_state(pair.central.db, "T-7", "revoked")
        await pair.until_same()
    assert pair.whole_lists == 2
    assert not any("/tickets" in path for path in pair.asked)


async def test_a_crm_without_ranges_is_asked_for_a_new_list(tmp_path: Path) -> None:
    async with open_pair(tmp_path, ranges=False) as pair, running(pair):
        pair.by_hand("UPDATE ticket SET state = 'blocked' WHERE id = 'T-7'")
        await service.set_ticket_state(pair.central.db, "T-7", "revoked")
        await pair.until_same()
        assert pair.whole_lists == 2


async def test_a_list_of_the_release_before_gets_its_sums(pair: Pair) -> None:
    """Version 1 kept one sum for the whole list."""
    async with running(pair):
        pair.by_hand("DELETE FROM bucket")
        await service.set_ticket_state(pair.central.db, "T-7", "revoked")
        await pair.until_same()
    assert pair.whole_lists == 1
    with closing(sqlite3.connect(pair.store.whitelist_path)) as db:
        assert db.execute("SELECT sum(tickets) FROM bucket").fetchone() == (COUNT,)


async def test_a_list_of_the_release_before_is_not_taken_for_one_changed_by_hand(pair: Pair) -> None:
    async with running(pair):
        pass
    pair.by_hand("DELETE FROM bucket")
    for first in range(256):
        assert await pair.puller.audit(first)
    with closing(sqlite3.connect(pair.store.whitelist_path)) as db:
        assert db.execute("SELECT sum(tickets) FROM bucket").fetchone() == (COUNT,)


async def test_a_list_of_the_release_before_that_was_changed_by_hand_is_found(pair: Pair) -> None:
    async with running(pair, "audit"):
        pair.by_hand("UPDATE ticket SET state = 'blocked' WHERE id = 'T-7'", "DELETE FROM bucket")
        await pair.until_same()
    assert pair.whole_lists == 1


async def test_a_page_that_the_audit_finds_damaged_has_the_list_pulled_anew(pair: Pair) -> None:
    async with running(pair):
        with closing(sqlite3.connect(pair.store.whitelist_path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (page,) = db.execute("SELECT max(pageno) FROM dbstat WHERE name = 'ticket'").fetchone()
        with pair.store.whitelist_path.open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            await pair.engine.run_audit()
        await pair.until_same()
    assert pair.whole_lists == 2
    assert pair.store.damaged_whitelist is not None
