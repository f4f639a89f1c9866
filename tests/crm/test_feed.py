"""The feed: everything, what changes, and nothing twice."""

import asyncio
import base64
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm import enrolment, schema, service
from crm.central import open_central
from crm.cursor import Place
from crm.database import Database
from crm.errors import NotFound
from crm.feed import Sizes
from crm.importer import ImportRow, import_rows
from crm.web import make_app
from edge.core.barcodes import parse_lookup
from tests.crm.conftest import Gate, HandClock, MakeClient, lines_of, make_event, sell

SMALL = Sizes(rows=3, lines=2, changes=4)


@pytest.fixture
async def small(db: Database, gate: Gate, aiohttp_client: MakeClient) -> Gate:
    """The same gate, at a server that sends little at a time."""
    return Gate(await aiohttp_client(make_app(db, SMALL)), gate.id, gate.token)


async def status_of(gate: Gate, cursor: str | None, wait: float = 0) -> tuple[int, str]:
    params = {"since": cursor or "", "wait": str(wait)}
    async with gate.client.get("/gate/v1/changes", params=params, headers=gate.headers) as answer:
        return answer.status, (await answer.json())["error"]["code"]


async def test_everything_comes_in_order_and_ends_at_the_true_list(db: Database, gate: Gate, other: Gate) -> None:
    await make_event(db, "e-2")
    await sell(db, 1500)
    await sell(db, 10, "e-2")
    await service.assign(db, gate.id, "c-1")
    await service.assign(db, other.id, "c-2", "south-1")
    await other.send(other.scan("s-1"), other.scan("s-2", "T-2"))
    await gate.send(gate.scan("s-3", "T-3"))
    lines = await gate.changes()
    kinds = [line["kind"] for line in lines]
    things = ["event", "event", "ticket_type", "ticket_type", "checkpoint", "checkpoint", "assignment"]
    assert kinds == ["reset", *things, "tickets", "tickets", "tickets", "admissions", "cursor"]
    gate.held.apply(lines)
    assert len(gate.held.tickets) == 1510
    assert sorted(gate.held.admissions) == ["s-1", "s-2"]
    assert [key for kind, key in gate.held.things if kind == "assignment"] == [f"{gate.id}/"]
    assert not gate.held.more


async def test_every_cursor_is_true_and_a_cut_stream_goes_on_from_any(db: Database, small: Gate, other: Gate) -> None:
    await make_event(db, "e-0")
    await sell(db, 20)
    await sell(db, 7, "e-0")
    await other.send(*[other.scan(f"s-{n}", f"T-{n}") for n in range(1, 9)])
    whole = await small.changes()
    cursors = [at for at, line in enumerate(whole) if line["kind"] == "cursor"]
    assert len(cursors) > 4
    assert [whole[at]["more"] for at in cursors] == [True] * (len(cursors) - 1) + [False]
    small.held.apply(whole)
    for at in cursors:
        cut = Gate(small.client, small.id, small.token)
        cut.held.apply(whole[: at + 1])
        if cut.held.more:
            await cut.sync()
        assert (cut.held.tickets, cut.held.admissions) == (small.held.tickets, small.held.admissions)


async def test_what_changes_while_everything_is_sent_is_carried_forward(db: Database, small: Gate, other: Gate) -> None:
    await sell(db, 30)
    whole = await small.changes()
    cursors = [at for at, line in enumerate(whole) if line["kind"] == "cursor"]
    for number, at in enumerate(cursors[:-1]):
        cut = Gate(small.client, small.id, small.token)
        cut.held.apply(whole[: at + 1])
        await sell(db, 2, first=100 + 2 * number)
        await service.set_ticket_state(db, f"T-{number + 1}", "revoked")
        await service.set_ticket_state(db, f"T-{30 - number}", "blocked")
        await service.delete_tickets(db, [f"T-{number + 10}", f"T-{number + 20}"])
        # The very row at which the stream was cut, too.
        last = max((row for row in cut.held.tickets.values()), key=lambda row: parse_lookup(str(row[0])), default=None)
        if last is not None and last[3] == "valid":
            with suppress(NotFound):
                await service.set_ticket_state(db, str(last[1]), "unpaid")
        await make_event(db, f"e-0{number}")
        await other.send(other.scan(f"x-{number}", f"T-{number}"))
        await cut.sync()
        fresh = Gate(small.client, small.id, small.token)
        await fresh.sync()
        assert cut.held.tickets == fresh.held.tickets
        assert cut.held.admissions == fresh.held.admissions
        assert cut.held.things == fresh.held.things
        whole = await small.changes()


