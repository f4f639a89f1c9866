"""Pictures of refused scans: kept for their hours and no longer, never in the way, and nobody else's to see."""

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edge.store import pictures
from edge.store.pictures import AHEAD, MOST_WAITING, Pictures, Taken
from edge.store.records import uuid7
from tests.edge.conftest import NOW, HandClock
from tests.system.processes import poll

JPEG = b"\xff\xd8 a picture \xff\xd9"


@dataclass
class Album:
    """A folder of pictures, and the settings and the clock by which it is kept."""

    folder: Path
    hand: HandClock = field(default_factory=HandClock)
    most_h: int = 48
    time_known: bool = True
    changes: int = 0
    pictures: Pictures = field(init=False)

    def __post_init__(self) -> None:
        self.opens()

    def opens(self, most_bytes: int = 10_000, least_free_bytes: int = 0) -> None:
        """Start the gate that keeps it; nothing of the one before is remembered."""

        def changed() -> None:
            self.changes += 1

        self.pictures = Pictures(self.folder, lambda: self.hand.wall, most_bytes, least_free_bytes)
        self.pictures.allow(lambda: self.most_h, lambda: self.time_known, changed)

    def scan(self, number: int = 0, at: datetime = NOW) -> str:
        """Return the id of a scan: the higher the number, the later it was made."""
        return uuid7(at, number.to_bytes(10, "big"))

    async def keeps(self, *scan_ids: str, hours: int = 24, jpeg: bytes = JPEG) -> None:
        for scan_id in scan_ids:
            self.pictures.keep(scan_id, Taken(jpeg, hours))
            await self.pictures.write()

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let its job run."""
        async with asyncio.TaskGroup() as group:
            job = group.create_task(self.pictures.run(), name="pictures")
            yield
            job.cancel()

    async def until(self, so: Callable[[], bool]) -> None:
        async def look() -> bool:
            return so()

        await poll(look)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path / "pictures")


async def test_a_picture_is_there_as_soon_as_it_is_kept_and_when_it_is_written(album: Album) -> None:
    scan = album.scan()
    album.pictures.keep(scan, Taken(JPEG, 24))
    assert (album.pictures.has(scan), await album.pictures.read(scan), album.files) == (True, JPEG, [])
    await album.pictures.write()
    assert (album.pictures.has(scan), await album.pictures.read(scan)) == (True, JPEG)
    assert album.files == [f"{scan}.24.jpg"]


async def test_what_an_earlier_run_left_goes_though_it_could_not_be_read_at_first(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "SWEEP_S", 0.05)
    old = album.scan(at=NOW - timedelta(hours=24))
    album.folder.touch()  # no folder, for the moment
    async with album.running():
        await album.until(lambda: album.pictures.fault is not None)
        album.folder.unlink()
        album.folder.mkdir()
        (album.folder / f"{old}.24.jpg").write_bytes(JPEG)
        await album.until(lambda: album.files == [])
    assert not album.pictures.has(old)


async def test_nobody_else_on_the_machine_sees_them(album: Album, open_umask: None) -> None:
    await album.keeps(album.scan())
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (album.folder, *album.folder.iterdir())]
    assert modes == [0o700, 0o600]


async def test_of_another_scan_there_is_none(album: Album) -> None:
    await album.keeps(album.scan())
    for other in (album.scan(1), "phone-1", "../journal.db", ""):
        assert (album.pictures.has(other), await album.pictures.read(other)) == (False, None)


# --- how long -------------------------------------------------------------------------------------------------------


async def test_each_stays_for_its_own_hours_by_the_time_of_its_scan(album: Album) -> None:
    short, long = album.scan(1), album.scan(2)
    await album.keeps(short, hours=2)
    await album.keeps(long, hours=24)
    album.hand.pass_(2 * 3600)
    await album.pictures.sweep()
    assert (album.pictures.has(short), album.pictures.has(long)) == (False, True)
    assert album.files == [f"{long}.24.jpg"]
    album.hand.pass_(22 * 3600 - 1)
    await album.pictures.sweep()
    assert album.pictures.has(long)
    album.hand.pass_(2)
    await album.pictures.sweep()
    assert album.files == []


async def test_the_hours_count_from_the_scan_also_after_a_restart(album: Album) -> None:
    old, new = album.scan(1), album.scan(2, NOW + timedelta(hours=20))
    await album.keeps(old, new)
    album.opens()
    album.hand.pass_(24 * 3600 + 1)
    async with album.running():
        await album.until(lambda: album.pictures.has(new) and not album.pictures.has(old))
    assert album.files == [f"{new}.24.jpg"]
    assert await album.pictures.read(new) == JPEG


async def test_settings_that_ask_for_fewer_hours_hold_for_what_there_is(album: Album) -> None:
    await album.keeps(album.scan(), hours=48)
    album.most_h = 1
    album.opens()
    album.hand.pass_(3601)
    async with album.running():
        await album.until(lambda: album.files == [])


async def test_settings_that_ask_for_more_hours_do_not(album: Album) -> None:
    await album.keeps(album.scan(), hours=1)
    album.most_h = 720
    album.hand.pass_(3601)
    await album.pictures.sweep()
    assert album.files == []


async def test_switched_off_nothing_is_kept_and_what_there_was_goes(album: Album) -> None:
    await album.keeps(album.scan(1), album.scan(2))
    (album.folder / f"{album.scan(3)}.24.part").write_bytes(b"half")
    album.most_h = 0
    album.opens()
    async with album.running():
        await album.until(lambda: not album.folder.exists())
    await album.keeps(album.scan(4))
    assert (album.pictures.has(album.scan(4)), album.folder.exists()) == (False, False)


async def test_a_reader_that_keeps_none_has_none_kept(album: Album) -> None:
    await album.keeps(album.scan(), hours=0)
    assert (album.pictures.has(album.scan()), album.files) == (False, [])


async def test_while_the_time_is_not_known_none_goes_for_its_age(album: Album) -> None:
    await album.keeps(album.scan())
    album.hand.pass_(1000 * 3600)
    album.time_known = False
    await album.pictures.sweep()
    assert len(album.files) == 1
    album.time_known = True
    await album.pictures.sweep()
    assert album.files == []


async def test_one_that_a_wrong_clock_dated_ahead_does_not_stay_until_then(album: Album) -> None:
    ahead, far = album.scan(1, NOW + AHEAD), album.scan(2, NOW + timedelta(days=4000))
    await album.keeps(ahead, far)
    await album.pictures.sweep()
    assert (album.pictures.has(ahead), album.pictures.has(far)) == (True, False)


async def test_wiped_is_all_of_it_also_what_waits(album: Album) -> None:
    await album.keeps(album.scan(1))
    album.pictures.keep(album.scan(2), Taken(JPEG, 24))
    await album.pictures.wipe()
    await album.pictures.write()
    assert [album.pictures.has(album.scan(number)) for number in (1, 2)] == [False, False]
    assert not album.folder.exists()


async def test_what_is_wiped_while_it_is_written_is_gone_too(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    real, loop = shutil.disk_usage, asyncio.get_running_loop()

    def unhurried(path: Path) -> object:
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        return real(path)

    monkeypatch.setattr(shutil, "disk_usage", unhurried)
    async with asyncio.TaskGroup() as group:
        group.create_task(album.keeps(album.scan()))
        await asked.wait()
        group.create_task(album.pictures.wipe())
        await asyncio.sleep(0)
        go_on.set()
    assert (album.pictures.has(album.scan()), album.folder.exists()) == (False, False)


# --- how much -------------------------------------------------------------------------------------------------------


async def test_the_oldest_go_where_there_are_too_many_bytes(album: Album) -> None:
    scans = [album.scan(number) for number in range(4)]
    await album.keeps(*scans, jpeg=bytes(3000))
    assert [album.pictures.has(each) for each in scans] == [False, True, True, True]
    assert album.files == [f"{each}.24.jpg" for each in scans[1:]]
    album.opens(most_bytes=7000)
    async with album.running():
        await album.until(lambda: album.pictures.has(scans[3]))
        album.pictures.keep(album.scan(9), Taken(b"x", 24))
        await album.until(lambda: album.files == [f"{each}.24.jpg" for each in (*scans[2:], album.scan(9))])


async def test_a_disk_that_is_slower_than_the_guests_has_few_that_wait(album: Album) -> None:
    for number in range(MOST_WAITING + 5):
        album.pictures.keep(album.scan(number), Taken(JPEG, 24))
    await album.pictures.write()
    assert album.files == [f"{album.scan(number)}.24.jpg" for number in range(MOST_WAITING)]


async def test_the_last_of_the_disk_is_the_journals(album: Album) -> None:
    album.opens(least_free_bytes=2**62)
    await album.keeps(album.scan())
    assert (album.pictures.has(album.scan()), album.files) == (False, [])
    assert "pictures of refused scans cannot be kept (the rest of the disk is the journal's)" in str(
        album.pictures.fault
    )


# --- faults ---------------------------------------------------------------------------------------------------------


async def test_a_fault_is_shown_once_and_is_over_when_one_is_kept(
    album: Album, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        await album.keeps(album.scan(1), album.scan(2))
    assert album.pictures.fault == (
        f"pictures of refused scans cannot be kept (No space left on device); look at {album.folder}"
    )
    assert (album.changes, caplog.text.count("No space left")) == (1, 1)
    assert (album.files, album.pictures.has(album.scan(1)), album.pictures.has(album.scan(2))) == ([], False, False)
    await album.keeps(album.scan(3))
    assert (album.changes, album.files) == (2, [f"{album.scan(3)}.24.jpg"])
    assert not album.pictures.fault


async def test_a_folder_that_cannot_be_is_shown_and_the_job_goes_on(album: Album) -> None:
    album.folder.write_text("a file in its place")
    async with album.running():
        await album.until(lambda: album.pictures.fault is not None)
        assert "cannot be read (Not a directory)" in str(album.pictures.fault)
        album.folder.unlink()
        album.pictures.keep(album.scan(), Taken(JPEG, 24))
        await album.until(lambda: album.files == [f"{album.scan()}.24.jpg"])
    assert album.pictures.fault is None


async def test_what_is_not_ours_in_the_folder_is_left_alone_and_halves_are_not(album: Album) -> None:
    await album.keeps(album.scan(1))
    half = album.folder / f"{album.scan(2)}.24.part"
    strange = [album.folder / name for name in ("notes.txt", f"{album.scan(3)}.jpg", f"{album.scan(3)}.0.jpg")]
    for path in (half, *strange):
        path.write_bytes(b"x")
    album.opens()
    async with album.running():
        await album.until(lambda: album.pictures.has(album.scan(1)) and not half.exists())
    assert not album.pictures.has(album.scan(3))
    await album.pictures.wipe()
    assert album.files == sorted(path.name for path in strange)


async def test_a_picture_that_somebody_deleted_is_not_there(album: Album) -> None:
    await album.keeps(album.scan())
    (album.folder / f"{album.scan()}.24.jpg").unlink()
    assert await album.pictures.read(album.scan()) is None
    album.hand.pass_(25 * 3600)
    await album.pictures.sweep()
    assert (album.pictures.has(album.scan()), album.pictures.fault) == (False, None)
