"""Codes as their printers draw them, and pictures in which they stand."""

import math

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from drivers.camera.frames import Luma

FORMATS = {
    "qr": zxingcpp.BarcodeFormat.QRCode,
    "micro_qr": zxingcpp.BarcodeFormat.MicroQRCode,
    "aztec": zxingcpp.BarcodeFormat.Aztec,
    "pdf417": zxingcpp.BarcodeFormat.PDF417,
    "data_matrix": zxingcpp.BarcodeFormat.DataMatrix,
    "code128": zxingcpp.BarcodeFormat.Code128,
    "code39": zxingcpp.BarcodeFormat.Code39Std,
    "ean_upc": zxingcpp.BarcodeFormat.EAN13,
    "itf": zxingcpp.BarcodeFormat.ITF,
    "codabar": zxingcpp.BarcodeFormat.Codabar,
}
TEXTS = {
    "qr": "TKT-7Q4M-2291",
    "micro_qr": "1234567",
    "aztec": "TKT-7Q4M-2291",
    "pdf417": "TKT-7Q4M-2291",
    "data_matrix": "TKT-7Q4M-2291",
    "code128": "TKT7Q4M2291",
    "code39": "TKT-2291",
    "ean_upc": "5901234123457",
    "itf": "0012345678",
    "codabar": "A12345678B",
}
"""Something that a ticket of each symbology may say."""
SIZE = (1280, 720)


def drawn(kind: str, text: str | bytes, scale: int = 4, **options: object) -> Luma:
    """Return a code with its quiet zone, `scale` pixels a module."""
    return drawn_as(FORMATS[kind], text, scale, **options)


def drawn_as(form: zxingcpp.BarcodeFormat, text: str | bytes, scale: int = 4, **options: object) -> Luma:
    barcode = zxingcpp.create_barcode(text, form, **options)
    return np.array(zxingcpp.write_barcode_to_image(barcode, scale=scale, add_quiet_zones=True), dtype=np.uint8)


def scene(*codes: tuple[Luma, int, int], grey: int = 150, size: tuple[int, int] = SIZE) -> Luma:
    """Return a picture in which codes stand with their left upper corner at (x, y)."""
    luma = np.full((size[1], size[0]), grey, np.uint8)
    for code, x, y in codes:
        luma[y : y + code.shape[0], x : x + code.shape[1]] = code
    return luma


def turned(luma: Luma, degrees: float) -> Luma:
    """Return the picture turned about its middle."""
    height, width = luma.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(
        cv2.warpAffine(luma, matrix, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=(150,)),
        dtype=np.uint8,
    )


def noisy(luma: Luma, levels: float, seed: int = 1) -> Luma:
    """Return the picture as a sensor sees it whose noise has this standard deviation."""
    grain: NDArray[np.float64] = np.random.default_rng(seed).normal(0, levels, luma.shape)
    return np.clip(luma + grain, 0, 255).astype(np.uint8)


def blurred(luma: Luma, sigma: float) -> Luma:
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), sigma), dtype=np.uint8)


def middle_of(outline: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    return (sum(x for x, _ in outline) / len(outline), sum(y for _, y in outline) / len(outline))


def near(one: tuple[float, float], other: tuple[float, float], within: float = 0.02) -> bool:
    return math.dist(one, other) <= within
