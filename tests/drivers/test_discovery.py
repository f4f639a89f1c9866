"""Which connected device the settings mean, over a tree laid out as the kernel lays out /sys."""

import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import discovery
from drivers.discovery import Found, Wanted, find_cameras, find_hid_pos, find_keyboards, find_serial_ports, pick
from drivers.protocols import DeviceLost, DeviceRefused

LONG_BITS = 8 * struct.calcsize("l")
SCANNER_KEYS = [*range(1, 84), 87, 88]
"""What a US keyboard has, by linux/input-event-codes.h."""
MOUSE_KEYS = [0x110, 0x111, 0x112]
POWER_KEYS = [116]
MEDIA_KEYS = [113, 114, 115, 163, 164, 165]
POS = bytes.fromhex("05 8c 09 02 a1 01")
KEYBOARD = bytes.fromhex("05 01 09 06 a1 01")
USB_BUS = "devices/platform/scb/fd500000.pcie/pci0000:00/0000:01:00.0/usb1"


def bitmap(keys: Iterable[int]) -> str:
    """Write a set of keys as the kernel does: words in hex, the highest first."""
    words = [0] * (max(keys) // LONG_BITS + 1)
    for key in keys:
        words[key // LONG_BITS] |= 1 << key % LONG_BITS
    return " ".join(f"{word:x}" for word in reversed(words)) + "\n"


class Sys:
    """A /sys in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inputs = 0

    def write(self, place: str, **attributes: str | bytes) -> Path:
        """Make a folder of attributes; a `/` in an attribute's name is written `__`."""
        folder = self.root / place
        for name, text in attributes.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    def usb(
        self, port: str, usb: str = "0c2e:0b61", serial: str | None = "16210B43E2", product: str = "Scanner"
    ) -> str:
        """Plug a device into a port; return its place."""
        hubs = [port.rsplit(".", count)[0] for count in range(port.count("."), 0, -1)]
        place = "/".join([USB_BUS, *hubs, port])
        vendor, model = usb.split(":")
        self.write(place, idVendor=f"{vendor}\n", idProduct=f"{model}\n", product=f"{product}\n")
        if serial is not None:
            self.write(place, serial=f"{serial}\n")
        return place

    def hid(self, usb_place: str, interface: int = 0, descriptor: bytes = KEYBOARD, **uevent: str) -> str:
        """Return the place of a USB device's HID interface."""
        port = usb_place.rsplit("/", 1)[1]
        place = f"{usb_place}/{port}:1.{interface}/0003:0C2E:0B61.{interface + 1:04X}"
        told = "".join(f"{name}={value}\n" for name, value in uevent.items())
        self.write(place, report_descriptor=descriptor, uevent=f"DRIVER=hid-generic\n{told}")
        return place

    def input(self, parent: str, keys: Iterable[int] = SCANNER_KEYS, usb: str = "0c2e:0b61", **told: str) -> str:
        """Hang an input device below another; return its event node's name."""
        number, self._inputs = self._inputs, self._inputs + 1
        vendor, product = usb.split(":")
        place = f"{parent}/input/input{number + 7}"
        attributes = {"name": "Honeywell Scanner", "uniq": "", "phys": "", **told}
        self.write(
            place,
            id__vendor=f"{vendor}\n",
            id__product=f"{product}\n",
            capabilities__key=bitmap(keys),
            **{name: f"{text}\n" for name, text in attributes.items()},
        )
        return self.node("input", f"{place}/event{number}", f"../../input{number + 7}")

    def hidraw(self, hid_place: str, number: int = 0) -> str:
        up = "../../../" + hid_place.rsplit("/", 1)[1]
        return self.node("hidraw", f"{hid_place}/hidraw/hidraw{number}", up)

    def acm(self, usb_place: str, name: str = "ttyACM0") -> str:
        """CDC-ACM: the port hangs on the interface."""
        port = usb_place.rsplit("/", 1)[1]
        return self.node("tty", f"{usb_place}/{port}:1.0/tty/{name}", f"../../../{port}:1.0")

    def video(self, place: str, node: str = "video0", name: str = "HD Webcam C270", index: str | None = "0") -> str:
        """A video node, which hangs on a USB interface, or on something on the board, or on nothing."""
        told = {"name": f"{name}\n", **({} if index is None else {"index": f"{index}\n"})}
        self.node("video4linux", f"{place}/video4linux/{node}")
        self.write(f"{place}/video4linux/{node}", **told)
        return node

    def usb_serial(self, usb_place: str, name: str = "ttyUSB0") -> str:
        """An RS-232 converter: one device more in between."""
        port = usb_place.rsplit("/", 1)[1]
        return self.node("tty", f"{usb_place}/{port}:1.0/{name}/tty/{name}", f"../../../{name}")

    def node(self, kind: str, place: str, device: str | None = None) -> str:
        """Make a node's folder, its link to its device and its link from the class."""
        folder = self.root / place
        folder.mkdir(parents=True)
        if device is not None:
            (folder / "device").symlink_to(device)
            (folder / "device").resolve(strict=True).relative_to(self.root)
        of_class = self.root / "class" / kind / folder.name
        of_class.parent.mkdir(parents=True, exist_ok=True)
        of_class.symlink_to(Path("../..") / place)
        assert of_class.resolve(strict=True) == folder
        return folder.name


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    return Sys(tmp_path / "sys")


async def never() -> None:
    """What a failure waits for here: nothing."""


def keyboard_of(sys: Sys, **wanted: str) -> Found:
    return pick(Wanted(**wanted), lambda: find_keyboards(sys.root), "a keyboard", never)


def two_scanners(sys: Sys, serials: tuple[str | None, str | None] = (None, None)) -> None:
    for port, serial in zip(("1-1.2", "1-1.3"), serials, strict=True):
        sys.input(sys.hid(sys.usb(port, serial=serial)))


def test_keyboards_are_told_from_mice_and_buttons(sys: Sys) -> None:
    sys.input("devices/LNXSYSTM:00/LNXPWRBN:00", POWER_KEYS, "0000:0001", name="Power Button", phys="LNXPWRBN/button")
    sys.input(sys.hid(sys.usb("1-1.4", "046d:c077")), MOUSE_KEYS, "046d:c077", name="Mouse")
    scanner = sys.usb("1-1.2")
    typing = sys.input(sys.hid(scanner, 0))
    sys.input(sys.hid(scanner, 1), MEDIA_KEYS, name="Honeywell Scanner Consumer Control")
    at_keyboard = sys.input("devices/platform/i8042/serio0", usb="0001:0001", name="AT", phys="isa0060/serio0/input0")
    found = {Path(each.path).name: each for each in find_keyboards(sys.root)}
    assert set(found) == {typing, at_keyboard}
    place = os.fspath(sys.root / scanner / "1-1.2:1.0/0003:0C2E:0B61.0001/input/input9/event2")
    assert found[typing] == Found(
        f"/dev/input/{typing}", "Honeywell Scanner", "0c2e", "0b61", "16210B43E2", "1-1.2", place
    )
    assert (found[at_keyboard].serial, found[at_keyboard].port) == (None, "isa0060/serio0/input0")


def test_a_key_missing_makes_it_no_scanner(sys: Sys) -> None:
    hid = sys.hid(sys.usb("1-1.2"))
    for missing in (2, 11, 28):
        sys.input(hid, [key for key in SCANNER_KEYS if key != missing])
    assert find_keyboards(sys.root) == []


def test_hid_pos_is_told_by_its_descriptor(sys: Sys) -> None:
    told = {
        "HID_ID": "0003:00000C2E:00000B67",
        "HID_NAME": "Honeywell 1950",
        "HID_PHYS": "usb-1/input1",
        "HID_UNIQ": "",
    }
    scanner = sys.usb("1-1.2", "0c2e:0b67")
    sys.hidraw(sys.hid(scanner, 0, KEYBOARD, **told), 0)
    pos = sys.hidraw(sys.hid(scanner, 1, POS, **told), 1)
    (found,) = find_hid_pos(sys.root)
    assert (found.path, found.name, found.usb) == (f"/dev/{pos}", "Honeywell 1950", "0c2e:0b67")
    assert (found.serial, found.port) == ("16210B43E2", "1-1.2")
    assert discovery.descriptor_of(pos, sys.root) == POS
    assert discovery.descriptor_of("hidraw9", sys.root) == b""


def test_serial_ports_are_those_that_something_can_be_plugged_into(sys: Sys) -> None:
    acm = sys.acm(sys.usb("1-1.2", "05f9:4204", "S-1", "Datalogic"))
    converter = sys.usb_serial(sys.usb("1-1.3", "0403:6001", "A50285BI", "FT232R"))
    sys.write("devices/platform/fe201000.serial/tty/ttyAMA0", type="32\n")
    for name, type_ in (("ttyS0", "4\n"), ("ttyS1", "0\n")):
        sys.write(f"devices/platform/serial8250/tty/{name}", type=type_)
    for name, device in (("ttyAMA0", "fe201000.serial"), ("ttyS0", "serial8250"), ("ttyS1", "serial8250")):
        place = sys.root / f"devices/platform/{device}/tty/{name}"
        (place / "device").symlink_to(f"../../../{device}")
        (sys.root / "class/tty" / name).symlink_to(place)
    sys.node("tty", "devices/virtual/tty/tty0")
    sys.node("tty", "devices/virtual/tty/ttyX9")
    found = {Path(each.path).name: each for each in find_serial_ports(sys.root)}
    assert set(found) == {acm, converter, "ttyAMA0", "ttyS0"}
    for name, usb, serial, port in (
        (acm, "05f9:4204", "S-1", "1-1.2"),
        (converter, "0403:6001", "A50285BI", "1-1.3"),
        ("ttyAMA0", None, None, None),
    ):
        assert (found[name].usb, found[name].serial, found[name].port) == (usb, serial, port)
    assert found["ttyS0"].names() == 'device = "/dev/ttyS0"'


def test_a_camera_is_known_by_its_first_node(sys: Sys) -> None:
    webcam = sys.usb("1-1.2", "046d:0825", "16210B43E2", "C270")
    sys.video(f"{webcam}/1-1.2:1.0", "video0", index="0")
    sys.video(f"{webcam}/1-1.2:1.0", "video1", index="1")
    sys.video("devices/virtual", "video7", "CSI camera", index=None)
    sys.video("devices/platform/vivid.0", "video8", "vivid-000-vid-cap")
    sys.video("devices/platform/bcm2835-codec", "video10", "bcm2835-codec-decode")
    sys.video("devices/platform/axi/1f00110000.csi", "video20", "rp1-cfe-csi2_ch0")
    found = {Path(each.path).name: each for each in find_cameras(sys.root)}
    assert set(found) == {"video0", "video7", "video8"}
    assert found["video0"].name == "HD Webcam C270"
    assert found["video0"].names(fully=True) == 'usb = "046d:0825", serial = "16210B43E2", port = "1-1.2"'
    assert found["video7"].names() == 'device = "/dev/video7"'
    assert found["video8"].names() == 'device = "/dev/video8"'


def test_a_camera_is_picked_by_what_it_tells(sys: Sys) -> None:
    for number, port in enumerate(("1-1.2", "1-1.3")):
        place = sys.usb(port, "046d:0825", f"S-{number}", "C270")
        for node in range(2):
            sys.video(f"{place}/{port}:1.0", f"video{2 * number + node}", index=f"{node}")
    for wanted in (Wanted(serial="S-1"), Wanted(port="1-1.3"), Wanted("/dev/video2")):
        assert pick(wanted, lambda: find_cameras(sys.root), "a camera", never).path == "/dev/video2"
    with pytest.raises(DeviceRefused, match="usb 046d:0825: 2 devices answer to that"):
        pick(Wanted(usb="046d:0825"), lambda: find_cameras(sys.root), "a camera", never)


def test_a_device_on_another_bus_has_no_usb_port(sys: Sys) -> None:
    """I2C names its devices as USB names its ports: bus, dash, address."""
    sys.node("tty", "devices/platform/fe804000.i2c/i2c-1/1-0048/tty/ttySC0", "../../../1-0048")
    (found,) = find_serial_ports(sys.root)
    assert (found.usb, found.port) == (None, None)


@pytest.mark.parametrize(
    "wanted",
    [
        {"usb": "0c2e:0b61"},
        {"serial": "S-2"},
        {"port": "1-1.3"},
        {"usb": "0c2e:0b61", "serial": "S-2", "port": "1-1.3"},
        {"path": "/dev/input/event1"},
    ],
)
def test_a_scanner_is_picked_by_what_it_tells_or_where_it_is(sys: Sys, wanted: dict[str, str]) -> None:
    sys.input(sys.hid(sys.usb("1-1.2", "1a86:e026", "S-1")), usb="1a86:e026")
    named = sys.input(sys.hid(sys.usb("1-1.3", serial="S-2")))
    assert keyboard_of(sys, **wanted).path == f"/dev/input/{named}"


def test_a_path_may_be_a_link_that_lasts(sys: Sys, tmp_path: Path) -> None:
    two_scanners(sys)
    link = tmp_path / "by-id/usb-0c2e_Honeywell-event-kbd"
    link.parent.mkdir()
    link.symlink_to("/dev/input/event1")
    assert keyboard_of(sys, path=str(link)).port == "1-1.3"


@pytest.mark.parametrize("serials", [(None, None), ("00000000", "00000000"), ("S-1", "S-2")])
def test_two_that_answer_are_refused_and_told_apart(sys: Sys, serials: tuple[str | None, str | None]) -> None:
    two_scanners(sys, serials)
    with pytest.raises(DeviceRefused) as caught:
        keyboard_of(sys, usb="0c2e:0b61")
    assert caught.value.again is never
    told = [f', serial = "{serial}"' if serial else "" for serial in serials]
    assert str(caught.value) == (
        "usb 0c2e:0b61: 2 devices answer to that; name one: "
        f'usb = "0c2e:0b61"{told[0]}, port = "1-1.2"; or usb = "0c2e:0b61"{told[1]}, port = "1-1.3"'
    )
    assert keyboard_of(sys, usb="0c2e:0b61", port="1-1.3").port == "1-1.3"
    if serials[0] != serials[1]:
        assert keyboard_of(sys, serial="S-1").port == "1-1.2"


def test_of_a_device_with_several_faces_the_first_is_meant(sys: Sys) -> None:
    scanner = sys.usb("1-1.2")
    for interface in (2, 0, 1):
        sys.input(sys.hid(scanner, interface))
    assert "/1-1.2:1.0/" in keyboard_of(sys, usb="0c2e:0b61").place
    other = sys.usb("1-1.3", serial=None)
    for interface in (0, 1):
        sys.input(sys.hid(other, interface))
    with pytest.raises(DeviceRefused, match=r": 2 devices answer .*1-1\.2.*1-1\.3"):
        keyboard_of(sys, usb="0c2e:0b61")


def test_two_with_no_port_and_no_serial_are_two_all_the_same(sys: Sys) -> None:
    for _ in range(2):
        sys.input("devices/virtual")
    with pytest.raises(DeviceRefused, match='name one: device = "/dev/input/event0"; or device = "/dev/input/event1"'):
        keyboard_of(sys, usb="0c2e:0b61")


def test_one_that_is_not_connected_is_lost_and_named(sys: Sys) -> None:
    two_scanners(sys)
    with pytest.raises(DeviceLost, match=r"usb 0c2e:0b61 port 1-1\.9: not connected; plug it in") as caught:
        keyboard_of(sys, usb="0c2e:0b61", port="1-1.9")
    assert caught.value.again is never
    with pytest.raises(DeviceLost, match="/dev/input/by-id/gone: not connected"):
        keyboard_of(sys, path="/dev/input/by-id/gone")


def test_a_path_of_something_else_is_refused(sys: Sys, tmp_path: Path) -> None:
    two_scanners(sys)
    path = tmp_path / "notes.txt"
    path.write_text("no keyboard")
    with pytest.raises(DeviceRefused, match=r"notes\.txt: not a keyboard; see brama devices") as caught:
        keyboard_of(sys, path=str(path))
    assert caught.value.again is never


def test_a_box_with_nothing_connected_has_nothing(tmp_path: Path) -> None:
    for find in (find_keyboards, find_hid_pos, find_serial_ports, find_cameras):
        assert find(tmp_path) == []


def test_what_a_device_says_of_itself_reaches_no_terminal(sys: Sys) -> None:
    scanner = sys.usb("1-1.2", serial='S"\\1\x1b[31m')
    sys.input(sys.hid(scanner), name="red\x1b[31m\r\x07Scanner", uniq="")
    (found,) = find_keyboards(sys.root)
    assert found.name == "red?[31m??Scanner"
    assert found.serial == 'S"\\1?[31m'
    assert found.names(fully=True) == r'usb = "0c2e:0b61", serial = "S\"\\1?[31m", port = "1-1.2"'
    assert keyboard_of(sys, serial='S"\\1?[31m') == found


@pytest.mark.parametrize("find", [find_keyboards, find_hid_pos, find_serial_ports, find_cameras])
@given(garbage=st.binary(max_size=64), gone=st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_tree_of_garbage_spoils_nothing_that_is_sound(
    tmp_path_factory: pytest.TempPathFactory, find: Callable[[Path], list[Found]], garbage: bytes, gone: bool
) -> None:
    sys = Sys(tmp_path_factory.mktemp("sys"))
    for port, interface in (("1-1.2", 0), ("1-1.3", 1)):
        place = sys.usb(port)
        hid = sys.hid(place, interface, POS, HID_ID="0003:00000C2E:00000B61")
        sys.input(hid)
        sys.hidraw(hid, interface)
        sys.acm(place, f"ttyACM{interface}")
        sys.video(f"{place}/{port}:1.2", f"video{interface}")
    for path in sorted((sys.root / USB_BUS / "1-1/1-1.3").rglob("*")):
        if path.is_file() and not path.is_symlink():
            if gone:
                path.unlink()
            else:
                path.write_bytes(garbage)
    sound = [each for each in find(sys.root) if "/1-1.2/" in each.place]
    assert [each.port for each in sound] == ["1-1.2"]
    assert pick(Wanted(port="1-1.2"), lambda: find(sys.root), "a scanner", never) == sound[0]


def test_links_that_lead_nowhere_or_round_are_passed_over(sys: Sys) -> None:
    good = sys.input(sys.hid(sys.usb("1-1.2")))
    folder = sys.root / "class/input"
    (folder / "event7").symlink_to("../../devices/gone/event7")
    (folder / "event8").symlink_to("event8")
    (folder / "event9").write_text("a file")
    assert [each.path for each in find_keyboards(sys.root)] == [f"/dev/input/{good}"]
    for kind, name, find in (("hidraw", "hidraw8", find_hid_pos), ("tty", "ttyS8", find_serial_ports)):
        (sys.root / "class" / kind).mkdir()
        (sys.root / "class" / kind / name).symlink_to(name)
        assert find(sys.root) == []
