"""Cameras: codes are read by a process of their own, which may die at any time; here its words become reads."""

import asyncio
import errno
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal, assert_never

from drivers.camera.messages import (
    Alive,
    Ended,
    FromCamera,
    Seen,
    Show,
    Shown,
    StillDone,
    Stills,
    Stream,
    Task,
    Up,
    VideoDevice,
)
from drivers.camera_child import LIMITS, CameraChild, Limits, ProcessDied, a_child, tame
from drivers.discovery import Found, Wanted, find_cameras, pick
from drivers.hotplug import Hotplug
from drivers.image_files import arriving, images_in
from drivers.onlookers import Onlookers
from drivers.presence import Presence
from drivers.protocols import Again, Clock, DeviceLost, DeviceRefused, Picture, Read, Spoiled
from drivers.stills_decoder import StillsDecoder

STREAM_PAUSE_S = 5.0
"""A network camera that gave no picture is not asked more often: it may be starting, or count failures."""


class CameraScanner:
    """Reads the codes that a camera sees, each once in each showing of it."""

    def __init__(
        self,
        task: Task,
        clock: Clock,
        hotplug: Hotplug,
        wanted: Wanted | None = None,
        find: Callable[[], Iterable[Found]] = find_cameras,
        limits: Limits = LIMITS,
        stream_pause_s: float = STREAM_PAUSE_S,
    ) -> None:
        """`wanted` says which V4L2 device is meant, in place of the path in the task."""
        self._task = task
        self._clock = clock
        self._hotplug = hotplug
        self._wanted = wanted
        self._find = find
        self._limits = limits
        self._stream_pause_s = stream_pause_s
        self._child: CameraChild | StillsDecoder | None = None
        self._last: CameraChild | None = None
        """The process that was started last, which need not have ended when it was told to."""
        self._presence = Presence()
        self._onlookers = Onlookers(self._ask)
        self._files: dict[Path, tuple[int, ...]] = {}
        """Image files that have been read, each as it was then."""
        self.on_up: Callable[[], None] = lambda: None
        """Called whenever the camera has begun to give pictures; of a folder, when it is there."""
        self.up: Up | None = None
        """The size of the pictures; None: there are none yet, or no more."""
        self.alive: Alive | None = None
        """What the process last said of itself; None: nothing yet, or it has ended."""
        self.seen: Seen | None = None
        """The newest of what was seen, without its picture: a read comes from it, or from one before."""

    @property
    def pid(self) -> int | None:
        """The camera's process, while there is one."""
        return self._child.pid if self._child else None

    def watch(self, form: Literal["jpeg", "luma"], width: int, every_s: float) -> AsyncGenerator[Picture]:
        """Yield pictures as `Camera.watch` says, also across failures of the camera."""
        return self._onlookers.watch(form, width, every_s)

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        """Yield reads in the order made, until the camera goes; of still pictures, until there are no more.

        Raises:
            DeviceLost: absent, unplugged, taken, it sends nothing, or its process died.
            DeviceRefused: no permission, no camera, a wrong password, or libraries are missing.
        """
        again = self._hotplug.again()
        source = self._task.source
        if isinstance(source, Stills):
            seen: AsyncGenerator[Read | Spoiled] = self._still_reads(source, again)
        else:
            seen = self._live_reads(self._found(source, again), again)
        try:
            async with aclosing(seen) as reads:
                async for read in reads:
                    yield read
        finally:
            self._child = self.up = self.alive = None

    def _ask(self, show: Show) -> None:
        if self._child is not None:
            self._child.tell(show)

    # --- live -------------------------------------------------------------------------------------------------------

    def _found(self, source: VideoDevice | Stream, again: Again) -> VideoDevice | Stream:
        """Return the source with the path that its device has now. One that is named by its path need not be on USB."""
        if isinstance(source, Stream):
            return source
        if self._wanted is not None and self._wanted.path is None:
            return replace(source, path=pick(self._wanted, self._find, "a camera", again).path)
        path = self._wanted.path if self._wanted and self._wanted.path else source.path
        if not Path(path).exists():
            raise DeviceLost(f"{path}: not connected; plug it in, or see brama devices for what is", again)
        return replace(source, path=path)

    async def _live_reads(self, source: VideoDevice | Stream, again: Again) -> AsyncGenerator[Read]:
        name = source.path if isinstance(source, VideoDevice) else source.shown
        if self._last is not None and not self._last.is_gone:
            # Another one would hang as it does, and they would be ever more.
            mend = "plug the camera in anew, or restart the box"
            raise DeviceLost(f"{name}: its driver does not let go of process {self._last.pid}; {mend}")
        async with a_child(replace(self._task, source=source), name, self._limits) as child:
            self._child = self._last = child
            self._onlookers.ask_again()
            while True:
                message = await child.heard()
                if isinstance(message, Ended):
                    raise self._failure(message, source, again)
                for read in self._taken(message, name):
                    yield read

    def _taken(self, message: FromCamera, name: str) -> Iterator[Read]:
        """Take what the process says; yield what it has read."""
        now_s = time.monotonic()
        if not isinstance(message, Alive) or message.frames > (self.alive.frames if self.alive else 0):
            self._presence.looking(now_s)
        match message:
            case Up():
                self.up = message
                self.on_up()
            case Alive():
                self.alive = message
            case Shown():
                self._onlookers.show(message)
            case Seen():
                self.seen = replace(message, picture=None)
                yield from self._seen(message, now_s)
            case StillDone() | Ended():
                raise ProcessDied(name, "talks nonsense (out of turn)")
            case _:
                assert_never(message)

    def _seen(self, message: Seen, now_s: float) -> Iterator[Read]:
        at_s = min(message.frame_at_s, now_s)
        for code in message.codes:
            showing = self._presence.seen((code.text, code.symbology), at_s, now_s, certain=code.certain)
            if showing is not None:
                at = self._clock.now() - timedelta(seconds=now_s - at_s)
                yield Read(code.text, at, code.symbology, code.certain, showing == "again", message.picture)

    def _failure(self, ended: Ended, source: VideoDevice | Stream, again: Again) -> DeviceLost | DeviceRefused:
        """Return what a process says that it ended of; `again` where something other than time may mend it."""
        if isinstance(source, Stream):
            if ended.refused:
                return DeviceRefused(ended.why)
            return DeviceLost(ended.why, partial(asyncio.sleep, self._stream_pause_s) if self.up is None else None)
        if ended.refused:
            return DeviceRefused(ended.why, again)
        return DeviceLost(ended.why, None if Path(source.path).exists() else again)

    # --- still pictures ---------------------------------------------------------------------------------------------

    async def _still_reads(self, stills: Stills, again: Again) -> AsyncGenerator[Read | Spoiled]:
        decoder = StillsDecoder(self._task, "still pictures", self._limits, show=self._onlookers.show)
        decoder.begins = self._onlookers.ask_again
        self._child = decoder
        try:
            async with aclosing(self._still_files(stills)) as files:
                async for path in files:
                    try:
                        done = await decoder.decode(str(path))
                    except (DeviceLost, DeviceRefused):
                        self._files.pop(path, None)  # it was not looked at: that is for the next attempt
                        raise
                    for read in self._still_read(done):
                        yield read
        except OSError as exc:
            raise _folder_failure(stills, exc, again) from exc
        finally:
            await decoder.end()

    def _still_read(self, done: StillDone) -> Iterator[Read | Spoiled]:
        at = self._clock.now()
        if done.error is not None:
            yield Spoiled(tame(f"{Path(done.path).name}: {done.error}"), at)
        for code in done.codes:
            # As certain as it will be: nobody can hold a still picture up a second time.
            yield Read(code.text, at, code.symbology, picture=done.picture)

    async def _still_files(self, stills: Stills) -> AsyncGenerator[Path]:
        """Yield the image files that have not been read as they are now; then those that come, if asked to follow."""
        paths = [Path(path) for path in stills.paths]
        folders = await asyncio.to_thread(_folders, paths) if stills.follow else []
        async with aclosing(arriving(folders)) as coming:
            # What comes while the folders are listed is heard of afterwards.
            await anext(coming)
            listed = await asyncio.to_thread(_listed, paths)
            self.on_up()
            there = set(listed)
            self._files = {path: kept for path, kept in self._files.items() if path in there}
            for path in listed:
                if await self._is_new(path):
                    yield path
            while stills.follow:
                path_or_none = await anext(coming)
                if path_or_none is not None and await self._is_new(path_or_none):
                    yield path_or_none

    async def _is_new(self, path: Path) -> bool:
        """Tell whether a file is there that has not been read as it is now, and note that it has.

        A folder may lie on the network, whose silence must not hold up the lanes.
        """
        try:
            status = await asyncio.to_thread(path.stat)
        except OSError:
            self._files.pop(path, None)
            return False
        now = (status.st_ino, status.st_mtime_ns, status.st_size)
        is_new = self._files.get(path) != now
        self._files[path] = now
        return is_new


