"""A gate without a CRM: its real store, lane and sync engine on real files, and nobody else in the world."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.settings import LaneSettings
from edge.clock import GateClock, wall_clock
from edge.gate import Lane
from edge.hub import Hub
from edge.store.store import Store, open_store
from edge.store.tx import Identity
from sync import crm_file
from sync.crm_file import FileCrm
from sync.engine import SyncEngine
from sync.errors import BadFeed, LinkDown
from sync.file_job import FileJob, ListedFile
from sync.file_plan import Owner
from sync.file_reader import reading
from sync.file_source import PathSource, Seen
from sync.pull import Puller
from sync.scan_files import ScanFiles
from sync.state import CrmHealth
from tests.sync.book import KEY
from tests.sync.rig import START, HostRecord, News, Sleeper

OWNER = Owner("d-1", KEY, "North 1", "tickets", "Europe/Kyiv")
SOON_S = 0.02


@dataclass
class Box:
    """A gate, the folder of its barcode files and the folder of its scans."""

    folder: Path
    store: Store
    crm: FileCrm
    engine: SyncEngine
    lane: Lane
    health: CrmHealth
    host: HostRecord
    sleeper: Sleeper
    sync_now: asyncio.Event
    notes: list[str | None] = field(default_factory=list)
    reads: int = 0

    @property
    def tickets(self) -> Path:
        return self.folder / "tickets"

    def writes(self, text: str, name: str = "a.csv") -> None:
        """Write a file as whoever is careful does."""
        part = self.tickets / f"{name}.part"
        part.write_text(text)
        part.replace(self.tickets / name)

    async def until_tickets(self, count: int) -> None:
        await self.host.news.until(lambda: self.store.data.tickets == count and self.store.data.cursor is not None)

    async def until_error(self, part: str) -> None:
        await self.host.news.until(lambda: part in (self.health.error or ""))

    async def reason(self, code: str) -> str:
        return (await self.lane.offer(code, scan_id=None)).scan.reason

    @asynccontextmanager
    async def running(self, *jobs: str) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(getattr(self.engine, f"run_{job}")()) for job in jobs or ("changes",)]
            yield
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def open_box(folder: Path, *, skip_bad: bool = False) -> AsyncIterator[Box]:
    """Open the gate's real parts in a folder, not yet running; it never tries again but for a reason."""
    clock, health, news = GateClock(wall=lambda: START, synchronised=lambda: False), CrmHealth(), News()
    host, sleeper, sync_now, accept = HostRecord(news), Sleeper(news, naps=0), asyncio.Event(), asyncio.Event()
    (folder / "tickets").mkdir(exist_ok=True)
    defects: list[BaseException] = []
    notes: list[str | None] = []
    crm = FileCrm(
        PathSource(folder / "tickets", poll_s=SOON_S, settle_s=SOON_S),
        ScanFiles(folder / "scans"),
        OWNER,
        wall_clock,
        skip_bad=skip_bad,
        tell=notes.append,
    )
    async with open_store(folder / "data", Identity("d-1", KEY), clock.now, defects.append) as store:
        puller = Puller(store, clock.now, health, host, accept)
        engine = SyncEngine(
            store,
            crm,
            puller,
            host,
            health,
            clock.now,
            sync_now=sync_now,
            accept=accept,
            sleep=sleeper,
            period_s=0.0,
        )
        lane = Lane(LaneSettings(id="north-1", repeat_s=0), "en", store, clock, Hub())
        yield Box(folder, store, crm, engine, lane, health, host, sleeper, sync_now, notes)
        await crm.close()
    assert defects == []


@pytest.fixture
async def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    async with open_box(tmp_path) as opened:

        def counted(job: FileJob) -> object:
            opened.reads += 1
            return reading(job)

        monkeypatch.setattr(crm_file, "reading", counted)
        yield opened


async def test_a_folder_is_all_that_a_gate_needs(box: Box) -> None:
    box.writes("code,type,state\nA,VIP,\nB,,cancelled\n")
    async with box.running():
        await box.until_tickets(2)
        assert [await box.reason(code) for code in "ABC"] == ["admitted", "cancelled", "unknown_ticket"]
    assert (box.health.state, box.health.error, box.notes) == ("connected", None, [None])


async def test_a_changed_file_is_in_force_without_anyone_asking(box: Box) -> None:
    box.writes("code\nA\n")
    async with box.running():
        await box.until_tickets(1)
        box.writes("code,state\nA,revoked\nB,\n", "b.csv")
        await box.until_tickets(2)
        assert [await box.reason(code) for code in "AB"] == ["revoked", "admitted"]
    assert box.notes[-1] == "codes in more than one file: 1; the later file by name counts"


