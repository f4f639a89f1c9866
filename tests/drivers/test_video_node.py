"""What is said of a video node before anything is opened in earnest. Real cameras are for the virtual machine."""

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from drivers import video_node
from drivers.protocols import DeviceLost, DeviceRefused
from drivers.video_node import Mode, best, modes, probe
from tests.drivers.plugs import give_to_nobody, unprivileged

CAPTURE, OUTPUT, MULTIPLANAR, META, OF_NODE = 0x1, 0x2, 0x1000, 0x800000, 0x80000000
DISCRETE, STEPWISE = 1, 3
Each = TypeVar("Each")

UVC = [
    Mode("MJPG", 1280, 720, 30.0),
    Mode("MJPG", 1920, 1080, 30.0),
    Mode("MJPG", 640, 480, 30.0),
    Mode("YUYV", 640, 480, 30.0),
    Mode("YUYV", 1280, 720, 10.0),
    Mode("YUYV", 1280, 720, 5.0),
]
"""What a web camera on USB 2 offers: raw pictures only as far as the bus carries them."""


class Driver:
    """Answers as a kernel driver does."""

    def __init__(self, offered: list[Mode], able: int = CAPTURE, busy: int = 0, name: bytes = b"uvcvideo") -> None:
        self._name = name
        self._offered = offered
        self._able = able
        self._busy = busy
        self.range: tuple[int, ...] | None = None
        """Least, most and step of width and height, of a driver that lists no sizes."""
        self.buffers: list[int] = []

    def ioctl(self, _node: int, request: int, asked: bytes) -> bytes:
        number, form = struct.unpack_from("=I4s", asked)
        of_form = [mode for mode in self._offered if mode.fourcc.encode() == form]
        match request:
            case video_node.QUERYCAP:
                able = struct.pack("=II", CAPTURE | META | OF_NODE, self._able)
                return self._name.ljust(84, b"\0") + able + asked[92:]
            case video_node.REQBUFS if not self._busy:
                self.buffers.append(number)
                return asked
            case video_node.REQBUFS:
                raise OSError(self._busy, os.strerror(self._busy))
            case video_node.ENUM_FMT:
                fourcc = nth(number, [mode.fourcc for mode in self._offered])
                return asked[:44] + fourcc.encode() + asked[48:]
            case video_node.ENUM_FRAMESIZES if self.range:
                return asked[:8] + struct.pack("=7I", STEPWISE, *self.range) + asked[36:]
            case video_node.ENUM_FRAMESIZES:
                size = nth(number, [(mode.width, mode.height) for mode in of_form])
                return asked[:8] + struct.pack("=3I", DISCRETE, *size) + asked[20:]
            case video_node.ENUM_FRAMEINTERVALS:
                size = struct.unpack_from("=II", asked, 8)
                fps = nth(number, [mode.fps for mode in of_form if (mode.width, mode.height) == size and mode.fps])
                return asked[:16] + struct.pack("=3I", DISCRETE, 1_000, int(fps * 1_000)) + asked[28:]
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))


def nth(number: int, choices: list[Each]) -> Each:
    """Return one of a driver's list, each once; there the list ends by an error."""
    once = list(dict.fromkeys(choices))
    if number >= len(once):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return once[number]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Callable[[Driver], str]:
    """Put a driver behind a node that can be opened."""

    def put(driver: Driver) -> str:
        monkeypatch.setattr(fcntl, "ioctl", driver.ioctl)
        return "/dev/null"

    return put


def test_a_camera_that_is_free_is_left_as_it_was(node: Callable[[Driver], str]) -> None:
    driver = Driver(UVC)
    probe(node(driver))
    assert driver.buffers == [0]


def test_a_loopback_that_others_read_from_is_not_taken_away_from_them(node: Callable[[Driver], str]) -> None:
    driver = Driver(UVC, busy=errno.EBUSY, name=b"v4l2 loopback")
    probe(node(driver))
    assert driver.buffers == []


