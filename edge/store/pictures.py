"""Pictures of refused scans, for disputes: kept for some hours where the settings ask for it, and then deleted.

They show people, so they are no part of the journal and are sent nowhere. A file is named by its scan and by the hours
for which it may stay: `<scan_id>.<hours>.jpg`.
"""

import asyncio
import contextlib
import errno
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from edge.store.records import instant_of

T = TypeVar("T")

log = logging.getLogger(__name__)

MOST_BYTES = 200_000_000
"""In all; the oldest go first."""
LEAST_FREE_BYTES = 200_000_000
"""The last of the disk is the journal's: without a record nobody is admitted."""
MOST_WAITING = 16
"""Pictures that wait to be written; while the disk is slower than the guests, no more are kept."""
SWEEP_S = 600.0
AHEAD = timedelta(hours=1)
"""A scan that was made later than now by more than this was made while the clock was wrong: its age is not known."""

_NAME = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\.([1-9][0-9]{0,2})\.jpg")


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture in which a code was seen, and for how many hours it may be kept if that code is refused."""

    jpeg: bytes = field(repr=False)
    hours: int


class _Kept(NamedTuple):
    hours: int
    size: int


class Pictures:
    """The folder of them. None of it waits for the disk in the event loop, and no fault of it reaches a lane."""

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime],
        most_bytes: int = MOST_BYTES,
        least_free_bytes: int = LEAST_FREE_BYTES,
    ) -> None:
        self._folder = folder
        self._now = now
        self._most_bytes = most_bytes
        self._least_free_bytes = least_free_bytes
        self._kept: dict[str, _Kept] = {}
        """By scan, the oldest first."""
        self._waiting: dict[str, Taken] = {}
        self._more = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._most_h: Callable[[], int] = lambda: 0
        self._time_known: Callable[[], bool] = lambda: True
        self._on_change: Callable[[], None] = lambda: None
        self.fault: str | None = None
        """Why they cannot be kept, or cannot be deleted, where that is so."""

    def allow(
        self, most_h: Callable[[], int], time_known: Callable[[], bool], on_change: Callable[[], None] = lambda: None
    ) -> None:
        """Let pictures be kept, each for `most_h` hours at most; 0: none may, and what there is goes.

        While the time is not known, none goes for its age. `on_change` is called when `fault` has changed.
        """
        self._most_h, self._time_known, self._on_change = most_h, time_known, on_change

    @property
    def is_there(self) -> bool:
        """Tell whether an earlier run may have left some."""
        return self._folder.is_dir()

    def keep(self, scan_id: str, taken: Taken) -> None:
        """Keep the picture of a refused scan, if it may be; it is written later, and this waits for nothing."""
        hours = min(taken.hours, self._most_h())
        if hours > 0 and len(self._waiting) < MOST_WAITING:
            self._waiting[scan_id] = Taken(taken.jpeg, hours)
            self._more.set()

    def has(self, scan_id: str) -> bool:
        """Tell whether there is one of a scan."""
        return scan_id in self._kept or scan_id in self._waiting

    async def read(self, scan_id: str) -> bytes | None:
        """Return the JPEG of a scan; None: there is none, or it cannot be read."""
        if (taken := self._waiting.get(scan_id)) is not None:
            return taken.jpeg
        if (kept := self._kept.get(scan_id)) is None:
            return None
        with contextlib.suppress(OSError):
            return await asyncio.to_thread(self._path(scan_id, kept.hours).read_bytes)
        return None

    async def wipe(self) -> None:
        """Delete them all."""
        self._waiting.clear()
        async with self._one_at_a_time:
            if await self._in_thread(self._empty, "deleted") is not None:
                self._kept.clear()

    # --- the job ----------------------------------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Write what is to be kept, and delete what is not to be kept any longer."""
        found: dict[str, _Kept] | None = None
        now = asyncio.get_running_loop().time
        while True:
            if found is None:  # what is not known of would stay for ever
                found = await self._in_thread(self._look, "read")
                self._kept = {**(found or {}), **self._kept}
            await self.sweep()
            due = now() + SWEEP_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    while True:
                        await self._more.wait()
                        self._more.clear()
                        await self.write()

    async def write(self) -> None:
        """Write what waits; what the disk does not take is given up."""
        async with self._one_at_a_time:
            while self._waiting:
                scan_id, taken = next(iter(self._waiting.items()))
                written = await self._in_thread(partial(self._write, scan_id, taken), "kept")
                if self._waiting.pop(scan_id, None) is not None and written:
                    self._kept[scan_id] = _Kept(taken.hours, len(taken.jpeg))
            await self._delete(self._surplus())

    async def sweep(self) -> None:
        """Delete what has been kept long enough, by the scan's time; all of it where nothing may be kept."""
        most_h, now = self._most_h(), self._now()
        if most_h == 0:
            await self.wipe()
        elif self._time_known():
            async with self._one_at_a_time:
                over = [each for each, kept in self._kept.items() if _is_over(each, min(kept.hours, most_h), now)]
                await self._delete(over)

    def _surplus(self) -> list[str]:
        """Return the oldest: those without which the rest would be few enough."""
        over, surplus = sum(each.size for each in self._kept.values()) - self._most_bytes, []
        for scan_id, kept in self._kept.items():
            if over <= 0:
                break
            over -= kept.size
            surplus.append(scan_id)
        return surplus

    async def _delete(self, scan_ids: Iterable[str]) -> None:
        gone = {each: self._path(each, self._kept[each].hours) for each in scan_ids}
        if not gone:
            return
        if await self._in_thread(partial(_unlink, gone.values()), "deleted"):
            for scan_id in gone:
                del self._kept[scan_id]

    async def _in_thread(self, work: Callable[[], T], what: str) -> T | None:
        """Do what the disk may refuse: then that is shown, and this returns None."""
        try:
            done = await asyncio.to_thread(work)
        except OSError as exc:
            self._set_fault(
                f"pictures of refused scans cannot be {what} ({exc.strerror or exc}); look at {self._folder}"
            )
            return None
        self._set_fault(None)
        return done

    def _set_fault(self, fault: str | None) -> None:
        if fault != self.fault:
            self.fault = fault
            if fault is not None:
                log.error("%s", fault)
            self._on_change()

    # --- in a thread ------------------------------------------------------------------------------------------------

    def _path(self, scan_id: str, hours: int) -> Path:
        return self._folder / f"{scan_id}.{hours}.jpg"

    def _look(self) -> dict[str, _Kept]:
        """Return what an earlier run has left, the oldest first; of a picture half written there is nothing to keep."""
        found = {}
        for path, name in _pictures_in(self._folder):
            if name is None:
                path.unlink(missing_ok=True)
            else:
                found[name[1]] = _Kept(int(name[2]), path.stat().st_size)
        return found

    def _write(self, scan_id: str, taken: Taken) -> bool:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if shutil.disk_usage(self._folder).free < self._least_free_bytes + len(taken.jpeg):
            raise OSError(errno.ENOSPC, "the rest of the disk is the journal's")
        path = self._path(scan_id, taken.hours)
        part = path.with_suffix(".part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 (0600)
                file.write(taken.jpeg)
            part.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        return True

    def _empty(self) -> bool:
        _unlink(path for path, _name in _pictures_in(self._folder))
        with contextlib.suppress(OSError):  # not there, or something in it is not ours
            self._folder.rmdir()
        return True


def _pictures_in(folder: Path) -> list[tuple[Path, re.Match[str] | None]]:
    """Return the pictures of a folder by name, the oldest first, and what is left of halves of them (None)."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    named = [(path, _NAME.fullmatch(path.name)) for path in paths]
    return [(path, name) for path, name in named if name is not None or path.suffix == ".part"]


def _unlink(paths: Iterable[Path]) -> bool:
    for path in paths:
        path.unlink(missing_ok=True)
    return True


def _is_over(scan_id: str, hours: int, now: datetime) -> bool:
    """Tell whether a scan was made longer ago than `hours`, by the time in its id (RFC 9562: UUID version 7)."""
    try:
        made_at = instant_of(int(scan_id.replace("-", "")[:12], 16) * 1000)
    except OverflowError:  # a name that no gate gave, of a year that no calendar has
        return True
    return now - made_at >= timedelta(hours=hours) or made_at - now > AHEAD
