"""Which scanners are connected, and which of them the settings mean.

Source: Linux Documentation/ABI, sysfs classes `input`, `hidraw`, `tty` and `video4linux`; a device's place in the tree
names its USB port. Event numbers are given anew at each plugging in, so nothing here relies on them.
"""

import json
import os
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from drivers.protocols import Again, DeviceLost, DeviceRefused

RULES_MEND = "copy config/70-brama.rules to /etc/udev/rules.d, then: udevadm control --reload && udevadm trigger"
"""What gives a gate the devices that no group of the distribution does."""
SYSFS = Path("/sys")
_USB_DEVICE = re.compile(r"\d+-\d+(\.\d+)*")
_LONG_BITS = 8 * struct.calcsize("l")
_KEYS_OF_A_SCANNER = (*range(2, 12), 28)
"""KEY_1 to KEY_0 and KEY_ENTER (linux/input-event-codes.h): a power button or a mouse lacks them."""
_POS_SCANNER = bytes.fromhex("058c0902a1")
"""The beginning of a collection of usage page 0x8C, usage 0x02 in a report descriptor, as config/70-brama.rules has it
(HID Point of Sale Usage Tables)."""
_NO_CAMERAS = ("bcm2835-codec", "bcm2835-isp", "pisp", "rp1-cfe", "rpi-hevc", "rpivid", "unicam")
"""Video nodes of a Raspberry Pi that are codecs, scalers, and sensors without their scalers."""


@dataclass(frozen=True, slots=True)
class Found:
    """One connected device. `vendor` and `product` are four hex digits, `port` is the USB port, such as `1-1.2`."""

    path: str
    name: str
    vendor: str | None
    product: str | None
    serial: str | None
    port: str | None
    place: str
    """Where it hangs in the device tree: parts of one physical device share its beginning."""

    @property
    def usb(self) -> str | None:
        """Vendor and product as settings name them."""
        return f"{self.vendor}:{self.product}" if self.vendor and self.product else None

    def names(self, *, fully: bool = False) -> str:
        """Say how the settings may name it: wherever it is plugged in if it has a serial number, or `fully`."""
        keys = {"usb": self.usb, "serial": self.serial, "port": self.port if fully or not self.serial else None}
        # What is printable and quoted for JSON is quoted for TOML.
        told = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items() if value]
        return ", ".join(told) or f'device = "{self.path}"'


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say of a device: a path, or what it tells of itself and where it is plugged in."""

    path: str | None = None
    usb: str | None = None
    serial: str | None = None
    port: str | None = None

    def __str__(self) -> str:
        """Name it for people."""
        parts = {"usb": self.usb, "serial": self.serial, "port": self.port}
        return self.path or " ".join(f"{key} {value}" for key, value in parts.items() if value)

    def means(self, found: Found) -> bool:
        """Tell whether a connected device is meant."""
        if self.path is not None:
            return os.path.realpath(self.path) == os.path.realpath(found.path)
        return self.usb in {None, found.usb} and self.serial in {None, found.serial} and self.port in {None, found.port}


def pick(wanted: Wanted, find: Callable[[], Iterable[Found]], what: str, again: Again) -> Found:
    """Return the one connected device that is meant; of one with several faces, the first.

    Raises:
        DeviceLost: none is connected.
        DeviceRefused: the path is something else than `what`, or several devices answer to the description.
    """
    found = sorted((each for each in find() if wanted.means(each)), key=lambda each: each.place)
    if not found:
        if wanted.path is not None and Path(wanted.path).exists():
            raise DeviceRefused(f"{wanted}: not {what}; see brama devices for those that are", again)
        raise DeviceLost(f"{wanted}: not connected; plug it in, or see brama devices for what is", again)
    several = _one_face_each(found)
    if len(several) > 1:
        told = [each.names(fully=True) for each in several[:2]]
        both = told if told[0] != told[1] else [f'device = "{each.path}"' for each in several[:2]]
        raise DeviceRefused(f"{wanted}: {len(several)} devices answer to that; name one: {'; or '.join(both)}", again)
    return several[0]


def _one_face_each(found: Iterable[Found]) -> list[Found]:
    """Return the first face of each physical device: its faces share port and serial, where it has any."""
    first: dict[tuple[str | None, str | None] | str, Found] = {}
    for each in found:
        first.setdefault((each.port, each.serial) if each.port or each.serial else each.place, each)
    return list(first.values())


def find_keyboards(sysfs: Path = SYSFS) -> list[Found]:
    """Return what types like a keyboard."""
    found = []
    for node in sorted((sysfs / "class/input").glob("event*")):
        device = node / "device"
        if not _has_keys(_text(device / "capabilities/key"), _KEYS_OF_A_SCANNER):
            continue
        ids = (_text(device / "id/vendor"), _text(device / "id/product"))
        told = _text(device / "name"), _text(device / "uniq"), _text(device / "phys")
        found.append(_found(node, f"/dev/input/{node.name}", ids, *told))
    return found


def find_hid_pos(sysfs: Path = SYSFS) -> list[Found]:
    """Return scanners in HID-POS mode."""
    found = []
    for node in sorted((sysfs / "class/hidraw").glob("hidraw*")):
        if _POS_SCANNER not in descriptor_of(node.name, sysfs):
            continue
        said = dict(line.split("=", 1) for line in _lines(node / "device/uevent") if "=" in line)
        # HID_ID=0003:00000C2E:00000B61: bus, vendor, product.
        _bus, vendor, product = (*said.get("HID_ID", "").lower().split(":"), "", "", "")[:3]
        told = said.get("HID_NAME", ""), said.get("HID_UNIQ", ""), said.get("HID_PHYS", "")
        found.append(_found(node, f"/dev/{node.name}", (vendor[-4:], product[-4:]), *told))
    return found


def descriptor_of(node: str, sysfs: Path = SYSFS) -> bytes:
    """Return a hidraw node's report descriptor; empty where it has none, or is gone."""
    try:
        return (sysfs / "class/hidraw" / node / "device/report_descriptor").read_bytes()
    except OSError:
        return b""