@pytest.mark.parametrize(
    ("driver", "kind", "message"),
    [
        (Driver(UVC, busy=errno.EBUSY), DeviceLost, "in use by another program; fuser /dev/null names it"),
        (Driver(UVC, busy=errno.EINVAL), DeviceRefused, "gives its pictures in no way that can be read"),
        (Driver(UVC, able=OUTPUT), DeviceLost, "no program gives it a picture yet; start the one that should"),
        (Driver(UVC, able=META), DeviceRefused, "gives no pictures; see brama devices for the nodes that do"),
        (Driver(UVC, able=OUTPUT | MULTIPLANAR), DeviceRefused, "gives no pictures; see brama devices"),
    ],
)
def test_a_camera_that_cannot_be_had_says_why(
    node: Callable[[Driver], str], driver: Driver, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^/dev/null: {message}"):
        probe(node(driver))


@pytest.mark.parametrize("ask", [probe, modes])
@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/dev/video99", DeviceLost, "not connected; plug it in, or see brama devices for what is"),
        ("/dev/null", DeviceRefused, "not a camera; see brama devices for those that are"),
        (__file__, DeviceRefused, "not a camera; see brama devices for those that are"),
        ("/dev", DeviceRefused, "not a camera; see brama devices for those that are"),
    ],
)
def test_what_is_no_camera_says_so(
    ask: Callable[[str], object], path: str, kind: type[Exception], message: str
) -> None:
    if ask is modes and kind is DeviceRefused and path != "/dev":
        assert modes(path) == []
        return
    with pytest.raises(kind, match=f"^{path}: {message}$"):
        ask(path)


def test_a_node_that_may_not_be_opened_names_the_group(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    give_to_nobody(path, 0o000)
    with unprivileged(), pytest.raises(DeviceRefused, match=r"no permission; add the gate's user to the group video$"):
        probe(str(path))


def test_all_that_a_camera_offers_is_found(node: Callable[[Driver], str]) -> None:
    assert sorted(modes(node(Driver(UVC))), key=UVC.index) == UVC
    unusable = [Mode("H264", 1280, 720, 30.0), Mode("BA81", 1280, 720, 30.0)]
    assert modes(node(Driver(unusable))) == []


def test_a_camera_that_says_nothing_of_its_rate_has_none(node: Callable[[Driver], str]) -> None:
    loopback = Mode("YU12", 1280, 720, 0.0)
    assert modes(node(Driver([loopback]))) == [loopback]


def test_of_a_range_the_usual_sizes_and_its_ends_are_found(node: Callable[[Driver], str]) -> None:
    driver = Driver([Mode("YUYV", 0, 0, 0.0)])
    driver.range = 32, 2592, 2, 32, 1944, 2
    sizes = {(mode.width, mode.height) for mode in modes(node(driver))}
    assert sizes == {(1280, 720), (1920, 1080), (640, 480), (2592, 1944), (32, 32)}
    driver.range = 640, 640, 0, 480, 480, 0
    assert modes(node(driver)) == [Mode("YUYV", 640, 480, 0.0)] * 3


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        (UVC, (1280, 720, 30), Mode("MJPG", 1280, 720, 30.0)),
        (UVC, (1280, 720, 10), Mode("YUYV", 1280, 720, 10.0)),
        (UVC, (640, 480, 30), Mode("YUYV", 640, 480, 30.0)),
        (UVC, (1920, 1080, 30), Mode("MJPG", 1920, 1080, 30.0)),
        (UVC, (1024, 768, 30), Mode("MJPG", 1280, 720, 30.0)),
        (UVC, (9999, 9999, 30), Mode("MJPG", 1920, 1080, 30.0)),
        ([*UVC, Mode("NV12", 1280, 720, 25.0)], (1280, 720, 30), Mode("NV12", 1280, 720, 25.0)),
        ([Mode("YUYV", 1280, 720, 0.0), *UVC], (1280, 720, 30), Mode("YUYV", 1280, 720, 0.0)),
        ([Mode("YUYV", 640, 480, 60.0), Mode("YUYV", 640, 480, 30.0)], (640, 480, 30), Mode("YUYV", 640, 480, 30.0)),
        (
            [Mode("YUYV", 720, 1280, 30.0), Mode("YUYV", 1280, 720, 30.0)],
            (1280, 720, 30),
            Mode("YUYV", 1280, 720, 30.0),
        ),
        ([], (1280, 720, 30), None),
    ],
)
def test_the_mode_is_the_nearest_and_the_cheapest(
    offered: list[Mode], wanted: tuple[int, int, float], chosen: Mode | None
) -> None:
    assert best(offered, *wanted) == chosen
    assert best(reversed(offered), *wanted) == chosen
