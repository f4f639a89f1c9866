"""The journal that an auditor reads: gapless, chained, archived whole; nothing missing, nothing edited."""

import asyncio
import gzip
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from drivers.turnstile_fake import FakeTurnstile
from edge.core.model import Checkpoint
from edge.reports import export_csv, opened, verify_journal
from edge.store.database import connect_read_only
from edge.store.keeping import verify_chain
from edge.store.outbox import Reject, acknowledge
from edge.store.records import FIRST_PREV, SELECT_SCAN, chain_hash, scan_of
from tests.edge.conftest import ALREADY_USED, HandClock, Venue, open_venue, said

DAY_S = 24 * 3600


async def evening(venue: Venue, guests: int, first: int = 0) -> None:
    """Let guests in, some of them with a forged code."""
    codes = [f"T-{n}" for n in range(first, first + guests)]
    await venue.sells(*[code for n, code in enumerate(codes) if n % 4])
    lane = venue.lane()
    for code in codes:
        venue.hand.pass_(1)
        await lane.offer(code)


async def acks(venue: Venue, seq: int, *rejects: Reject) -> None:
    """Hear from the CRM that it has all rows up to `seq`."""
    await venue.store.write(lambda tx: acknowledge(tx, seq, rejects, venue.clock.now()))


def exported(folder: Path) -> list[str]:
    """Return the lines of the CSV."""
    out = io.StringIO(newline="")
    count = export_csv(folder, out)
    lines = out.getvalue().split("\r\n")[1:-1]
    assert len(lines) == count
    return lines


@pytest.fixture
async def closed(tmp_path: Path) -> Path:
    """A journal of twelve scans after the gate was shut, ten of which the CRM has."""
    async with open_venue(tmp_path) as venue:
        await evening(venue, 12)
        await acks(venue, 10)
    return tmp_path


def edited(folder: Path, *statements: str) -> tuple[str, ...]:
    """Change the journal by hand and return what the walk along the chain says."""
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    return verify_journal(folder).problems


# --- the chain ------------------------------------------------------------------------------------------------------


async def test_each_row_follows_from_the_one_before(venue: Venue) -> None:
    await evening(venue, 8)
    rows = await venue.journal()
    assert [row.seq for row in rows] == list(range(1, 9))
    assert [row.prev for row in rows] == [FIRST_PREV, *[row.hash for row in rows[:-1]]]
    assert all(row.hash == chain_hash(row.prev, row.wire()) for row in rows)
    found = verify_journal(venue.folder)
    assert (found.rows, found.first_seq, found.last_seq, found.problems) == (8, 1, 8, ())


async def test_chain_goes_on_over_a_restart(tmp_path: Path) -> None:
    for first in (0, 5, 10):
        async with open_venue(tmp_path) as venue:
            await evening(venue, 5, first)
    found = verify_journal(tmp_path)
    assert (found.rows, found.last_seq, found.problems) == (15, 15, ())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("verdict", "'refused'"),
        ("reason", "'override'"),
        ("at", "'2026-05-01T15:00:00Z'"),
        ("lane", "'north-9'"),
        ("checkpoint", "NULL"),
        ("controller", "'olena'"),
        ("ticket_id", "'t-other'"),
        ("lookup", "zeroblob(16)"),
        ("code", "'x'"),
        ("direction", "'exit'"),
        ("clock", "'unknown'"),
        ("note", "'x'"),
        ("of", "'x'"),
        ("scan_id", "'x'"),
    ],
)
def test_a_row_that_was_edited_shows(closed: Path, column: str, value: str) -> None:
    problems = edited(closed, f"UPDATE scan SET {column} = {value} WHERE seq = 6")
    assert problems == ("seq 6: was changed after it was written",)


def test_a_row_that_was_edited_with_its_hash_shows_at_the_next(closed: Path) -> None:
    with closing(connect_read_only(closed / "journal.db")) as db:
        db.row_factory = sqlite3.Row
        (prev,) = db.execute("SELECT prev FROM scan WHERE seq = 6").fetchone()
    edited(closed, "UPDATE scan SET lane = 'north-9' WHERE seq = 6")
    forged = chain_hash(prev, wire_of(closed, 6)).hex()
    assert edited(closed, f"UPDATE scan SET hash = x'{forged}' WHERE seq = 6") == (
        "seq 7: does not follow from the row before it",
    )


