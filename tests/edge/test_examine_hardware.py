"""What `brama doctor` says of scanners, relays and lights, on a machine that has none: each fault with its mend."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.settings import check_settings
from drivers.discovery import RULES_MEND
from edge.examine_hardware import examine_hardware
from edge.finding import Finding
from tests.system.processes import BRAMA, ROOT, brama, environment

POWERLESS = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all") if os.geteuid() == 0 else ()
"""Root without its powers, for whom permissions count as for anybody (capabilities(7))."""


def found(status: dict[str, Any] | None = None, **lane: Any) -> list[Finding]:
    """Look at a lane's hardware; `status` is what the gate says that runs, if one does."""
    settings = check_settings({"device": {"name": "North 1"}, "lane": [{"id": "a", **lane}]}, "-")
    return list(examine_hardware(settings, status or {}))


def reader(driver: str, status: dict[str, Any] | None = None, **named: str) -> Finding:
    """Look at a lane's one reader."""
    (finding,) = found(status, readers=[{"driver": driver, **named}])
    return finding


def running(driver: str, device: str, state: str = "running", lane: str = "a") -> dict[str, Any]:
    """The status of a gate that runs, with one reader."""
    return {"readers": [{"lane": lane, "driver": driver, "device": device, "state": state}]}


@pytest.fixture
def port() -> Iterator[str]:
    """A real serial port, as far as the kernel is concerned."""
    hand, other = os.openpty()
    yield os.ttyname(other)
    os.close(other)
    os.close(hand)


@pytest.fixture
def relay() -> Iterator[int]:
    """Something that listens, and returns its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def no_relay() -> Iterator[int]:
    """A port that nobody listens on and nobody else can take."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


# --- readers --------------------------------------------------------------------------------------------------------


def test_a_serial_port_that_is_there_is_well(port: str) -> None:
    assert reader("serial", device=port) == Finding("ok", f"lane a: {port}: serial port at {port}")


def test_a_serial_port_that_has_another_name_is_found_by_it(port: str, tmp_path: Path) -> None:
    by_id = tmp_path / "by-id"
    by_id.symlink_to(port)
    settings = {"device": {"name": "x"}, "lane": [{"id": "a", "readers": [{"driver": "serial", "device": port}]}]}
    lane = check_settings(settings, "-").lane[0]
    renamed = lane.model_copy(update={"readers": (lane.readers[0].model_copy(update={"device": str(by_id)}),)})
    whole = check_settings(settings, "-").model_copy(update={"lane": (renamed,)})
    assert [each.level for each in examine_hardware(whole, {})] == ["ok"]


@pytest.mark.parametrize(
    "named",
    [
        {"driver": "serial", "device": "/dev/ttyNONE0"},
        {"driver": "serial", "usb": "ffff:fffe"},
        {"driver": "evdev", "usb": "ffff:fffe", "port": "9-9"},
        {"driver": "evdev", "device": "/dev/input/event-none"},
        {"driver": "hidraw", "serial": "no such serial"},
        {"driver": "hidraw", "device": "/dev/hidraw-none"},
    ],
    ids=lambda named: " ".join(named.values()),
)
def test_a_reader_that_is_not_there_is_missed_by_its_name(named: dict[str, Any]) -> None:
    finding = reader(**named)
    name = named.get("device") or " ".join(f"{key} {value}" for key, value in named.items() if key != "driver")
    assert finding.level == "fault"
    assert finding.what == f"lane a: {name}: not connected; plug it in, or see brama devices for what is"


@pytest.mark.parametrize(
    ("driver", "what"), [("serial", "a serial port"), ("evdev", "a keyboard"), ("hidraw", "a scanner in HID-POS mode")]
)
@pytest.mark.parametrize("device", ["/dev/null", "/dev/shm"])  # noqa: S108 (a folder under /dev, not a file of ours)
def test_something_else_under_the_readers_name_is_told_apart(driver: str, what: str, device: str) -> None:
    assert reader(driver, device=device) == Finding(
        "fault", f"lane a: {device}: not {what}; see brama devices for those that are"
    )


