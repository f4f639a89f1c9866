"""The list that the CRM sends: visible with its cursor or not at all, swapped in one step, thrown away when damaged."""

import asyncio
import random
import sqlite3
import stat
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.core.barcodes import lookup_text
from edge.core.fingerprint import Fingerprint, row_digest
from edge.core.model import Checkpoint
from edge.store.database import connect
from edge.store.store import FolderInUse
from edge.store.whitelist_writer import WhitelistSession, whitelist_session
from edge.store.writer import CannotRecord
from tests.edge.conftest import ADMITTED, ALREADY_USED, NOW, Venue, fill, open_venue, said, ticket_row

UNKNOWN = ("refused", "unknown_ticket")


def fresh_sum(path: Path) -> Fingerprint:
    """Sum the list anew from its rows."""
    total = Fingerprint()
    with closing(sqlite3.connect(path)) as db:
        for lookup, *texts in db.execute("SELECT lookup, id, type, state, valid_from, valid_until FROM ticket"):
            total = total.plus(row_digest(lookup_text(lookup), *texts))
    return total


def journal_mode(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        return str(db.execute("PRAGMA journal_mode").fetchone()[0])


# --- visible with its cursor, or not at all -------------------------------------------------------------------------


async def test_nothing_is_visible_before_its_cursor(venue: Venue) -> None:
    lane = venue.lane()
    async with venue.store.session(building=False) as session:
        await session.put_tickets("concert", [ticket_row("T-1")])
        await session.put_entity("checkpoint", "c-north", Checkpoint("c-north", "concert", "New name"))
        before = await lane.offer("T-1")
        await session.commit("cursor-2", NOW)
        after = await lane.offer("T-1")
    assert (said(before), before.body()["checkpoint_name"]) == (UNKNOWN, "North gate")
    assert (said(after), after.body()["checkpoint_name"]) == (ADMITTED, "New name")
    assert (venue.store.data.cursor, venue.store.data.tickets) == ("cursor-2", 1)


async def test_a_session_waits_for_one_that_was_given_up_and_goes_on_from_what_that_left(
    venue: Venue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pull that is called off ends in its thread; on a slow disk that takes longer than SQLite waits."""
    monkeypatch.setattr("edge.store.database.BUSY_TIMEOUT_MS", 1)
    caplog.set_level("INFO")
    async with venue.store.session(building=False) as late, asyncio.TaskGroup() as group:
        async with venue.store.session(building=False) as given_up:
            await given_up.put_tickets("concert", [ticket_row("T-1")])
            applying = group.create_task(late.put_tickets("concert", [ticket_row("T-2")]))
            async with asyncio.timeout(60):
                while "has not ended yet" not in caplog.text:
                    await asyncio.sleep(0)
            await given_up.commit("cursor-2", NOW)
        await applying
        await late.commit(None, NOW)
    assert (venue.store.data.cursor, venue.store.data.tickets) == ("cursor-2", 2)
    assert venue.store.data.fingerprint == fresh_sum(venue.store.whitelist_path).hex()


async def test_what_has_no_cursor_when_the_stream_is_cut_is_forgotten(venue: Venue) -> None:
    async def cut(session: WhitelistSession) -> None:
        await session.put_tickets("concert", [ticket_row("T-1")])
        await session.commit("cursor-2", NOW)
        await session.put_tickets("concert", [ticket_row("T-2"), ticket_row("T-3")])
        await session.delete_tickets(["t-T-1"])
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with venue.store.session(building=False) as session:
            await cut(session)
    assert [said(await venue.lane().offer(code)) for code in ("T-1", "T-2")] == [ADMITTED, UNKNOWN]
    assert venue.store.data.cursor == "cursor-2"
    assert venue.store.data.fingerprint == fresh_sum(venue.store.whitelist_path).hex()


async def test_session_goes_on_after_a_rollback_as_if_nothing_had_been(venue: Venue) -> None:
    async with venue.store.session(building=False) as session:
        empty = session.fingerprint
        await session.put_tickets("concert", [ticket_row("T-1")])
        await session.rollback()
        assert session.fingerprint == empty
        await session.put_tickets("concert", [ticket_row("T-2")])
        await session.commit("cursor-2", NOW)
    assert [said(await venue.lane().offer(code)) for code in ("T-1", "T-2")] == [UNKNOWN, ADMITTED]


async def test_lookup_that_is_none_leaves_the_list_as_it_was(venue: Venue) -> None:
    with pytest.raises(ValueError, match="22 characters"):
        async with venue.store.session(building=False) as session:
            bad = ("short", *ticket_row("T-2")[1:])
            await session.put_tickets("concert", [ticket_row("T-1"), bad])
    assert venue.store.data.tickets == 0


async def test_list_is_there_after_a_restart(tmp_path: Path) -> None:
    async with open_venue(tmp_path) as venue:
        await venue.sells("T-1")
        data = venue.store.data
    async with open_venue(tmp_path, filled=False) as again:
        assert again.store.data == data
        assert said(await again.lane().offer("T-1")) == ADMITTED


# --- the fingerprint ------------------------------------------------------------------------------------------------


async def test_last_of_several_rows_with_one_lookup_stays(venue: Venue) -> None:
    rows = [ticket_row("T-1", state="blocked"), ticket_row("T-1", state="valid", id="t-new")]
    async with venue.store.session(building=False) as session:
        await session.put_tickets("concert", rows)
        await session.commit("cursor-2", NOW)
    answer = await venue.lane().offer("T-1")
    assert (said(answer), answer.scan.ticket_id, venue.store.data.tickets) == (ADMITTED, "t-new", 1)
    assert venue.store.data.fingerprint == fresh_sum(venue.store.whitelist_path).hex()


async def test_line_of_a_thousand_rows_twice_over_counts_a_thousand(venue: Venue) -> None:
    rows = [ticket_row(f"T-{n}") for n in range(1000)]
    for _ in range(2):
        async with venue.store.session(building=False) as session:
            await session.put_tickets("concert", rows)
            await session.commit(None, NOW)
    assert venue.store.data.tickets == 1000
    async with venue.store.session(building=False) as session:
        await session.delete_tickets([str(row[1]) for row in rows[:999]] * 2)
        await session.commit(None, NOW)
    assert venue.store.data.tickets == 1
    assert venue.store.data.fingerprint == fresh_sum(venue.store.whitelist_path).hex()


codes = st.sampled_from(["A", "B", "C", "D"])
rows = st.builds(
    ticket_row,
    codes,
    id=st.sampled_from(["t-1", "t-2", "t-3", "t-4"]),
    state=st.sampled_from(["valid", "blocked"]),
    valid_from=st.sampled_from([None, "2026-05-01T15:00:00Z"]),
)
events = st.sampled_from(["concert", "match"])
steps: st.SearchStrategy[tuple[str, str, list[Any]]] = st.one_of(
    st.tuples(st.just("put"), events, st.lists(rows, max_size=4)),
    st.tuples(st.just("delete"), st.just(""), st.lists(st.sampled_from(["t-1", "t-2", "t-9"]), max_size=3)),
    st.tuples(st.sampled_from(["commit", "rollback"]), st.just(""), st.just([])),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=12))
def test_fingerprint_kept_up_row_by_row_is_that_of_the_rows(story: "list[tuple[str, str, list[object]]]") -> None:
    async def live(path: Path) -> None:
        async with whitelist_session(path) as session:
            for word, event, things in story:
                match word:
                    case "put":
                        await session.put_tickets(event, things)  # type: ignore[arg-type]
                    case "delete":
                        await session.delete_tickets(str(each) for each in things)
                    case "commit":
                        await session.commit("c", NOW)
                    case _:
                        await session.rollback()
            await session.commit("end", NOW)
            assert session.fingerprint == fresh_sum(path)
        async with whitelist_session(path) as again:
            assert again.fingerprint == fresh_sum(path)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder) / "whitelist.db"))


# --- the list that is built beside ----------------------------------------------------------------------------------


async def build(venue: Venue, *tickets: str) -> None:
    """Build a list beside the one in use."""
    venue.store.discard_building()
    async with venue.store.session(building=True) as session:
        await session.put_tickets("concert", [ticket_row(code) for code in tickets])
        await session.commit("built", NOW)


async def with_plan(venue: Venue, *tickets: str) -> None:
    """As `build`, with the evening's plan."""

    class Beside:
        """What `fill` asks of a store, on the list that is being built."""

        @staticmethod
        def session(*, building: bool) -> object:
            return venue.store.session(building=not building)

    venue.store.discard_building()
    await fill(Beside(), NOW)  # type: ignore[arg-type]
    async with venue.store.session(building=True) as session:
        await session.put_tickets("concert", [ticket_row(code) for code in tickets])
        await session.commit("built", NOW)


async def test_new_list_takes_its_place_in_one_step(venue: Venue) -> None:
    await venue.sells("OLD")
    await with_plan(venue, "NEW")
    lane = venue.lane()
    assert said(await lane.offer("NEW")) == UNKNOWN
    assert journal_mode(venue.store.building_path) == "delete"
    await venue.store.promote()
    assert journal_mode(venue.store.whitelist_path) == "wal"  # else a change to the list would have to wait for guests
    assert [said(await lane.offer(code)) for code in ("NEW", "OLD")] == [ADMITTED, UNKNOWN]
    assert (venue.store.data.cursor, venue.store.data.tickets) == ("built", 1)
    assert not venue.store.building_path.exists()


async def test_new_list_that_somebody_else_reads_waits_and_hurts_nobody(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.database.BUSY_TIMEOUT_MS", 1)
    await venue.sells("OLD")
    await with_plan(venue, "NEW")
    lane = venue.lane()
    with closing(sqlite3.connect(venue.store.building_path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN")
        somebody.execute("SELECT * FROM ticket").fetchone()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await venue.store.promote()
    assert [said(await lane.offer(code)) for code in ("NEW", "OLD")] == [UNKNOWN, ADMITTED]
    await venue.store.promote()
    assert said(await lane.offer("NEW", scan_id="again")) == ADMITTED


async def test_list_that_cannot_be_opened_for_a_while_is_opened_when_it_can(venue: Venue) -> None:
    await venue.sells("T-1")
    path, lane = venue.store.whitelist_path, venue.lane()
    away = path.with_name("away.db")

    def hide() -> None:
        path.rename(away)
        path.mkdir()

    await venue.store._writer.between(lambda tx: tx.whitelist.replace(hide))
    with pytest.raises(CannotRecord, match="unable to open"):
        await lane.offer("T-1")
    path.rmdir()
    away.rename(path)
    assert said(await lane.offer("T-1")) == ADMITTED


async def test_guests_go_on_while_lists_are_swapped_and_each_is_judged_by_a_whole_one(venue: Venue) -> None:
    await venue.sells("BOTH-0")
    lane, answers = venue.lane(repeat_s=0), []
    for turn in range(5):
        await with_plan(venue, *[f"BOTH-{n}" for n in range(20)], f"ONLY-{turn}")
        swap = asyncio.ensure_future(venue.store.promote())
        offers = [asyncio.ensure_future(lane.offer(f"BOTH-{turn * 4 + n % 4}")) for n in range(8)]
        answers += [said(each) for each in await asyncio.gather(*offers)]
        await swap
    assert set(answers) <= {ADMITTED, ALREADY_USED, UNKNOWN}
    assert len(await venue.admissions()) >= 16
    admitted = [row.ticket_id for row in await venue.admissions()]
    assert len(admitted) == len(set(admitted))


async def test_list_that_is_given_up_is_gone_and_the_journal_stays(venue: Venue) -> None:
    await venue.sells("T-1")
    lane = venue.lane()
    await lane.offer("T-1")
    await build(venue, "T-9")
    await venue.store.wipe_whitelist()
    assert said(await lane.offer("T-1", scan_id="again")) == UNKNOWN
    assert (venue.store.data.tickets, venue.store.data.cursor) == (0, None)
    assert not venue.store.building_path.exists()
    assert len(await venue.journal()) == 2


# --- damage ---------------------------------------------------------------------------------------------------------


async def heard_of_damage(venue: Venue) -> None:
    """Wait until the gate asks for the list again."""
    async with asyncio.timeout(20):
        await venue.store.whitelist_damaged.wait()
    assert venue.store.damaged_whitelist is not None
    assert venue.store.damaged_whitelist.exists()
    assert venue.store.data.tickets == 0


def spoil(path: Path, keep: int) -> None:
    """Put garbage over all but the first `keep` bytes, and fold the log away."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(keep)
        file.write(random.Random(7).randbytes(size - keep))


async def test_list_found_damaged_at_work_is_set_aside_and_the_gate_says_that_it_does_not_know(venue: Venue) -> None:
    await venue.sells(*[f"T-{n}" for n in range(500)])
    lane = venue.lane()
    assert said(await lane.offer("T-1")) == ADMITTED
    spoil(venue.store.whitelist_path, 4096)
    await venue.in_thread(lambda tx: tx.whitelist._opened().execute("PRAGMA shrink_memory"))
    answer = await lane.offer("T-2")
    await heard_of_damage(venue)
    assert said(answer) == UNKNOWN
    later = await lane.offer("T-3")
    assert (said(later), later.scan.facts) == (UNKNOWN, {"data_age_s": None})
    assert "no ticket list yet" in later.message.text
    await fill(venue.store, NOW)
    await venue.sells("T-1", "T-2")
    assert [said(await lane.offer(code, scan_id=code)) for code in ("T-1", "T-2")] == [ALREADY_USED, ADMITTED]
    assert venue.defects == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entity SET body = '{'",
        "UPDATE entity SET body = '{}' WHERE kind = 'checkpoint'",
        "UPDATE ticket SET state = 'eaten'",
        "UPDATE ticket SET valid_from = 'yesterday'",
        "UPDATE meta SET value = 'x' WHERE key = 'synced_at'",
        "UPDATE admission SET direction = 'up'",
    ],
)
async def test_row_that_no_release_can_have_written_is_damage_too(venue: Venue, statement: str) -> None:
    await venue.sells("T-1")
    await venue.hears_of("T-1", "far-1")
    with closing(sqlite3.connect(venue.store.whitelist_path)) as db:
        db.execute(statement)
        db.execute("UPDATE meta SET value = value + 1 WHERE key = 'plan_version'")
        db.commit()
    await venue.in_thread(lambda tx: tx.whitelist.mark_stale())
    await venue.lane().offer("T-1")
    await heard_of_damage(venue)
    assert venue.defects == []
    assert said(await venue.lane().offer("T-1")) == UNKNOWN


async def test_plan_found_damaged_at_work_is_damage_of_the_list_and_not_of_the_journal(venue: Venue) -> None:
    await venue.puts("checkpoint", *[Checkpoint(f"c-{n}", "concert", "Gate " * 20) for n in range(200)])
    spoil(venue.store.whitelist_path, 4096)
    await venue.in_thread(lambda tx: tx.whitelist._opened().execute("PRAGMA shrink_memory"))
    await venue.in_thread(_forget_plan)
    await venue.lane().offer("T-1")
    await heard_of_damage(venue)
    assert venue.defects == []
    assert not (venue.folder / "journal.db.suspect").exists()


def _forget_plan(tx: object) -> None:
    tx.whitelist._plan_version = "before"  # type: ignore[attr-defined]
    tx.whitelist.mark_stale()  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["garbage", "text", "cut"])
async def test_list_found_damaged_at_the_start_is_set_aside_and_asked_for_again(tmp_path: Path, how: str) -> None:
    async with open_venue(tmp_path) as venue:
        await venue.sells(*[f"T-{n}" for n in range(500)])
        await venue.lane().offer("T-1")
    path = tmp_path / "whitelist.db"
    spoilers: dict[str, Callable[[], object]] = {
        "garbage": lambda: spoil(path, 0),
        "text": lambda: path.write_text("this is no database at all\n" * 1000),
        "cut": lambda: path.write_bytes(path.read_bytes()[:5000]),
    }
    spoilers[how]()
    async with open_venue(tmp_path, filled=False) as venue:
        answer = await venue.lane().offer("T-2")
        await heard_of_damage(venue)
        assert (said(answer), answer.scan.seq) == (UNKNOWN, 2)


async def test_list_of_a_later_release_is_pulled_again(tmp_path: Path) -> None:
    async with open_venue(tmp_path) as venue:
        await venue.sells("T-1")
    with closing(sqlite3.connect(tmp_path / "whitelist.db")) as db:
        db.execute("PRAGMA user_version=99")
    async with open_venue(tmp_path, filled=False) as venue:
        assert said(await venue.lane().offer("T-1")) == UNKNOWN
        assert venue.store.data.cursor is None


# --- the folder -----------------------------------------------------------------------------------------------------


async def test_two_gates_on_one_folder_would_each_admit_the_same_ticket(venue: Venue) -> None:
    with pytest.raises(FolderInUse, match="stop it first"):
        async with open_venue(venue.folder):
            pass
    assert said(await venue.lane().offer("T-1")) == UNKNOWN


async def test_folder_is_free_again_when_the_gate_has_stopped(tmp_path: Path) -> None:
    for _ in range(2):
        async with open_venue(tmp_path):
            pass


@pytest.mark.usefixtures("open_umask")
async def test_files_are_for_the_gate_alone_whatever_the_umask(tmp_path: Path) -> None:
    async with open_venue(tmp_path / "data") as venue:
        await venue.sells("T-1")
        await build(venue, "T-2")
        await venue.lane().offer("FORGED")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in venue.folder.iterdir()}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert {"journal.db", "journal.db-wal", "whitelist.db", "whitelist.db-wal", "lock"} <= set(modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o600} == {}


@pytest.mark.usefixtures("open_umask")
def test_file_that_was_readable_by_all_is_closed_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    connect(path, "journal").close()
    path.chmod(0o644)
    connect(path, "journal").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