def wire_of(folder: Path, seq: int) -> dict[str, object]:
    """Return one row as sent."""
    with closing(connect_read_only(folder / "journal.db")) as db:
        return scan_of(db.execute(f"{SELECT_SCAN} WHERE seq = {seq}").fetchone()).wire()


def test_a_row_that_was_taken_out_shows(closed: Path) -> None:
    assert edited(closed, "DELETE FROM scan WHERE seq = 6") == ("seq 6 to 6: missing",)
    assert edited(closed, "DELETE FROM scan WHERE seq <= 3")[0] == "seq 1 to 3: missing"


def test_rows_closed_up_after_one_was_taken_out_show(closed: Path) -> None:
    problems = edited(
        closed,
        "DELETE FROM scan WHERE seq = 6",
        *(f"UPDATE scan SET seq = {n - 1} WHERE seq = {n}" for n in range(7, 13)),
    )
    assert "seq 6: does not follow from the row before it" in problems


def test_a_row_that_was_put_in_shows(closed: Path) -> None:
    last = "INSERT INTO scan SELECT 13, 'forged', hash, hash, lane, checkpoint, controller, ticket_id, event, lookup,"
    rest = " code, direction, verdict, reason, at, clock, passage, note, of, detail FROM scan WHERE seq = 12"
    assert edited(closed, last + rest) == ("seq 13: was changed after it was written",)


def test_two_rows_that_changed_places_show(closed: Path) -> None:
    swap = [f"UPDATE scan SET seq = {new} WHERE seq = {old}" for old, new in ((5, 99), (6, 5), (99, 6))]
    assert len(edited(closed, *swap)) >= 3


def test_an_end_that_was_cut_off_shows_once_the_crm_had_it(closed: Path) -> None:
    assert edited(closed, "DELETE FROM scan WHERE seq > 8") == ("seq 9 to 10: sent to the CRM but no longer here",)


def test_a_journal_rewritten_from_its_middle_names_only_what_is_wrong(closed: Path) -> None:
    problems = edited(closed, "UPDATE scan SET lane = 'north-9'")
    assert problems == tuple(f"seq {n}: was changed after it was written" for n in range(1, 13))


async def test_chain_is_whole_while_the_gate_records_and_the_crm_acknowledges(venue: Venue) -> None:
    """What comes in while the auditor reads must not look like a row that went missing."""
    await evening(venue, 30)
    await acks(venue, 30)
    with opened(venue.folder / "journal.db") as reader:
        await evening(venue, 5, first=100)
        await acks(venue, 35)
        assert verify_chain(reader).problems == ()
    assert verify_journal(venue.folder).rows == 35


# --- the archive ----------------------------------------------------------------------------------------------------


async def test_old_sent_rows_go_into_a_file_and_the_chain_still_holds(tmp_path: Path) -> None:
    hand = HandClock()
    async with open_venue(tmp_path, hand) as venue:
        await evening(venue, 6)
        before = [row.wire() | {"hash": row.hash.hex()} for row in await venue.journal()]
        hand.pass_(40 * DAY_S)
        await evening(venue, 3, first=10)
        await acks(venue, 8)
        assert await venue.store.archive(venue.clock.now(), keep_days=30) == 6
        assert await venue.store.archive(venue.clock.now(), keep_days=30) == 0
        (path,) = (tmp_path / "archive").iterdir()
        assert path.name == "scans-0000000001-0000000006.ndjson.gz"
        assert [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()] == before
        assert [row.seq for row in await venue.journal()] == [7, 8, 9]
        assert verify_journal(tmp_path).problems == ()
        await evening(venue, 1, first=20)
        assert (await venue.journal())[-1].seq == 10
        assert (await venue.store.backlog()).unsent == 2
    assert [line.split(",")[0] for line in exported(tmp_path)] == [str(n) for n in range(1, 11)]
    assert verify_journal(tmp_path).problems == ()


async def test_seq_goes_on_when_every_row_was_archived(tmp_path: Path) -> None:
    hand = HandClock()
    async with open_venue(tmp_path, hand) as venue:
        await evening(venue, 4)
        await acks(venue, 4)
        hand.pass_(40 * DAY_S)
        assert await venue.store.archive(venue.clock.now(), keep_days=30) == 4
        assert (await venue.store.backlog()).head_seq == 4
    async with open_venue(tmp_path, hand) as venue:
        await evening(venue, 2, first=10)
        assert [row.seq for row in await venue.journal()] == [5, 6]
    assert verify_journal(tmp_path).problems == ()


