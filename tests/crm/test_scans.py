"""Scans arrive at least once, each judged for itself."""

from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from crm import schema
from crm.database import Database
from crm.journal import chain_hash
from crm.reports import figures, list_devices
from tests.crm.conftest import Gate


async def stored(db: Database) -> list[str]:
    async with db.read() as tx:
        return [row.scan_id for row in await tx.rows(sa.select(schema.scan).order_by(schema.scan.c.seq))]


async def faults(db: Database, gate: Gate) -> tuple[int, str | None]:
    (found,) = [each for each in await list_devices(db) if each["id"] == gate.id]
    return found["faults"], found["last_fault"]


def chained(gate: Gate, *names: str) -> list[dict[str, Any]]:
    """Scans that carry each other's hash, as a gate sends them."""
    scans: list[dict[str, Any]] = []
    for name in names:
        prev = chain_hash(scans[-1]) if scans else "0" * 64
        scans.append(gate.scan(name, prev=prev))
    return scans


async def test_the_same_scans_again_are_dropped_and_acked(db: Database, gate: Gate) -> None:
    scans = chained(gate, "s-1", "s-2", "s-3")
    first = await gate.send(*scans)
    assert first == await gate.send(*scans) == {"acked": 3, "conflicts": [], "rejected": []}
    assert await stored(db) == ["s-1", "s-2", "s-3"]
    assert await faults(db, gate) == (0, None)


async def test_nothing_sent_is_nothing_acked(gate: Gate) -> None:
    assert await gate.send() == {"acked": 0, "conflicts": [], "rejected": []}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"at": "yesterday"}, "at"),
        ({"at": "2026-05-01T18:00:00+02:00"}, "at"),
        ({"at": "0001-01-01T00:00:00Z"}, "at"),
        ({"seq": 0}, "seq"),
        ({"seq": 1 << 63}, "seq"),
        ({"seq": "x"}, "seq"),
        ({"verdict": "maybe"}, "verdict"),
        ({"direction": "both"}, "direction"),
        ({"lookup": "short"}, "lookup"),
        ({"lane": ""}, "lane"),
        ({"note": "\ud800"}, "note"),
        ({"scan_id": "with space"}, "scan_id"),
        ({"scan_id": None}, "scan_id"),
        ({"scan_id": ["s"]}, "scan_id"),
        ({"clock": "wrong"}, "clock"),
        ({"code": "x" * 5000}, "code"),
    ],
)
async def test_a_bad_scan_is_one_reject(db: Database, gate: Gate, change: dict[str, Any], field: str) -> None:
    bad = gate.scan("s-1") | change
    answer = await gate.send(bad, gate.scan("s-2"))
    assert answer["acked"] == 2
    (rejected,) = answer["rejected"]
    assert rejected["message"].startswith(f"{field}:"), rejected
    assert await stored(db) == ["s-2"]


async def test_a_bad_last_scan_is_acked_too(gate: Gate) -> None:
    assert (await gate.send(gate.scan("s-1"), gate.scan("s-2", verdict="maybe")))["acked"] == 2


async def test_an_id_of_another_device_is_rejected(gate: Gate, other: Gate) -> None:
    await gate.send(gate.scan("s-1"))
    (rejected,) = (await other.send(other.scan("s-1")))["rejected"]
    assert rejected["code"] == "scan_id_taken"


async def test_only_a_devices_own_scans(gate: Gate, other: Gate) -> None:
    body = {"device_id": other.id, "scans": []}
    async with gate.client.post("/gate/v1/scans", json=body, headers=gate.headers) as answer:
        assert answer.status == 403


