"""Still pictures: image files, each looked at by all steps and by a second opinion, since no guest waits for it."""

import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from stat import S_ISDIR, S_ISREG
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.agreement import settled
from drivers.camera.decoder import Found, nearest_first
from drivers.camera.frames import Luma
from drivers.camera.ladder import THOROUGH, scaled, view_of
from drivers.camera.messages import Sighting, StillDone
from drivers.camera.picture_files import Size, Unreadable, form_of, is_cut_short, size_of, with_end
from drivers.camera.second_opinion import second_opinion

MOST_BYTES: Final = 64_000_000
"""Larger files are not read."""
MOST_PX: Final = 50_000_000
"""Larger pictures are not unpacked; a JPEG is, by a half, a quarter or an eighth, up to `_MOST_JPEG_PX`."""
_MOST_JPEG_PX: Final = 500_000_000
_MOST_DECODED_PX: Final = 12_000_000
"""Larger ones are made smaller first."""
_LEAST_SIDE_PX: Final = 8
_CUT_SHORT: Final = "the file is cut short, so a part of the picture is missing: copy it again"
_REDUCED: Final = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def decode_still(luma: Luma, symbologies: Sequence[str], all_codes: bool = True) -> tuple[Sighting, ...]:
    """Return the codes in a picture, nearest to its centre first; unless `all_codes`, only the first."""
    if 0 in luma.shape:
        return ()
    luma = _bounded(luma)
    kinds = tuple(symbologies)
    view = view_of(luma, kinds)
    found: list[Found] = [each for step in THOROUGH for each in step.look(view)]
    found += [view.measured(each) for each in second_opinion(luma, kinds, view.placing)]
    ordered = nearest_first(settled(found), (0.5, 0.5), luma.shape[1] / luma.shape[0])
    return tuple(each.sighting for each in (ordered if all_codes else ordered[:1]))


def read_file(path: str, symbologies: Sequence[str], all_codes: bool = True) -> StillDone:
    """Return what an image file holds; a bad one is no exception: `error` says what is wrong, and what mends it.

    Of a file that is cut short both may be told: what is wrong, and the codes in the part that is there.
    """
    began_s = time.monotonic()
    size: Size = (0, 0)
    codes: tuple[Sighting, ...] = ()
    try:
        data = _content(path)
        form = form_of(data)
        size = size_of(data, form)
        cut_short = is_cut_short(data, form)
        luma = _unpacked(data, form, size, cut_short)
        if (luma.shape[1] > luma.shape[0]) != (size[0] > size[1]):
            size = (size[1], size[0])  # EXIF says that it is shown on its side
        codes = decode_still(luma, symbologies, all_codes)
        error = _CUT_SHORT if cut_short else _too_small(size)
    except Unreadable as exc:
        error = str(exc)
    except MemoryError:
        error = f"too large for the memory at {_said(size)}: save it smaller"
    return StillDone(path, *size, (time.monotonic() - began_s) * 1000, codes, error)


def _content(path: str) -> bytes:
    try:
        # Without waiting: a pipe that nobody writes to would be waited for here.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if S_ISDIR(status.st_mode):
                raise Unreadable("a folder: name the pictures in it")
            if not S_ISREG(status.st_mode):
                raise Unreadable("not a file: name a picture")
            if status.st_size > MOST_BYTES:
                raise Unreadable(f"{status.st_size:,} bytes are too many: save it smaller, {MOST_BYTES:,} at most")
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        raise Unreadable("no such file: check its name") from None
    except IsADirectoryError:
        raise Unreadable("a folder: name the pictures in it") from None
    except PermissionError:
        raise Unreadable("no permission to read it: chmod a+r, or run as its owner") from None
    except (OSError, ValueError) as exc:
        raise Unreadable(f"it cannot be read: {exc}") from exc


def _unpacked(data: bytes, form: str, size: Size, cut_short: bool) -> Luma:
    """Return the picture in grey, upright, on white where it is transparent, no larger than is bearable."""
    pixels = size[0] * size[1]
    if pixels > (_MOST_JPEG_PX if form == "JPEG" else MOST_PX):
        raise Unreadable(f"{_said(size)} is too large: save it smaller, {MOST_PX // 1_000_000} megapixels at most")
    if form == "JPEG":
        by = next(by for by in _REDUCED if by == 8 or pixels / by**2 <= _MOST_DECODED_PX)
        image = _decoded(with_end(data) if cut_short else data, _REDUCED[by])
    else:
        image = _decoded(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise Unreadable(_CUT_SHORT if cut_short else f"a damaged {form}: copy it again, or save it anew")
    return _grey(image)


def _decoded(data: bytes, flags: int) -> NDArray[np.generic] | None:
    try:
        with _quiet():
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as exc:
        if exc.code == cv2.Error.StsNoMem:
            raise MemoryError from exc
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Let OpenCV's libraries say nothing: what is wrong with a file is told in the result."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _grey(image: NDArray[np.generic]) -> Luma:
    values = image if image.dtype == np.uint8 else _eight_bits(image)
    if values.ndim == 2:
        return np.ascontiguousarray(values, dtype=np.uint8)
    if values.shape[2] < 3:
        return np.ascontiguousarray(values[:, :, 0], dtype=np.uint8)
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(values[:, :, :3]), cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    if values.shape[2] < 4:
        return grey
    cover = np.asarray(values[:, :, 3], dtype=np.uint16)
    return np.asarray((grey * cover + 255 * (255 - cover)) // 255, dtype=np.uint8)


def _eight_bits(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return deeper pixels in 8 bits, from the darkest there is to the lightest; the cover keeps its own scale."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    colours = values[..., :3] if values.ndim == 3 else values
    low, high = float(colours.min()), float(colours.max())
    if values.ndim == 3 and values.shape[2] == 4:
        full = 65535.0 if image.dtype == np.uint16 else 1.0
        low, high = 0.0, full
    return np.asarray(np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255), dtype=np.uint8)


def _bounded(luma: Luma) -> Luma:
    excess = luma.size / _MOST_DECODED_PX
    return luma if excess <= 1 else scaled(luma, 1 / math.sqrt(excess))


def _too_small(size: Size) -> str | None:
    return f"{_said(size)} is too small to hold a code" if min(size) < _LEAST_SIDE_PX else None


def _said(size: Size) -> str:
    return f"{size[0]:,} by {size[1]:,} pixels"
