"""Reads that are no tickets: badges that open and close a shift, and codes that did not come through whole."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from config.settings import LaneSettings, check_settings
from drivers.protocols import Look, Read, Spoiled
from edge.core.barcodes import lookup_of, lookup_text
from edge.core.model import Assignment, Checkpoint, Controller
from edge.desk import Desk
from edge.enrolling import CrmLink
from edge.gate import BadgeRead, Lane, ReaderCount
from edge.people import People
from edge.store.credentials import Credentials
from edge.store.writer import CannotRecord
from sync.connector import Connector
from sync.engine import SyncEngine
from sync.state import CrmHealth
from tests.edge.conftest import ADMITTED, EVENING, KEY, NOW, Venue, said
from tests.edge.test_door import Lamps

CREDENTIALS = Credentials(
    url="http://none", device_id="device-1", name="North 1", organiser="Palace", token="t", lookup_key=KEY
)


def no_engine(_connector: Connector) -> SyncEngine:
    raise AssertionError("this box pulls from nowhere")


def badge(controller: str, name: str, code: str) -> Controller:
    return Controller(controller, name, badge=lookup_text(lookup_of(KEY, code)))


TARAS = badge("taras", "Тарас Шевчук", "BADGE-TARAS")
OLENA = badge("olena", "Олена Коваль", "BADGE-OLENA")
IVAN = badge("ivan", "Іван Мазепа", "BADGE-IVAN")
STAFFED = Checkpoint("c-north", "concert", "North gate", hours=(EVENING,), controllers=("olena", "taras"))


@dataclass
class Reader:
    """A scanner that reads what it is given, `apart_s` seconds apart, and is then unplugged."""

    given: list[str | Spoiled]
    pass_: Callable[[float], None] = lambda _seconds: None
    apart_s: float = 0.0
    symbology: str | None = None

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        for each in self.given:
            yield Read(each, NOW, self.symbology) if isinstance(each, str) else each
            self.pass_(self.apart_s)


@dataclass
class Staffed:
    """The North gate, which two controllers are assigned to, with a desk for their badges."""

    venue: Venue
    people: People
    desk: Desk
    lamps: Lamps
    lane: Lane
    told: list[dict[str, Any]] = field(default_factory=list)

    async def shows(self, *codes: str, apart_s: float = 0.0, count: ReaderCount | None = None) -> None:
        """Hold these codes before the lane's reader, one after the other."""
        reader = Reader(list(codes), self.venue.hand.pass_, apart_s)
        await self.lane.pump(reader, others=self.desk.take, count=count)

    async def on_shift(self) -> list[str]:
        return [each.id for each in await self.people.on_shift(self.lane.id)]

    async def shifts(self) -> list[Any]:
        return await self.venue.sql("SELECT controller, closed_at IS NULL FROM shift ORDER BY id")

    @property
    def notices(self) -> list[str]:
        return [each["notice"] for each in self.told if each["kind"] == "notice"]


def staffed(venue: Venue, **settings: Any) -> Staffed:
    people = People(venue.store, venue.clock)
    whole = check_settings({"device": {"name": "North 1"}, "lane": [{"id": "north-1"}]}, "-")
    link = CrmLink(whole, venue.store, CrmHealth(), no_engine, CREDENTIALS)
    desk = Desk(venue.store, people, link, lambda: venue.hand.ticks)
    chosen, lamps = LaneSettings(**{"id": "north-1", "checkpoint": "c-north", **settings}), Lamps()
    lane = Lane(chosen, "en", venue.store, venue.clock, venue.hub, None, lights=lamps)
    found = Staffed(venue, people, desk, lamps, lane)
    venue.hub.listen(found.told.append)
    return found


@pytest.fixture
async def here(venue: Venue) -> Staffed:
    await venue.puts("controller", TARAS, OLENA, IVAN)
    await venue.puts("checkpoint", STAFFED)
    return staffed(venue)


# --- badges ---------------------------------------------------------------------------------------------------------


async def test_badge_opens_the_shift_and_then_closes_it(here: Staffed) -> None:
    await here.shows("BADGE-TARAS")
    assert await here.on_shift() == ["taras"]
    here.venue.hand.pass_(3600)
    await here.shows("BADGE-TARAS")
    assert await here.on_shift() == []
    assert here.notices == ["shift_opened", "shift_closed"]
    assert here.lamps.looks == [Look.NOTED, Look.NOTED]
    assert here.told[0] == {
        "kind": "notice",
        "notice": "shift_opened",
        "look": "noted",
        "title": "ON SHIFT",
        "message": "Тарас Шевчук is signed in here.",
        "lane": "north-1",
        "at": "2026-05-01T16:02:00Z",
    }
    assert await here.shifts() == [("taras", 0)]


