"""A turnstile that tells whether the guest went through; who did not gets the ticket back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drivers.protocols import DeviceLost
from drivers.turnstile_fake import FakeTurnstile
from edge.core.model import Checkpoint, Controller
from edge.gate import Lane
from edge.hub import Message
from edge.store.tx import StoreRefusal
from tests.edge.conftest import ADMITTED, ALREADY_USED, EVENING, Venue, said

TARAS = Controller("taras", "Тарас Шевчук", supervisor=True)
NOBODY_PASSES = 0.01
LONG = 60.0


@asynccontextmanager
async def working(lane: Lane) -> AsyncIterator[None]:
    """Run a lane's turnstile."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job()) for job in (lane.door.run_signals, lane.door.run_releases)]
        yield
        for task in tasks:
            task.cancel()


async def next_of(feed: "asyncio.Queue[Message | None]", kind: str) -> Message:
    """Wait for the next message of a kind."""
    async with asyncio.timeout(20):
        while message := await feed.get():
            if message["kind"] == kind:
                return message
    raise AssertionError(f"the feed ended before any {kind}")


async def test_guest_who_does_not_pass_gets_the_ticket_back(venue: Venue) -> None:
    await venue.sells("T-1")
    turnstile = FakeTurnstile(passes_after_s=None, passage_timeout_s=NOBODY_PASSES)
    lane = venue.lane(turnstile=turnstile)
    with venue.hub.subscribe() as feed:
        async with working(lane):
            first = await lane.offer("T-1")
            assert (said(first), first.scan.passage) == (ADMITTED, "unknown")
            told = await next_of(feed, "passage")
            assert (told["scan_id"], told["passage"]) == (first.scan.scan_id, "not_passed")
            again = await lane.offer("T-1")
    assert said(again) == ADMITTED
    assert again.scan.scan_id != first.scan.scan_id
    rows = await venue.journal()
    assert [(row.verdict, row.reason, row.passage) for row in rows] == [
        ("admitted", "admitted", "not_passed"),
        ("refused", "not_passed", "not_passed"),
        ("admitted", "admitted", "unknown"),
    ]
    assert rows[1].of == first.scan.scan_id


async def test_guest_who_passes_has_used_the_ticket_repeat_or_not(venue: Venue) -> None:
    await venue.sells("T-1")
    turnstile = FakeTurnstile(passes_after_s=None, passage_timeout_s=LONG)
    lane = venue.lane(turnstile=turnstile)
    with venue.hub.subscribe() as feed:
        async with working(lane):
            first = await lane.offer("T-1")
            shown = await lane.offer("T-1")
            assert shown.scan.scan_id == first.scan.scan_id
            turnstile.turned.set()
            while turnstile.releases == 0 or feed.empty():
                await asyncio.sleep(0)
            turnstile.turned.set()
            assert (await next_of(feed, "passage"))["passage"] == "passed"
            assert said(await lane.offer("T-1")) == ALREADY_USED
    assert turnstile.releases == 1
    assert [row.passage for row in await venue.journal()] == ["passed", None]


async def test_refused_scan_leaves_turnstile_locked(venue: Venue) -> None:
    turnstile = FakeTurnstile()
    lane = venue.lane(turnstile=turnstile)
    async with working(lane):
        await lane.offer("FORGED")
        await venue.sells("T-1")
        with venue.hub.subscribe() as feed:
            await lane.offer("T-1")
            await next_of(feed, "passage")
    assert turnstile.releases == 1


async def test_room_in_the_hall_is_given_back_with_the_ticket(venue: Venue) -> None:
    hall = Checkpoint("c-north", "concert", "North gate", capacity=1, hours=(EVENING,))
    await venue.puts("checkpoint", hall)
    await venue.sells("T-1", "T-2")
    lane = venue.lane(turnstile=FakeTurnstile(None, NOBODY_PASSES))
    with venue.hub.subscribe() as feed:
        async with working(lane):
            await lane.offer("T-1")
            await next_of(feed, "passage")
    assert said(await lane.offer("T-2")) == ADMITTED


async def test_lane_without_a_sensor_counts_an_admission_as_passed(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")
    blind = venue.lane("north-1", FakeTurnstile(passage_timeout_s=None))
    assert (await blind.offer("T-1")).scan.passage == "passed"
    assert (await venue.lane("north-2").offer("T-2")).scan.passage == "passed"


async def test_supervisor_lets_the_same_guest_try_again_after_the_turnstile_stood_still(venue: Venue) -> None:
    turnstile = FakeTurnstile(None, NOBODY_PASSES)
    lane = venue.lane(turnstile=turnstile)
    refused = await lane.offer("PAPER-1")
    with venue.hub.subscribe() as feed:
        async with working(lane):
            first = await lane.override(refused.scan.scan_id, TARAS, "paper ticket seen")
            await next_of(feed, "passage")
            second = await lane.override(refused.scan.scan_id, TARAS, "still here")
            await next_of(feed, "passage")
    assert (first.scan.verdict, second.scan.verdict) == ("admitted", "admitted")
    assert second.scan.scan_id != first.scan.scan_id
    assert turnstile.releases == 2


async def test_turnstile_that_does_not_answer_is_shown_and_gets_no_second_pulse(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")

    class Broken(FakeTurnstile):
        async def release(self) -> None:
            await super().release()
            if self.releases == 1:
                raise DeviceLost("gpio: no answer")

    turnstile = Broken(passes_after_s=0.0)
    lane = venue.lane(turnstile=turnstile)
    with venue.hub.subscribe() as feed:
        async with working(lane):
            first = await lane.offer("T-1")
            while turnstile.releases == 0:
                await asyncio.sleep(0)
            assert lane.door.fault == "turnstile: gpio: no answer"
            await lane.offer("T-2")
            await next_of(feed, "passage")
    assert lane.door.fault is None
    assert turnstile.releases == 2
    assert (await venue.journal())[0].scan_id == first.scan.scan_id
    assert said(await venue.lane("north-2").offer("T-1")) == ALREADY_USED


async def test_an_admission_is_settled_once(venue: Venue) -> None:
    await venue.sells("T-1")
    scan = (await venue.lane(turnstile=FakeTurnstile(None)).offer("T-1")).scan
    at, trust = venue.clock.now(), venue.clock.trust
    await venue.store.write(lambda tx: tx.passed(scan.scan_id, at))
    with pytest.raises(StoreRefusal, match="already settled"):
        await venue.store.write(lambda tx: tx.release(scan.scan_id, "r-1", at, trust))
    with pytest.raises(StoreRefusal, match="no admission"):
        await venue.store.write(lambda tx: tx.release("no-such", "r-2", at, trust))
    assert len(await venue.journal()) == 1
