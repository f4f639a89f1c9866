"""A lane that an emergency holds open, a turnstile that says what ails it, and what the lamps say to all of that."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import LaneSettings, check_settings
from drivers.protocols import DeviceLost, Lights, Look, Signals, Turnstile
from drivers.turnstile_fake import FakeTurnstile
from edge import emergency_log
from edge.box import HELD_OPEN
from edge.core.model import Controller
from edge.gate import Lane
from edge.main import open_gate
from edge.reports import verify_journal
from edge.store.records import Scan
from edge.store.tx import Tx
from edge.supervise import run_until
from tests.edge.conftest import ADMITTED, Venue, said
from tests.sync.rig import News

LONG = 60.0
OPEN, NORMAL = Signals(held_open=True), Signals()
TARAS = Controller("taras", "Тарас Шевчук", supervisor=True)


class Lamps:
    """Lamps that remember all they were told."""

    def __init__(self) -> None:
        self.looks: list[Look] = []

    def show(self, look: Look) -> None:
        self.looks.append(look)

    async def run(self) -> None:
        await asyncio.Event().wait()


class HandTurnstile(FakeTurnstile):
    """Its guests pass, and their time is up, when the test says so; it tells its contacts as they are when claimed."""

    def __init__(self, first: Signals = NORMAL) -> None:
        super().__init__(passes_after_s=None, passage_timeout_s=LONG)
        self.time_is_up = asyncio.Event()
        self.claimed = False
        self.contacts = first
        self._lost: str | None = None
        self._news = asyncio.Event()

    def say(self, signals: Signals) -> None:
        self.contacts = signals
        super().say(signals)

    def lose(self, why: str) -> None:
        self._lost = why
        super().say(NORMAL)

    async def signals(self) -> AsyncGenerator[Signals]:
        self.claimed, self._lost = True, None
        while not self._says.empty():
            self._says.get_nowait()
        try:
            yield self.contacts
            async for each in super().signals():
                if self._lost is not None:
                    raise DeviceLost(self._lost)
                yield each
        finally:
            self.claimed = False

    async def release(self) -> None:
        self.time_is_up.clear()
        await super().release()
        self._news.set()

    async def passed(self) -> None:
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(each.wait()) for each in (self.turned, self.time_is_up)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()
        if not self.turned.is_set():
            raise TimeoutError

    async def until_released(self, times: int) -> None:
        async with asyncio.timeout(20):
            while self.releases < times:
                self._news.clear()
                await self._news.wait()


class Entrance:
    """A lane with a turnstile and lamps, and what it told of itself."""

    def __init__(
        self, venue: Venue, turnstile: Turnstile | None, lights: Lights | None = None, **settings: Any
    ) -> None:
        self.venue = venue
        self.changes = 0
        self.news = News()
        chosen = LaneSettings(**{"id": "north-1", "checkpoint": "c-north", **settings})
        self.lane = Lane(chosen, "en", venue.store, venue.clock, venue.hub, turnstile, self._changed, lights)
        self.door = self.lane.door

    def _changed(self) -> None:
        self.changes += 1
        self.news.poke()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Run the turnstile's two jobs."""
        async with asyncio.TaskGroup() as group:
            jobs = (self.door.run_signals, self.door.run_releases, self.door.emergencies.run)
            tasks = [group.create_task(job()) for job in jobs]
            yield
            for task in tasks:
                task.cancel()

    async def until(self, fact: Callable[[], bool]) -> None:
        await self.news.until(fact)

    async def until_open(self, is_open: bool = True) -> None:
        await self.until(lambda: self.door.held_open is is_open)


async def rows(venue: Venue, count: int) -> list[Scan]:
    """Wait until the journal has so many rows."""
    async with asyncio.timeout(20):
        while len(found := await venue.journal()) < count:
            await venue.store.recorded.wait()
            venue.store.recorded.clear()
    return found


async def passage_told(feed: "asyncio.Queue[Any]") -> tuple[str, str]:
    """Wait until it is settled whether a guest passed; return which scan's, and how."""
    async with asyncio.timeout(20):
        while (message := await feed.get())["kind"] != "passage":
            pass
    return message["scan_id"], message["passage"]