async def test_badge_that_stays_before_a_camera_is_one_showing_however_long(here: Staffed) -> None:
    await here.shows(*["BADGE-TARAS"] * 60, apart_s=0.2)
    assert await here.on_shift() == ["taras"]
    assert set(here.notices) == {"shift_opened"}
    here.venue.hand.pass_(here.lane.settings.repeat_s)
    await here.shows("BADGE-TARAS")
    assert (await here.on_shift(), here.notices[-1]) == ([], "shift_closed")


async def test_badge_shown_again_after_repeat_s_is_another_showing_to_the_tick(here: Staffed) -> None:
    await here.shows("BADGE-TARAS", "BADGE-TARAS", apart_s=here.lane.settings.repeat_s - 0.01)
    assert here.notices == ["shift_opened", "shift_opened"]
    here.venue.hand.pass_(0.01)
    await here.shows("BADGE-TARAS")
    assert here.notices[-1] == "shift_closed"


async def test_badge_at_another_lane_is_another_showing(here: Staffed) -> None:
    south = staffed(here.venue, id="south")
    south.desk = here.desk
    await here.shows("BADGE-TARAS")
    await south.shows("BADGE-TARAS")
    assert (await here.on_shift(), await south.on_shift()) == (["taras"], ["taras"])


async def test_next_controller_relieves_the_one_before(here: Staffed) -> None:
    await here.shows("BADGE-TARAS", "BADGE-OLENA")
    assert await here.on_shift() == ["olena"]
    assert here.notices == ["shift_opened", "shift_opened"]
    assert await here.shifts() == [("taras", 0), ("olena", 1)]


async def test_controller_of_another_gate_is_told_so_and_changes_nothing(here: Staffed) -> None:
    await here.shows("BADGE-TARAS", "BADGE-IVAN")
    assert await here.on_shift() == ["taras"]
    assert await here.shifts() == [("taras", 1)]
    assert (here.notices[-1], here.lamps.looks[-1]) == ("not_assigned", Look.REFUSED)
    assert here.told[-1]["message"] == "Іван Мазепа is not assigned to this checkpoint."


async def test_anybodys_badge_will_do_where_the_checkpoint_names_nobody(here: Staffed) -> None:
    await here.venue.puts("checkpoint", Checkpoint("c-north", "concert", "North gate", hours=(EVENING,)))
    await here.shows("BADGE-IVAN")
    assert await here.on_shift() == ["ivan"]


async def test_badge_works_at_a_lane_that_nobody_has_assigned_yet(here: Staffed) -> None:
    lost = staffed(here.venue, id="lost", checkpoint=None)
    await lost.shows("BADGE-IVAN")
    assert (await lost.on_shift(), lost.notices[-1]) == (["ivan"], "shift_opened")
    async with here.venue.store.session(building=False) as session:
        await session.put_entity("assignment", "a", Assignment("device-1", "lost", "c-north"))
        await session.commit(None, NOW)
    lost.venue.hand.pass_(60)
    await lost.shows("BADGE-IVAN")
    assert lost.notices[-1] == "not_assigned"


async def test_badge_is_never_written_down(here: Staffed) -> None:
    await here.shows(" BADGE-TARAS\r", "BADGE-OLENA", "BADGE-IVAN")
    assert len(here.notices) == 3
    assert await here.venue.journal() == []
    files = b"".join(path.read_bytes() for path in here.venue.folder.glob("*.db*"))
    assert b"BADGE-" not in files
    await here.shows("BADGE-PETRO")
    assert [(row.reason, row.code) for row in await here.venue.journal()] == [("unknown_ticket", "BADGE-PETRO")]


async def test_code_that_is_a_ticket_and_a_badge_is_a_ticket(here: Staffed) -> None:
    await here.venue.sells("BADGE-TARAS")
    await here.shows("BADGE-TARAS")
    (row,) = await here.venue.journal()
    assert ((row.verdict, row.reason), await here.on_shift(), here.notices) == (ADMITTED, [], [])


async def test_guest_is_admitted_once_the_badge_has_opened_the_shift(here: Staffed) -> None:
    strict = replace(STAFFED, requires_controller=True)
    await here.venue.puts("checkpoint", strict)
    await here.venue.sells("T-1")
    await here.shows("T-1", "BADGE-TARAS", "T-1")
    assert [(row.reason, row.controller) for row in await here.venue.journal()] == [
        ("no_controller", None),
        ("admitted", "taras"),
    ]


async def test_without_a_desk_a_badge_is_still_no_ticket(here: Staffed) -> None:
    with pytest.raises(BadgeRead) as caught:
        await here.lane.offer("BADGE-TARAS")
    assert caught.value.controller == TARAS
    assert "BADGE-TARAS" not in str(caught.value)
    await here.lane.pump(Reader(["BADGE-TARAS"]))
    assert (await here.on_shift(), await here.venue.journal()) == ([], [])


