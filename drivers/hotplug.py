"""Tells when device nodes come, go or change hands, so that nobody has to ask for them again and again.

Source: inotify(7). The kernel makes nodes under /dev by itself, udev gives them their owner and their other names a
moment later; each of these is an event.
"""

import asyncio
import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from asyncinotify import Event, Inotify, Mask

from drivers.protocols import Again, DeviceLost

FOLDERS = tuple(
    Path("/dev", each)
    for each in (
        *("", "input", "input/by-id", "input/by-path", "serial", "serial/by-id", "bus/usb"),
        *("v4l", "v4l/by-id", "v4l/by-path"),
    )
)
"""Where the nodes of scanners, cameras and relay boards lie, and their names that last."""

BLIND_DELAY_S = 1.5
"""How long to wait before trying again where the system lets nobody watch."""

_CHANGES = Mask.CREATE | Mask.DELETE | Mask.ATTRIB | Mask.MOVED_TO | Mask.MOVED_FROM


class Hotplug:
    """Counts changes in the folders of device nodes; `run` must be running for any to be counted."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        """Watch the folders of `paths`, too, which need not be there yet."""
        self._folders = dict.fromkeys([*FOLDERS, *(Path(each).parent for each in paths)])
        self._way_there = {above for folder in self._folders for above in (folder, *folder.parents)}
        self._count = 0
        self._watching = False
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    def again(self) -> Again:
        """Take note of the present; return what waits for the first change since."""
        return partial(self._after, self._count)

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` at each change, at once."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def _after(self, count: int) -> None:
        while self._count == count:
            if not self._watching:
                await asyncio.sleep(BLIND_DELAY_S)
                return
            await self._changed.wait()

    async def run(self) -> NoReturn:
        """Watch for ever.

        Raises:
            DeviceLost: the system gives no more inotify watches.
        """
        try:
            with Inotify() as inotify:
                self._watching = True
                self._watch(inotify)
                self._note()  # what happened before anyone watched
                while True:
                    self._take(await inotify.get(), inotify)
        except OSError as exc:
            limit = "max_user_watches" if exc.errno == errno.ENOSPC else "max_user_instances"
            raise DeviceLost(f"inotify: {exc.strerror}; raise fs.inotify.{limit}") from exc
        finally:
            self._watching = False
            self._note()

    def _take(self, event: Event, inotify: Inotify) -> None:
        """Note an event, unless it is of a stranger beside the way to a folder that is not there yet."""
        on_the_way = event.path in self._way_there
        if on_the_way or event.mask & Mask.IGNORED:
            self._watch(inotify)
        if on_the_way or event.watch is None or event.watch.path in self._folders:
            self._note()

    def _watch(self, inotify: Inotify) -> None:
        """Watch each folder, or what is there of the way to it; what is watched stays so."""
        for folder in self._folders:
            nearest = None
            # Once more after each step, since the next one may have come before this one was watched.
            while (reached := _watched(inotify, folder)) != nearest:
                nearest = reached

    def _note(self) -> None:
        self._count += 1
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in tuple(self._listeners):
            listener()


def _watched(inotify: Inotify, folder: Path) -> Path | None:
    """Watch a folder, or the nearest above it that lets itself be watched; return which."""
    for each in (folder, *folder.parents):
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            inotify.add_watch(each, _CHANGES)
            return each
    return None
