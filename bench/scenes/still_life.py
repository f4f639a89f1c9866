"""Single frames of a scene that is easy to read: for what is measured beside the decoder."""

import cv2
import numpy as np
from numpy.random import Generator

from bench.scenes import lens, sheets, surroundings
from bench.scenes.tickets import draw

WIDTH, HEIGHT = 1280, 720


def held_still(rng: Generator, text: str | None) -> bytes:
    """Return a frame of 1280x720 as a JPEG in which a QR is held up straight and sharp; None: nobody holds any."""
    behind = surroundings.busy(np.random.default_rng(11), WIDTH, HEIGHT)
    luma = np.asarray(cv2.GaussianBlur(behind, (0, 0), 3), dtype=np.uint8)
    if text is not None:
        sheet = sheets.phone(rng, (draw("qr", text),), 10, inverted=False)
        x, y = WIDTH * float(rng.uniform(0.4, 0.6)), HEIGHT * float(rng.uniform(0.4, 0.6))
        pose = lens.Pose(x, y, WIDTH * float(rng.uniform(0.16, 0.26)), *(float(each) for each in rng.normal(0, 0.1, 3)))
        matrix = lens.homography(pose, sheet, WIDTH)
        front, cover = (cv2.warpPerspective(each, matrix, (WIDTH, HEIGHT)) for each in (sheet.luma, sheet.mask))
        luma = np.asarray(np.where(cover > 127, front, luma), dtype=np.uint8)
    return lens.as_jpeg(lens.exposed(rng, luma.astype(np.float32), 0.9, 1.0), 85)
