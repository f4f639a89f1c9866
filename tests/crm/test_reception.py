"""Many gates wait for one feed: each is told what is new, at once and no more than that, by whomever it was written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from crm import enrolment, follower, parcels, reception, schema, service
from crm.central import Central, open_central
from crm.cursor import parse_cursor
from crm.database import Database
from crm.dialect import is_away
from crm.feed import Step, step
from crm.follower import linger_s
from crm.parcels import Parcel
from crm.reception import Reception
from crm.transactions import Read
from crm.web import RECEPTION, make_app
from sync.wire import DeviceModel
from tests.crm.conftest import Client, Gate, HandClock, MakeClient, enrolled, lines_of, sell
from tests.crm.postgres import Postgres
from tests.sync.rig import served


@pytest.fixture
async def elsewhere(db_url: str, clock: HandClock, central: Central) -> AsyncIterator[Central]:
    """The same central, opened again: it has connections of its own, as another process has."""
    async with open_central(db_url, clock) as opened:
        yield opened


def at(client: Client, gate: Gate) -> Gate:
    """The same gate, calling another process."""
    return Gate(client, gate.id, gate.token, gate.held)


def still_there() -> bool:
    return False


def seats(lines: list[dict[str, Any]]) -> list[str]:
    return [row[1] for line in lines if line["kind"] == "tickets" for row in line["rows"]]


@asynccontextmanager
async def hidden(db: Database) -> AsyncIterator[None]:
    """Let nothing that is committed meanwhile be heard of by itself."""
    ring = db.follower.ring
    db.follower.ring = lambda **_: None  # type: ignore[method-assign]
    yield
    db.follower.ring = ring  # type: ignore[method-assign]


async def test_without_waiting_all_that_was_committed_is_told(elsewhere: Central, gate: Gate) -> None:
    held = await gate.sync()
    for number in range(1, 6):
        await sell(elsewhere.db, 1, first=number)
        lines = await gate.changes(held.cursor)
        assert seats(lines) == [f"T-{number}"]
        held.apply(lines)


async def test_a_cursor_that_another_process_gave_out_is_good(
    elsewhere: Central, gate: Gate, aiohttp_client: MakeClient
) -> None:
    there = at(await aiohttp_client(elsewhere.app()), gate)
    await gate.sync()
    for wait, number in ((0.0, 1), (0.05, 2)):
        await sell(elsewhere.db, 1, first=number)
        held = await there.sync()
        assert [line["kind"] for line in await gate.changes(held.cursor, wait)] == ["cursor"]


async def test_a_device_that_another_process_enrolled_or_revoked(
    elsewhere: Central, client: Client, gate: Gate
) -> None:
    made = await enrolment.enrol(
        elsewhere.db, (await enrolment.make_enrolment_code(elsewhere.db, "http://x")).code, DeviceModel(name="West")
    )
    west = Gate(client, made.id, made.token)
    held = await west.sync()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(status_of(west, held.cursor, wait=50))
        await gate.sync()  # in its own round trip, so that the wait has begun
        await enrolment.revoke_device(elsewhere.db, west.id)
    assert waiting.result() == 401


async def status_of(gate: Gate, cursor: str | None, wait: float) -> int:
    params = {"since": cursor or "", "wait": str(wait)}
    async with gate.client.get("/gate/v1/changes", params=params, headers=gate.headers) as answer:
        return answer.status


async def test_a_revoked_device_sends_nothing_more(db: Database, gate: Gate) -> None:
    await gate.send(gate.scan("s-1"))
    await enrolment.revoke_device(db, gate.id)
    for path, body in (("scans", {"device_id": gate.id, "scans": []}), ("heartbeat", {})):
        async with gate.client.post(f"/gate/v1/{path}", json=body, headers=gate.headers) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (401, "token_revoked")


async def test_fifty_gates_that_ask_at_once_cost_two_looks_at_most(db: Database, gate: Gate) -> None:
    looks = 0
    reading = db.follower._reading

    @asynccontextmanager
    async def counted() -> AsyncIterator[Read]:
        nonlocal looks
        looks += 1
        async with reading() as tx:
            yield tx

    db.follower._reading = counted
    await sell(db, 1)
    async with asyncio.TaskGroup() as group:
        moments = [group.create_task(db.follower.fresh()) for _ in range(50)]
    assert {moment.result().listed.count for moment in moments} == {1}
    assert looks <= 2


async def test_gates_at_the_same_place_are_handed_the_same_bytes(db: Database, client: Client, gate: Gate) -> None:
    desk = Reception(db)
    gates = [gate, *[await enrolled(db, client, f"West {number}") for number in range(3)]]
    place = parse_cursor((await gate.sync()).cursor or "")
    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(desk.answer(each.token, place, 50, packed=False, gone=still_there)) for each in gates
        ]
        async with asyncio.timeout(20):
            while db.follower._waiters < len(gates):
                await asyncio.sleep(0.001)
        await gate.send(gate.scan("s-1"), gate.scan("s-2", "T-2"))
        await sell(db, 1)
    mine, *others = [task.result() for task in waiting]
    assert isinstance(mine, Parcel)
    # Its own scans are no news to the one that sent them: it went on waiting for the sale.
    assert [line["kind"] for line in lines_of(mine.body)] == ["tickets", "cursor"]
    assert all(each is others[0] for each in others)
    assert isinstance(others[0], Parcel)
    assert lines_of(others[0].body)[0]["kind"] == "admissions"


async def test_what_follows_at_once_is_held_back_and_told_together(
    db: Database, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("_LINGER_EACH_S", 3600.0), ("_LINGER_MOST_S", 3600.0)):
        monkeypatch.setattr(follower, name, seconds)
    held = await gate.sync()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.changes(held.cursor, wait=50))
        await gate.changes(held.cursor)
        await sell(db, 1)
    assert seats(waiting.result()) == ["T-1"]
    held.apply(waiting.result())
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.changes(held.cursor, wait=0.3))
        for number in (2, 3):
            await sell(db, 1, first=number)
    # It was let wait for as long as it asked to, and then told all.
    assert db.follower.published.listed.count == 1
    assert seats(waiting.result()) == ["T-2", "T-3"]


async def test_what_is_held_back_goes_out(db: Database, gate: Gate) -> None:
    held = await gate.sync()
    for number in range(1, 8):
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(gate.changes(held.cursor, wait=50))
            await sell(db, 1, first=number)
        held.apply(waiting.result())
    assert len(held.tickets) == 7


def test_the_more_gates_wait_the_longer_news_is_held_back() -> None:
    assert linger_s(1) < 0.005
    assert linger_s(20) <= 0.05
    assert 0.5 <= linger_s(500) <= 1.0
    assert linger_s(100_000) <= 1.0


async def test_an_answer_too_long_for_memory_comes_in_steps(
    db: Database, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcels, "MOST_BYTES", 2_000)
    held = await gate.sync()
    for number in range(1, 201):
        await service.put_controller(db, id="p-1", name=f"{number}")
    lines = await gate.changes(held.cursor, wait=50)
    assert [line["more"] for line in lines if line["kind"] == "cursor"] == [True, True, True, False]
    held.apply(lines)
    assert held.things["controller", "p-1"]["name"] == "200"


async def test_whom_memory_does_not_reach_is_told_from_the_database(
    db: Database, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_MOST_BEHIND", 3)
    held = await gate.sync()
    await sell(db, 1)
    await gate.changes(held.cursor)
    async with hidden(db):
        for number in range(2, 8):
            await sell(db, 1, first=number)
    lines = await gate.changes(held.cursor)
    assert seats(lines) == [f"T-{number}" for number in range(1, 8)]
    assert db.follower.tail.first_seq == db.follower.moment.seq


async def test_a_restart_goes_on_from_any_cursor(
    db_url: str, clock: HandClock, gate: Gate, db: Database, aiohttp_client: MakeClient
) -> None:
    first = (await gate.sync()).cursor
    await sell(db, 3)
    later = (await gate.changes(first))[-1]["cursor"]
    async with open_central(db_url, clock) as again:
        there = at(await aiohttp_client(again.app()), gate)
        for cursor, news in ((first, 3), (later, 0)):
            assert len(seats(await there.changes(cursor))) == news
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(there.changes(later, wait=50))
            await there.changes(later)
            await service.set_ticket_state(again.db, "T-2", "revoked")
        assert seats(waiting.result()) == ["T-2"]


async def test_nothing_is_read_for_a_gate_that_gave_up(
    db: Database, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred that start at once must not be kept from their lists by those that have given up before."""
    read: list[str] = []

    async def counted(tx: Read, device: str, *args: Any) -> Step:
        read.append(device)
        return await step(tx, device, *args)

    monkeypatch.setattr(reception, "step", counted)
    monkeypatch.setattr(reception, "_READERS", 0)
    app = make_app(db)
    turns = app[RECEPTION]._readers
    ask = f"GET /gate/v1/changes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {gate.token}\r\n\r\n"
    async with served(app) as url, asyncio.timeout(20):
        readers = []
        for waiting in (1, 2):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            readers.append(reader)
            writer.write(ask.encode())
            while len(turns._waiters or ()) < waiting:
                await asyncio.sleep(0.001)
            if waiting == 1:
                writer.close()
                await writer.wait_closed()
        turns.release()
        assert b'"kind":"reset"' in await readers[1].read()
        writer.close()
        await writer.wait_closed()
    assert read == [gate.id]


