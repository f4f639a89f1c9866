"""Codes that may have been misread: what nobody knows is asked for once more, and what is known is judged at once."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from drivers.protocols import Look, Read, Spoiled
from edge.core.barcodes import lookup_of, lookup_text
from edge.core.model import Controller
from edge.gate import MISREAD, Lane, NotATicket, ReaderCount
from tests.edge.conftest import KEY, NOW, Venue
from tests.edge.test_door import Lamps

EAN = "4006381333931"


@dataclass
class Sheet:
    """A camera's reads, one after the other: `code`, `at_s` and `again`; all of a symbology that is easily misread."""

    given: list[tuple[str, float, bool]]

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        for code, at_s, again in self.given:
            yield Read(code, NOW + timedelta(seconds=at_s), "]E0", certain=False, again=again)


@dataclass
class Watched:
    """A lane with a camera, and what is seen and heard at it."""

    venue: Venue
    lane: Lane
    lamps: Lamps
    count: ReaderCount = field(default_factory=ReaderCount)
    told: list[str] = field(default_factory=list)
    others: list[NotATicket] = field(default_factory=list)

    async def sees(self, *given: tuple[str, float, bool]) -> None:
        async def other(_lane: Lane, what: NotATicket) -> dict[str, Any]:
            self.others.append(what)
            return {}

        await self.lane.pump(Sheet(list(given)), others=other, count=self.count)

    async def reasons(self) -> list[str]:
        return [scan.reason for scan in await self.venue.journal()]


@pytest.fixture
def here(venue: Venue) -> Watched:
    lamps = Lamps()
    lane = venue.lane()
    lane.lights = lamps
    found = Watched(venue, lane, lamps)
    venue.hub.listen(lambda message: found.told.append(message.get("notice") or message["reason"]))
    return found


async def test_what_nobody_knows_is_asked_for_again_and_not_written_down(here: Watched) -> None:
    await here.sees((EAN, 0, False))
    assert (await here.reasons(), here.told, here.lamps.looks) == ([], ["scan_again"], [Look.AGAIN])
    assert here.count == ReaderCount(reads=0, spoiled=1, spoiled_why=MISREAD, symbology="]E0")


async def test_read_a_second_time_it_is_unknown(here: Watched) -> None:
    await here.sees((EAN, 0, False), (EAN, 9, False))
    assert (await here.reasons(), here.told) == (["unknown_ticket"], ["scan_again", "unknown_ticket"])
    assert (here.count.reads, here.count.spoiled) == (1, 1)


async def test_one_that_stays_in_view_is_unknown_without_being_taken_away(here: Watched) -> None:
    await here.sees((EAN, 0, False), (EAN, 0.5, True))
    assert await here.reasons() == ["unknown_ticket"]


async def test_one_that_comes_back_late_is_asked_for_anew(here: Watched) -> None:
    await here.sees((EAN, 0, False), (EAN, 10, False))
    assert (await here.reasons(), here.told) == ([], ["scan_again", "scan_again"])
    await here.sees((EAN, 12, False))
    assert await here.reasons() == ["unknown_ticket"]


async def test_misreads_that_differ_leave_nothing_and_the_right_read_is_admitted(here: Watched) -> None:
    await here.venue.sells(EAN)
    await here.sees(("4006381333948", 0, False), ("4006381339931", 1, False), (EAN, 2, False))
    assert await here.reasons() == ["admitted"]
    assert here.told == ["scan_again", "scan_again", "admitted"]


async def test_a_known_code_is_judged_at_once_and_only_once_while_it_stays_in_view(here: Watched) -> None:
    await here.venue.sells(EAN)
    await here.sees((EAN, 0, False), (EAN, 0.5, True))
    assert (await here.reasons(), here.told) == (["admitted"], ["admitted"])
    assert here.count.reads == 1
    here.venue.hand.pass_(60)
    await here.sees((EAN, 60, False), (EAN, 60.5, True))
    assert await here.reasons() == ["admitted", "already_used"]


async def test_a_guest_who_has_passed_at_once_is_not_refused_by_the_second_read(here: Watched) -> None:
    await here.venue.sells(EAN)
    await here.sees((EAN, 0, False))
    (scan,) = await here.venue.journal()
    await here.venue.store.write(lambda tx: tx.passed(scan.scan_id, NOW))
    await here.sees((EAN, 0.6, True))
    assert await here.reasons() == ["admitted"]


async def test_one_that_is_sold_between_its_reads_is_admitted(here: Watched) -> None:
    await here.sees((EAN, 0, False))
    await here.venue.sells(EAN)
    await here.sees((EAN, 3, False))
    assert await here.reasons() == ["admitted"]


async def test_a_second_reader_bears_it_out(here: Watched) -> None:
    await here.sees((EAN, 0, False))
    await here.sees((EAN, 1, False))
    assert await here.reasons() == ["unknown_ticket"]


async def test_another_lane_asks_for_itself(here: Watched) -> None:
    await here.sees((EAN, 0, False))
    await here.venue.lane("north-2").pump(Sheet([(EAN, 1, False)]))
    assert await here.reasons() == []


async def test_a_badge_is_taken_at_once_and_only_once(here: Watched) -> None:
    badge = lookup_text(lookup_of(KEY, EAN))
    await here.venue.puts("controller", Controller("taras", "Тарас Шевчук", badge=badge))
    await here.sees((EAN, 0, False), (EAN, 0.5, True))
    assert (len(here.others), here.told, await here.reasons()) == (1, [], [])


async def test_what_cannot_be_read_at_all_is_refused_at_once(here: Watched) -> None:
    await here.sees(("\x1d", 0, False))
    assert await here.reasons() == ["unreadable"]


async def test_a_reader_that_is_certain_is_believed_at_once(here: Watched) -> None:
    await here.lane.offer(EAN)
    assert await here.reasons() == ["unknown_ticket"]