async def test_ticket_stays_used_when_its_scan_is_archived(tmp_path: Path) -> None:
    hand = HandClock()
    async with open_venue(tmp_path, hand) as venue:
        await venue.sells("T-1")
        await venue.puts("checkpoint", always_open())
        lane = venue.lane()
        await lane.offer("T-1")
        await acks(venue, 1)
        hand.pass_(40 * DAY_S)
        await venue.store.archive(venue.clock.now(), keep_days=30)
        assert said(await lane.offer("T-1")) == ALREADY_USED


async def test_what_the_crm_has_not_got_is_never_archived(tmp_path: Path) -> None:
    hand = HandClock()
    async with open_venue(tmp_path, hand) as venue:
        await evening(venue, 6)
        hand.pass_(400 * DAY_S)
        assert await venue.store.archive(venue.clock.now(), keep_days=1) == 0
        await acks(venue, 2)
        assert await venue.store.archive(venue.clock.now(), keep_days=1) == 2
        assert [row.seq for row in await venue.journal()] == [3, 4, 5, 6]
    assert verify_journal(tmp_path).problems == ()


async def test_what_the_turnstile_saw_is_in_the_archive_and_in_the_csv(tmp_path: Path) -> None:
    hand = HandClock()
    async with open_venue(tmp_path, hand) as venue:
        await venue.sells("T-1", "T-2")
        lane = venue.lane(turnstile=FakeTurnstile(None))
        passed, still = (await lane.offer("T-1")).scan, (await lane.offer("T-2")).scan
        at, trust = venue.clock.now(), venue.clock.trust
        await venue.store.write(lambda tx: tx.passed(passed.scan_id, at))
        await venue.store.write(lambda tx: tx.release(still.scan_id, "r-1", at, trust))
        fresh = exported(tmp_path)
        assert [line.split(",")[11] for line in fresh] == ["passed", "not_passed", "not_passed"]
        await acks(venue, 3)
        hand.pass_(40 * DAY_S)
        await venue.store.archive(venue.clock.now(), keep_days=30)
    assert exported(tmp_path) == fresh
    assert verify_journal(tmp_path).problems == ()


async def test_csv_misses_no_row_when_the_gate_archives_meanwhile(tmp_path: Path) -> None:
    hand, lines = HandClock(), list[str]()
    async with open_venue(tmp_path, hand) as venue:
        await evening(venue, 6)
        await acks(venue, 6)
        hand.pass_(40 * DAY_S)
        loop = asyncio.get_running_loop()

        class ArchivedMeanwhile(io.StringIO):
            """The gate archives everything as soon as the heading is written."""

            def write(self, text: str) -> int:
                if not lines:
                    done = asyncio.run_coroutine_threadsafe(venue.store.archive(venue.clock.now(), 30), loop)
                    assert done.result() == 6
                lines.append(text)
                return len(text)

        await asyncio.to_thread(export_csv, tmp_path, ArchivedMeanwhile())
    assert [line.split(",")[0] for line in lines] == ["seq", "1", "2", "3", "4", "5", "6"]


def always_open() -> Checkpoint:
    """Return the North gate without hours."""
    return Checkpoint("c-north", "concert", "North gate")


# --- what the CRM has -----------------------------------------------------------------------------------------------


async def test_acknowledgements_only_go_forward_and_never_past_the_end(venue: Venue) -> None:
    await evening(venue, 5)
    for seq, expected in ((3, 3), (2, 3), (99, 5)):
        await acks(venue, seq)
        assert (await venue.store.backlog()).acked_seq == expected


async def test_rejected_scan_is_parked_and_the_rest_counts_as_sent(venue: Venue) -> None:
    await evening(venue, 3)
    scan_id = (await venue.journal())[1].scan_id
    await acks(venue, 3, Reject(scan_id, "bad", "no such lane"), Reject("no-such", "bad", "?"))
    backlog = await venue.store.backlog()
    assert (backlog.unsent, backlog.parked) == (0, 1)
    assert await venue.sql("SELECT seq, code, message FROM parked") == [(2, "bad", "no such lane")]
