"""Video nodes (V4L2): what one is, whether it can be had, and in which forms it gives its pictures.

Everything is asked by ioctl, so that neither OpenCV nor an array is needed to say what is wrong with a camera.

Source: Linux Documentation/userspace-api/media/v4l, VIDIOC_QUERYCAP, VIDIOC_REQBUFS, VIDIOC_ENUM_FMT,
VIDIOC_ENUM_FRAMESIZES and VIDIOC_ENUM_FRAMEINTERVALS; linux/videodev2.h.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from drivers.descriptor import GONE
from drivers.protocols import DeviceLost, DeviceRefused

QUERYCAP = 0x80685600
REQBUFS = 0xC0145608
ENUM_FMT = 0xC0405602
ENUM_FRAMESIZES = 0xC02C564A
ENUM_FRAMEINTERVALS = 0xC034564B

_VIDEO_CAPTURE = 0x00000001
_CAPTURE_MULTIPLANAR = 0x00001000
_VIDEO_OUTPUT = 0x00000002
_DEVICE_CAPS = 0x80000000
_CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE."""
_MMAP = 1
_DISCRETE = 1
"""V4L2_FRMSIZE_TYPE_DISCRETE and V4L2_FRMIVAL_TYPE_DISCRETE; else there is a range."""

RAW = ("GREY", "NV12", "NV21", "YU12", "YV12", "YUYV", "UYVY", "YVYU", "VYUY", "BGR3", "RGB3", "Y16 ")
"""Uncompressed forms of which the luma can be taken, the cheapest first."""
PACKED = ("MJPG", "JPEG")
ENOUGH_FPS = 25.0
"""A camera that gives this many raw pictures a second need not send JPEG, which costs more to unpack than it saves."""
_LOOPBACK = b"v4l2 loopback"
"""It lets several programs in, and takes the buffers of all away from them when one asks for any."""
_MOST = 64
"""Of formats, of sizes, of rates: a driver that lists more than that is broken."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One form in which a camera gives pictures; `fps` 0: it does not say."""

    fourcc: str
    width: int
    height: int
    fps: float


def probe(path: str) -> None:
    """Make sure that a node is a camera which nobody else has.

    Raises:
        DeviceLost: it is not there, in use, or has no picture yet.
        DeviceRefused: no permission, or not a camera.
    """
    with _opened(path) as node:
        if _driver_of_camera(node, path) != _LOOPBACK:
            _check_free(node, path)


def modes(path: str) -> list[Mode]:
    """Return the forms in which a camera says that it gives pictures; raise as `probe`."""
    with _opened(path) as node:
        found = []
        for fourcc in _formats(node):
            if fourcc in RAW or fourcc in PACKED:
                found += [
                    Mode(fourcc, *size, fps) for size in _sizes(node, fourcc) for fps in _rates(node, fourcc, size)
                ]
        return found


def best(offered: Iterable[Mode], width: int, height: int, fps: float) -> Mode | None:
    """Return the mode nearest to what is wanted: by size, then with enough pictures a second, then raw before JPEG."""
    enough = min(fps, ENOUGH_FPS)

    def badness(mode: Mode) -> tuple[float, ...]:
        order = (*RAW, *PACKED).index(mode.fourcc)
        missing_fps = max(0.0, enough - mode.fps) if mode.fps else 0.0
        away = abs(mode.width * mode.height - width * height) + abs(mode.width - width)
        return away, missing_fps, mode.fourcc in PACKED, abs(mode.fps - fps), order

    return min(offered, key=badness, default=None)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    try:
        node = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield node
        finally:
            os.close(node)
    except OSError as exc:
        raise _translated(path, exc) from exc


def _translated(path: str, exc: OSError) -> DeviceLost | DeviceRefused:
    if exc.errno in {errno.EACCES, errno.EPERM}:
        return DeviceRefused(f"{path}: no permission; add the gate's user to the group video")
    if exc.errno in {errno.ENOTTY, errno.EINVAL, errno.EISDIR}:
        return DeviceRefused(f"{path}: not a camera; see brama devices for those that are")
    if exc.errno in GONE:
        return DeviceLost(f"{path}: not connected; plug it in, or see brama devices for what is")
    if exc.errno == errno.EBUSY:
        return DeviceLost(f"{path}: in use by another program; fuser {path} names it")
    return DeviceLost(f"{path}: {exc.strerror or exc}")


def _driver_of_camera(node: int, path: str) -> bytes:
    """Return the name of a camera's driver; raise where it is none, or has no picture yet."""
    # driver, card, bus_info, version, capabilities, device_caps
    answer = fcntl.ioctl(node, QUERYCAP, bytes(104))
    of_all, of_node = struct.unpack_from("=II", answer, 84)
    able = of_node if of_all & _DEVICE_CAPS else of_all
    if able & _VIDEO_CAPTURE:
        return answer[:16].rstrip(b"\0")
    if able & _VIDEO_OUTPUT and not able & _CAPTURE_MULTIPLANAR:
        raise DeviceLost(f"{path}: no program gives it a picture yet; start the one that should")
    raise DeviceRefused(f"{path}: gives no pictures; see brama devices for the nodes that do")


def _check_free(node: int, path: str) -> None:
    """Give back all buffers, of which there are none: the driver says EBUSY where another program has some."""
    try:
        fcntl.ioctl(node, REQBUFS, struct.pack("=IIIII", 0, _CAPTURE, _MMAP, 0, 0))
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise DeviceRefused(f"{path}: gives its pictures in no way that can be read ({exc.strerror})") from exc
        raise


def _formats(node: int) -> Iterator[str]:
    for number in range(_MOST):
        # index, type, flags, description, pixelformat, mbus_code, reserved
        answer = _answer(node, ENUM_FMT, struct.pack("=II56x", number, _CAPTURE))
        if answer is None:
            return
        yield answer[44:48].decode("latin-1")


def _sizes(node: int, fourcc: str) -> Iterator[tuple[int, int]]:
    """Yield the sizes that are listed; of a range the largest and the smallest, and the usual ones in it."""
    for number in range(_MOST):
        answer = _answer(node, ENUM_FRAMESIZES, struct.pack("=I4s36x", number, fourcc.encode("latin-1")))
        if answer is None:
            return
        kind, *size = struct.unpack_from("=7I", answer, 8)
        if kind == _DISCRETE:
            yield size[0], size[1]
            continue
        least_w, most_w, step_w, least_h, most_h, step_h = size
        for width, height in ((1280, 720), (1920, 1080), (640, 480), (most_w, most_h), (least_w, least_h)):
            fits_w = least_w <= width <= most_w and (width - least_w) % max(1, step_w) == 0
            if fits_w and least_h <= height <= most_h and (height - least_h) % max(1, step_h) == 0:
                yield width, height
        return


def _rates(node: int, fourcc: str, size: tuple[int, int]) -> Iterator[float]:
    """Yield the pictures a second that are listed; of a range the most; 0 where nothing is said."""
    for number in range(_MOST):
        asked = struct.pack("=I4sII36x", number, fourcc.encode("latin-1"), *size)
        answer = _answer(node, ENUM_FRAMEINTERVALS, asked)
        if answer is None:
            if number == 0:
                yield 0.0
            return
        kind, seconds, parts = struct.unpack_from("=III", answer, 16)
        yield parts / seconds if seconds else 0.0
        if kind != _DISCRETE:
            return


def _answer(node: int, request: int, asked: bytes) -> bytes | None:
    """Return what an enumerating ioctl answers; None: there is no such number."""
    with suppress(OSError):
        return fcntl.ioctl(node, request, asked)
    return None
