"""What the settings name is what is built, and a library is loaded only where its driver is."""

import subprocess
import sys
from typing import Any

import pytest

from config.hardware import CameraReader
from config.settings import LaneSettings
from drivers.camera.messages import Source, Stills, Stream, Task, VideoDevice
from drivers.protocols import Lights, Scanner, Turnstile
from edge.clock import GateClock
from edge.hardware import Hardware, device_name, task_of


def built(**lane: Any) -> tuple[list[Scanner], Turnstile | None, Lights | None]:
    """Build a lane's hardware; nothing is opened by that."""
    chosen = LaneSettings.model_validate({"id": "north-1", **lane})
    hardware = Hardware([chosen], GateClock())
    readers = [hardware.scanner(reader) for reader in chosen.readers]
    return readers, hardware.turnstile(chosen), hardware.lights(chosen.lights)


@pytest.mark.parametrize(
    ("reader", "kind", "name"),
    [
        ({"driver": "terminal"}, "TerminalScanner", "stdin"),
        ({"driver": "serial", "device": "/dev/ttyACM0", "parity": "even"}, "SerialScanner", "/dev/ttyACM0"),
        ({"driver": "evdev", "usb": "0c2e:0b61", "port": "1-1.2"}, "EvdevScanner", "usb 0c2e:0b61 port 1-1.2"),
        ({"driver": "hidraw", "serial": "SER1"}, "HidrawScanner", "serial SER1"),
        ({"driver": "camera", "device": "/dev/video0"}, "CameraScanner", "/dev/video0"),
        ({"driver": "camera", "usb": "046d:085e", "port": "1-1"}, "CameraScanner", "usb 046d:085e port 1-1"),
        ({"driver": "camera", "url": "rtsp://u:secret@10.0.0.20/a?pwd=secret"}, "CameraScanner", "rtsp://10.0.0.20/a"),
        ({"driver": "camera", "folder": "/srv/pictures"}, "CameraScanner", "/srv/pictures"),
    ],
)
def test_each_reader_is_built_and_named(reader: dict[str, Any], kind: str, name: str) -> None:
    ((scanner,), _, _) = built(readers=[reader])
    assert type(scanner).__name__ == kind
    assert device_name(LaneSettings.model_validate({"id": "a", "readers": [reader]}).readers[0]) == name


@pytest.mark.parametrize(
    ("turnstile", "kind", "timeout_s"),
    [
        ({"driver": "fake", "sensor": False}, "FakeTurnstile", None),
        ({"driver": "gpio", "release_line": 17}, "GpioTurnstile", None),
        ({"driver": "gpio", "release_line": 17, "passage_line": 27, "passage_timeout_s": 5}, "GpioTurnstile", 5.0),
        ({"driver": "http", "on": {"url": "http://10.0.0.7/on"}}, "HttpTurnstile", None),
        ({"driver": "modbus", "host": "10.0.0.9", "coil": 0}, "ModbusTurnstile", None),
        ({"driver": "modbus", "host": "10.0.0.9", "coil": 0, "passage_input": 1}, "ModbusTurnstile", 8.0),
    ],
)
def test_each_turnstile_is_built_and_knows_whether_it_sees_guests(
    turnstile: dict[str, Any], kind: str, timeout_s: float | None
) -> None:
    _, made, _ = built(turnstile=turnstile)
    assert made is not None
    assert (type(made).__name__, made.passage_timeout_s) == (kind, timeout_s)


def test_a_network_relay_is_asked_with_its_places_filled() -> None:
    call = {"method": "POST", "url": "http://10.0.0.7/{lane}?timer={pulse_s}", "body": '{"ms": {pulse_ms}, "x": {}}'}
    chosen = LaneSettings.model_validate(
        {"id": "north-1", "turnstile": {"driver": "http", "on": call, "pulse_ms": 1500}}
    )
    assert chosen.turnstile is not None
    assert chosen.turnstile.driver == "http"
    filled = chosen.turnstile.on.filled({"lane": "north-1", "pulse_ms": "1500", "pulse_s": "1.5"})
    assert (filled["url"], filled["body"]) == ("http://10.0.0.7/north-1?timer=1.5", '{"ms": 1500, "x": {}}')


def test_lights_are_built_of_the_lines_that_there_are() -> None:
    assert built()[1:] == (None, None)
    _, _, lights = built(lights={"driver": "gpio", "red_line": "GPIO6"})
    assert type(lights).__name__ == "GpioLights"


def test_a_gate_without_hardware_loads_none_of_its_libraries() -> None:
    names = ("evdev", "gpiod", "pymodbus", "cv2", "numpy", "zxingcpp", "drivers.scanner_camera")
    code = f"import sys, edge.main; print([n for n in {names} if n in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


# --- cameras --------------------------------------------------------------------------------------------------------


def camera(**keys: Any) -> CameraReader:
    return CameraReader.model_validate({"driver": "camera", **keys})


@pytest.mark.parametrize(
    ("keys", "source"),
    [
        ({"device": "/dev/video2"}, VideoDevice("/dev/video2")),
        (
            {"usb": "046d:085e", "width": 640, "height": 480, "fps": 15, "exposure_ms": 4},
            VideoDevice("", 640, 480, 15, 4.0),
        ),
        ({"url": "rtsp://u:secret@a/s?x=1"}, Stream("rtsp://u:secret@a/s?x=1", "rtsp://a/s")),
        ({"folder": "/srv/pictures"}, Stills(("/srv/pictures",), follow=True)),
    ],
)
def test_a_camera_has_its_pictures_from_where_the_settings_say(keys: dict[str, Any], source: Source) -> None:
    assert task_of(camera(**keys)).source == source


def test_a_camera_that_is_only_named_does_what_the_task_says_by_itself() -> None:
    reader = camera(device="/dev/video0")
    assert task_of(reader) == Task(VideoDevice("/dev/video0"), reader.symbologies)


def test_what_is_set_of_a_camera_is_what_its_process_does() -> None:
    shape = {"region": (0.1, 0.2, 0.5, 0.6), "rotate": 270, "mirror": True, "symbologies": ("qr", "itf")}
    task = task_of(camera(device="/dev/video0", codes="all", keep_refused_h=1, **shape))
    assert {key: getattr(task, key) for key in shape} == shape
    assert (task.all_codes, task.keeps_pictures) == (True, True)


def test_a_camera_is_built_without_what_decodes() -> None:
    """The decoder's place is the camera's own process."""
    built_in_another_process = (
        "import sys; from config.settings import LaneSettings; from edge.clock import GateClock;"
        "from edge.hardware import Hardware;"
        "lane = LaneSettings.model_validate({'id': 'a', 'readers': [{'driver': 'camera', 'device': '/dev/video0'}]});"
        "Hardware([lane], GateClock()).scanner(lane.readers[0]);"
        "print([n for n in ('cv2', 'numpy', 'zxingcpp', 'pyzbar') if n in sys.modules])"
    )
    command = [sys.executable, "-c", built_in_another_process]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
