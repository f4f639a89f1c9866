"""Frames as cameras send them: raw buffers of which the luma is taken, and JPEG pictures.

Source: Linux Documentation/userspace-api/media/v4l, "Image Formats" (fourcc codes and their layouts); ITU-T T.81, B.2.2
(frame header of a JPEG).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.frames import GLIMPSE_PX, Luma

Buffer = NDArray[np.uint8]

MOST_PIXELS = 32_000_000
"""A camera that sends more a frame is set wrongly, or means harm."""
_PLANAR = frozenset({"GREY", "Y800", "NV12", "NV21", "YU12", "I420", "IYUV", "YV12", "422P", "Y42B"})
"""Luma comes first, whole."""
_FIRST_OF_TWO = frozenset({"YUYV", "YUY2", "YVYU"})
_SECOND_OF_TWO = frozenset({"UYVY", "VYUY", "Y16 "})
"""In Y16 the second byte is the higher one."""
_THREE = frozenset({"BGR3", "RGB3"})
_JPEG_REDUCED = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


class BadPicture(Exception):
    """A frame that cannot be unpacked: the next one may be better."""


def luma_view(buffer: Buffer, fourcc: str, width: int, height: int) -> Buffer:
    """Return the luma that lies in a raw buffer, height by width, without copying it.

    Of colours (`BGR3`, `RGB3`) it is the green, which is most of luma.

    Raises:
        BadPicture: the buffer is too short, or the format is none that is known here.
    """
    flat = buffer.reshape(-1).view(np.uint8)
    if fourcc in _PLANAR:
        depth, offset = 1, 0
    elif fourcc in _FIRST_OF_TWO or fourcc in _SECOND_OF_TWO:
        depth, offset = 2, int(fourcc in _SECOND_OF_TWO)
    elif fourcc in _THREE:
        depth, offset = 3, 1
    else:
        raise BadPicture(f"format {fourcc!r}")
    size = width * height * depth
    if not 0 < size <= len(flat):
        raise BadPicture(f"{len(flat)} bytes for {width}x{height}")
    view: Buffer = flat[:size].reshape(height, width, depth)[..., offset]
    return view


class RawFrame:
    """A frame in one of the raw formats; it keeps the buffer."""

    def __init__(self, buffer: Buffer, fourcc: str, width: int, height: int, at_s: float) -> None:
        """Raise as `luma_view`."""
        self._view = luma_view(buffer, fourcc, width, height)
        self._luma: Luma | None = None
        self.at_s = at_s

    def glimpse(self) -> Luma:
        """Return every n-th pixel."""
        step = -(-max(self._view.shape) // GLIMPSE_PX)
        return np.ascontiguousarray(self._view[::step, ::step])

    def luma(self) -> Luma:
        """Return it whole."""
        if self._luma is None:
            self._luma = np.array(self._view, order="C")
        return self._luma


class JpegFrame:
    """A frame that is a JPEG, unpacked only when it is looked at, and for a glimpse only to an eighth."""

    def __init__(self, data: Buffer, at_s: float) -> None:
        """Raise BadPicture where it is no JPEG, or too large a one."""
        self._data = data.reshape(-1)
        self.width, self.height = jpeg_size(self._data.data)
        if not 0 < self.width * self.height <= MOST_PIXELS:
            raise BadPicture(f"{self.width}x{self.height} pixels")
        self._luma: Luma | None = None
        self.at_s = at_s

    @property
    def packed_bytes(self) -> int:
        """How long it is: when a scene changes, so does this."""
        return len(self._data)

    def glimpse(self) -> Luma:
        """Return it reduced while it is unpacked; raise BadPicture where it is damaged."""
        largest = max(self.width, self.height)
        reduced = next((factor for factor in (1, 2, 4) if largest <= factor * GLIMPSE_PX), 8)
        small = self._unpacked(reduced)
        step = -(-max(small.shape) // GLIMPSE_PX)
        return np.ascontiguousarray(small[::step, ::step])

    def luma(self) -> Luma:
        """Return it whole; raise BadPicture where it is damaged."""
        if self._luma is None:
            self._luma = self._unpacked(1)
        return self._luma

    def _unpacked(self, reduced: int) -> Luma:
        try:
            picture = cv2.imdecode(self._data, _JPEG_REDUCED[reduced] | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as exc:
            raise BadPicture("damaged JPEG") from exc
        if picture is None:
            raise BadPicture("damaged JPEG")
        return np.asarray(picture, dtype=np.uint8)


def jpeg_size(data: bytes | memoryview) -> tuple[int, int]:
    """Return width and height as a JPEG's frame header tells them.

    Raises:
        BadPicture: there is none.
    """
    at = 2
    if data[:2] != b"\xff\xd8":
        raise BadPicture("no JPEG")
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    raise BadPicture("JPEG without a frame header")
