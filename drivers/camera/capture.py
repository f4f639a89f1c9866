"""Takes pictures from cameras by OpenCV, in a thread of its own, and keeps the newest only.

Source: OpenCV 5, VideoCaptureProperties (V4L2: CAP_PROP_CONVERT_RGB 0 gives the buffer as the camera sent it;
FFmpeg: CAP_PROP_FORMAT -1 gives packets as they came, CAP_PROP_CONVERT_RGB 0 the first plane); linux/v4l2-controls.h,
V4L2_CID_EXPOSURE_AUTO and V4L2_CID_EXPOSURE_ABSOLUTE (units of 100 us).
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from drivers.camera.frames import ArrayFrame, Frame
from drivers.camera.messages import Stream, Task, VideoDevice
from drivers.camera.pixels import BadPicture, Buffer, JpegFrame, RawFrame
from drivers.camera.stream import fault
from drivers.protocols import DeviceLost, DeviceRefused
from drivers.video_node import PACKED, best, modes, probe

OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"
"""For OPENCV_FFMPEG_CAPTURE_OPTIONS: RTP over TCP loses no packets to a full Wi-Fi; nothing is held back."""
_EXPOSURE_MANUAL = 1
_EXPOSURE_AUTO = (3, 0)
"""Aperture priority, which nearly all cameras call their automatic; else fully automatic."""
_PAUSE_S = 0.05
"""Between attempts to take a picture from a device that just failed to give one."""
_AT_ONCE_S = 0.5
_MOST_FAILED = 5
_OLDEST_S = 1.0
"""No frame waits longer in a device that is read all the time."""
_LUMA_FIRST = frozenset({"I420", "IYUV", "YV12", "NV12", "NV21", "Y42B", "422P", "444P", "Y800", "GREY"})


class Newest:
    """Where the newest frame waits to be looked at; a frame that is not looked at before the next one is dropped."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._failure: BaseException | None = None
        self.frames = 0
        """That came."""
        self.dropped = 0
        """Of these, that nobody looked at, or that could not be unpacked."""
        self.bad: BadPicture | None = None
        """What was wrong with the last frame that could not be unpacked; whoever looks at a good one forgets it."""

    def put(self, frame: Frame) -> None:
        """Offer a frame."""
        with self._changed:
            self.frames += 1
            self.dropped += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def spoil(self, why: BadPicture) -> None:
        """Count a frame that could not be unpacked."""
        with self._changed:
            self.frames += 1
            self.dropped += 1
            self.bad = why

    def unreadable(self, why: BadPicture) -> None:
        """Count a frame as dropped that was taken, and then could not be unpacked."""
        with self._changed:
            self.dropped += 1
            self.bad = why

    def fail(self, failure: BaseException) -> None:
        """Say that no more frames come."""
        with self._changed:
            self._failure = failure
            self._changed.notify()

    def take(self, timeout_s: float) -> Frame | None:
        """Return the newest frame, once there is one that was not taken before; None: the time is up.

        Raises:
            whatever ended the capture.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._failure is not None, timeout_s)
            if self._failure is not None:
                raise self._failure
            frame, self._frame = self._frame, None
            return frame


def started(task: Task, newest: Newest) -> None:
    """Start taking frames from a task's device or stream; the thread ends with the process.

    What ends the capture is told by `Newest.take`: DeviceLost, DeviceRefused, or a defect.
    """
    threading.Thread(target=_captured, args=(_frames(task, newest.spoil), newest), name="capture", daemon=True).start()


def _captured(frames: Iterator[Frame], newest: Newest) -> None:
    try:
        for frame in frames:
            newest.put(frame)
    except BaseException as exc:  # noqa: BLE001 (raised again where it is waited for)
        newest.fail(exc)


def _frames(task: Task, spoil: Callable[[BadPicture], None]) -> Iterator[Frame]:
    match task.source:
        case VideoDevice():
            return device_frames(task.source, spoil)
        case Stream():
            return stream_frames(task.source, task.open_s, task.stall_s, spoil)
        case _:
            raise ValueError("still pictures are not captured")


def device_frames(device: VideoDevice, spoil: Callable[[BadPicture], None]) -> Iterator[Frame]:
    """Yield a V4L2 device's frames until it goes.

    Raises:
        DeviceLost, DeviceRefused: as `probe`; unplugged; it does not start, or does not take the settings.
    """
    with _released(_opened_device(device)) as capture:
        fourcc = _fourcc(capture.get(cv2.CAP_PROP_FOURCC))
        width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        failed = 0
        while True:
            began_s = time.monotonic()
            if not capture.grab():
                # None came in time, for which there is a limit elsewhere; or at once: it gives no more until reopened.
                failed = failed + 1 if time.monotonic() - began_s < _AT_ONCE_S else 0
                _check_gone(device.path, failed)
                continue
            failed, at_s = 0, _came_s(capture)
            _, buffer = capture.retrieve()
            try:
                yield _frame(np.asarray(buffer).view(np.uint8), fourcc, width, height, at_s)
            except BadPicture as exc:
                spoil(exc)


def _check_gone(path: str, failed: int) -> None:
    if not Path(path).exists():
        raise DeviceLost(f"{path}: unplugged; plug it in again")
    if failed >= _MOST_FAILED:
        raise DeviceLost(f"{path}: gives no more pictures; opening it anew")
    if failed:
        time.sleep(_PAUSE_S)


def _came_s(capture: cv2.VideoCapture) -> float:
    """Return when a frame was taken, by the driver's clock, where that is the monotonic one."""
    now_s, told_s = time.monotonic(), capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    return told_s if now_s - _OLDEST_S < told_s <= now_s else now_s