@pytest.mark.parametrize("packed", ["gzip", "identity"])
async def test_an_answer_from_memory_is_packed_as_asked(db: Database, gate: Gate, packed: str) -> None:
    held = await gate.sync()
    await sell(db, 300)
    headers = gate.headers | {"Accept-Encoding": packed}
    params = {"since": held.cursor or ""}
    async with gate.client.get("/gate/v1/changes", params=params, headers=headers) as answer:
        assert answer.headers.get("Content-Encoding") == (packed if packed == "gzip" else None)
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        held.apply(lines_of(await answer.read()))
    assert len(held.tickets) == 300


async def test_going_down_lets_waiting_gates_go(central: Central, gate: Gate, aiohttp_client: MakeClient) -> None:
    client = await aiohttp_client(central.app())
    there = at(client, gate)
    held = await there.sync()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(there.changes(held.cursor, wait=50))
        await there.changes(held.cursor)
        group.create_task(client.server.close())
    assert [line["kind"] for line in waiting.result()] == ["cursor"]


@pytest.mark.postgresql
async def test_a_database_that_was_away_is_followed_again(
    elsewhere: Central, client: Client, gate: Gate, server: Postgres
) -> None:
    held = await gate.sync()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.changes(held.cursor, wait=50))
        await gate.changes(held.cursor)
        await asyncio.to_thread(server.stop)
        for path in ("changes", "fingerprints"):
            async with client.get(f"/gate/v1/{path}", headers=gate.headers) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (503, "database_away")
        await asyncio.to_thread(server.start)
        await sold(elsewhere)
    assert seats(waiting.result()) == ["T-1"]


async def sold(central: Central) -> None:
    """Sell a ticket, though connections may be gone."""
    for _ in range(20):
        try:
            return await sell(central.db, 1)
        except sa.exc.DBAPIError as exc:
            assert is_away(exc)
    raise AssertionError("the database did not come back")


async def test_the_feed_and_the_devices_are_counted_apart(db: Database, gate: Gate) -> None:
    async with db.read() as tx:
        before = (tx.seq, tx.devices)
    await enrolment.revoke_device(db, gate.id)
    async with db.read() as tx:
        assert (tx.seq, tx.devices) == (before[0], before[1] + 1)
        assert (await tx.row(sa.select(schema.feed_state.c.devices))) == (tx.devices,)
