"""Devices that come and go are noticed by what the kernel tells, here of real folders."""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers import hotplug
from drivers.hotplug import Hotplug
from drivers.protocols import Again, DeviceLost
from tests.drivers.plugs import TIMEOUT_S, watched

ENOUGH_TURNS = 50
"""More than the loop needs to take up all that the kernel has to tell at that moment."""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the box's own devices, which may come and go meanwhile."""
    monkeypatch.setattr(hotplug, "FOLDERS", ())


async def nothing_comes(again: Again) -> bool:
    """Tell whether what waits still waits, once all that has happened has been taken up."""
    waiting = asyncio.create_task(coming(again), name="again")
    for _ in range(ENOUGH_TURNS):
        await asyncio.sleep(0)
    waits = not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    return waits


async def settled(plugs: Hotplug) -> Again:
    """Take note of the present, once all that has happened has been taken up."""
    while not await nothing_comes(again := plugs.again()):
        pass
    return again


async def coming(again: Again) -> None:
    await again()


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Have the kernel refuse to open anything, as a box does that is full."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_a_link_that_is_made_is_noticed(tmp_path: Path) -> None:
    link = tmp_path / "usb-0c2e_Honeywell-event-kbd"
    async with watched(link) as plugs:
        again = plugs.again()
        assert await nothing_comes(again)
        link.symlink_to("/dev/input/event5")
        await again()


async def test_what_came_before_anybody_waited_counts(tmp_path: Path) -> None:
    link = tmp_path / "scanner"
    async with watched(link) as plugs:
        first, second = plugs.again(), plugs.again()
        link.symlink_to("/dev/null")
        await first()
        await second()
        await second()
        assert await nothing_comes(plugs.again())


@pytest.mark.parametrize("parts", ["by-id", "dev/serial/by-id"])
async def test_a_folder_that_comes_later_is_watched_then(tmp_path: Path, parts: str) -> None:
    link = tmp_path / parts / "scanner"
    async with watched(link) as plugs:
        again = plugs.again()
        link.parent.mkdir(parents=True)
        await again()
        again = await settled(plugs)
        link.symlink_to("/dev/null")
        await again()


async def test_a_folder_and_all_in_it_made_at_once_is_noticed(tmp_path: Path) -> None:
    """The link may be there before its folder is watched: the folder's own coming is enough."""
    link = tmp_path / "serial/by-id/scanner"
    async with watched(link) as plugs:
        again = plugs.again()
        link.parent.mkdir(parents=True)
        link.symlink_to("/dev/null")
        await again()
        again = await settled(plugs)
        link.unlink()
        await again()


async def test_a_folder_that_goes_and_comes_back_is_watched_again(tmp_path: Path) -> None:
    """udev takes the folder away with the last link in it."""
    link = tmp_path / "by-id" / "scanner"
    link.parent.mkdir()
    link.symlink_to("/dev/null")
    async with watched(link) as plugs:
        for _ in range(3):
            again = plugs.again()
            link.unlink()
            link.parent.rmdir()
            await again()
            again = await settled(plugs)
            link.parent.mkdir()
            await again()
            again = await settled(plugs)
            link.symlink_to("/dev/null")
            await again()


async def test_a_permission_that_is_mended_is_noticed(tmp_path: Path) -> None:
    node = tmp_path / "ttyACM0"
    node.touch(0o600)
    async with watched(node) as plugs:
        again = plugs.again()
        node.chmod(0o660)
        await again()


async def test_an_unplugging_is_noticed(tmp_path: Path) -> None:
    node = tmp_path / "ttyACM0"
    node.touch()
    async with watched(node) as plugs:
        again = plugs.again()
        node.unlink()
        await again()


async def test_strangers_beside_the_way_to_a_folder_wake_nobody(tmp_path: Path) -> None:
    link = tmp_path / "by-id" / "scanner"
    async with watched(link) as plugs:
        again = plugs.again()
        (tmp_path / "a stranger").touch()
        (tmp_path / "a stranger").unlink()
        (tmp_path / "by-path").mkdir()
        assert await nothing_comes(again)
        link.parent.mkdir()
        await again()


async def test_where_nobody_may_watch_the_clock_says_when_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotplug, "BLIND_DELAY_S", 0.0)
    plugs = Hotplug()
    again = plugs.again()
    with no_more_descriptors(), pytest.raises(DeviceLost, match=r"^inotify: .*; raise fs\.inotify\.max_user_instances"):
        await plugs.run()
    async with asyncio.timeout(TIMEOUT_S):
        await again()
        await plugs.again()()


async def test_whoever_waits_when_the_watch_ends_is_not_left_waiting(tmp_path: Path) -> None:
    async with watched(tmp_path / "scanner") as plugs:
        waiting = asyncio.create_task(coming(plugs.again()), name="again")
        await asyncio.sleep(0)
        assert not waiting.done()
    async with asyncio.timeout(TIMEOUT_S):
        await waiting