def test_a_reader_that_the_gate_reads_is_said_so(port: str) -> None:
    assert reader("serial", running("serial", port), device=port).what.endswith(", read by the gate")


@pytest.mark.parametrize(
    "status",
    [
        running("serial", "/dev/ttyACM9"),
        running("evdev", "PORT"),
        running("serial", "PORT", state="lost"),
        running("serial", "PORT", lane="b"),
        {"running": False},
    ],
    ids=["another reader", "another driver", "lost", "another lane", "no gate"],
)
def test_a_reader_that_the_gate_does_not_read_is_not_said_to_be(port: str, status: dict[str, Any]) -> None:
    for each in status.get("readers", ()):
        each["device"] = each["device"].replace("PORT", port)
    assert reader("serial", status, device=port).what == f"lane a: {port}: serial port at {port}"


def test_a_lane_without_a_reader_is_no_fault() -> None:
    (finding,) = found()
    assert (finding.level, finding.what) == ("note", "lane a: no reader of its own")


def test_a_terminal_is_not_looked_for() -> None:
    assert found(readers=[{"driver": "terminal"}]) == []


# --- cameras --------------------------------------------------------------------------------------------------------


def camera(status: dict[str, Any] | None = None, **keys: Any) -> list[Finding]:
    return found(status, readers=[{"driver": "camera", **keys}])


@pytest.mark.parametrize(
    ("named", "name"), [({"device": "/dev/video-none"}, "/dev/video-none"), ({"usb": "ffff:fffe"}, "usb ffff:fffe")]
)
def test_a_camera_that_is_not_there_is_missed_by_its_name(named: dict[str, Any], name: str) -> None:
    assert camera(**named) == [
        Finding("fault", f"lane a: {name}: not connected", "plug it in, or see brama devices for what is")
    ]


@pytest.mark.parametrize("device", ["/dev/null", "/dev/shm"])  # noqa: S108 (a folder under /dev, not a file of ours)
def test_something_else_under_the_cameras_name_is_told_apart(device: str) -> None:
    assert camera(device=device) == [
        Finding("fault", f"lane a: {device}: not a camera", "see brama devices for those that are")
    ]


def test_a_stream_whose_camera_answers_is_well_and_one_that_does_not_is_named(relay: int, no_relay: int) -> None:
    assert camera(url=f"rtsp://u:secret@127.0.0.1:{relay}/s?pwd=secret") == [
        Finding("ok", f"lane a: rtsp://127.0.0.1:{relay}/s: 127.0.0.1:{relay} answers")
    ]
    assert camera(url=f"rtsp://u:secret@127.0.0.1:{no_relay}/s") == [
        Finding(
            "fault",
            f"lane a: rtsp://127.0.0.1:{no_relay}/s: 127.0.0.1:{no_relay}: Connection refused",
            "check the camera's power, address and network",
        )
    ]


@pytest.mark.parametrize(("scheme", "port"), [("rtsp", 554), ("rtsps", 322), ("http", 80), ("https", 443)])
def test_a_stream_without_a_port_is_asked_by_that_of_its_scheme(scheme: str, port: int) -> None:
    (finding,) = camera(url=f"{scheme}://127.0.0.1/s")
    assert finding.what.startswith(f"lane a: {scheme}://127.0.0.1/s: 127.0.0.1:{port}")


def test_a_folder_of_pictures_is_looked_at(tmp_path: Path) -> None:
    assert Finding("ok", f"lane a: {tmp_path}: a folder of pictures") in camera(folder=str(tmp_path))
    gone = tmp_path / "gone"
    assert Finding("fault", f"lane a: {gone}: no such folder", "make it, or name another") in camera(folder=str(gone))


def test_a_folder_without_a_second_opinion_is_only_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = Finding("note", f"lane a: {tmp_path}: no second opinion on still pictures", "apt install libzbar0")
    for name in (None, "libzbar.so.0"):
        monkeypatch.setattr("edge.examine_hardware.find_library", lambda _name, name=name: name)
        assert (note in camera(folder=str(tmp_path))) is (name is None)
        assert note not in camera(url="http://127.0.0.1/s")


