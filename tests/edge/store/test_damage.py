"""What is left when the disk lies or the power goes: all that was acknowledged, and a true account of the rest."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from edge.reports import verify_journal
from edge.store.database import NewerSchema
from edge.store.keeping import open_journal
from edge.store.outbox import acknowledge, note_given
from edge.store.pages import PAGE_BYTES, scans_on_pages
from edge.store.records import Scan
from edge.store.writer import CannotRecord
from tests.edge.conftest import ADMITTED, ALREADY_USED, NOW, Venue, open_venue, said

GUESTS = 300
LONG_CODE = "Щ" * 3000
"""Takes a page and a half: such a row lies on several."""


async def full_evening(folder: Path, acked: int = 0, given: int = 0) -> list[Scan]:
    """Let 300 guests in, every tenth with a forged ticket, and shut the gate; return the journal."""
    async with open_venue(folder) as venue:
        await venue.sells(*[f"T-{n}" for n in range(GUESTS)])
        lane = venue.lane()
        for n in range(GUESTS):
            venue.hand.pass_(1)
            await lane.offer(f"T-{n}" if n % 10 else f"FORGED-{n}{LONG_CODE}")
        await venue.store.write(lambda tx: acknowledge(tx, acked, [], NOW))
        await venue.store.write(lambda tx: note_given(tx, given))
        return await venue.journal()


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Scan]]:
    """The evening, had once for all tests."""
    folder = tmp_path_factory.mktemp("evening")
    return folder, asyncio.run(full_evening(folder))


@pytest.fixture
def evening(tmp_path: Path, once: tuple[Path, list[Scan]]) -> tuple[Path, list[Scan]]:
    """A copy of the evening's folder, and its journal."""
    folder, rows = once
    shutil.copytree(folder, tmp_path / "data")
    return tmp_path / "data", rows


def overwrite(path: Path, first_page: int, pages: int) -> None:
    """Put garbage over pages, as a dying card does; page 0 holds the file's header."""
    noise = random.Random(first_page).randbytes(pages * PAGE_BYTES)
    with path.open("r+b") as file:
        file.seek(first_page * PAGE_BYTES)
        file.write(noise)


async def after_damage(folder: Path, rows: list[Scan]) -> tuple[list[Scan], Venue]:
    """Start the gate on a damaged journal, check what must hold whatever was lost, and return what is left."""
    async with open_venue(folder, filled=False) as venue:
        salvage = venue.store.salvage
        assert salvage is not None
        kept = await venue.journal()
        assert salvage.rows == len(kept)
        assert salvage.set_aside_path.exists()
        assert {row.seq: row for row in kept}.items() <= {row.seq: row for row in rows}.items()
        lane = venue.lane("north-9")
        for row in [row for row in kept if row.verdict == "admitted"][::20]:
            assert said(await lane.offer(str(row.ticket_id).removeprefix("t-"))) == ALREADY_USED
        await venue.sells("LATE")
        assert said(await lane.offer("LATE")) == ADMITTED
        seqs = [row.seq for row in await venue.journal()]
        assert len(seqs) == len(set(seqs))
        gaps = await venue.sql("SELECT first_seq, last_seq FROM lost ORDER BY first_seq")
        missing = {seq for first, last in gaps for seq in range(first, last + 1)}
        assert missing == set(range(1, max(seqs) + 1)) - set(seqs)
        assert verify_journal(folder).problems == ()
    async with open_venue(folder, filled=False) as again:
        assert again.store.salvage is None
        assert len(await again.journal()) == len(seqs)
    return kept, venue


