"""What the settings name is what is built, and a library is loaded only where its driver is."""

import subprocess
import sys
from typing import Any

import pytest

from config.settings import LaneSettings
from drivers.protocols import Lights, Scanner, Turnstile
from edge.clock import GateClock
from edge.hardware import Hardware, device_name


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
    code = "import sys, edge.main; print([n for n in ('evdev', 'gpiod', 'pymodbus', 'cv2') if n in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
