"""The decision thread: jobs that wait together share a commit, and a fault in one leaves the others."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import pytest

from edge.core.model import Controller
from edge.judging import NotFound
from edge.reports import verify_journal
from edge.store.tx import StoreRefusal, Tx
from edge.store.writer import MAX_BATCH, CannotRecord
from tests.edge.conftest import ADMITTED, ALREADY_USED, Venue, said

TARAS = Controller("taras", "Тарас Шевчук", supervisor=True)


async def traced(venue: Venue) -> list[str]:
    """Have every statement on the journal written down from now on."""
    seen: list[str] = []
    await venue.in_thread(lambda tx: tx.journal.set_trace_callback(seen.append))
    return seen


def hold(venue: Venue) -> tuple["asyncio.Task[None]", Callable[[], None]]:
    """Keep the decision thread busy, so that what comes meanwhile waits together; return how to let it go."""
    gate = threading.Event()

    def job(_tx: Tx) -> None:
        gate.wait(20)

    return asyncio.ensure_future(venue.store.read(job)), gate.set


async def together(venue: Venue, *jobs: Callable[[Tx], object]) -> list[object]:
    """Give all jobs to the thread while it is busy; return what each came to."""
    held, let_go = hold(venue)
    await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(venue.store.write(job)) for job in jobs]
    await asyncio.sleep(0)
    let_go()
    await held
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_reads_that_wait_together_share_one_commit(venue: Venue) -> None:
    codes = [f"T-{n}" for n in range(20)]
    await venue.sells(*codes)
    lane, seen = venue.lane(), await traced(venue)
    held, let_go = hold(venue)
    await asyncio.sleep(0)
    offers = [asyncio.ensure_future(lane.offer(code)) for code in codes]
    await asyncio.sleep(0)
    let_go()
    await held
    assert {said(answer) for answer in await asyncio.gather(*offers)} == {ADMITTED}
    assert (seen.count("BEGIN IMMEDIATE"), seen.count("COMMIT")) == (1, 1)
    assert [row.seq for row in await venue.journal()] == list(range(1, 21))


async def test_alone_each_read_has_a_commit_of_its_own(venue: Venue) -> None:
    await venue.sells("T-1", "T-2", "T-3")
    lane, seen = venue.lane(), await traced(venue)
    for code in ("T-1", "T-2", "T-3"):
        await lane.offer(code)
    assert seen.count("COMMIT") == 3


async def test_first_in_a_crowd_waits_for_no_more_than_a_batch(venue: Venue) -> None:
    seen = await traced(venue)

    def job(tx: Tx) -> int:
        tx.journal.execute("INSERT INTO conflict VALUES (hex(randomblob(8)), 't', '{}', '')")
        return 1

    outcomes = await together(venue, *[job] * (2 * MAX_BATCH + 1))
    assert sum(int(str(each)) for each in outcomes) == 2 * MAX_BATCH + 1
    assert seen.count("COMMIT") == 3


async def test_refusal_in_a_crowd_undoes_only_its_own_job(venue: Venue) -> None:
    await venue.sells("T-1", "T-2", "T-3")
    lane = venue.lane()
    first = (await lane.offer("T-1")).scan

    def settle_twice(tx: Tx) -> None:
        at = venue.clock.now()
        tx.release(first.scan_id, "r-1", at, venue.clock.trust)
        tx.open_shift("north-1", "olena", at)
        tx.release(first.scan_id, "r-2", at, venue.clock.trust)

    held, let_go = hold(venue)
    await asyncio.sleep(0)
    work: list[asyncio.Future[object]] = [
        asyncio.ensure_future(lane.offer("T-2")),
        asyncio.ensure_future(venue.store.write(settle_twice)),
        asyncio.ensure_future(lane.override("no-such", TARAS, "please")),
        asyncio.ensure_future(lane.offer("T-3")),
    ]
    await asyncio.sleep(0)
    let_go()
    await held
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    assert isinstance(outcomes[1], StoreRefusal)
    assert isinstance(outcomes[2], NotFound)
    assert [row.ticket_id for row in await venue.journal()] == ["t-T-1", "t-T-2", "t-T-3"]
    assert [row.seq for row in await venue.journal()] == [1, 2, 3]
    assert (await venue.store.shifts(["north-1"])) == {"north-1": []}
    assert said(await venue.lane("north-2").offer("T-1")) == ALREADY_USED
    assert verify_journal(venue.folder).problems == ()


async def test_refusal_alone_leaves_nothing_either(venue: Venue) -> None:
    def job(tx: Tx) -> None:
        tx.open_shift("north-1", "olena", venue.clock.now())
        raise StoreRefusal("no")

    with pytest.raises(StoreRefusal):
        await venue.store.write(job)
    assert await venue.sql("SELECT count(*) FROM shift") == [(0,)]
    assert (await venue.lane().offer("X")).scan.seq == 1


async def test_defect_fails_the_whole_batch_and_asks_for_a_restart(venue: Venue) -> None:
    await venue.sells("T-1")

    def broken(tx: Tx) -> None:
        tx.open_shift("north-1", "olena", venue.clock.now())
        raise ZeroDivisionError

    def fine(tx: Tx) -> None:
        tx.open_shift("north-2", "olena", venue.clock.now())

    outcomes = await together(venue, fine, broken, fine)
    assert [type(each) for each in outcomes] == [ZeroDivisionError] * 3
    assert [type(each) for each in venue.defects] == [ZeroDivisionError]
    venue.defects.clear()
    assert await venue.sql("SELECT count(*) FROM shift") == [(0,)]
    assert (await venue.lane().offer("T-1")).scan.seq == 1


async def test_reading_writes_nothing_and_its_fault_is_the_askers(venue: Venue) -> None:
    seen = await traced(venue)
    with pytest.raises(ZeroDivisionError):
        await venue.store.read(lambda _tx: 1 // 0)
    assert "COMMIT" not in seen


async def test_closed_gate_takes_no_more(venue: Venue) -> None:
    lane = venue.lane()
    await venue.store._writer.close()
    with pytest.raises(CannotRecord, match="stopping"):
        await lane.offer("T-1")
    assert lane.cannot_record is not None


# --- the disk takes no more -----------------------------------------------------------------------------------------


async def fill_disk(venue: Venue) -> None:
    """Let the journal not grow by another page."""
    (pages,) = (await venue.sql("PRAGMA page_count"))[0]
    await venue.sql(f"PRAGMA max_page_count={pages}")


async def test_full_disk_admits_nobody_says_so_and_recovers_by_itself(venue: Venue) -> None:
    codes = [f"T-{n}" for n in range(200)]
    await venue.sells(*codes)
    lane = venue.lane()
    await lane.offer(codes.pop())
    await fill_disk(venue)
    with pytest.raises(CannotRecord, match="full"):
        while True:
            await lane.offer(codes[-1])
            codes.pop()
    assert lane.cannot_record is not None
    assert "full" in lane.cannot_record
    refused, written = codes[-1], len(await venue.journal())
    with pytest.raises(CannotRecord):
        await lane.offer(refused)
    assert await venue.sql(f"SELECT count(*) FROM usage WHERE ticket_id = 't-{refused}'") == [(0,)]
    assert (await venue.store.backlog()).unsent == written
    await venue.sql("PRAGMA max_page_count=1000000")
    assert said(await lane.offer(refused)) == ADMITTED
    assert lane.cannot_record is None
    assert [row.seq for row in await venue.journal()] == list(range(1, written + 2))
    assert verify_journal(venue.folder).problems == ()


async def test_full_disk_in_a_crowd_admits_none_of_it(venue: Venue) -> None:
    codes = [f"T-{n}" for n in range(60)]
    await venue.sells(*codes)
    lane = venue.lane()
    await fill_disk(venue)
    held, let_go = hold(venue)
    await asyncio.sleep(0)
    offers = [asyncio.ensure_future(lane.offer(code)) for code in codes]
    await asyncio.sleep(0)
    let_go()
    await held
    outcomes = await asyncio.gather(*offers, return_exceptions=True)
    assert {type(each) for each in outcomes} == {CannotRecord}
    assert await venue.journal() == []
    await venue.sql("PRAGMA max_page_count=1000000")
    assert [said(await lane.offer(code)) for code in codes] == [ADMITTED] * 60


async def test_journal_that_another_program_holds_is_waited_for_and_then_said(venue: Venue) -> None:
    await venue.sells("T-1")
    await venue.sql("PRAGMA busy_timeout=1")
    lane = venue.lane()
    other = sqlite3.connect(venue.store.journal_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CannotRecord, match="locked"):
        await lane.offer("T-1")
    other.execute("ROLLBACK")
    other.close()
    assert said(await lane.offer("T-1")) == ADMITTED
