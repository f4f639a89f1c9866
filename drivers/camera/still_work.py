"""What a camera's process does with still pictures: decodes each as it is asked for, and shows it to who looks."""

from dataclasses import replace
from typing import NoReturn

import cv2
import numpy as np

from drivers.camera import preview, stills
from drivers.camera.frames import Luma
from drivers.camera.link import Link
from drivers.camera.messages import Show, Shown, StillDone, Task

KEPT_PX = 480
"""Width of the pictures that are kept of codes."""
_REDUCED = ((4000, cv2.IMREAD_REDUCED_GRAYSCALE_4), (2000, cv2.IMREAD_REDUCED_GRAYSCALE_2), (0, cv2.IMREAD_GRAYSCALE))
"""From this width on, pictures to be shown are unpacked no further than so."""


def decode_as_asked(task: Task, link: Link) -> NoReturn:
    """Decode one file after the other, for as long as the gate lives."""
    cv2.setNumThreads(1)
    while True:
        path = link.decodes.get()
        done = stills.read_file(path, task.symbologies, all_codes=task.all_codes)
        shows = [show for show in tuple(link.shows.values()) if show.every_s is not None]
        is_kept = task.keeps_pictures and bool(done.codes)
        luma = _unpacked(done) if shows or is_kept else None
        kept = preview.jpeg(luma, KEPT_PX).data if is_kept and luma is not None else None
        if luma is not None:
            _show(done, luma, shows, link)
        link.say(replace(done, path=path, picture=kept), patience_s=None)


def _show(done: StillDone, luma: Luma, shows: list[Show], link: Link) -> None:
    for show in shows:
        small = (preview.jpeg if show.form == "jpeg" else preview.tiny)(luma, show.width)
        link.say(Shown(show.form, small.width, small.height, done.took_ms, "still picture", done.codes, small.data))


def _unpacked(done: StillDone) -> Luma | None:
    """Return the picture to be shown; None: it could not be read."""
    if done.error is not None:
        return None
    flags = next(flags for width, flags in _REDUCED if max(done.width, done.height) >= width)
    picture = cv2.imread(done.path, flags)
    return None if picture is None else np.asarray(picture, dtype=np.uint8)
