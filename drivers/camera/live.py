"""What a camera's process does with a camera: looks at its newest frame, and tells the gate what it sees."""

import os
import time
from statistics import median
from typing import NoReturn

import cv2

from drivers.camera import preview
from drivers.camera.capture import OPTIONS, Newest, started
from drivers.camera.frames import Frame, Luma
from drivers.camera.link import Link
from drivers.camera.messages import Alive, Seen, Show, Shown, Sighting, Stream, Task, Up
from drivers.camera.pixels import BadPicture, JpegFrame
from drivers.camera.process import named
from drivers.camera.transform import TurnedFrame
from drivers.camera.watcher import Looked, Watcher
from drivers.presence import Presence
from drivers.protocols import DeviceLost

REPORT_S = 1.0
"""The gate hears this often that all is well."""
KEPT_PX = 480
"""Width of the pictures that are kept of codes."""
GRACE_S = 2.0
"""FFmpeg keeps time itself, and can then say more of what is wrong."""
REST_AFTER_S = 1.0
REST_S = 0.09
"""Where nothing has moved for a while, JPEG frames, which cost most to unpack, are looked at this often."""
REST_CHANGE = 0.01
"""But at once where a frame is by this share shorter or longer than all have been since nothing moves."""


def watch(task: Task, link: Link) -> NoReturn:
    """Watch a task's camera for as long as it and the gate live.

    Raises:
        DeviceLost, DeviceRefused: the camera went, or cannot be had.
    """
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = OPTIONS
    os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = "1"
    cv2.setNumThreads(1)
    newest = Newest()
    started(task, newest)
    Watch(task, link, newest).run()