def _frame(buffer: Buffer, fourcc: str, width: int, height: int, at_s: float) -> Frame:
    if fourcc in PACKED:
        return JpegFrame(buffer, at_s)
    return RawFrame(buffer, fourcc, width, height, at_s)


def _opened_device(device: VideoDevice) -> cv2.VideoCapture:
    mode = best(modes(device.path), device.width, device.height, device.fps)
    capture = cv2.VideoCapture(device.path, cv2.CAP_V4L2)
    if not capture.isOpened():
        probe(device.path)
        raise DeviceLost(f"{device.path}: gives no picture in a form that can be read")
    if mode is not None:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.fourcc))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.height)
    capture.set(cv2.CAP_PROP_FPS, device.fps)
    _expose(capture, device)
    capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    return capture


def _expose(capture: cv2.VideoCapture, device: VideoDevice) -> None:
    if device.exposure_ms is None:
        any(capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, kind) for kind in _EXPOSURE_AUTO)
        return
    capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _EXPOSURE_MANUAL)
    if not capture.set(cv2.CAP_PROP_EXPOSURE, round(device.exposure_ms * 10)):
        raise DeviceRefused(f"{device.path}: takes no exposure time; leave exposure_ms out of its settings")


def stream_frames(
    stream: Stream, open_s: float, stall_s: float, spoil: Callable[[BadPicture], None]
) -> Iterator[Frame]:
    """Yield a stream's frames until it ends.

    Raises:
        DeviceLost, DeviceRefused: it does not open, ended, or sent nothing for `stall_s`.
    """
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_s * 1000), cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(stall_s * 1000)]
    with _released(cv2.VideoCapture()) as capture:
        if not capture.open(stream.url, cv2.CAP_FFMPEG, [*limits, cv2.CAP_PROP_N_THREADS, 1]):
            raise fault(stream)
        is_jpeg = _fourcc(capture.get(cv2.CAP_PROP_FOURCC)) == "MJPG" and capture.set(cv2.CAP_PROP_FORMAT, -1)
        luma_first = _fourcc(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) in _LUMA_FIRST
        if luma_first and not is_jpeg:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        heard_s = time.monotonic()
        while capture.grab():
            heard_s = time.monotonic()
            _, picture = capture.retrieve()
            try:
                yield _stream_frame(np.asarray(picture, dtype=np.uint8), heard_s, is_jpeg=is_jpeg)
            except BadPicture as exc:
                spoil(exc)
        if time.monotonic() - heard_s >= 0.9 * stall_s:
            raise DeviceLost(f"{stream.shown}: no picture for {stall_s:g} s; see that the camera is on and connected")
        raise DeviceLost(f"{stream.shown}: the stream ended; see that its address is of a live stream")


def _stream_frame(picture: Buffer, at_s: float, *, is_jpeg: bool) -> Frame:
    if is_jpeg:
        return JpegFrame(picture, at_s)
    if picture.ndim == 3:
        return RawFrame(picture, "BGR3", picture.shape[1], picture.shape[0], at_s)
    return ArrayFrame(picture, at_s)


def _fourcc(value: float) -> str:
    return (int(value) & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1")


@contextmanager
def _released(capture: cv2.VideoCapture) -> Iterator[cv2.VideoCapture]:
    try:
        yield capture
    finally:
        capture.release()
