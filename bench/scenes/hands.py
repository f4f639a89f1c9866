"""A hand that holds a sheet at its lower edge: a thumb before it, fingers and palm behind; never over the code."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator

from bench.scenes.sheets import Sheet


def holding(rng: Generator, sheet: Sheet) -> Sheet:
    """Return the sheet with a hand on it; the picture grows by as much as the hand reaches beyond."""
    height, width = sheet.luma.shape
    skin = int(rng.integers(60, 200))
    thick = max(6, round(min(width, height) * float(rng.uniform(0.1, 0.16))))
    reach = 3 * thick
    luma, mask = (
        np.ascontiguousarray(
            cv2.copyMakeBorder(each, 0, reach, reach, reach, cv2.BORDER_CONSTANT, value=(0,)), np.uint8
        )
        for each in (sheet.luma, sheet.mask)
    )
    corners = sheet.corners + np.array([reach, 0])
    free = height - float(corners[:, 1].max()) - sheet.quiet
    behind = np.zeros(luma.shape, dtype=np.uint8)
    palm = (reach + width // 2, height + reach // 2)
    cv2.ellipse(behind, palm, (width // 2 + thick, reach), 0, 0, 360, (255,), -1, cv2.LINE_AA)
    for finger in range(4):
        y = height - round((finger + 0.6) * thick * 1.15)
        cv2.line(behind, (reach, y), (reach - thick // 2, y), (255,), thick, cv2.LINE_AA)
    luma[(mask == 0) & (behind > 0)] = skin
    mask = np.maximum(mask, behind)
    long = min(2.5 * thick, free - thick / 2)
    if long > thick / 2:
        tip = (reach + width - thick // 2, round(height - long))
        cv2.line(luma, (reach + width + thick // 2, height + thick), tip, (skin,), thick, cv2.LINE_AA)
        cv2.circle(luma, tip, max(2, thick // 3), (min(255, skin + 30),), -1, cv2.LINE_AA)
        cv2.line(mask, (reach + width + thick // 2, height + thick), tip, (255,), thick, cv2.LINE_AA)
    return replace(sheet, luma=luma, mask=mask, corners=corners)
