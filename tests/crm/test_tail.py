"""What gates are told from memory is, to the letter, what the database would tell them."""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.central import open_central
from crm.cursor import Place
from crm.database import Database
from crm.feed import Sizes, cursor_line, step, step_of_tail
from crm.parcels import Parcels
from crm.tail import Change, Tail
from tests.crm.conftest import HandClock, lines_of
from tests.crm.test_converges import ACTIONS, founded

SIZES = st.builds(Sizes, rows=st.just(1000), lines=st.integers(1, 4), changes=st.integers(1, 7))


def a_change(seq: int, line: str = "{}", *, only: str | None = None, others: str | None = None) -> Change:
    return Change(seq, "event", line, only, others, 0, "0")


def filled(count: int, **most: int) -> Tail:
    tail = Tail(**most)
    tail.add(a_change(seq) for seq in range(1, count + 1))
    return tail


def test_changes_are_found_by_their_seq() -> None:
    tail = filled(10)
    assert [change.seq for change in tail.after(0, 3)] == [1, 2, 3]
    assert [change.seq for change in tail.after(7, 60)] == [8, 9, 10]
    assert tail.after(10, 60) == []


def test_the_oldest_go_when_there_are_too_many() -> None:
    tail = filled(1000, most_changes=100)
    assert tail.last_seq == 1000
    assert 1000 - 100 <= tail.first_seq <= 1000 - 90
    assert [change.seq for change in tail.after(tail.first_seq, 1)] == [tail.first_seq + 1]


def test_the_oldest_go_when_they_are_too_long() -> None:
    tail = Tail(most_bytes=100_000)
    tail.add(a_change(seq, "x" * 10_000) for seq in range(1, 30))
    assert 8 <= len(tail.after(tail.first_seq, 60)) <= 9


def test_who_is_named_in_a_span_is_known() -> None:
    tail = Tail(most_changes=100)
    tail.add([a_change(1), a_change(2, only="a"), a_change(3, others="b"), a_change(4)])
    assert [tail.names(device, 1, 4) for device in "abc"] == [True, True, False]
    assert [tail.names("a", *span) for span in ((2, 4), (0, 1), (1, 2))] == [False, False, True]
    tail.add(a_change(seq) for seq in range(5, 200))
    assert not tail.names("a", 0, 200)


def test_a_gap_is_a_defect() -> None:
    with pytest.raises(ValueError, match="does not follow"):
        filled(3).add([a_change(5)])


async def compare(db: Database, devices: Sequence[str], sizes: Sizes) -> None:
    """Compare memory and database at every place that the tail reaches back to."""
    follower = db.follower
    await follower.fresh()
    async with db.read() as tx:
        parcels = Parcels(follower.tail, sizes)
        for device in devices:
            for seq in range(max(follower.tail.first_seq, tx.pruned_seq), tx.seq + 1):
                place = Place(tx.organiser.epoch, seq)
                lines: list[str] = []
                more = True
                while more:
                    told = await step(tx, device, place, sizes)
                    assert step_of_tail(follower.tail, follower.moment, device, place, sizes) == told
                    lines += [*told.lines, cursor_line(told, tx)]
                    place, more = told.place, told.more
                for packed in (False, True):
                    start = Place(tx.organiser.epoch, seq)
                    parcel = parcels.parcel(device, start, follower.moment, packed=packed)
                    assert parcel is not None
                    body = zlib.decompress(parcel.body, wbits=31) if packed else parcel.body
                    assert lines_of(body) == lines_of("\n".join(lines).encode())
                    assert (parcel.place, parcel.news) == (place, any('"cursor"' not in line for line in lines))


async def live(url: str, actions: list[tuple[Any, ...]], sizes: Sizes, most: int) -> None:
    async with open_central(url, HandClock()) as central:
        world = await founded(central)
        tail = central.db.follower.tail
        tail._most = (most, tail._most[1])
        for action in actions:
            await world.act(action)
            if action[0] in ("pull", "cut"):
                await central.db.follower.fresh()
        await compare(central.db, [*(device.id for device in world.devices), "d-none"], sizes)


def test_memory_tells_what_the_database_tells(new_url: Callable[[], str], backend: str) -> None:
    def story(actions: list[tuple[Any, ...]], sizes: Sizes, most: int) -> None:
        asyncio.run(live(new_url(), actions, sizes, most))

    run = given(st.lists(ACTIONS, max_size=25), SIZES, st.sampled_from([5, 20_000]))(story)
    settings(max_examples=25 if backend == "sqlite" else 8, deadline=None)(run)()