def test_a_camera_without_its_libraries_is_told_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["numpy"]
    monkeypatch.setattr("edge.examine_hardware.find_spec", lambda name: name if name in there else None)
    assert camera(device="/dev/video0") == [
        Finding("fault", "lane a: /dev/video0: cv2, zxingcpp not installed", "pip install 'brama[camera]'")
    ]


def test_a_camera_that_the_gate_reads_is_left_to_it(no_relay: int) -> None:
    url, name = f"http://u:secret@127.0.0.1:{no_relay}/s", f"http://127.0.0.1:{no_relay}/s"
    assert camera(running("camera", name), url=url) == [Finding("ok", f"lane a: {name}: read by the gate")]
    assert camera(running("camera", name, state="lost"), url=url)[0].level == "fault"
    well = running("camera", "/dev/video-none")
    assert camera(well, device="/dev/video-none") == [Finding("ok", "lane a: /dev/video-none: read by the gate")]


# --- relays and lights ----------------------------------------------------------------------------------------------


def http(*ports: int) -> dict[str, Any]:
    calls = [{"url": f"http://127.0.0.1:{port}/relay?turn={n}"} for n, port in enumerate(ports)]
    return {"driver": "http", **dict(zip(("on", "off"), calls, strict=False))}


def of_turnstile(chosen: dict[str, Any], status: dict[str, Any] | None = None) -> list[Finding]:
    return found(status, readers=[{"driver": "terminal"}], turnstile=chosen)


def modbus(port: int) -> dict[str, Any]:
    return {"driver": "modbus", "host": "127.0.0.1", "port": port, "coil": 0}


def test_a_relay_that_answers_is_well(relay: int) -> None:
    well = [Finding("ok", f"lane a: turnstile: 127.0.0.1:{relay} answers")]
    assert of_turnstile(http(relay)) == of_turnstile(modbus(relay)) == well


def test_a_relay_that_does_not_answer_is_named_with_its_mend(no_relay: int) -> None:
    what = f"lane a: turnstile: 127.0.0.1:{no_relay}: Connection refused"
    expected = [Finding("fault", what, "check the relay's power, address and network")]
    assert of_turnstile(http(no_relay)) == of_turnstile(modbus(no_relay)) == expected


def test_one_relay_that_is_called_twice_is_looked_at_once(relay: int, no_relay: int) -> None:
    assert len(of_turnstile(http(relay, relay))) == 1
    assert [each.level for each in of_turnstile(http(relay, no_relay))] == ["ok", "fault"]


def test_a_relay_whose_name_nobody_knows_is_a_fault_not_a_defect() -> None:
    (finding,) = of_turnstile({"driver": "modbus", "host": "relay.invalid", "coil": 0})
    assert (finding.level, finding.what.split(": ")[:3]) == ("fault", ["lane a", "turnstile", "relay.invalid:502"])


def test_a_relay_without_a_port_is_asked_by_that_of_its_scheme() -> None:
    (plain,) = of_turnstile({"driver": "http", "on": {"url": "http://127.0.0.1/on"}})
    (secure,) = of_turnstile({"driver": "http", "on": {"url": "https://u:secret@127.0.0.1/on"}})
    assert plain.what.startswith("lane a: turnstile: 127.0.0.1:80")
    assert secure.what.startswith("lane a: turnstile: 127.0.0.1:443")
    assert "secret" not in secure.what


def test_a_modbus_relay_is_left_to_the_gate_that_runs(no_relay: int) -> None:
    where = f"127.0.0.1:{no_relay}"
    status: dict[str, Any] = {"lanes": [{"id": "a"}], "faults": ["lane b: turnstile: gpio"]}
    well = Finding("ok", f"lane a: turnstile: {where} answers the gate")
    assert of_turnstile(modbus(no_relay), status) == [well]
    status["faults"].append(f"lane a: {where} unit 1: no answer in 2 s; check its power, network and unit")
    assert of_turnstile(modbus(no_relay), status) == [Finding("fault", status["faults"][1])]


