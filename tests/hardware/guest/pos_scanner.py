"""HID Point of Sale scanners made through uhid.

Source: Linux Documentation/hid/uhid.rst and include/uapi/linux/uhid.h.
"""

import os
import struct
from pathlib import Path

from tests.hardware.guest.pos import DESCRIPTOR, reports

DESTROY, CREATE, INPUT = 1, 11, 12
BUS_USB = 3
_plugged: dict[str, int] = {}


def plug(name: str, serial: str, vendor: int = 0x0C2E, product: int = 0x0B61) -> str:
    """Plug a scanner in; return its device node, /dev/hidraw*."""
    before = set(Path("/sys/class/hidraw").glob("*"))
    device = os.open("/dev/uhid", os.O_RDWR)
    fields = (name.encode(), b"", serial.encode(), len(DESCRIPTOR), BUS_USB, vendor, product, 0x0100, 0)
    os.write(device, struct.pack("<I128s64s64sHHIIII4096s", CREATE, *fields, DESCRIPTOR))
    _plugged[name] = device
    while not (made := set(Path("/sys/class/hidraw").glob("*")) - before):
        os.sched_yield()
    return f"/dev/{made.pop().name}"


def unplug(name: str) -> None:
    """Pull it out."""
    device = _plugged.pop(name)
    os.write(device, struct.pack("<I", DESTROY))
    os.close(device)


def scan(name: str, code: str, symbology: str = "]Q3") -> None:
    """Scan a code; a long one takes several reports."""
    for report in reports(code.encode(), symbology):
        send(name, report.hex())


def send(name: str, report: str) -> None:
    """Send one report, hexadecimal, as it is."""
    data = bytes.fromhex(report)
    os.write(_plugged[name], struct.pack("<IH", INPUT, len(data)) + data)
