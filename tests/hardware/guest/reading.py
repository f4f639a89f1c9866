"""Reads devices with nothing of Brama in between: `python3 -m tests.hardware.guest.reading keys|reports NODE`.

Prints `reading NODE`, then each key pressed or each report, hexadecimal, then `gone ERRNO` when it is pulled out.
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


def main() -> None:
    """Read until the device is gone."""
    kind, node = sys.argv[1:]
    try:
        for seen in {"keys": keys, "reports": reports}[kind](node):
            sys.stdout.write(f"{seen}\n")
    except OSError as exc:
        sys.stdout.write(f"gone {errno.errorcode[exc.errno or 0]}\n")


if __name__ == "__main__":
    main()