def find_serial_ports(sysfs: Path = SYSFS) -> list[Found]:
    """Return serial ports on USB, and those of the board that are wired to something."""
    found = []
    for node in sorted((sysfs / "class/tty").glob("tty[A-Z]*")):
        if not (node / "device").exists() or _text(node / "type") == "0":
            continue  # a virtual console, or a port of the chip set that no connector has
        usb = _usb_device(node)
        told = [_text(usb / name) if usb else "" for name in ("idVendor", "idProduct", "product")]
        found.append(_found(node, f"/dev/{node.name}", (told[0], told[1]), told[2] or "serial port", "", ""))
    return found


def find_cameras(sysfs: Path = SYSFS) -> list[Found]:
    """Return cameras, each by its first node: the others give no pictures."""
    found = []
    for node in sorted((sysfs / "class/video4linux").glob("video*")):
        name = _text(node / "name")
        if _text(node / "index") not in {"", "0"} or name.startswith(_NO_CAMERAS):
            continue
        usb = _usb_device(node)
        ids = [_text(usb / each) if usb else "" for each in ("idVendor", "idProduct")]
        found.append(_found(node, f"/dev/{node.name}", (ids[0], ids[1]), name, "", ""))
    return found


def _found(node: Path, path: str, ids: tuple[str, str], name: str, serial: str, phys: str) -> Found:
    """Put together what sysfs says; a device that is not on USB is known by its `phys`."""
    usb = _usb_device(node)
    serial = serial or (_text(usb / "serial") if usb else "")
    port = usb.name if usb else phys
    return Found(path, name, ids[0] or None, ids[1] or None, serial or None, port or None, os.path.realpath(node))


def _usb_device(node: Path) -> Path | None:
    """Return the folder of the USB device of which a node is a part: the nearest one above it."""
    for above in Path(os.path.realpath(node)).parents:
        # Devices on an I2C bus have names of this form, too, and no vendor.
        if _USB_DEVICE.fullmatch(above.name) and (above / "idVendor").exists():
            return above
    return None


def _has_keys(bitmap: str, keys: Iterable[int]) -> bool:
    """Tell whether a capability bitmap (hex words, the highest first) has all these keys."""
    try:
        words = [int(word, 16) for word in reversed(bitmap.split())]
    except ValueError:
        return False
    return all(key // _LONG_BITS < len(words) and words[key // _LONG_BITS] >> key % _LONG_BITS & 1 for key in keys)


def _text(path: Path) -> str:
    """Return an attribute of one line."""
    return " ".join(_lines(path))


def _lines(path: Path) -> list[str]:
    """Return an attribute's lines; none where it cannot be read.

    Devices choose their own names and serial numbers: what would not print reaches no log and no terminal.
    """
    try:
        read = path.read_bytes().decode(errors="replace").strip("\0\n ")
    except OSError:
        return []
    return ["".join(char if char.isprintable() else "?" for char in line) for line in read.split("\n")]
