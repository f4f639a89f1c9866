"""Rooms that can be full, what other devices did, and what a supervisor may do about a refusal."""

from dataclasses import replace

import pytest

from edge.core.model import Checkpoint, Controller, Direction
from edge.judging import NotAllowed, NotFound
from tests.edge.conftest import ADMITTED, ALREADY_USED, EVENING, Venue, open_venue, said

TARAS = Controller("taras", "Тарас Шевчук", supervisor=True)
HALL = Checkpoint("c-north", "concert", "North gate", zone="hall", capacity=2, hours=(EVENING,))
WAY_OUT = Checkpoint("c-exit", "concert", "Way out", zone="hall", direction=Direction.EXIT)
OVERRIDDEN = ("admitted", "override")
FULL = ("refused", "zone_full")


@pytest.fixture
async def hall(venue: Venue) -> Venue:
    """A hall for two, with one way in here, one at another device, and one out."""
    await venue.puts("checkpoint", HALL, replace(HALL, id="c-south", name="South gate"), WAY_OUT)
    await venue.sells("T-1", "T-2", "T-3", "T-4")
    return venue


# --- zones ----------------------------------------------------------------------------------------------------------


async def test_full_hall_admits_one_for_one_who_leaves(hall: Venue) -> None:
    lane, out = hall.lane(), hall.lane("out", checkpoint="c-exit", direction="exit")
    assert [said(await lane.offer(f"T-{n}")) for n in (1, 2, 3)] == [ADMITTED, ADMITTED, FULL]
    assert (await lane.offer("T-4")).scan.facts == {"inside": 2, "capacity": 2, "zone": "hall"}
    await out.offer("T-1")
    assert [said(await lane.offer(f"T-{n}")) for n in (3, 4)] == [ADMITTED, FULL]


async def test_guests_that_another_device_let_in_take_room_and_give_it_back(hall: Venue) -> None:
    lane = hall.lane()
    await lane.offer("T-1")
    await hall.hears_of("T-9", "far-1")
    assert said(await lane.offer("T-2")) == FULL
    await hall.hears_of("T-9", "far-2", direction="exit")
    assert said(await lane.offer("T-2")) == ADMITTED
    await hall.hears_of("T-8", "far-3")
    async with hall.store.session(building=False) as session:
        await session.delete_admissions(["far-3", "far-1"])
        await session.commit(None, hall.clock.now())
    assert await hall.sql_whitelist("SELECT entries, exits FROM flow WHERE checkpoint = 'c-south'") == [(0, 1)]


async def test_hall_remembers_who_is_in_over_a_restart(hall: Venue) -> None:
    folder = hall.folder.with_name("other")
    async with open_venue(folder) as before:
        await before.puts("checkpoint", HALL)
        await before.sells("T-1", "T-2", "T-3")
        await before.lane().offer("T-1")
        await before.lane().offer("T-2")
    async with open_venue(folder, filled=False) as after:
        assert said(await after.lane().offer("T-3")) == FULL


async def test_own_scans_that_come_back_by_the_feed_are_not_counted_twice(hall: Venue) -> None:
    lane = hall.lane()
    mine = await lane.offer("T-1")
    await hall.hears_of("T-1", mine.scan.scan_id, checkpoint="c-north")
    again = await lane.offer("T-1", scan_id="again")
    assert (said(again), again.scan.facts["uses"]) == (ALREADY_USED, 1)


# --- other devices --------------------------------------------------------------------------------------------------


async def test_ticket_used_at_another_device_is_refused_with_where(venue: Venue) -> None:
    await venue.sells("T-1")
    await venue.hears_of("T-1", "far-1")
    venue.hand.pass_(60)
    answer = await venue.lane().offer("T-1")
    assert said(answer) == ALREADY_USED
    assert answer.scan.facts["first_device"] == "South box"
    assert "South gate (South box)" in answer.message.text


async def test_release_at_another_device_frees_the_ticket_here(venue: Venue) -> None:
    await venue.sells("T-1")
    await venue.hears_of("T-1", "far-1")
    async with venue.store.session(building=False) as session:
        await session.delete_admissions(["far-1"])
        await session.commit(None, venue.clock.now())
    assert said(await venue.lane().offer("T-1")) == ADMITTED


async def test_use_at_another_event_does_not_count_here(venue: Venue) -> None:
    await venue.puts("checkpoint", Checkpoint("c-match", "match", "Match gate"))
    await venue.sells("T-1")
    await venue.hears_of("T-1", "far-1", checkpoint="c-match")
    assert said(await venue.lane().offer("T-1")) == ADMITTED


async def test_use_at_a_checkpoint_that_nobody_knows_counts_better_closed_than_wrong(venue: Venue) -> None:
    await venue.sells("T-1")
    await venue.hears_of("T-1", "far-1", checkpoint="c-gone")
    assert said(await venue.lane().offer("T-1")) == ALREADY_USED


# --- override -------------------------------------------------------------------------------------------------------


async def test_supervisor_admits_after_a_refusal_and_it_is_a_scan_of_its_own(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane()
    await lane.offer("T-1")
    venue.hand.pass_(10)
    refused = await lane.offer("T-1")
    answer = await lane.override(refused.scan.scan_id, TARAS, "left to fetch a child")
    assert said(answer) == OVERRIDDEN
    row = (await venue.journal())[-1]
    assert (row.of, row.controller, row.note) == (refused.scan.scan_id, "taras", "left to fetch a child")
    assert row.facts == {"refused": "already_used", "supervisor": "Тарас Шевчук"}
    assert await venue.sql("SELECT count(*) FROM usage WHERE ticket_id = 't-T-1'") == [(2,)]


async def test_override_twice_gives_the_first_ones_answer(venue: Venue) -> None:
    lane = venue.lane()
    refused = await lane.offer("T-1")
    first = await lane.override(refused.scan.scan_id, TARAS, "paper ticket seen")
    second = await lane.override(refused.scan.scan_id, TARAS, "again")
    assert (first.scan, second.body()["repeat"]) == (second.scan, True)
    assert len(await venue.journal()) == 2


async def test_guest_without_a_known_ticket_takes_room_in_the_hall(hall: Venue) -> None:
    lane = hall.lane()
    for code in ("PAPER-1", "PAPER-2"):
        refused = await lane.offer(code)
        assert refused.scan.reason == "unknown_ticket"
        await lane.override(refused.scan.scan_id, TARAS, "paper ticket seen")
    assert said(await lane.offer("T-1")) == FULL
    assert [scan.code for scan in await hall.journal()][:4] == ["PAPER-1", "PAPER-1", "PAPER-2", "PAPER-2"]


async def test_what_was_not_read_cannot_be_overridden(venue: Venue) -> None:
    lane = venue.lane()
    refused = await lane.offer("")
    with pytest.raises(NotAllowed, match="unreadable"):
        await lane.override(refused.scan.scan_id, TARAS, "please")
    assert len(await venue.journal()) == 1


async def test_who_was_let_in_needs_no_override_and_an_unknown_scan_has_none(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane()
    admitted = await lane.offer("T-1")
    with pytest.raises(NotAllowed, match="admitted"):
        await lane.override(admitted.scan.scan_id, TARAS, "please")
    with pytest.raises(NotFound, match="no-such"):
        await lane.override("no-such", TARAS, "please")
