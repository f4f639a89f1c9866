"""What a test holds before a camera."""

import base64
import zlib
from typing import Any

import numpy as np
import zxingcpp

WIDTH, HEIGHT = 640, 480
SLOW_FPS = 5
"""As many as the emulated machine can look at."""
MODULE_PX, DESK = 6, 180
"""How large a code is drawn, and the luma of what lies behind it: light grey."""


def holding(code: str | None) -> dict[str, Any]:
    """Return what `camera_source.show` is called with, so that the camera sees a QR code, or None an empty desk."""
    luma = np.full((HEIGHT, WIDTH), DESK, np.uint8)
    if code is not None:
        drawn = zxingcpp.create_barcode(code, zxingcpp.BarcodeFormat.QRCode)
        label = np.array(zxingcpp.write_barcode_to_image(drawn, scale=MODULE_PX, add_quiet_zones=True))
        top, left = (HEIGHT - label.shape[0]) // 2, (WIDTH - label.shape[1]) // 2
        luma[top : top + label.shape[0], left : left + label.shape[1]] = label
    packed = base64.b64encode(zlib.compress(luma.tobytes())).decode()
    return {"picture": packed, "width": WIDTH, "height": HEIGHT, "fps": SLOW_FPS}