async def decode_stills(
    paths: Sequence[str], symbologies: Sequence[str], all_codes: bool = True, limits: Limits = LIMITS
) -> AsyncGenerator[StillDone]:
    """Yield what image files hold, and those in folders and the folders in these, in order.

    A decoder that dies of a picture takes no other with it.

    Raises:
        DeviceLost: the system starts no process.
        DeviceRefused: a library is missing.
    """
    task = Task(Stills(()), tuple(symbologies), all_codes=all_codes)
    decoder = StillsDecoder(task, "still pictures", limits)
    try:
        for path in paths:
            try:
                files = await asyncio.to_thread(_files_of, Path(path))
            except OSError as exc:
                yield StillDone(path, 0, 0, 0.0, (), f"{exc.strerror}; see its permissions")
                continue
            if not files:
                yield StillDone(path, 0, 0, 0.0, (), "no picture in this folder; give PNG, JPEG, WebP, BMP or TIFF")
            for file in files:
                yield await decoder.decode(str(file))
    finally:
        await decoder.end()


def _files_of(path: Path) -> list[Path]:
    return images_in(path, deep=True) if path.is_dir() else [path]


def _folders(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.is_dir()]


def _listed(paths: Iterable[Path]) -> list[Path]:
    return [file for path in paths for file in (images_in(path, deep=False) if not path.is_file() else [path])]


def _folder_failure(stills: Stills, exc: OSError, again: Again) -> DeviceLost | DeviceRefused:
    name = exc.filename or ", ".join(stills.paths)
    if isinstance(exc, PermissionError):
        return DeviceRefused(f"{name}: no permission; let the gate's user read the folder", again)
    if exc.errno in {errno.ENOENT, errno.ENOTDIR}:
        return DeviceLost(f"{name}: not there; make the folder, or mend its name in the settings", again)
    if exc.errno in {errno.ENOSPC, errno.EMFILE}:
        return DeviceLost(f"{name}: cannot be watched ({exc.strerror}); raise fs.inotify.max_user_watches")
    return DeviceLost(f"{name}: {exc.strerror or exc}")
