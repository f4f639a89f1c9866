"""USB devices, as far as the kernel's USB core can tell, at two ports of which each has a host controller of its own.

Source: Linux Documentation/usb/gadget_configfs.rst, gadget_hid.rst, and drivers/usb/gadget/udc/dummy_hcd.c.
"""

import os
import time
from pathlib import Path

from tests.hardware.guest import pos
from tests.hardware.guest.keys import SHIFT, typed

CONFIG = Path("/sys/kernel/config/usb_gadget")
KEYBOARD = bytes.fromhex(
    "0501 0906 a101 0507"  # Generic Desktop, keyboard; an application, of the keyboard page
    "19e0 29e7 1500 2501 7501 9508 8102"  # eight modifiers, a bit each
    "7508 9501 8103"  # one byte kept free
    "1500 2565 1900 2965 7508 9506 8100"  # six keys at once, by their usage
    "c0"
)
SHIFT_BIT = 1 << (SHIFT.usage & 7)


NODES = {"keyboard": "event[0-9]*", "pos": "hidraw[0-9]*", "acm": "ttyACM[0-9]*"}


def plug(port: int, kind: str, serial: str, vendor: int = 0x0C2E, product: int = 0x0B61) -> str:
    """Plug a `keyboard`, a `pos` scanner or an `acm` serial port into port 0 or 1; return its device node."""
    gadget = CONFIG / f"port{port}"
    strings = gadget / "strings/0x409"
    strings.mkdir(parents=True)
    (gadget / "idVendor").write_text(hex(vendor))
    (gadget / "idProduct").write_text(hex(product))
    (strings / "serialnumber").write_text(serial)
    (strings / "manufacturer").write_text("Palace")
    (strings / "product").write_text(f"Scanner {kind}")
    function = _function(gadget, kind, port)
    (gadget / "configs/c.1").mkdir()
    (gadget / "configs/c.1" / function.name).symlink_to(function)
    (gadget / "UDC").write_text(f"dummy_udc.{port}")
    while not (found := list(Path(f"/sys/devices/platform/dummy_hcd.{port}").rglob(NODES[kind]))):
        time.sleep(0.01)  # the USB core asks the device what it is
    return _node(found[0])


def unplug(port: int) -> None:
    """Pull out what is in a port, and forget it."""
    gadget = CONFIG / f"port{port}"
    (gadget / "UDC").write_text("\n")
    for link in gadget.glob("configs/c.1/*.*"):
        link.unlink()
    for folder in ("configs/c.1", *(f"functions/{path.name}" for path in gadget.glob("functions/*")), "strings/0x409"):
        (gadget / folder).rmdir()
    gadget.rmdir()


def type_text(port: int, text: str) -> None:
    """Type on the keyboard in a port, as the US layout has it; somebody must be reading it."""
    for key, shifted in typed(text):
        _report(port, bytes([SHIFT_BIT if shifted else 0, 0, key.usage, 0, 0, 0, 0, 0]))
        _report(port, bytes(8))


def scan(port: int, code: str, symbology: str = "]Q3") -> None:
    """Scan a code with the scanner in a port; somebody must be reading it."""
    for report in pos.reports(code.encode(), symbology):
        _report(port, report)


def send(port: int, text: str) -> None:
    """Send text from the serial device in a port."""
    number = int((CONFIG / f"port{port}/functions/acm.{port}/port_num").read_text())
    Path(f"/dev/ttyGS{number}").write_text(text)


def _function(gadget: Path, kind: str, port: int) -> Path:
    if kind == "acm":
        function = gadget / f"functions/acm.{port}"
        function.mkdir(parents=True)
        return function
    function = gadget / f"functions/hid.{port}"
    function.mkdir(parents=True)
    length, descriptor = (8, KEYBOARD) if kind == "keyboard" else (len(pos.reports(b"", "")[0]), pos.DESCRIPTOR)
    boot = str(int(kind == "keyboard"))
    (function / "protocol").write_text(boot)
    (function / "subclass").write_text(boot)
    (function / "report_length").write_text(str(length))
    (function / "report_desc").write_bytes(descriptor)
    return function


def _report(port: int, report: bytes) -> None:
    number = (CONFIG / f"port{port}/functions/hid.{port}/dev").read_text().strip()
    # Each write takes the place of the report before unless that was fetched: closing waits for nothing.
    device = os.open(_node(Path("/sys/dev/char") / number), os.O_WRONLY)
    try:
        os.write(device, report)
    finally:
        os.close(device)


def _node(device: Path) -> str:
    """Return the node of a device, which sysfs names."""
    return f"/dev/{(device / 'uevent').read_text().split('DEVNAME=')[1].split()[0]}"