async def test_pages_lost_in_the_middle_cost_only_their_own_rows(evening: tuple[Path, list[Scan]]) -> None:
    folder, rows = evening
    pages = (folder / "journal.db").stat().st_size // PAGE_BYTES
    overwrite(folder / "journal.db", pages // 2, 4)
    kept, _venue = await after_damage(folder, rows)
    assert len(rows) - 50 < len(kept) < len(rows)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_pages_are_lost_what_is_left_is_true(evening: tuple[Path, list[Scan]], seed: int) -> None:
    folder, rows = evening
    chance = random.Random(seed)
    pages = (folder / "journal.db").stat().st_size // PAGE_BYTES
    for _ in range(3):
        overwrite(folder / "journal.db", chance.randrange(1, pages - 2), 2)
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
            pytest.skip("only free pages were hit")
    kept, _venue = await after_damage(folder, rows)
    assert len(kept) > len(rows) // 2


async def test_header_destroyed_costs_nothing_that_lies_on_the_other_pages(evening: tuple[Path, list[Scan]]) -> None:
    folder, rows = evening
    overwrite(folder / "journal.db", 0, 1)
    kept, _venue = await after_damage(folder, rows)
    assert kept == rows


async def test_rows_still_in_the_log_are_saved_with_the_header_gone(tmp_path: Path) -> None:
    async with open_venue(tmp_path / "data") as venue:
        await venue.sells("T-1", "T-2")
        await venue.lane().offer("T-1")
        await venue.lane().offer(f"FORGED-{LONG_CODE}")
        await venue.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        await venue.lane().offer("T-2")
        shutil.copytree(tmp_path / "data", tmp_path / "cut")
        rows = await venue.journal()
    overwrite(tmp_path / "cut" / "journal.db", 0, 1)
    assert {row.seq for row in scans_on_pages(tmp_path / "cut" / "journal.db")} == {1, 2, 3}
    async with open_venue(tmp_path / "cut", filled=False) as venue:
        assert await venue.journal() == rows


async def test_long_rows_are_read_out_of_the_log_alone(tmp_path: Path) -> None:
    async with open_venue(tmp_path / "data") as venue:
        await venue.lane().offer(f"FORGED-{LONG_CODE}")
        rows = await venue.journal()
        log = (tmp_path / "data" / "journal.db-wal").read_bytes()
    (tmp_path / "gone.db").write_bytes(b"")
    (tmp_path / "gone.db-wal").write_bytes(log)
    assert list(scans_on_pages(tmp_path / "gone.db"))[-1:] == rows


@pytest.mark.parametrize("known", [{"acked": GUESTS}, {"given": GUESTS}])
async def test_lost_end_that_the_crm_had_is_written_down_and_seq_goes_on_after_it(
    tmp_path: Path, known: dict[str, int]
) -> None:
    rows = await full_evening(tmp_path, **known)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.execute("DELETE FROM scan WHERE seq > 290")
        db.commit()
        db.execute("VACUUM")
    overwrite(tmp_path / "journal.db", (tmp_path / "journal.db").stat().st_size // PAGE_BYTES // 2, 1)
    async with open_venue(tmp_path, filled=False) as venue:
        assert venue.store.salvage is not None
        assert venue.store.salvage.lost[-1] == (291, 300)
        assert (await venue.lane().offer("NEW")).scan.seq == 301
        assert said(await venue.lane("north-2").offer("T-299")) == ALREADY_USED
    assert verify_journal(tmp_path).problems == ()
    assert rows[-1].seq == 300


async def test_power_cut_while_salvaging_has_it_done_again(evening: tuple[Path, list[Scan]]) -> None:
    folder, rows = evening
    (folder / "journal.salvaging.db").write_bytes(b"half of it")
    overwrite(folder / "journal.db", 0, 1)
    kept, _venue = await after_damage(folder, rows)
    assert kept == rows
    assert not (folder / "journal.salvaging.db").exists()


async def test_power_cut_between_setting_aside_and_taking_its_place(evening: tuple[Path, list[Scan]]) -> None:
    folder, rows = evening
    (folder / "journal.db").rename(folder / "journal.salvaged.db")
    (folder / "journal.db-wal").write_bytes(b"the damaged file's log")
    async with open_venue(folder, filled=False) as venue:
        assert await venue.journal() == rows
    assert not (folder / "journal.salvaged.db").exists()


async def test_journal_found_damaged_at_work_ends_the_gate_and_the_next_start_saves_it(
    evening: tuple[Path, list[Scan]],
) -> None:
    """Better closed than wrong: two seconds later systemd starts the gate again."""
    folder, rows = evening
    async with open_venue(folder, filled=False) as venue:
        pages = (folder / "journal.db").stat().st_size // PAGE_BYTES
        overwrite(folder / "journal.db", 4, pages - 8)
        await venue.sql("PRAGMA shrink_memory")
        with pytest.raises(CannotRecord, match="malformed"):
            for row in rows:
                await venue.lane("north-9").offer(str(row.ticket_id).removeprefix("t-"))
        assert ["malformed" in str(each) for each in venue.defects] == [True]
        venue.defects.clear()
        assert (folder / "journal.db.suspect").exists()
    await after_damage(folder, rows)
    assert not (folder / "journal.db.suspect").exists()


def test_journal_under_suspicion_that_is_sound_is_kept(evening: tuple[Path, list[Scan]]) -> None:
    folder, _rows = evening
    (folder / "journal.db.suspect").touch()
    journal, salvage = open_journal(folder / "journal.db", NOW)
    journal.close()
    assert salvage is None
    assert not (folder / "journal.db.suspect").exists()


def test_text_file_in_the_journals_place_is_set_aside_with_nothing_to_save(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("not a database at all, but long enough to look at\n" * 500)
    journal, salvage = open_journal(path, NOW)
    with closing(journal):
        assert salvage is not None
        assert (salvage.rows, salvage.lost) == (0, ())
        assert salvage.set_aside_path.name == "journal.db.damaged-20260501T160200.000000Z"
        assert journal.execute("SELECT count(*) FROM scan").fetchone() == (0,)


def test_damaged_journal_of_the_release_before_keeps_its_parked_scans(tmp_path: Path) -> None:
    """Damage among the free pages, which only the new schema's tables would use."""
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(resources.files("edge.store").joinpath("schema/journal_0001.sql").read_text("utf-8"))
        db.execute("PRAGMA user_version=1")
        db.execute("INSERT INTO parked VALUES (1, 's-1', 'bad_seat', 'no such seat', '2026-05-01T18:00:00Z')")
        db.execute("CREATE TABLE archived (body BLOB)")
        db.execute("INSERT INTO archived VALUES (zeroblob(900000))")
        db.execute("DROP TABLE archived")
    first_free_page = int.from_bytes(path.read_bytes()[32:36], "big")  # sqlite.org/fileformat.html, section 1.3
    overwrite(path, first_free_page - 1, 1)
    journal, salvage = open_journal(path, NOW)
    with closing(journal):
        assert salvage is not None
        assert journal.execute("SELECT scan_id, body, retry FROM parked").fetchall() == [("s-1", None, 0)]


def test_journal_of_a_later_release_is_not_touched(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path / "journal.db", NOW)
    journal.execute("PRAGMA user_version=99")
    journal.close()
    before = (tmp_path / "journal.db").read_bytes()
    with pytest.raises(NewerSchema, match="99 is newer"):
        open_journal(tmp_path / "journal.db", NOW)
    assert (tmp_path / "journal.db").read_bytes() == before


def test_pages_of_noise_give_no_scan_and_no_error(tmp_path: Path) -> None:
    path, chance = tmp_path / "noise.db", random.Random(1)
    pages = [bytes([0x0D]) + chance.randbytes(PAGE_BYTES - 1) for _ in range(200)]
    path.write_bytes(b"".join(pages))
    assert list(scans_on_pages(path)) == []


# --- the power goes -------------------------------------------------------------------------------------------------


async def test_copy_taken_at_any_moment_has_every_acknowledged_row(tmp_path: Path) -> None:
    async with open_venue(tmp_path / "data") as venue:
        await venue.sells(*[f"T-{n}" for n in range(60)])
        lane = venue.lane()
        for n in range(60):
            await lane.offer(f"T-{n}")
            if n % 20 == 7:
                copy = tmp_path / f"copy-{n}"
                copy.mkdir()
                for name in ("journal.db", "journal.db-wal"):
                    shutil.copy(tmp_path / "data" / name, copy / name)
                journal, salvage = open_journal(copy / "journal.db", NOW)
                with closing(journal):
                    assert salvage is None
                    assert journal.execute("SELECT max(seq), count(*) FROM scan").fetchone() == (n + 1, n + 1)
                assert verify_journal(copy).problems == ()


GATE = """
import asyncio, sys
from pathlib import Path
from edge.store.writer import CannotRecord
from tests.edge.conftest import open_venue

async def main() -> None:
    async with open_venue(Path(sys.argv[1])) as venue:
        await venue.sells(*[f"T-{n}" for n in range(5000)])
        lanes = [venue.lane(f"north-{n}") for n in range(3)]
        async def guests(lane, first):
            for n in range(first, 5000, 3):
                scan = (await lane.offer(f"T-{n}")).scan
                sys.stdout.write(f"{scan.seq} {scan.scan_id} {scan.ticket_id}\\n")
                sys.stdout.flush()
        await asyncio.gather(*(guests(lane, n) for n, lane in enumerate(lanes)))

asyncio.run(main())
"""


@pytest.mark.kill
@pytest.mark.parametrize("after", [1, 40, 150])
async def test_gate_killed_at_work_has_lost_and_doubled_nothing(tmp_path: Path, after: int) -> None:
    root = Path(__file__).parents[3]
    gate = subprocess.Popen(
        [sys.executable, "-c", GATE, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, env=os.environ, text=True
    )
    with gate:
        assert gate.stdout is not None
        said_so = [gate.stdout.readline().split() for _ in range(after)]
        gate.send_signal(signal.SIGKILL)
        said_so += [line.split() for line in gate.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    async with open_venue(tmp_path, filled=False) as venue:
        rows = {row.scan_id: row for row in await venue.journal()}
        assert [(str(rows[scan_id].seq), rows[scan_id].ticket_id) for _seq, scan_id, _ in said_so] == [
            (seq, ticket) for seq, _scan_id, ticket in said_so
        ]
        assert [row.seq for row in rows.values()] == list(range(1, len(rows) + 1))
        admitted = [row.ticket_id for row in rows.values() if row.verdict == "admitted"]
        assert len(admitted) == len(set(admitted))
        assert said(await venue.lane("north-9").offer(said_so[0][2].removeprefix("t-"))) == ALREADY_USED
    assert verify_journal(tmp_path).problems == ()