async def test_events_are_sent_in_an_order_that_both_sides_know(db: Database, small: Gate) -> None:
    """A server's language may put small letters before capitals and pass over points; a cursor must not."""
    ids = ["a", "B", "_c", "a-1", "A.1", "a1", "b"]
    for number, event in enumerate(ids):
        await make_event(db, event)
        await sell(db, 4, event, first=1 + 4 * number)
    whole = await small.changes()
    assert list(dict.fromkeys(line["event"] for line in whole if line["kind"] == "tickets")) == sorted(ids)
    for at in [at for at, line in enumerate(whole) if line["kind"] == "cursor"]:
        cut = Gate(small.client, small.id, small.token)
        cut.held.apply(whole[: at + 1])
        for number in range(1, 29, 5):
            await service.set_ticket_state(db, f"T-{number}", "unpaid" if at % 2 else "blocked")
        await cut.sync()


async def test_each_kind_of_change_arrives(db: Database, gate: Gate) -> None:
    held = await gate.sync()
    await sell(db, 3)
    await service.set_event_status(db, "e-1", "cancelled")
    await service.put_ticket_type(db, id="t-vip", event="e-1", name="VIP", entry_policy={"entries": None})
    await service.put_checkpoint(db, id="c-9", event="e-1", name="Side", hours=[], capacity=10)
    await service.put_controller(db, id="p-1", name="Olha", pin="1234", supervisor=True)
    await service.assign(db, gate.id, "c-9")
    await gate.sync()
    assert len(held.tickets) == 3
    assert held.things["event", "e-1"]["status"] == "cancelled"
    assert held.things["ticket_type", "t-vip"]["entry_policy"]["entries"] is None
    assert held.things["checkpoint", "c-9"]["hours"] == []
    assert held.things["controller", "p-1"]["supervisor"] is True
    assert ("assignment", f"{gate.id}/") in held.things
    await service.delete_tickets(db, ["T-2"])
    await service.remove_controller(db, "p-1")
    await service.remove_checkpoint(db, "c-9")
    await gate.sync()
    assert sorted(str(row[1]) for row in held.tickets.values()) == ["T-1", "T-3"]
    assert not {("controller", "p-1"), ("checkpoint", "c-9"), ("assignment", f"{gate.id}/")} & held.things.keys()
    assert held.resets == 1


async def test_nothing_new_is_just_a_cursor(db: Database, gate: Gate) -> None:
    held = await gate.sync()
    lines = await gate.changes(held.cursor)
    assert [line["kind"] for line in lines] == ["cursor"]
    assert lines[0]["cursor"] == held.cursor


async def test_own_admissions_do_not_come_back(gate: Gate, other: Gate) -> None:
    await gate.sync()
    await other.sync()
    await gate.send(gate.scan("s-1"))
    assert (await gate.sync()).admissions == {}
    rows = (await other.sync()).admissions
    assert rows["s-1"] == ["s-1", "T-1", "c-1", "entry", "2026-05-01T18:00:00Z", gate.id]


async def test_a_waiting_gate_hears_of_a_commit_at_once(db: Database, gate: Gate) -> None:
    held = await gate.sync()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.changes(held.cursor, wait=50))
        await sell(db, 1)
    assert [line["kind"] for line in waiting.result()] == ["tickets", "cursor"]


async def test_a_waiting_gate_hears_of_another_process(db_url: str, gate: Gate, clock: HandClock) -> None:
    """Another open central on the same database has connections of its own, as another process has."""
    held = await gate.sync()
    async with open_central(db_url, clock) as elsewhere, asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.changes(held.cursor, wait=50))
        # In its own round trip, so that the wait has begun.
        await gate.changes(held.cursor)
        await sell(elsewhere.db, 1)
    assert [line["kind"] for line in waiting.result()] == ["tickets", "cursor"]