def test_an_imagined_turnstile_is_for_practice_only() -> None:
    assert of_turnstile({"driver": "fake"}) == [
        Finding("note", "lane a: its turnstile is imagined", "for practice only")
    ]


@pytest.mark.parametrize("chip", ["/dev/gpiochip-none", "no such label"])
def test_a_gpio_chip_that_is_not_there_is_named_for_turnstile_and_lights(chip: str) -> None:
    gpio = {"driver": "gpio", "chip": chip}
    findings = found(
        readers=[{"driver": "terminal"}], turnstile=gpio | {"release_line": 1}, lights=gpio | {"red_line": 2}
    )
    mend = "see brama devices for those that are"
    what = [f"lane a: {part}: {chip}: no such GPIO chip" for part in ("turnstile", "lights")]
    assert findings == [Finding("fault", each, mend) for each in what]


def test_something_else_under_the_chips_name_is_told_apart() -> None:
    (finding,) = of_turnstile({"driver": "gpio", "chip": "/dev/null", "release_line": 1})
    assert (finding.level, finding.mend) == ("fault", "see brama devices for those that are")
    assert finding.what.startswith("lane a: turnstile: /dev/null: ")


# --- the command ----------------------------------------------------------------------------------------------------


def written(folder: Path, *lanes: str) -> Path:
    """Write the settings of a gate that has never run."""
    path = folder / "gate.toml"
    (folder / "data").mkdir()
    head = f'[device]\nname = "North 1"\ndata_path = "{folder}/data"\n[web]\nport = 1\n'
    path.write_text(head + "".join(f'[[lane]]\nid = "{n}"\n{lane}\n' for n, lane in enumerate(lanes, 1)))
    return path


async def test_doctor_says_all_of_it_in_one_go(tmp_path: Path, port: str, relay: int, no_relay: int) -> None:
    left = (
        f'readers = [{{ driver = "serial", device = "{port}" }}, {{ driver = "evdev", usb = "ffff:fffe" }}]\n'
        f'turnstile = {{ driver = "http", on = {{ url = "http://127.0.0.1:{relay}/on" }} }}'
    )
    right = (
        f'turnstile = {{ driver = "modbus", host = "127.0.0.1", port = {no_relay}, coil = 0 }}\n'
        'lights = { driver = "gpio", chip = "[nowhere]", red_line = 1 }'
    )
    code, out, err = await brama(tmp_path, "doctor", "-c", str(written(tmp_path, left, right)))
    assert (code, err) == (1, "")
    refused = f"127.0.0.1:{no_relay}: Connection refused"
    lines = [line for line in out.splitlines() if " lane " in line]
    assert lines == [
        f"ok    lane 1: {port}: serial port at {port}",
        "FAULT lane 1: usb ffff:fffe: not connected; plug it in, or see brama devices for what is",
        f"ok    lane 1: turnstile: 127.0.0.1:{relay} answers",
        "note  lane 2: no reader of its own -> it takes codes from its page and the API",
        f"FAULT lane 2: turnstile: {refused} -> check the relay's power, address and network",
        "FAULT lane 2: lights: [nowhere]: no such GPIO chip -> see brama devices for those that are",
    ]


async def test_doctor_names_the_group_that_a_user_without_permission_lacks(tmp_path: Path, port: str) -> None:
    path = written(tmp_path, f'readers = [{{ driver = "serial", device = "{port}" }}]')
    os.chmod(port, 0)  # noqa: PTH101 (a node)
    child = await asyncio.create_subprocess_exec(
        *POWERLESS,
        *BRAMA,
        "doctor",
        "-c",
        str(path),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(40):
        out, err = await child.communicate()
    assert (child.returncode, err) == (1, b"")
    assert f"FAULT lane 1: {port}: {port}: no permission -> add the gate's user to the group dialout" in out.decode()


def test_the_mend_for_permissions_that_no_group_gives_is_a_file_that_there_is() -> None:
    named = RULES_MEND.split()[1]
    assert (ROOT / named).is_file()