# --- an emergency ---------------------------------------------------------------------------------------------------


async def test_emergency_and_its_end_are_rows_of_the_chain_that_refuse_nobody(venue: Venue) -> None:
    await venue.sells("T-1")
    turnstile = HandTurnstile()
    here = Entrance(venue, turnstile)
    async with here.at_work():
        turnstile.say(OPEN)
        await rows(venue, 1)
        venue.hand.pass_(60)
        assert said(await here.lane.offer("T-1")) == ADMITTED
        venue.hand.pass_(60)
        turnstile.say(NORMAL)
        found = await rows(venue, 3)
    assert [(row.verdict, row.reason, row.at[11:16], row.checkpoint, row.ticket_id, row.code) for row in found] == [
        ("refused", "emergency_open", "16:02", "c-north", None, None),
        ("admitted", "admitted", "16:03", "c-north", "t-T-1", None),
        ("refused", "emergency_over", "16:04", "c-north", None, None),
    ]
    assert verify_journal(venue.folder).problems == ()
    assert [scan.reason for scan in await venue.store.latest(20, "north-1")] == ["admitted"]
    assert [scan.reason for scan in await venue.store.latest(20)] == ["admitted"]
    await venue.sql("UPDATE scan SET reason = 'unknown_ticket' WHERE seq = 1")
    assert verify_journal(venue.folder).problems == ("seq 1: was changed after it was written",)


@pytest.mark.parametrize(("way", "written"), [("entry", "entry"), ("exit", "exit"), ("both", "entry")])
async def test_emergency_is_written_where_and_whichever_way_the_lane_goes(venue: Venue, way: str, written: str) -> None:
    await venue.in_thread(lambda tx: tx.open_shift("door-2", "taras", venue.clock.now()))
    here = Entrance(venue, HandTurnstile(OPEN), id="door-2", direction=way, checkpoint=None)
    async with here.at_work():
        (row,) = await rows(venue, 1)
    assert (row.lane, row.direction, row.checkpoint, row.controller) == ("door-2", written, None, "taras")
    assert (row.clock, row.passage) == ("trusted", None)


async def test_lane_that_stands_open_when_the_gate_starts_says_so_at_once(venue: Venue) -> None:
    turnstile, lamps = HandTurnstile(OPEN), Lamps()
    here = Entrance(venue, turnstile, lamps)
    async with here.at_work():
        await here.until_open()
        (row,) = await rows(venue, 1)
    assert (row.reason, lamps.looks[0]) == ("emergency_open", Look.HELD_OPEN)


async def test_lane_at_rest_when_the_gate_starts_writes_nothing(venue: Venue) -> None:
    await venue.sells("T-1")
    turnstile = HandTurnstile(NORMAL)
    here = Entrance(venue, turnstile)
    async with here.at_work():
        turnstile.say(NORMAL)
        await here.lane.offer("T-1")
        await turnstile.until_released(1)
    assert [row.reason for row in await venue.journal()] == ["admitted"]


