"""Guests at one gate: who gets in, who does not and why, and what is written down of it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge.core.model import Assignment, Checkpoint, EntryPolicy, EventStatus, OnDoubt, Per, Policies, TicketType
from edge.judging import NotAllowed
from edge.store.records import uuid7
from tests.edge.conftest import ADMITTED, ALREADY_USED, NOW, HandClock, Venue, concert, open_venue, said


async def test_ticket_is_admitted_once_and_then_refused_with_its_first_use(venue: Venue) -> None:
    await venue.sells("T-1", holder="Іван Франко", seat="A-12")
    lane = venue.lane()
    first = await lane.offer("T-1")
    venue.hand.pass_(60)
    second = await lane.offer("T-1")
    assert (said(first), said(second)) == (ADMITTED, ALREADY_USED)
    assert second.scan.facts == {
        "first_at": "2026-05-01T16:02:00Z",
        "first_checkpoint": "North gate",
        "first_device": None,
        "uses": 1,
    }
    assert "19:02" in second.message.text
    assert first.body()["ticket"]["holder"] == "Іван Франко"
    assert [scan.seq for scan in await venue.journal()] == [1, 2]


async def test_code_is_found_however_the_reader_wraps_it(venue: Venue) -> None:
    await venue.sells("T-1")
    assert said(await venue.lane().offer("\x1d \\000026T-1\r")) == ADMITTED


async def test_unknown_code_is_written_down_and_a_known_one_never(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane()
    await lane.offer("T-1")
    unknown = await lane.offer("  FORGED-1 ")
    assert said(unknown) == ("refused", "unknown_ticket")
    assert [scan.code for scan in await venue.journal()] == [None, "FORGED-1"]
    files = b"".join(path.read_bytes() for path in venue.folder.glob("*.db*"))
    assert b"FORGED-1" in files
    assert b"T-1\x00" not in files.replace(b"t-T-1", b"")


@pytest.mark.parametrize("code", ["", " \t\r\n", "\x00\x1d", "A" * 4097, "A" * 1_000_000], ids=len)
async def test_unreadable_code_is_refused_and_leaves_no_megabyte_behind(venue: Venue, code: str) -> None:
    answer = await venue.lane().offer(code)
    assert said(answer) == ("refused", "unreadable")
    assert (answer.scan.code, answer.scan.lookup) == (None, None)
    assert len(await venue.journal()) == 1


async def test_gate_that_is_not_enrolled_knows_no_ticket_and_writes_that_down(tmp_path: Path) -> None:
    async with open_venue(tmp_path, enrolled=False) as venue:
        await venue.sells("T-1")
        assert said(await venue.lane().offer("T-1")) == ("refused", "unknown_ticket")
        assert len(await venue.journal()) == 1


async def test_lane_without_checkpoint_admits_nobody_until_the_crm_assigns_one(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane(checkpoint=None)
    lost = await lane.offer("T-1")
    assert said(lost) == ("refused", "wrong_checkpoint")
    assert "no checkpoint" in lost.message.text
    async with venue.store.session(building=False) as session:
        await session.put_entity("assignment", "a", Assignment("device-1", None, "c-south"))
        await session.put_entity("assignment", "b", Assignment("device-1", "north-1", "c-north"))
        await session.commit(None, NOW)
    found = await lane.offer("T-1")
    assert (said(found), found.scan.checkpoint) == (ADMITTED, "c-north")


async def test_setting_of_a_checkpoint_that_nobody_knows_admits_nobody(venue: Venue) -> None:
    await venue.sells("T-1")
    assert said(await venue.lane(checkpoint="c-gone").offer("T-1")) == ("refused", "wrong_checkpoint")


async def test_what_the_crm_says_holds_from_the_next_guest_on(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane()
    await venue.puts("event", replace(concert(), status=EventStatus.CANCELLED))
    assert said(await lane.offer("T-1")) == ("refused", "event_not_open")
    await venue.puts("event", concert())
    await venue.sells("T-1", state="revoked")
    assert said(await lane.offer("T-1")) == ("refused", "revoked")
    await venue.sells("T-1")
    assert said(await lane.offer("T-1")) == ADMITTED


async def test_checkpoint_closes_to_the_second(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")
    lane = venue.lane()
    venue.hand.pass_((NOW.replace(hour=19, minute=59, second=59) - NOW).total_seconds())
    assert said(await lane.offer("T-1")) == ADMITTED
    venue.hand.pass_(1)
    assert said(await lane.offer("T-2")) == ("refused", "checkpoint_closed")


async def test_code_sold_for_two_events_is_taken_for_the_one_of_this_gate(venue: Venue) -> None:
    await venue.sells("T-1", event="match", id="t-match", type="any")
    lane = venue.lane()
    assert said(await lane.offer("T-1")) == ("refused", "wrong_event")
    await venue.sells("T-1", id="t-concert")
    answer = await lane.offer("T-1")
    assert (said(answer), answer.scan.ticket_id) == (ADMITTED, "t-concert")


# --- repeat reads ---------------------------------------------------------------------------------------------------


async def test_the_same_code_again_at_once_is_shown_again_and_no_second_scan(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane(repeat_s=3.0)
    first = await lane.offer("T-1")
    venue.hand.pass_(2.999)
    again = await lane.offer("T-1")
    assert (said(again), again.scan.scan_id, again.body()["repeat"]) == (ADMITTED, first.scan.scan_id, True)
    venue.hand.pass_(0.001)
    assert said(await lane.offer("T-1")) == ALREADY_USED
    assert len(await venue.journal()) == 2


async def test_who_names_the_scan_means_a_second_one(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane()
    await lane.offer("T-1")
    assert said(await lane.offer("T-1", scan_id="phone-7")) == ALREADY_USED


async def test_the_same_code_at_another_lane_is_another_guest(venue: Venue) -> None:
    await venue.sells("T-1")
    await venue.lane("north-1").offer("T-1")
    assert said(await venue.lane("north-2").offer("T-1")) == ALREADY_USED


async def test_a_refusal_is_never_shown_again_but_judged_again(venue: Venue) -> None:
    lane = venue.lane()
    await lane.offer("T-1")
    await venue.sells("T-1")
    assert said(await lane.offer("T-1")) == ADMITTED


async def test_a_lane_may_do_without_repeats(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane(repeat_s=0)
    await lane.offer("T-1")
    assert said(await lane.offer("T-1")) == ALREADY_USED


async def test_another_ticket_between_does_not_hide_the_repeat(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")
    lane = venue.lane()
    first = await lane.offer("T-1")
    await lane.offer("T-2")
    assert (await lane.offer("T-1")).scan.scan_id == first.scan.scan_id


# --- the same scan twice, and many at once --------------------------------------------------------------------------


async def test_the_same_scan_id_gives_the_same_answer_after_a_restart_too(venue: Venue) -> None:
    hand = HandClock()
    folder = venue.folder.with_name("other")
    async with open_venue(folder, hand) as before:
        await before.sells("T-1")
        first = await before.lane().offer("T-1", scan_id="phone-1")
        hand.pass_(600)
        again = await before.lane().offer("T-1", scan_id="phone-1")
    async with open_venue(folder, hand, filled=False) as after:
        late = await after.lane("north-2").offer("T-1", scan_id="phone-1")
        assert first.scan == again.scan == late.scan
        assert said(late) == ADMITTED
        assert len(await after.journal()) == 1
        assert said(await after.lane().offer("T-1", scan_id="phone-2")) == ALREADY_USED


async def test_twenty_phones_and_two_lanes_with_one_code_admit_one_guest(venue: Venue) -> None:
    await venue.sells("T-1")
    lanes = [venue.lane("north-1"), venue.lane("north-2")]
    async with asyncio.TaskGroup() as group:
        offers = [group.create_task(lanes[n % 2].offer("T-1", scan_id=f"phone-{n}")) for n in range(20)]
    answers = [said(each.result()) for each in offers]
    assert sorted(answers) == [ADMITTED] + [ALREADY_USED] * 19
    assert len(await venue.admissions()) == 1
    assert await venue.sql("SELECT count(*) FROM usage") == [(1,)]


async def test_one_scan_id_sent_ten_times_at_once_is_one_scan(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane()
    async with asyncio.TaskGroup() as group:
        offers = [group.create_task(lane.offer("T-1", scan_id="phone-1")) for _ in range(10)]
    assert {said(each.result()) for each in offers} == {ADMITTED}
    assert len(await venue.journal()) == 1


async def test_scan_ids_sort_by_time_and_are_uuid_7() -> None:
    ids = [uuid7(NOW + timedelta(milliseconds=n), bytes([255 - n] * 10)) for n in range(50)]
    assert ids == sorted(ids)
    assert {each[14] for each in ids} == {"7"}
    assert all(each[19] in "89ab" for each in ids)


# --- ways -----------------------------------------------------------------------------------------------------------


async def test_guest_with_a_pass_goes_in_out_and_in_again_on_a_lane_for_both(venue: Venue) -> None:
    await venue.sells("P-1", type="pass")
    lane = venue.lane(direction="both", repeat_s=0)
    answers = []
    for way in (None, None, "exit", "entry"):
        venue.hand.pass_(1)
        answers.append(said(await lane.offer("P-1", way)))
    assert answers == [ADMITTED, ("refused", "passback"), ("exited", "exited"), ADMITTED]


async def test_going_out_right_after_coming_in_is_no_repeat(venue: Venue) -> None:
    await venue.sells("P-1", type="pass")
    lane = venue.lane(direction="both")
    await lane.offer("P-1", "entry")
    assert said(await lane.offer("P-1", "exit")) == ("exited", "exited")


@pytest.mark.parametrize(("lane_way", "asked"), [("entry", "exit"), ("exit", "entry"), ("both", "sideways")])
async def test_lane_says_which_way_it_goes(venue: Venue, lane_way: str, asked: str) -> None:
    with pytest.raises(NotAllowed, match="direction"):
        await venue.lane(direction=lane_way).offer("T-1", asked)
    assert await venue.journal() == []


async def test_exit_lane_lets_out_after_hours(venue: Venue) -> None:
    await venue.sells("T-1")
    await venue.lane().offer("T-1")
    venue.hand.pass_(5 * 3600)
    assert said(await venue.lane("out", checkpoint="c-exit", direction="exit").offer("T-1")) == ("exited", "exited")


async def test_day_ticket_admits_again_after_local_midnight(venue: Venue) -> None:
    await venue.puts("ticket_type", TicketType("day", "concert", "Day", EntryPolicy(per=Per.DAY)))
    await venue.puts("checkpoint", Checkpoint("c-always", "concert", "Always"))
    await venue.sells("D-1", type="day")
    lane = venue.lane(checkpoint="c-always")
    assert said(await lane.offer("D-1")) == ADMITTED
    venue.hand.pass_(4 * 3600 + 57 * 60)
    assert said(await lane.offer("D-1")) == ALREADY_USED
    venue.hand.pass_(60)
    assert said(await lane.offer("D-1")) == ADMITTED


# --- doubts ---------------------------------------------------------------------------------------------------------


async def test_old_data_marks_the_scan_or_refuses_it_as_the_checkpoint_says(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")
    await venue.puts("checkpoint", Checkpoint("c-north", "concert", "North gate", policies=Policies(stale_after_s=60)))
    lane = venue.lane()
    venue.hand.pass_(61)
    marked = await lane.offer("T-1")
    assert (said(marked), marked.scan.note) == (ADMITTED, "data_stale")
    strict = Policies(stale_after_s=60, on_stale=OnDoubt.REFUSE)
    await venue.puts("checkpoint", Checkpoint("c-north", "concert", "North gate", policies=strict))
    fresh = await lane.offer("T-2")
    assert (said(fresh), fresh.scan.note) == (ADMITTED, None)
    venue.hand.pass_(61)
    await venue.in_thread(lambda tx: tx.whitelist.mark_stale())
    refused = await lane.offer("T-1", scan_id="late")
    assert said(refused) == ALREADY_USED
    assert said(await venue.lane("north-2").offer("T-3")) == ("refused", "unknown_ticket")


async def test_clock_in_doubt_is_written_on_every_scan(venue: Venue) -> None:
    await venue.sells("T-1")
    venue.hand.synchronised = False
    venue.clock.check()
    answer = await venue.lane().offer("T-1")
    assert (answer.scan.clock, answer.scan.note) == ("estimated", "clock_untrusted")


async def test_box_set_back_in_time_writes_that_it_does_not_know(venue: Venue) -> None:
    hand = HandClock(synchronised=False)
    clock = hand.gate_clock(last_written_at=NOW + timedelta(hours=1))
    await venue.sells("T-1")
    venue.clock = clock
    answer = await venue.lane().offer("T-1")
    assert (answer.scan.clock, answer.scan.at) == ("unknown", "2026-05-01T17:02:00Z")


async def test_every_verdict_reaches_onlookers_repeats_too(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane()
    with venue.hub.subscribe() as feed:
        await lane.offer("T-1")
        await lane.offer("T-1")
        seen = [await feed.get(), await feed.get()]
    assert [(each["kind"], each["repeat"]) for each in seen if each] == [("verdict", False), ("verdict", True)]