async def test_a_bad_file_is_said_once_and_taken_up_as_soon_as_it_is_mended(box: Box) -> None:
    box.writes("code\nA\n")
    async with box.running():
        await box.until_tickets(1)
        box.writes("code,state\nA,revoked\nB,sold\n")
        await box.until_error("a.csv: line 3: state: 'sold' is none of")
        assert (box.health.state, await box.reason("A")) == ("away", "admitted")
        reads = box.reads
        box.sync_now.set()
        await box.host.news.until(lambda: len(box.sleeper.delays) == 2)
        assert box.reads == reads, "what is known to be bad is not read again"
        box.writes("code,state\nA,revoked\nB,\n")
        await box.until_tickets(2)
        assert (box.health.state, box.health.error, await box.reason("A")) == ("connected", None, "revoked")


async def test_bad_rows_may_be_left_out(tmp_path: Path) -> None:
    async with open_box(tmp_path, skip_bad=True) as box, box.running():
        box.writes("code,state\nA,\nB,sold\n")
        await box.until_tickets(1)
        assert (box.notes[0] or "").startswith("rows left out: 1 of 2: a.csv: line 3: state: 'sold' is none of ")


async def test_a_stick_may_be_pulled_out_and_come_back(box: Box) -> None:
    box.writes("code\nA\n")
    async with box.running():
        await box.until_tickets(1)
        box.tickets.rename(box.folder / "pocket")
        await box.until_error("not there; put it back")
        assert await box.reason("A") == "admitted"
        (box.folder / "pocket" / "a.csv").write_text("code\nA\nB\n")
        (box.folder / "pocket").rename(box.tickets)
        await box.until_tickets(2)


async def test_an_empty_folder_takes_no_list_away(box: Box) -> None:
    box.writes("code\nA\n")
    async with box.running():
        await box.until_tickets(1)
        (box.tickets / "a.csv").unlink()
        await box.until_error("no .csv file in it; put one there")
        assert await box.reason("A") == "admitted"


async def test_a_file_cut_short_is_held_back(box: Box) -> None:
    box.writes("code\n" + "".join(f"C-{n}\n" for n in range(10)))
    async with box.running():
        await box.until_tickets(10)
        box.writes("code\nC-1\n")
        await box.host.news.until(lambda: box.store.data.held is not None)
        assert await box.reason("C-9") == "admitted"


async def test_a_name_may_be_written_in_any_way(box: Box) -> None:
    (box.tickets / os.fsdecode(b"caf\xe9.csv")).write_text("code,state\nA,sold\n")
    async with box.running():
        await box.until_error("caf\ufffd.csv: line 2: state")
        (box.tickets / os.fsdecode(b"caf\xe9.csv")).write_text("code\nA\n")
        await box.until_tickets(1)
        assert (await box.lane.offer("A", scan_id=None)).body()["ticket"]["source"] == "caf\ufffd"


async def test_a_plan_is_obeyed_and_a_bad_one_said(box: Box) -> None:
    box.writes("code\nA\n")
    box.writes("[checkpoint]\nid = 'gate'\nhours = []\n", "plan.toml")
    async with box.running():
        await box.until_tickets(1)
        assert await box.reason("A") == "checkpoint_closed"
        box.writes("[checkpoint]\nid = 'gate'\nhour = []\n", "plan.toml")
        await box.until_error("plan.toml: 1 problem: checkpoint.0.hour: no such key; did you mean hours?")
        cursor = box.store.data.cursor
        box.writes("[checkpoint]\nid = 'gate'\n", "plan.toml")
        await box.host.news.until(lambda: box.store.data.cursor != cursor)
        assert await box.reason("A") == "admitted"


async def test_a_file_that_no_event_takes_is_said(box: Box) -> None:
    box.writes("code\nA\n")
    box.writes("[event]\nname = 'A'\nfiles = ['b*']\n", "plan.toml")
    async with box.running():
        await box.until_error("a.csv: no event of the plan takes it; name it in the files of one")


async def test_the_same_files_after_a_restart_are_no_new_list(tmp_path: Path) -> None:
    for attempt in range(2):
        async with open_box(tmp_path) as box:
            if attempt == 0:
                box.writes("code\nA\n")
            async with box.running():
                await box.host.news.until(lambda box=box: box.health.state == "connected")  # type: ignore[misc]
                await box.until_tickets(1)
            assert bool(box.notes) == (attempt == 0), "there is nothing to tell of a list that was not read"


async def test_a_list_changed_behind_the_gates_back_is_read_anew(box: Box) -> None:
    box.sleeper.naps = 10_000
    box.writes("code\nA\nB\n")
    async with box.running("changes", "audit"):
        await box.until_tickets(2)
        with closing(sqlite3.connect(box.store.whitelist_path)) as db, db:
            db.execute("UPDATE ticket SET state = 'blocked'")
        reads = box.reads
        await box.host.news.until(lambda: box.reads > reads and not box.store.building_path.exists())
        await box.until_tickets(2)
        assert await box.reason("A") == "admitted"


