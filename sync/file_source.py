"""Which barcode files there are, and when that changes.

Source: inotify(7). Network file systems and newly mounted sticks tell nobody, so the files are looked at every few
seconds as well; that costs a stat(2) a file.
"""

import asyncio
import math
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from asyncinotify import Inotify, Mask

from sync.errors import LinkDown
from sync.file_plan import NAMES

POLL_S = 5.0
SETTLE_S = 1.0
"""How long nothing may have changed before files are read: somebody may be copying one."""
MOST_UNREST_S = 60.0
MOST_FILES = 1000
SUFFIXES = frozenset({".csv", ".tsv"})
_CHANGES = (
    Mask.CLOSE_WRITE | Mask.CREATE | Mask.DELETE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.ATTRIB | Mask.DELETE_SELF
)


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as it was found; another inode is another file."""

    path: Path
    name: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The barcode files in the order in which they count, and the plan, where there is one."""

    files: tuple[SeenFile, ...]
    plan: SeenFile | None = None


class Source(Protocol):
    """Where barcode files come from."""

    looked_at: float
    """When somebody last looked there, and found something, on the loop's clock."""

    async def look(self) -> Seen:
        """Return what is there, once nobody seems to be changing it.

        Raises:
            LinkDown: nothing can be read there.
        """

    async def changed(self, seen: Seen | None, wait_s: float) -> bool:
        """Wait until there is something else than was seen (None: nothing could be read); False: the time is up.

        Raises:
            LinkDown: as `look`, of a source that must be asked.
        """

    async def close(self) -> None:
        """Give back what it holds open."""


class PathSource:
    """A file, or the files of a folder whose names end in `.csv` or `.tsv`, with the plan beside them."""

    def __init__(
        self, path: Path, plan_path: Path | None = None, *, poll_s: float = POLL_S, settle_s: float = SETTLE_S
    ) -> None:
        """Without `plan_path` the plan is `plan.toml` or `plan.json` in the files' folder, if there is one."""
        self._path = path
        self._plan_path = plan_path
        self._poll_s = poll_s
        self._settle_s = settle_s
        self._settled: Seen | None = None
        self.looked_at = -math.inf

    async def close(self) -> None:
        """Nothing is held open."""

    async def look(self) -> Seen:
        """Return what is there; see `Source.look`."""
        loop = asyncio.get_running_loop()
        seen, began = await self._list(), loop.time()
        while seen != self._settled:
            await asyncio.sleep(self._settle_s)
            again = await self._list()
            if again == seen:
                self._settled = seen
            elif loop.time() - began > MOST_UNREST_S:
                raise LinkDown(f"crm.path: {self._path}: keeps changing; copy under another name, then rename")
            seen = again
        return seen

    async def changed(self, seen: Seen | None, wait_s: float) -> bool:
        """Wait for another state; see `Source.changed`."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_s
        with ExitStack() as held:
            inotify = self._watch(held)
            while True:
                if await self._list_if_any() != seen:
                    return True
                left_s = ends_at - loop.time()
                if left_s <= 0:
                    return False
                await _news(inotify, min(left_s, self._poll_s))

    async def _list_if_any(self) -> Seen | None:
        try:
            return await self._list()
        except LinkDown:
            return None

    async def _list(self) -> Seen:
        try:
            seen = await asyncio.to_thread(self._list_now)
        except FileNotFoundError as exc:
            raise self._down(f"{exc.filename}: not there; put it back, or mend the settings") from exc
        except OSError as exc:
            raise self._down(f"{exc.filename}: {exc.strerror}; give the gate's user leave to read it") from exc
        self.looked_at = asyncio.get_running_loop().time()
        return seen

    def _list_now(self) -> Seen:
        is_folder = self._path.is_dir()
        files = sorted(filter(_is_list, self._path.iterdir())) if is_folder else [self._path]
        if not files:
            raise self._down(f"{self._path}: no .csv file in it; put one there")
        if len(files) > MOST_FILES:
            raise self._down(f"{self._path}: more than {MOST_FILES} files; put them together")
        plan = self._plan_path or self._plan_in(self._path if is_folder else self._path.parent)
        return Seen(tuple(map(seen_file, files)), seen_file(plan) if plan else None)

    def _plan_in(self, folder: Path) -> Path | None:
        found = [folder / name for name in NAMES if (folder / name).exists()]
        if len(found) > 1:
            raise self._down(f"{folder}: {' and '.join(NAMES)}: take one of them away")
        return found[0] if found else None

    def _down(self, why: str) -> LinkDown:
        return LinkDown(f"crm.path: {why}", again=self._there_again)

    async def _there_again(self) -> None:
        await self.changed(None, math.inf)

    def _watch(self, held: ExitStack) -> Inotify | None:
        """Watch the folders, as far as the system lets anybody."""
        folders = {self._path if self._path.is_dir() else self._path.parent}
        folders |= {self._plan_path.parent} if self._plan_path else set()
        try:
            inotify = held.enter_context(Inotify())
        except OSError:
            return None
        for each in folders:
            with suppress(OSError):
                inotify.add_watch(each, _CHANGES)
        return inotify


def seen_file(path: Path, name: str | None = None) -> SeenFile:
    """Look at a file; `name` is what people call it, its own if none is given.

    Raises:
        OSError: it is not there.
    """
    stat = path.stat()
    shown = os.fsencode(path.name).decode(errors="replace")  # a name need not be UTF-8
    return SeenFile(path, name or shown, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _is_list(path: Path) -> bool:
    """Tell whether a name is a barcode file's, and not what an editor or another system left beside it."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith((".", "~")) and path.is_file()


async def _news(inotify: Inotify | None, wait_s: float) -> None:
    """Wait until something happens, or the time is up."""
    if inotify is None:
        await asyncio.sleep(wait_s)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await inotify.get()