async def test_a_wait_ends_with_a_cursor_though_others_changes_pass_by(gate: Gate, other: Gate) -> None:
    held = await gate.sync()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.changes(held.cursor, wait=0.3))
        await gate.send(gate.scan("s-1"))
    (line,) = waiting.result()
    assert line["kind"] == "cursor"
    assert line["cursor"] != held.cursor


async def test_a_revoked_device_stops_waiting(db: Database, gate: Gate) -> None:
    held = await gate.sync()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(status_of(gate, held.cursor, wait=50))
        await enrolment.revoke_device(db, gate.id)
    assert waiting.result() == (401, "token_revoked")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"since": ""}, "since"),
        ({"since": "garbage!"}, "since"),
        ({"since": "bnVsbA"}, "since"),
        ({"since": "WyJhIiwtMSwiZiJd"}, "since"),
        ({"since": "A" * 5000}, "since"),
        ({"since": base64.urlsafe_b64encode(b'["a",0,"t",0,"0","\\ud800","",""]').decode()}, "since"),
        ({"wait": "soon"}, "wait"),
        ({"wait": "-1"}, "wait"),
        ({"wait": "nan"}, "wait"),
    ],
)
async def test_garbage_is_named(gate: Gate, params: dict[str, str], field: str) -> None:
    async with gate.client.get("/gate/v1/changes", params=params, headers=gate.headers) as answer:
        # A gate cannot mend a cursor, which is opaque to it: it starts again.
        assert answer.status == (410 if field == "since" else 400)
        assert (await answer.json())["error"]["message"].startswith(f"{field}:")


async def test_a_cursor_too_old_is_410(db: Database, gate: Gate, clock: HandClock) -> None:
    held = await gate.sync()
    await sell(db, 1)
    clock.advance(days=31)
    await sell(db, 1, first=2)
    newer = (await gate.changes(held.cursor))[-1]["cursor"]
    assert await service.prune_changes(db, keep=timedelta(days=30)) > 0
    assert await status_of(gate, held.cursor) == (410, "cursor_too_old")
    assert [line["kind"] for line in await gate.changes(newer)] == ["cursor"]
    await Gate(gate.client, gate.id, gate.token).sync()


async def test_a_cursor_of_another_crm_is_410(gate: Gate, tmp_path: Path, clock: HandClock) -> None:
    async with open_central(tmp_path / "other.db", clock) as other:
        strange = Place(other.db.organiser.epoch, 0).write()
    assert await status_of(gate, strange) == (410, "cursor_of_another_crm")


async def test_a_cursor_ahead_of_a_restored_crm_is_410(db: Database, gate: Gate) -> None:
    held = await gate.sync()
    async with db.aside() as connection:
        await connection.execute(sa.update(schema.feed_state).values(seq=1))
    assert await status_of(gate, held.cursor) == (410, "cursor_ahead")


async def test_the_feed_is_packed_when_asked(db: Database, gate: Gate) -> None:
    await sell(db, 300)
    packed = gate.headers | {"Accept-Encoding": "gzip"}
    async with gate.client.get("/gate/v1/changes", headers=packed) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        gate.held.apply(lines_of(await answer.read()))
    assert len(gate.held.tickets) == 300
    plain = gate.headers | {"Accept-Encoding": "identity"}
    async with gate.client.get("/gate/v1/changes", headers=plain) as answer:
        assert "Content-Encoding" not in answer.headers


async def test_an_importing_gate_sees_texts_as_sent(db: Database, gate: Gate) -> None:
    row = ImportRow("A", valid_from="2026-05-01T21:00", valid_until="2026-05-02T00:00:00+02:00", holder="Ольга")
    await import_rows(db, "e-1", [row], source="Seller")
    ((fields),) = (await gate.sync()).tickets.values()
    assert fields[2:] == ["t-1", "valid", "2026-05-01T18:00:00Z", "2026-05-01T22:00:00Z", "Ольга", None, "Seller"]