async def test_nobody_vouches_for_the_time(box: Box) -> None:
    box.sleeper.naps = 1
    async with box.running("heartbeat"):
        await box.host.news.until(lambda: len(box.sleeper.delays) == 2)
    assert box.host.heard == []


# --- scans ----------------------------------------------------------------------------------------------------------


async def written(box: Box, count: int) -> list[str]:
    """Wait until so many scans are written out; return the names of the files."""
    await box.host.news.until(lambda: len(rows_of(box)) == count)
    return sorted(each.name for each in (box.folder / "scans").iterdir())


def rows_of(box: Box) -> list[str]:
    paths = sorted((box.folder / "scans").glob("*.csv"))
    return [line for path in paths for line in path.read_text().splitlines()[1:]]


async def test_scans_are_written_out_as_they_come(box: Box) -> None:
    box.writes("code\nA\n")
    async with box.running("changes", "scans"):
        await box.until_tickets(1)
        for code in "AAX":
            await box.reason(code)
        assert await written(box, 3) == ["scans-2026-05-01.csv"]
    assert [line.split(",")[:8:7] for line in rows_of(box)] == [
        ["1", "admitted"],
        ["2", "already_used"],
        ["3", "unknown_ticket"],
    ]
    assert (await box.store.backlog()).unsent == 0


async def test_days_are_those_of_the_plans_event(box: Box) -> None:
    """At 18:00 UTC it is the next day in Tokyo."""
    box.writes("code\nA\n")
    box.writes("[event]\nname = 'A'\ntz = 'Asia/Tokyo'\n", "plan.toml")
    await box.reason("A")
    async with box.running("scans"):
        assert await written(box, 1) == ["scans-2026-05-02.csv"]


async def test_without_any_files_days_are_the_boxs_own(box: Box) -> None:
    box.tickets.rmdir()
    await box.reason("A")
    async with box.running("scans"):
        assert await written(box, 1) == ["scans-2026-05-01.csv"]


async def test_scans_that_cannot_be_written_wait_in_the_journal(box: Box) -> None:
    (box.folder / "scans").touch()
    await box.reason("A")
    async with box.running("scans"):
        await box.host.news.until(lambda: bool(box.sleeper.delays))
    assert (await box.store.backlog()).unsent == 1
    (box.folder / "scans").unlink()
    async with box.running("scans"):
        await written(box, 1)


# --- asked by hand --------------------------------------------------------------------------------------------------


class Undue:
    """A source that need not be asked again yet."""

    def __init__(self, source: PathSource) -> None:
        self._source = source
        self.looked_at = float("-inf")

    async def look(self) -> Seen:
        return await self._source.look()

    async def changed(self, seen: Seen | None, wait_s: float) -> bool:
        return await self._source.changed(seen, wait_s)

    async def close(self) -> None:
        await self._source.close()


async def test_a_list_is_not_called_fresh_where_nobody_has_looked(box: Box) -> None:
    box.writes("code\nA\n")
    source = PathSource(box.tickets, poll_s=SOON_S, settle_s=SOON_S)
    for each, told in ((source, True), (Undue(source), False)):
        crm = FileCrm(each, ScanFiles(box.folder), OWNER, wall_clock)
        async with crm.changes(None, 0) as feed:
            body = b"".join([chunk async for chunk in feed.chunks])
        cursor = body.split(b'"cursor":"')[1].split(b'"')[0].decode()
        async with crm.changes(cursor, 0) as feed:
            assert bool([chunk async for chunk in feed.chunks]) == told


async def test_a_person_may_have_the_files_looked_over(box: Box) -> None:
    box.writes("code\nA\nB\n")
    report = await box.crm.look_over()
    assert (report.tickets, report.files, report.rows) == (2, 1, 2)
    box.writes("code,state\n,sold\n")
    with pytest.raises(BadFeed, match="1 of 1 rows are bad"):
        await box.crm.look_over()


async def test_what_passes_by_itself_is_not_remembered(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.writes("code\nA\n")
    real = crm_file._listed
    monkeypatch.setattr(crm_file, "_listed", lambda file, plan: _another_size(real(file, plan)))
    with pytest.raises(LinkDown, match="changed while it was read; reading it again"):
        await box.crm.look_over()
    monkeypatch.setattr(crm_file, "_listed", real)
    assert (await box.crm.look_over()).tickets == 1


async def test_a_plan_that_may_not_be_read_is_not_remembered(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave to read it changes nothing by which the plan would be known for another."""
    box.writes("code\nA\n")
    box.writes("", "plan.toml")
    real = Path.open

    def refused(path: Path, *args: Any, **kwargs: Any) -> object:
        if path.name == "plan.toml":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(LinkDown, match="give the gate's user leave to read it"):
        await box.crm.look_over()
    monkeypatch.setattr(Path, "open", real)
    async with box.running():
        await box.until_tickets(1)


def _another_size(file: ListedFile) -> ListedFile:
    return ListedFile(file.path, file.name, file.source, file.events, file.size + 1, file.mtime_ns)
