"""A camera of v4l2loopback, which sees what a test draws for it.

Source: Linux include/uapi/linux/videodev2.h (struct v4l2_format, VIDIOC_S_FMT).
"""

import base64
import fcntl
import os
import struct
import subprocess
import threading
import time
import zlib

NUMBER = 0
NODE = f"/dev/video{NUMBER}"
S_FMT = 0xC0D05605
OUTPUT, NO_FIELD, SRGB = 2, 1, 8
GREY = b"\x80"
"""Chroma of a picture without colour."""
LOOK_S = 0.2
_showing: list["Showing"] = []


def plug() -> str:
    """Plug the camera in and return its device node; it has no picture yet."""
    options = ["card_label=Palace camera", f"video_nr={NUMBER}", "exclusive_caps=1"]
    subprocess.run(["modprobe", "v4l2loopback", *options], check=True)
    subprocess.run(["udevadm", "wait", "--timeout=30", NODE], check=True)
    return NODE


def show(picture: str, width: int, height: int, fps: float) -> None:
    """Hold a picture into its view: luma, one byte a pixel, packed by zlib and base64; it sends YUYV."""
    luma = zlib.decompress(base64.b64decode(picture))
    assert len(luma) == width * height
    frame = bytearray(GREY * (2 * len(luma)))
    frame[::2] = luma
    if _showing:
        _showing[0].frame = bytes(frame)
    else:
        _showing.append(Showing(bytes(frame), width, height, fps))


def stop() -> None:
    """Let the picture stand still, as when the camera's own firmware hangs: no frame comes any more."""
    if _showing:
        _showing.pop().end()


def unplug(within_s: float) -> None:
    """Pull it out: no frame comes, and once the last program has let go of it the driver is gone.

    Raises:
        CalledProcessError: a program still holds it.
    """
    stop()
    deadline = time.monotonic() + within_s
    while subprocess.run(["rmmod", "v4l2loopback"], check=time.monotonic() > deadline, capture_output=True).returncode:
        time.sleep(LOOK_S)


class Showing(threading.Thread):
    """Writes `frame` into the device again and again, which the camera's readers see as its frames."""

    def __init__(self, frame: bytes, width: int, height: int, fps: float) -> None:
        super().__init__(daemon=True)
        self.frame = frame
        self._every_s = 1 / fps
        self._ended = threading.Event()
        self._device = os.open(NODE, os.O_RDWR)
        wanted = (width, height, int.from_bytes(b"YUYV", "little"), NO_FIELD, 2 * width, len(frame), SRGB)
        fcntl.ioctl(self._device, S_FMT, bytearray(struct.pack("<I4x7I172x", OUTPUT, *wanted)))
        os.write(self._device, frame)  # with the first frame the device becomes a camera
        self.start()

    def run(self) -> None:
        """Write until ended."""
        while not self._ended.wait(self._every_s):
            os.write(self._device, self.frame)
        os.close(self._device)

    def end(self) -> None:
        """Write no more, and let go of the device."""
        self._ended.set()
        self.join()
