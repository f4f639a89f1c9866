"""Which barcode files there are, and that every change of them is noticed, but none that is half done."""

import asyncio
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.errors import LinkDown
from sync.file_source import MOST_FILES, PathSource, Seen

SOON_S = 0.02
HOURS_S = 36_000.0
"""Longer than any test: only what is told is noticed."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stick"
    made.mkdir()
    return made


def a_source(path: Path, *, poll_s: float = HOURS_S, settle_s: float = SOON_S, plan: Path | None = None) -> PathSource:
    return PathSource(path, plan, poll_s=poll_s, settle_s=settle_s)


def names(seen: Seen) -> list[str]:
    return [each.name for each in seen.files]


async def test_files_are_listed_by_name_and_strangers_are_not(folder: Path) -> None:
    for name in (
        "b.csv",
        "a.CSV",
        "c.tsv",
        ".hidden.csv",
        "._a.csv",
        "~$a.csv",
        "notes.txt",
        "a.csv.part",
        "plan.toml",
    ):
        (folder / name).write_text("code\n")
    (folder / "d.csv").mkdir()
    seen = await a_source(folder).look()
    assert names(seen) == ["a.CSV", "b.csv", "c.tsv"]
    assert seen.plan is not None
    assert seen.plan.name == "plan.toml"


async def test_a_file_is_listed_alone_whatever_its_name(folder: Path) -> None:
    for name in ("list.txt", "other.csv", "plan.json"):
        (folder / name).write_text("code\n")
    seen = await a_source(folder / "list.txt").look()
    assert (names(seen), seen.plan and seen.plan.name) == (["list.txt"], "plan.json")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder.rmdir(), "crm.path: {}: not there; put it back, or mend the settings"),
        (lambda folder: None, "crm.path: {}: no .csv file in it; put one there"),
        (lambda folder: [(folder / f"plan.{kind}").touch() for kind in ("toml", "json")], "take one of them away"),
    ],
)
async def test_what_cannot_be_read_is_said(folder: Path, make: Callable[[Path], object], said: str) -> None:
    if "plan" not in said and "take" in said:
        (folder / "a.csv").touch()
    make(folder)
    with pytest.raises(LinkDown) as caught:
        await a_source(folder).look()
    assert said.format(folder) in str(caught.value)
    assert caught.value.again is not None


async def test_too_many_files_are_said(folder: Path) -> None:
    for number in range(MOST_FILES + 1):
        (folder / f"{number}.csv").touch()
    with pytest.raises(LinkDown, match="more than 1000 files"):
        await a_source(folder).look()


async def test_a_plan_that_the_settings_name_must_be_there(folder: Path) -> None:
    (folder / "a.csv").touch()
    with pytest.raises(LinkDown, match=r"elsewhere\.toml: not there"):
        await a_source(folder, plan=folder / "elsewhere.toml").look()


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda folder: (folder / "a.csv").write_text("code\nB\n"),
    "replaced": lambda folder: (folder / "b.part").replace(folder / "a.csv"),
    "another": lambda folder: (folder / "c.csv").write_text("code\nC\n"),
    "deleted": lambda folder: (folder / "a.csv").unlink(),
    "plan": lambda folder: (folder / "plan.toml").write_text("[event]\n"),
    "touched": lambda folder: os.utime(folder / "a.csv", (1, 1)),
}


@pytest.mark.parametrize("change", list(CHANGES))
async def test_a_change_is_told_at_once(folder: Path, change: str) -> None:
    for name in ("a.csv", "b.part"):
        (folder / name).write_text("code\nA\n")
    source = a_source(folder)
    seen = await source.look()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(source.changed(seen, math.inf))
        await asyncio.to_thread(CHANGES[change], folder)
        assert await waiting


async def test_where_nobody_tells_it_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("sync.file_source.Inotify", refuses)
    (folder / "a.csv").write_text("code\nA\n")
    source = a_source(folder, poll_s=SOON_S)
    seen = await source.look()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(source.changed(seen, math.inf))
        (folder / "a.csv").write_text("code\nB\n")
        assert await waiting


async def test_nothing_new_is_said_when_the_time_is_up(folder: Path) -> None:
    (folder / "a.csv").touch()
    source = a_source(folder)
    seen, looked_at = await source.look(), source.looked_at
    assert not await source.changed(seen, SOON_S)
    assert not await source.changed(seen, -1)
    assert source.looked_at > looked_at


async def test_a_folder_that_comes_back_is_told(folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(LinkDown) as caught:
        await a_source(folder, poll_s=SOON_S).look()
    assert caught.value.again is not None
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(_wait(caught.value.again))
        folder.mkdir()
        (folder / "a.csv").touch()


async def _wait(again: Callable[[], object]) -> None:
    await again()  # type: ignore[misc]


async def test_a_file_is_not_read_while_it_is_being_written(folder: Path) -> None:
    path = folder / "a.csv"
    path.write_text("code\n")
    source, sizes = a_source(folder, settle_s=0.3), list[int]()

    async def copy() -> None:
        for number in range(20):
            with path.open("a") as file:
                file.write(f"CODE-{number}\n")
            sizes.append(path.stat().st_size)
            await asyncio.sleep(0.01)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        looking = group.create_task(source.look())
        group.create_task(copy())
        seen = await looking
        assert (len(sizes), seen.files[0].size) == (20, sizes[-1])


async def test_a_file_that_never_rests_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.file_source.MOST_UNREST_S", 0.0)
    path = folder / "a.csv"
    path.touch()
    source = a_source(folder)
    real = source._list_now

    def grown() -> Seen:
        with path.open("a") as file:
            file.write("x")
        return real()

    monkeypatch.setattr(source, "_list_now", grown)
    with pytest.raises(LinkDown, match="keeps changing; copy under another name, then rename"):
        await source.look()