class Watch:
    """One camera being watched."""

    def __init__(self, task: Task, link: Link, newest: Newest) -> None:
        self._task = task
        self._link = link
        self._newest = newest
        self._watcher = Watcher(task.symbologies, task.region, task.all_codes)
        self._presence = Presence()
        self._good_s = self._reported_s = time.monotonic()
        self._limit_s = task.open_s + (GRACE_S if isinstance(task.source, Stream) else 0.0)
        self._is_up = False
        self._idle_since_s: float | None = None
        self._looked_s = float("-inf")
        self._stirs = 0
        """How many looks in a row were not still: one may be the look that is taken now and then."""
        self._idle_bytes = (0, 0)
        """The shortest and the longest JPEG since then."""
        self._frame: Frame | None = None
        """The newest that was looked at since the last report."""
        self._standing: tuple[Sighting, ...] = ()
        """What was decoded when something last moved."""
        self._shown_s: dict[str, float] = {}
        self._still = 0
        self._reported_frames = 0
        self._took_ms: list[float] = []
        self._light = (0.0, 0.0)

    def run(self) -> NoReturn:
        """Watch; raise as `watch`."""
        while True:
            frame = self._newest.take(max(0.0, self._reported_s + REPORT_S - time.monotonic()))
            if frame is not None:
                self._take(frame)
            now_s = time.monotonic()
            if now_s - self._good_s > self._limit_s:
                raise DeviceLost(f"{named(self._task)}: {self._stalled()}")
            if now_s - self._reported_s >= REPORT_S:
                self._report(now_s)

    def _stalled(self) -> str:
        if self._newest.bad is not None:
            mend = "set the camera to another format or size"
            return f"no picture for {self._limit_s:g} s that can be read ({self._newest.bad}); {mend}"
        return f"no picture for {self._limit_s:g} s; see that the camera is on and connected"

    def _take(self, frame: Frame) -> None:
        try:
            if self._may_rest(frame):
                self._still += 1
                return
            shown = TurnedFrame(frame, self._task.rotate, mirror=self._task.mirror)
            began_s = time.perf_counter()
            looked = self._watcher.look(shown)
            took_ms = (time.perf_counter() - began_s) * 1000
            self._say(shown, looked, took_ms)
        except BadPicture as exc:
            self._newest.unreadable(exc)
            return
        self._note(frame, looked, took_ms)

    def _may_rest(self, frame: Frame) -> bool:
        """Tell whether a frame need not be looked at: nothing moves, and by its length nothing has begun to."""
        if not isinstance(frame, JpegFrame) or self._idle_since_s is None or self._stirs or self._wanted():
            return False
        if frame.at_s - self._idle_since_s < REST_AFTER_S or frame.at_s - self._looked_s >= REST_S:
            return False
        shortest, longest = self._idle_bytes
        return shortest * (1 - REST_CHANGE) <= frame.packed_bytes <= longest * (1 + REST_CHANGE)

    def _note(self, frame: Frame, looked: Looked, took_ms: float) -> None:
        self._good_s, self._newest.bad = time.monotonic(), None
        self._limit_s = self._task.stall_s + (GRACE_S if isinstance(self._task.source, Stream) else 0.0)
        self._looked_s = frame.at_s
        if not looked.still:
            self._took_ms.append(took_ms)
            self._stirs += 1
            if self._stirs > 1 or looked.seen:
                self._idle_since_s = None
            return
        self._still += 1
        self._stirs = 0
        packed_bytes = frame.packed_bytes if isinstance(frame, JpegFrame) else 0
        if self._idle_since_s is None:
            self._idle_since_s, self._idle_bytes = frame.at_s, (packed_bytes, packed_bytes)
        self._idle_bytes = min(packed_bytes, self._idle_bytes[0]), max(packed_bytes, self._idle_bytes[1])

    def _say(self, frame: Frame, looked: Looked, took_ms: float) -> None:
        if not self._is_up:
            height, width = frame.luma().shape
            self._link.say(Up(width, height))
            self._is_up = True
        self._frame = frame
        self._presence.looking(frame.at_s)
        if looked.codes:
            self._link.say(Seen(frame.at_s, took_ms, looked.codes, self._kept(frame, looked.codes)))
        if not looked.still:
            self._standing = looked.seen
        for show in self._wanted():
            self._show(show, frame, "still" if looked.still else looked.steps, took_ms)

    def _kept(self, frame: Frame, codes: tuple[Sighting, ...]) -> bytes | None:
        """Return the picture to be kept of codes that have come into view."""
        showings = [
            self._presence.seen((code.text, code.symbology), frame.at_s, frame.at_s, certain=code.certain)
            for code in codes
        ]
        if not self._task.keeps_pictures or not any(showings):
            return None
        return preview.jpeg(frame.luma(), KEPT_PX).data

    def _wanted(self) -> list[Show]:
        return [show for show in tuple(self._link.shows.values()) if show.every_s is not None]

    def _show(self, show: Show, frame: Frame, step: str, took_ms: float) -> None:
        """Show a frame to people, if it is time, and unless the gate has yet to take the one before."""
        if frame.at_s - self._shown_s.get(show.form, float("-inf")) < (show.every_s or 0.0):
            return
        self._shown_s[show.form] = frame.at_s
        small = (preview.jpeg if show.form == "jpeg" else preview.tiny)(frame.luma(), show.width)
        told = Shown(show.form, small.width, small.height, took_ms, step, self._standing, small.data)
        self._link.say(told, patience_s=0.0)

    def _report(self, now_s: float) -> None:
        frames, since_s = self._newest.frames, now_s - self._reported_s
        if self._frame is not None:
            self._light = _light(self._frame.luma())
            self._frame = None
        fps = (frames - self._reported_frames) / since_s
        took_ms = median(self._took_ms) if self._took_ms else 0.0
        self._link.say(Alive(frames, self._newest.dropped, self._still, fps, took_ms, *self._light), patience_s=0.0)
        self._reported_s, self._reported_frames, self._took_ms = now_s, frames, []


def _light(luma: Luma) -> tuple[float, float]:
    """Return a picture's brightness (its mean) and sharpness (the variance of its Laplacian)."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    return float(cv2.mean(luma)[0]), float(deviation[0][0]) ** 2
