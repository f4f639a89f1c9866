"""Reads devices with nothing of Brama in between: `python3 -m tests.hardware.guest.reading keys|reports|codes NODE`.

Prints `reading NODE`, then each key pressed, each report, hexadecimal, or each new code that a camera sees, then
`gone ERRNO` when it is pulled out.
"""

import errno
import os
import sys
from collections.abc import Iterator

from evdev import InputDevice, ecodes


def keys(node: str) -> Iterator[str]:
    """Yield the name of each key as it goes down."""
    device = InputDevice(node)
    device.grab()
    yield f"reading {node}"
    for event in device.read_loop():
        if event.type == ecodes.EV_KEY and event.value == 1:
            yield str(ecodes.KEY[event.code])


def reports(node: str) -> Iterator[str]:
    """Yield each report."""
    device = os.open(node, os.O_RDONLY)
    yield f"reading {node}"
    while True:
        yield os.read(device, 4096).hex()


def codes(node: str) -> Iterator[str]:
    """Yield each code that was not in the frame before."""
    import cv2
    import zxingcpp

    camera = cv2.VideoCapture(node, cv2.CAP_V4L2)
    if not camera.read()[0]:
        raise OSError(errno.EBUSY, "OpenCV does not say why there is no frame")
    yield f"reading {node}"
    seen: set[str] = set()
    while (frame := camera.read()[1]) is not None:
        found = {barcode.text for barcode in zxingcpp.read_barcodes(frame)}
        yield from sorted(found - seen)
        seen = found
    raise OSError(errno.ENODEV, "nor why there are no more")


def main() -> None:
    """Read until the device is gone."""
    kind, node = sys.argv[1:]
    try:
        for seen in {"keys": keys, "reports": reports, "codes": codes}[kind](node):
            sys.stdout.write(f"{seen}\n")
    except OSError as exc:
        sys.stdout.write(f"gone {errno.errorcode[exc.errno or 0]}\n")


if __name__ == "__main__":
    main()