@pytest.mark.parametrize(("scans", "field"), [([1], "scans.0"), ([{}] * 501, "scans"), ({}, "scans")])
async def test_a_bad_request_is_named(gate: Gate, scans: Any, field: str) -> None:
    body = {"device_id": gate.id, "scans": scans}
    async with gate.client.post("/gate/v1/scans", json=body, headers=gate.headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"].startswith(f"{field}:")


async def test_unknown_codes_checkpoints_and_lookups_are_fine(db: Database, gate: Gate) -> None:
    unknown = gate.scan("s-1", None, code="=1+1", verdict="refused", reason="unknown_ticket", checkpoint="c-?")
    lookup = gate.scan("s-2", "T-?", lookup="A" * 22, checkpoint=None)
    assert (await gate.send(unknown, lookup))["rejected"] == []
    assert await stored(db) == ["s-1", "s-2"]


async def test_a_gap_is_taken_and_shown(db: Database, gate: Gate) -> None:
    await gate.send(*chained(gate, "s-1"))
    assert (await gate.send(gate.scan("s-4", seq=4)))["acked"] == 4
    assert await faults(db, gate) == (1, "gap in the journal: expected seq 2, got 4")


async def test_a_changed_row_is_taken_and_shown(db: Database, gate: Gate) -> None:
    one, two, three = chained(gate, "s-1", "s-2", "s-3")
    await gate.send(one | {"reason": "override"}, two)
    assert await faults(db, gate) == (1, "the journal was changed: prev of seq 2 is not the hash of seq 1")
    await gate.send(three)
    assert (await faults(db, gate))[0] == 1


async def test_a_seq_used_twice_is_taken_and_shown(db: Database, gate: Gate) -> None:
    await gate.send(gate.scan("s-1"))
    await gate.send(gate.scan("s-2", seq=1))
    assert await faults(db, gate) == (1, "seq 1 came twice, with different scans")


async def test_a_box_enrolled_anew_may_begin_anywhere(db: Database, gate: Gate) -> None:
    await gate.send(gate.scan("s-500", seq=500))
    assert await faults(db, gate) == (0, None)


async def tally(db: Database) -> tuple[int, int, int, int]:
    (point,) = (await figures(db))["checkpoints"]
    return point["entries"], point["exits"], point["inside"], point["refused"]


async def test_a_release_takes_the_admission_back(db: Database, gate: Gate, other: Gate) -> None:
    await gate.send(
        gate.scan("s-1"), gate.scan("s-2", "T-2"), gate.scan("s-3", "T-3", direction="exit", verdict="exited")
    )
    held = await other.sync()
    assert sorted(held.admissions) == ["s-1", "s-2", "s-3"]
    release = gate.scan("s-4", verdict="refused", reason="not_passed", of="s-1")
    await gate.send(release)
    await gate.send(release, gate.scan("s-5", verdict="refused", reason="not_passed", of="s-1"))
    assert sorted((await other.sync()).admissions) == ["s-2", "s-3"]
    fresh = Gate(other.client, other.id, other.token)
    assert sorted((await fresh.sync()).admissions) == ["s-2", "s-3"]
    assert await tally(db) == (1, 1, 0, 0)


@pytest.mark.parametrize("apart", [True, False])
async def test_a_release_that_comes_first_counts(db: Database, gate: Gate, other: Gate, apart: bool) -> None:
    admission = gate.scan("s-1")
    release = gate.scan("s-2", verdict="refused", reason="not_passed", of="s-1")
    for batch in ([release], [admission]) if apart else ([release, admission],):
        await gate.send(*batch)
    assert (await other.sync()).admissions == {}
    assert await tally(db) == (0, 0, 0, 0)


async def test_another_device_cannot_release(gate: Gate, other: Gate) -> None:
    await gate.send(gate.scan("s-1"))
    await other.send(other.scan("x-1", verdict="refused", reason="not_passed", of="s-1"))
    assert list((await other.sync()).admissions) == ["s-1"]


async def test_an_override_without_a_ticket_counts_but_is_not_told(db: Database, gate: Gate, other: Gate) -> None:
    await gate.send(gate.scan("s-1", None, reason="override"), gate.scan("s-2", None, verdict="refused", reason="x"))
    assert (await other.sync()).admissions == {}
    assert await tally(db) == (1, 0, 1, 1)
    await gate.send(gate.scan("s-3", None, verdict="refused", reason="not_passed", of="s-1"))
    assert await tally(db) == (0, 0, 0, 1)


def emergency(gate: Gate) -> list[dict[str, Any]]:
    """An admission between the beginning and the end of an emergency, in one chain."""
    told = {"verdict": "refused", "lookup": None}
    rows = [
        gate.scan("s-1", None, reason="emergency_open", **told),
        gate.scan("s-2"),
        gate.scan("s-3", None, reason="emergency_over", **told),
    ]
    for before, row in pairwise(rows):
        row["prev"] = chain_hash(before)
    return rows


async def test_an_emergency_is_kept_in_its_place_and_refuses_nobody(db: Database, gate: Gate, other: Gate) -> None:
    rows = emergency(gate)
    assert await gate.send(*rows) == await gate.send(*rows) == {"acked": 3, "conflicts": [], "rejected": []}
    assert await stored(db) == ["s-1", "s-2", "s-3"]
    assert await faults(db, gate) == (0, None)
    assert await tally(db) == (1, 0, 1, 0)
    assert list((await other.sync()).admissions) == ["s-2"]
    shown = [(row["scan_id"], row["reason"]) for row in (await figures(db))["scans"]]
    assert sorted(shown) == [("s-1", "emergency_open"), ("s-2", "admitted"), ("s-3", "emergency_over")]


async def test_an_emergency_that_was_made_a_refusal_afterwards_shows(db: Database, gate: Gate) -> None:
    opened, admitted, over = emergency(gate)
    await gate.send(opened | {"reason": "unknown_ticket"}, admitted, over)
    assert await faults(db, gate) == (1, "the journal was changed: prev of seq 2 is not the hash of seq 1")


async def test_an_emergency_at_a_lane_without_a_checkpoint_counts_nowhere(db: Database, gate: Gate) -> None:
    rows = [row | {"checkpoint": None} for row in emergency(gate) if row["reason"].startswith("emergency")]
    assert (await gate.send(*rows))["rejected"] == []
    assert [(each["entries"], each["refused"]) for each in (await figures(db))["checkpoints"]] == [(0, 0)]
