"""Requests of many gates, stored in one transaction: the same as one after the other."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from crm import schema
from crm.batches import Batch, batch_of, fit
from crm.central import open_central
from crm.database import Database
from crm.devices import Device
from crm.journal import chain_hash
from crm.reports import figures
from crm.scans import receive
from sync.wire import MAX_SCANS, ScansAnswer
from tests.crm.conftest import Client, Gate, HandClock, a_scan, enrolled, make_event, sell

GATES = 3
SCANS = st.fixed_dictionaries(
    {
        "scan_id": st.integers(1, 9).map(lambda number: f"s-{number}"),
        "ticket_id": st.sampled_from(["T-1", "T-2", "T-?", None]),
        "checkpoint": st.sampled_from(["c-1", "c-?", None]),
        "verdict": st.sampled_from(["admitted", "refused"]),
        "reason": st.sampled_from(["admitted", "override", "not_passed"]),
        "of": st.sampled_from([None, "s-1", "s-2", "s-3"]),
        "seq": st.integers(0, 6),
    }
)
ROUNDS = st.lists(st.lists(st.lists(SCANS, max_size=3), min_size=GATES, max_size=GATES), min_size=1, max_size=4)


@dataclass
class Told:
    """What gates were answered, and what the database then holds."""

    answers: list[tuple[int, list[Any], set[str]]] = field(default_factory=list)
    """`acked`, `rejected` and the scan_ids of the conflicts."""
    kept: list[Any] = field(default_factory=list)
    fed: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    """What the feed says but of conflicts, in whatever order."""
    standing: set[str] = field(default_factory=set)
    """The scan_ids of the conflicts that stand."""


async def told(url: str, rounds: list[list[list[dict[str, Any]]]], *, together: bool) -> Told:
    """Send these scans, round by round; those of a round together, or one after the other."""
    found = Told()
    async with open_central(url, HandClock()) as central:
        db = central.db
        devices = [Device(f"d-{number}", "Gate") for number in range(GATES)]
        await founded(db, devices)
        for sent in rounds:
            raw = [[a_scan("", 1) | scan for scan in scans] for scans in sent]
            batches = [batch_of(device, scans) for device, scans in zip(devices, raw, strict=True)]
            shares = [batches] if together else [[batch] for batch in batches]
            # One after the other they are told what stands at the end of the round when they send again.
            first, again = [[each for some in shares for each in await receive(db, some)] for _ in range(2)]
            found.answers += map(in_short, first if together else again)
        async with db.read() as tx:
            for table in (schema.scan, schema.admission, schema.tally, schema.device):
                found.kept.append([tuple(row) for row in await tx.rows(sa.select(table).order_by(*table.primary_key))])
            fed, conflict = schema.change.c, schema.conflict.c
            query = sa.select(fed.kind, fed.line, fed.only_device, fed.not_device).where(fed.kind != "conflict")
            found.fed.update(tuple(row) for row in await tx.rows(query))
            stands = sa.select(conflict.scan_id).where(conflict.withdrawn_at.is_(None))
            found.standing.update(row.scan_id for row in await tx.rows(stands))
    return found


async def founded(db: Database, devices: list[Device]) -> None:
    await make_event(db)
    await sell(db, 2)
    async with db.write() as tx:
        common = {"name": "Gate", "enrolled_at": tx.now, "last_seq": 0, "faults": 0}
        rows = [{"id": each.id, "token_hash": each.id, **common} for each in devices]
        await tx.connection.execute(sa.insert(schema.device), rows)


def in_short(answer: ScansAnswer) -> tuple[int, list[Any], set[str]]:
    return answer.acked, answer.rejected, {each.scan_id for each in answer.conflicts}


def test_together_is_as_one_after_the_other(new_url: Callable[[], str], backend: str) -> None:
    """But for conflicts that one request brings and another of the same transaction takes away: they never were."""

    def story(rounds: list[list[list[dict[str, Any]]]]) -> None:
        one, other = (asyncio.run(told(new_url(), rounds, together=together)) for together in (True, False))
        assert one == other

    settings(max_examples=40 if backend == "sqlite" else 12, deadline=None, derandomize=True)(given(ROUNDS)(story))()


async def test_many_gates_send_at_once(db: Database, client: Client, gate: Gate) -> None:
    gates = [gate, *[await enrolled(db, client, f"West {number}") for number in range(19)]]
    sent = {each.id: [each.scan(f"{each.id}-{n}", f"T-{each.id}-{n}") for n in range(5)] for each in gates}
    for scans in sent.values():
        for before, after in pairwise(scans):
            after["prev"] = chain_hash(before)
    async with asyncio.TaskGroup() as group:
        # Each sends all it has twice, as one that heard no answer does.
        answers = [group.create_task(each.send(*sent[each.id])) for each in gates * 2]
    assert all(task.result() == {"acked": 5, "conflicts": [], "rejected": []} for task in answers)
    async with db.read() as tx:
        rows = await tx.rows(sa.select(schema.scan.c.scan_id))
        faults = await tx.rows(sa.select(schema.device.c.faults, schema.device.c.last_seq))
    assert sorted(row.scan_id for row in rows) == sorted(each["scan_id"] for scans in sent.values() for each in scans)
    assert {tuple(row) for row in faults} == {(0, 5)}
    (point,) = (await figures(db))["checkpoints"]
    assert point["entries"] == 100


def test_what_fits_together() -> None:
    def sent(device: str, count: int) -> Batch:
        return batch_of(Device(device, ""), [{"seq": n + 1} for n in range(count)])

    assert fit([sent("a", 1)], sent("b", 1))
    assert not fit([sent("a", 1)], sent("a", 1))
    assert fit([sent("a", MAX_SCANS - 1)], sent("b", 1))
    assert not fit([sent("a", MAX_SCANS)], sent("b", 1))


async def test_no_text_breaks_a_request(db: Database, gate: Gate) -> None:
    nasty = "a\0b\x01\u2028\ufffe\U0001f3ab"
    fields = dict.fromkeys(("code", "note", "lane", "checkpoint", "controller", "ticket_id", "of"), nasty)
    assert (await gate.send(gate.scan("s-1") | fields, gate.scan("s-2")))["rejected"] == []
    async with db.read() as tx:
        row = await tx.row(sa.select(schema.scan).where(schema.scan.c.scan_id == "s-1"))
    assert row is not None
    assert {getattr(row, name) for name in fields} == {nasty.replace("\0", "\u2400")}


async def test_a_heartbeat_waits_for_no_writer_of_the_feed(db: Database, backend: str, gate: Gate) -> None:
    async def beat(number: int) -> None:
        async with gate.client.post("/gate/v1/heartbeat", json={"n": number}, headers=gate.headers) as answer:
            assert answer.status == 200

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(beat(number))
    if backend == "postgresql":
        async with db.write():
            await beat(20)
    async with db.read() as tx:
        assert len(await tx.rows(sa.select(schema.heartbeat))) == 1


@pytest.mark.parametrize("path", ["/gate/v1/changes?since=WyJ4IiwwLCJ0IiwwLCIwIiwiXHUwMDAwIiwiIiwiIl0", "/?event=%00"])
async def test_nor_does_a_name(gate: Gate, path: str) -> None:
    path = path.replace("/?", "/api/report?")
    async with gate.client.get(path, headers=gate.headers) as answer:
        assert answer.status in {404, 410}