async def test_nobody_is_released_while_the_lane_is_held_open_nor_for_that_afterwards(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")
    turnstile = HandTurnstile()
    here = Entrance(venue, turnstile)
    with venue.hub.subscribe() as feed:
        async with here.at_work():
            turnstile.say(OPEN)
            await here.until_open()
            assert said(await here.lane.offer("T-1")) == ADMITTED
            turnstile.say(NORMAL)
            await here.until_open(False)
            assert turnstile.releases == 0
            second = await here.lane.offer("T-2")
            await turnstile.until_released(1)
            turnstile.turned.set()
            assert await passage_told(feed) == (second.scan.scan_id, "passed")
    assert turnstile.releases == 1
    admitted = [row for row in await venue.journal() if row.ticket_id]
    assert [row.passage for row in admitted] == ["unknown", "passed"]


async def test_who_waited_for_the_turnstile_when_it_opened_is_not_released_afterwards(venue: Venue) -> None:
    await venue.sells("T-1", "T-2", "T-3")
    turnstile = HandTurnstile()
    here = Entrance(venue, turnstile)
    with venue.hub.subscribe() as feed:
        async with here.at_work():
            first = await here.lane.offer("T-1")
            await turnstile.until_released(1)
            await here.lane.offer("T-2")
            for signals in (OPEN, NORMAL):
                turnstile.say(signals)
                await here.until_open(signals.held_open)
            turnstile.turned.set()
            assert await passage_told(feed) == (first.scan.scan_id, "passed")
            third = await here.lane.offer("T-3")
            await turnstile.until_released(2)
            turnstile.turned.set()
            assert await passage_told(feed) == (third.scan.scan_id, "passed")
    assert turnstile.releases == 2
    assert [row.passage for row in await venue.journal() if row.ticket_id] == ["passed", "unknown", "passed"]


@pytest.mark.parametrize("lasts", [True, False], ids=["still open", "over by then"])
async def test_guest_who_may_have_walked_through_the_open_lane_does_not_get_the_ticket_back(
    venue: Venue, lasts: bool
) -> None:
    await venue.sells("T-1", "T-2")
    turnstile = HandTurnstile()
    here = Entrance(venue, turnstile)
    async with here.at_work():
        await here.lane.offer("T-1")
        await turnstile.until_released(1)
        turnstile.say(OPEN)
        await here.until_open()
        if not lasts:
            turnstile.say(NORMAL)
            await here.until_open(False)
        turnstile.time_is_up.set()
        if lasts:
            turnstile.say(NORMAL)
            await here.until_open(False)
        await here.lane.offer("T-2")
        await turnstile.until_released(2)
        found = await venue.journal()
    assert "not_passed" not in {row.reason for row in found}
    assert found[0].passage == "unknown"
    assert said(await here.lane.offer("T-1", scan_id="again")) == ("refused", "already_used")


async def test_guest_whose_time_is_up_without_an_emergency_gets_the_ticket_back(venue: Venue) -> None:
    await venue.sells("T-1")
    turnstile = HandTurnstile()
    here = Entrance(venue, turnstile)
    with venue.hub.subscribe() as feed:
        async with here.at_work():
            await here.lane.offer("T-1")
            await turnstile.until_released(1)
            turnstile.time_is_up.set()
            assert (await passage_told(feed))[1] == "not_passed"
    assert said(await here.lane.offer("T-1", scan_id="again")) == ADMITTED


# --- the contacts go on whatever the disk does ----------------------------------------------------------------------


async def test_emergency_that_the_disk_does_not_take_is_obeyed_and_written_down_later(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency_log, "AGAIN_S", 0.0)
    turnstile = HandTurnstile()
    here = Entrance(venue, turnstile)
    await venue.sql("PRAGMA query_only=1")
    async with here.at_work():
        turnstile.say(OPEN)
        await here.until(lambda: here.door.held_open and here.lane.cannot_record is not None)
        venue.hand.pass_(120)
        turnstile.say(NORMAL)
        await here.until_open(False)
        assert "cannot be written" in str(here.lane.cannot_record)
        assert await venue.journal() == []
        await venue.sql("PRAGMA query_only=0")
        found = await rows(venue, 2)
    assert [(row.reason, row.at[11:16]) for row in found] == [("emergency_open", "16:02"), ("emergency_over", "16:04")]
    assert verify_journal(venue.folder).problems == ()


@contextmanager
def a_disk_that_hangs(venue: Venue) -> Iterator[None]:
    """Keep the decision thread waiting, as a worn memory card does."""
    go_on = threading.Event()

    def job(_tx: Tx) -> None:
        go_on.wait(20)

    stuck = asyncio.ensure_future(venue.store.read(job))
    try:
        yield
    finally:
        go_on.set()
        stuck.add_done_callback(lambda done: done.result())


async def test_contacts_are_followed_while_the_disk_hangs(venue: Venue) -> None:
    turnstile, lamps = HandTurnstile(), Lamps()
    here = Entrance(venue, turnstile, lamps)
    async with here.at_work():
        with a_disk_that_hangs(venue):
            await asyncio.sleep(0)
            for signals in (OPEN, NORMAL, OPEN):
                turnstile.say(signals)
                await here.until_open(signals.held_open)
        found = await rows(venue, 3)
    assert [row.reason for row in found] == ["emergency_open", "emergency_over", "emergency_open"]
    assert lamps.looks == [Look.HELD_OPEN, Look.DARK, Look.HELD_OPEN, Look.DARK]


async def test_gate_that_is_stopped_amid_the_writing_writes_an_emergency_once(venue: Venue) -> None:
    here = Entrance(venue, HandTurnstile(OPEN))
    with a_disk_that_hangs(venue):
        async with here.at_work():
            await here.until_open()
            for _ in range(5):
                await asyncio.sleep(0)  # the row is on its way to the disk
    async with here.at_work():
        await rows(venue, 1)
        await venue.store.write(lambda tx: tx.open_shift("north-1", "taras", venue.clock.now()))
    assert [row.reason for row in await venue.journal()] == ["emergency_open"]
    assert here.lane.cannot_record is None


async def test_emergency_that_ended_while_the_gate_was_down_is_over_in_the_journal(venue: Venue) -> None:
    first = Entrance(venue, HandTurnstile(OPEN))
    async with first.at_work():
        await rows(venue, 1)
    for contacts in (OPEN, NORMAL):  # still open at the next start, and over at the one after
        later = Entrance(venue, HandTurnstile(contacts))
        async with later.at_work():
            async with asyncio.timeout(20):
                while not later.door.emergencies._looked_back or later.door.emergencies._now_open is None:
                    await asyncio.sleep(0)
            if contacts is NORMAL:
                await rows(venue, 2)
    assert [row.reason for row in await venue.journal()] == ["emergency_open", "emergency_over"]


# --- the turnstile itself -------------------------------------------------------------------------------------------


async def test_fault_contact_is_shown_and_gone_again(venue: Venue) -> None:
    turnstile = HandTurnstile()
    here = Entrance(venue, turnstile)
    async with here.at_work():
        turnstile.say(Signals(fault=True))
        await here.until(lambda: here.door.fault is not None)
        assert here.door.fault == "turnstile: it reports a fault; look at it"
        turnstile.say(NORMAL)
        await here.until(lambda: here.door.fault is None)
        assert here.changes == 2
    assert await venue.journal() == []


async def lost(job: "asyncio.Task[None]") -> str:
    with pytest.raises(DeviceLost) as caught:
        await job
    return str(caught.value)


@pytest.mark.parametrize(
    ("then", "written"), [(NORMAL, ["emergency_open", "emergency_over"]), (OPEN, ["emergency_open"])]
)
async def test_turnstile_that_goes_is_no_longer_believed_and_tells_anew_when_it_is_back(
    venue: Venue, then: Signals, written: list[str]
) -> None:
    await venue.sells("T-1")
    turnstile, lamps = HandTurnstile(Signals(fault=True, held_open=True)), Lamps()
    here = Entrance(venue, turnstile, lamps)
    job = asyncio.ensure_future(here.door.run_signals())
    await here.until_open()
    turnstile.lose("gpiochip0 17: No such device")
    assert await lost(job) == "gpiochip0 17: No such device"
    assert (here.door.held_open, here.door.fault, turnstile.claimed) == (False, None, False)
    assert lamps.looks == [Look.HELD_OPEN, Look.DARK]
    turnstile.contacts = then
    async with here.at_work():
        await here.until_open(then.held_open)
        await rows(venue, len(written))
        for scan_id in ("phone-1", "phone-2"):  # a row too many would come before the second
            await here.lane.offer("T-1", scan_id=scan_id)
        found = await venue.journal()
    assert [row.reason for row in found] == [*written, "admitted", "already_used"]


async def test_guest_who_may_have_passed_a_turnstile_that_was_lost_does_not_get_the_ticket_back(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")
    turnstile = HandTurnstile()
    here = Entrance(venue, turnstile)
    async with asyncio.TaskGroup() as group:
        releases = group.create_task(here.door.run_releases())
        signals = asyncio.ensure_future(here.door.run_signals())
        await here.lane.offer("T-1")
        await turnstile.until_released(1)
        turnstile.lose("gpiochip0 17: No such device")
        await lost(signals)
        turnstile.time_is_up.set()
        await here.lane.offer("T-2")  # while it is being claimed again
        claimed = group.create_task(here.door.run_signals())
        await turnstile.until_released(2)
        releases.cancel()
        claimed.cancel()
    assert [(row.reason, row.passage) for row in await venue.journal()] == [("admitted", "unknown")] * 2


async def test_turnstile_is_let_go_at_once_if_what_shows_it_breaks(venue: Venue) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    turnstile = HandTurnstile(OPEN)
    lane = Lane(LaneSettings(id="a"), "en", venue.store, venue.clock, venue.hub, turnstile, broken)
    with pytest.raises(ZeroDivisionError):
        await lane.door.run_signals()
    assert not turnstile.claimed


# --- lamps ----------------------------------------------------------------------------------------------------------


async def test_each_verdict_has_its_look(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")
    lamps = Lamps()
    lane = Entrance(venue, None, lamps).lane
    out = Entrance(venue, None, lamps, id="out", checkpoint="c-exit", direction="exit").lane
    await lane.offer("T-1")
    await lane.offer("T-1")
    refused = await lane.offer("FORGED")
    await lane.override(refused.scan.scan_id, TARAS, "paper ticket seen")
    await lane.offer("\x1d")
    await out.offer("T-1")
    assert lamps.looks == [Look.ADMITTED, Look.ADMITTED, Look.REFUSED, Look.ADMITTED, Look.AGAIN, Look.EXITED]


async def test_lane_held_open_shows_that_and_no_verdict(venue: Venue) -> None:
    await venue.sells("T-1", "T-2")
    turnstile, lamps = HandTurnstile(), Lamps()
    here = Entrance(venue, turnstile, lamps)
    async with here.at_work():
        turnstile.say(OPEN)
        await here.until_open()
        await here.lane.offer("T-1")
        await here.lane.offer("FORGED")
        turnstile.say(Signals(held_open=True, fault=True))
        await here.until(lambda: here.door.fault is not None)
        assert lamps.looks == [Look.HELD_OPEN]
        turnstile.say(NORMAL)
        await here.until_open(False)
        await here.lane.offer("T-2")
    assert lamps.looks == [Look.HELD_OPEN, Look.DARK, Look.ADMITTED]


# --- the whole gate -------------------------------------------------------------------------------------------------


async def test_gate_tells_its_page_of_an_emergency_and_keeps_it_out_of_the_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lane = {"id": "north-1", "turnstile": {"driver": "fake"}}
    device = {"name": "North 1", "data_path": str(tmp_path / "data"), "language": "en"}
    settings = check_settings({"device": device, "web": {"port": 0}, "lane": [lane]}, "-")
    defects: list[BaseException] = []
    stop, news = asyncio.Event(), News()
    async with open_gate(settings, defects.append) as gate, asyncio.TaskGroup() as group:
        gate.box.hub.listen(lambda _message: news.poke())
        mine = {name: job for name, job in gate.jobs.items() if name.endswith(":north-1")}
        assert sorted(mine) == ["emergencies:north-1", "releases:north-1", "turnstile:north-1"]
        group.create_task(run_until(stop, mine, gate.box.healths))
        open_lane = gate.box.lane(None)
        turnstile = open_lane.door._turnstile
        assert isinstance(turnstile, FakeTurnstile)
        with caplog.at_level(logging.ERROR):
            turnstile.say(OPEN)
            await news.until(lambda: open_lane.door.held_open)
        status = await gate.box.status()
        assert status["lanes"][0]["turnstile"] == {"fault": None, "held_open": True}
        assert status["faults"][0] == f"lane north-1: held open: {HELD_OPEN}"
        await open_lane.offer("FORGED")
        assert [each["reason"] for each in await gate.box.history(open_lane)] == ["unknown_ticket"]
        turnstile.say(NORMAL)
        await news.until(lambda: not open_lane.door.held_open)
        status = await gate.box.status()
        assert (status["lanes"][0]["turnstile"]["held_open"], status["faults"]) == (False, [])
        stop.set()
    assert "lane north-1: emergency_open" in caplog.text
    assert defects == []
