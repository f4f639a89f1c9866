"""Two gates that could not see each other: found whichever uploads first, told to those who take part."""

from typing import Any

import pytest

from crm import service
from crm.cursor import Place, parse_cursor
from crm.database import Database
from crm.reports import figures
from tests.crm.conftest import Client, Gate, enrolled, sell

LATER = "2026-05-01T18:05:00Z"


def ids(answer: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(each["scan_id"], [scan["scan_id"] for scan in each["scans"]]) for each in answer["conflicts"]]


async def standing(db: Database) -> list[str]:
    return [each["scan_id"] for each in (await figures(db))["conflicts"] if not each["withdrawn_at"]]


@pytest.mark.parametrize("first_uploads_first", [True, False])
async def test_the_later_entry_offends_in_either_order(
    db: Database, client: Client, gate: Gate, other: Gate, first_uploads_first: bool
) -> None:
    bystander = await enrolled(db, client, "West")
    await sell(db, 1)
    sends = [(gate, gate.scan("s-1")), (other, other.scan("s-2", at=LATER))]
    for sender, scan in sends if first_uploads_first else reversed(sends):
        last = await sender.send(scan)
    assert ids(last) == [("s-2", ["s-1", "s-2"])]
    assert [scan["device"] for scan in last["conflicts"][0]["scans"]] == [gate.id, other.id]
    for each, heard in ((gate, 1), (other, 1), (bystander, 0)):
        assert (await each.sync()).conflicts == []
        assert len([line for line in await feed_after_start(each) if line["kind"] == "conflict"]) == heard


async def feed_after_start(gate: Gate) -> list[dict[str, Any]]:
    """All that was ever told to this gate: the feed from its first change."""
    assert gate.held.cursor
    return await gate.changes(Place(parse_cursor(gate.held.cursor).epoch, 0).write())


@pytest.mark.parametrize("ticket_id", ['it\'s "one"', "\N{SNOWMAN}, [1]", "\\u0041", "$1 :two %(three)s ?"])
async def test_a_ticket_may_have_any_id(db: Database, gate: Gate, other: Gate, ticket_id: str) -> None:
    bystanders = [gate.scan("s-1", "A"), gate.scan("s-2", "B")]
    await gate.send(*bystanders, gate.scan("s-3", ticket_id))
    answer = await other.send(other.scan("o-1", "C"), other.scan("o-2", ticket_id, at=LATER))
    assert ids(answer) == [("o-2", ["s-3", "o-2"])]
    assert answer["conflicts"][0]["ticket_id"] == ticket_id
    assert await standing(db) == ["o-2"]


async def test_sending_again_gives_the_same_conflicts_and_records_one(db: Database, gate: Gate, other: Gate) -> None:
    await sell(db, 1)
    await gate.send(gate.scan("s-1"))
    scan = other.scan("s-2", at=LATER)
    assert await other.send(scan) == await other.send(scan)
    assert await standing(db) == ["s-2"]


async def test_one_device_alone_is_no_conflict(db: Database, gate: Gate) -> None:
    await sell(db, 1)
    answer = await gate.send(gate.scan("s-1"), gate.scan("s-2", at=LATER))
    assert answer["conflicts"] == []


async def test_an_override_does_not_offend_but_counts(db: Database, gate: Gate, other: Gate) -> None:
    await sell(db, 1)
    await gate.send(gate.scan("s-1"))
    assert (await other.send(other.scan("s-2", at=LATER, reason="override")))["conflicts"] == []
    answer = await gate.send(gate.scan("s-3", at="2026-05-01T18:09:00Z"))
    assert ids(answer) == [("s-3", ["s-1", "s-2", "s-3"])]


async def test_a_release_withdraws(db: Database, gate: Gate, other: Gate) -> None:
    await sell(db, 1)
    await gate.send(gate.scan("s-1"))
    await other.send(other.scan("s-2", at=LATER))
    assert await standing(db) == ["s-2"]
    await gate.send(gate.scan("s-3", verdict="refused", reason="not_passed", of="s-1"))
    assert await standing(db) == []


async def test_an_exit_heard_of_late_withdraws(db: Database, gate: Gate, other: Gate) -> None:
    policy = {"entries": 1, "reentry": "after_exit"}
    await service.put_ticket_type(db, id="t-1", event="e-1", name="Standard", entry_policy=policy)
    await sell(db, 1)
    await gate.send(gate.scan("s-1"))
    assert ids(await other.send(other.scan("s-3", at=LATER))) == [("s-3", ["s-1", "s-3"])]
    await gate.send(gate.scan("s-2", at="2026-05-01T18:02:00Z", direction="exit", verdict="exited", reason="exited"))
    assert await standing(db) == []


@pytest.mark.parametrize(("at", "conflicts"), [("2026-05-01T20:59:59Z", 1), ("2026-05-01T21:00:00Z", 0)])
async def test_a_day_is_the_events_local_day(db: Database, gate: Gate, other: Gate, at: str, conflicts: int) -> None:
    """Kyiv's midnight is 21:00 UTC in May."""
    policy = {"entries": 1, "per": "day"}
    await service.put_ticket_type(db, id="t-1", event="e-1", name="Standard", entry_policy=policy)
    await sell(db, 1)
    await gate.send(gate.scan("s-1"))
    assert len((await other.send(other.scan("s-2", at=at)))["conflicts"]) == conflicts


async def test_two_entries_allowed_are_two(db: Database, gate: Gate, other: Gate) -> None:
    await service.put_ticket_type(db, id="t-1", event="e-1", name="Standard", entry_policy={"entries": 2})
    await sell(db, 1)
    await gate.send(gate.scan("s-1"))
    assert (await other.send(other.scan("s-2", at=LATER)))["conflicts"] == []
    assert ids(await gate.send(gate.scan("s-3", at="2026-05-01T18:09:00Z"))) == [("s-3", ["s-1", "s-2", "s-3"])]


async def test_a_ticket_unknown_here_is_judged_strictly(gate: Gate, other: Gate) -> None:
    await gate.send(gate.scan("s-1", "T-?"))
    assert len((await other.send(other.scan("s-2", "T-?", at=LATER)))["conflicts"]) == 1