async def test_badge_that_the_disk_does_not_take_is_said_at_the_lane_and_opens_the_shift_later(
    here: Staffed, caplog: pytest.LogCaptureFixture
) -> None:
    await here.venue.sql("PRAGMA query_only=1")
    with pytest.raises(CannotRecord):
        await here.desk.take(here.lane, BadgeRead(TARAS))
    assert "cannot be written" in str(here.lane.cannot_record)
    with caplog.at_level(logging.ERROR):
        await here.shows("BADGE-TARAS")
    assert "cannot be written" in caplog.text
    assert (await here.on_shift(), here.notices) == ([], [])
    await here.venue.sql("PRAGMA query_only=0")
    await here.shows("BADGE-TARAS")
    assert (await here.on_shift(), here.notices) == (["taras"], ["shift_opened"])
    assert here.lane.cannot_record is None


class UnhurriedPeople(People):
    """Who sign in, and are then in no hurry to say so."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue.store, venue.clock)
        self.signed_in, self.go_on = asyncio.Event(), asyncio.Event()

    async def sign_in(self, lane: str, who: Controller) -> None:
        await super().sign_in(lane, who)
        self.signed_in.set()
        await self.go_on.wait()


async def test_badge_that_two_readers_see_at_once_is_one_showing(here: Staffed) -> None:
    people = UnhurriedPeople(here.venue)
    desk = Desk(here.venue.store, people, here.desk._link, lambda: here.venue.hand.ticks)
    async with asyncio.TaskGroup() as group:
        left = group.create_task(desk.take(here.lane, BadgeRead(TARAS)))
        await people.signed_in.wait()
        right = group.create_task(desk.take(here.lane, BadgeRead(TARAS)))
        # Long enough for the second reader to have asked who is on shift, and to have closed it.
        await here.people.on_shift("north-1")
        await here.people.on_shift("north-1")
        await here.people.on_shift("north-1")
        people.go_on.set()
    assert [each.result()["notice"] for each in (left, right)] == ["shift_opened", "shift_opened"]
    assert await here.shifts() == [("taras", 1)]


# --- spoiled reads --------------------------------------------------------------------------------------------------


async def test_spoiled_read_is_counted_shown_and_never_guessed(here: Staffed) -> None:
    await here.venue.sells("T-1")
    count, changes = ReaderCount(), 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    lane = Lane(here.lane.settings, "en", here.venue.store, here.venue.clock, here.venue.hub, None, changed, here.lamps)
    spoiled = [Spoiled("keys were lost", NOW), Spoiled("no suffix after 50 ms", NOW + timedelta(seconds=1))]
    await lane.pump(Reader([*spoiled, "T-1"], symbology="]Q3"), others=here.desk.take, count=count)
    assert count == ReaderCount(reads=1, spoiled=2, spoiled_why="no suffix after 50 ms", symbology="]Q3")
    assert here.notices == ["scan_again", "scan_again"]
    assert (here.told[0]["title"], here.told[0]["look"]) == ("SCAN AGAIN", "again")
    assert here.lamps.looks == [Look.AGAIN, Look.AGAIN, Look.ADMITTED]
    assert changes == 2
    assert [row.reason for row in await here.venue.journal()] == ["admitted"]


async def test_reads_are_counted_whatever_comes_of_them(here: Staffed) -> None:
    count = ReaderCount()
    await here.shows("FORGED", "BADGE-TARAS", "\x1d", count=count)
    assert (count.reads, count.spoiled, count.symbology) == (3, 0, None)
    assert said(await here.lane.offer("FORGED")) == ("refused", "unknown_ticket")


async def test_badge_that_is_sent_again_for_want_of_an_answer_does_nothing_more(here: Staffed) -> None:
    first = await here.desk.take(here.lane, BadgeRead(TARAS), "phone-1")
    here.venue.hand.pass_(60)
    assert await here.desk.take(here.lane, BadgeRead(TARAS), "phone-1") == first
    assert await here.on_shift() == ["taras"]
    await here.desk.take(here.lane, BadgeRead(TARAS), "phone-2")
    assert await here.on_shift() == []


async def test_reader_goes_on_after_a_badge_that_the_disk_did_not_take(here: Staffed) -> None:
    await here.venue.sells("T-1")
    await here.venue.sql("PRAGMA query_only=1")
    count = ReaderCount()
    await here.shows("BADGE-TARAS", "BADGE-TARAS", count=count)
    assert (count.reads, here.lane.cannot_record is None) == (2, False)
    await here.venue.sql("PRAGMA query_only=0")
    await here.shows("T-1")
    assert here.lane.cannot_record is None
