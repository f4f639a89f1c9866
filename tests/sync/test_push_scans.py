"""The scans that a CRM which pushes reads at the device, and so acknowledges."""

import pytest

from sync.push import Caller
from tests.sync.book import Book, everything
from tests.sync.pusher import CRM, NOBODY, PHONE, Pusher, shown
from tests.sync.rig import START, Rig, acked


@pytest.fixture
def pusher(rig: Rig) -> Pusher:
    return Pusher(rig)


async def test_reading_on_acknowledges_what_was_given_before(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    for number in range(1, 6):
        await rig.offer(number)
    assert await pusher.reads(0, limit=3) == [1, 2, 3]
    assert rig.acked == 0, "given is not yet had"
    assert await pusher.reads(3, limit=3) == [4, 5]
    assert rig.acked == 3
    assert await pusher.reads(5) == []
    assert rig.acked == 5
    backlog = await rig.store.backlog()
    assert (backlog.unsent, backlog.oldest_at) == (0, None)


async def test_going_back_a_little_does_not_unsay_what_was_given(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(3))
    for number in (1, 2, 3):
        await rig.offer(number)
    await pusher.reads(0)
    assert await pusher.reads(1, limit=1) == [2]
    await pusher.reads(3)
    assert rig.acked == 3


@pytest.mark.parametrize("by", [PHONE, NOBODY])
async def test_nobody_else_acknowledges(rig: Rig, pusher: Pusher, by: Caller) -> None:
    await pusher.sends(everything(2))
    await rig.offer(1)
    await pusher.sends([], by=by)
    for after in (0, 1, 99):
        await pusher.reads(after, by)
    assert rig.acked == 0


async def test_nothing_is_acknowledged_that_was_not_given(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(4))
    for number in range(1, 5):
        await rig.offer(number)
    assert await pusher.reads(2**63 - 1) == []
    assert rig.acked == 0
    await pusher.reads(0, limit=2)
    await pusher.reads(4)
    assert rig.acked == 0, "a place from elsewhere says nothing of those two either"
    await pusher.reads(2)
    assert rig.acked == 2


async def test_rows_that_were_skipped_are_never_acknowledged(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(9))
    for number in range(1, 10):
        await rig.offer(number)
    assert await pusher.reads(0, limit=2) == [1, 2]
    assert await pusher.reads(7, limit=2) == [8, 9]
    assert rig.health.error == (
        "the CRM reads scans after 7, but by its token it was given them only up to 2; read from 2"
    )
    await pusher.reads(9)
    assert rig.acked == 0
    assert await pusher.reads(2) == [3, 4, 5, 6, 7, 8, 9]
    assert rig.acked == 2
    assert shown(rig)[1] is None
    await pusher.reads(9)
    assert rig.acked == 9


async def test_a_place_in_another_journal_acknowledges_nothing_however_far_this_one_grows(
    rig: Rig, pusher: Pusher
) -> None:
    """The box has a new card, and the CRM reads on from where it was."""
    await pusher.sends(everything(9))
    for number in (1, 2, 3):
        await rig.offer(number)
    assert await pusher.reads(5) == []
    assert rig.health.error == "the CRM reads scans after 5, but the journal ends at 3; read from 0"
    for number in (4, 5, 6, 7):
        await rig.offer(number)
    assert await pusher.reads(5) == [6, 7]
    for after in (5, 7):
        await pusher.reads(after)
    assert rig.acked == 0
    assert (await pusher.sends([])).refusal is None
    assert "read from 0" in str(rig.health.error)


async def test_another_crm_acknowledges_nothing_that_the_one_before_was_given(rig: Rig, pusher: Pusher) -> None:
    book = Book()
    await pusher.sends(everything(9, book=book))
    for number in (1, 2, 3, 4):
        await rig.offer(number)
    await pusher.reads(0, limit=1)
    await pusher.reads(1)
    await pusher.sends([book.cursor("k-2")], by=PHONE)
    await pusher.reads(4, PHONE)
    assert rig.acked == 1
    assert await pusher.reads(1, PHONE) == [2, 3, 4]
    await pusher.sends([book.cursor("k-3")], by=CRM)
    await pusher.reads(4)
    assert rig.acked == 1, "nor the first one, if it is back"
    await pusher.reads(1)
    await pusher.reads(4)
    assert rig.acked == 4


async def test_reading_again_from_the_beginning_takes_nothing_back(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(2))
    for number in (1, 2):
        await rig.offer(number)
    await pusher.reads(0)
    await pusher.reads(2)
    assert await pusher.reads(0) == [1, 2]
    assert rig.acked == 2


async def test_the_crm_is_known_again_after_a_restart(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(2))
    await rig.offer(1)
    await pusher.reads(0)
    await pusher.restarts()
    await pusher.reads(1)
    assert rig.acked == 1


async def test_the_crm_is_whoever_pushed_last_with_a_token(rig: Rig, pusher: Pusher, book: Book) -> None:
    await pusher.sends(everything(2, book=book))
    await pusher.sends([book.cursor("k-2")], by=NOBODY)
    await rig.offer(1)
    await pusher.reads(0)
    assert await pusher.sink.scans_read(CRM, 1, 0, START)
    await pusher.sends([book.cursor("k-3")], by=PHONE)
    await rig.offer(2)
    await pusher.reads(1)
    await pusher.reads(2)
    assert rig.acked == 1
    await pusher.reads(1, PHONE)
    await pusher.reads(2, PHONE)
    assert acked(rig.store) == 2


async def test_what_is_acknowledged_is_archived_and_nothing_else(rig: Rig, pusher: Pusher) -> None:
    await pusher.sends(everything(3))
    for number in (1, 2, 3):
        await rig.offer(number)
    await pusher.reads(0, limit=2)
    much_later = START.replace(year=START.year + 1)
    assert await rig.store.archive(much_later, 30) == 0
    await pusher.reads(2)
    assert await rig.store.archive(much_later, 30) == 2
    assert [row.seq for row in await rig.store.scans_after(0, 100)] == [3]
