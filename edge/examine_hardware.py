"""What `brama doctor` finds out about readers, turnstiles and lights. Looks only: nothing is released or lit."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.hardware import (
    CameraReader,
    EvdevReader,
    FakeTurnstile,
    GpioLights,
    GpioTurnstile,
    HidrawReader,
    HttpTurnstile,
    LineSettings,
    ModbusTurnstile,
    SerialReader,
    TerminalReader,
)
from config.settings import LaneSettings, Settings
from drivers.discovery import RULES_MEND, Found, find_cameras, find_hid_pos, find_keyboards, find_serial_ports, pick
from drivers.gpio_lines import CONSUMER, DescribedLine, describe_chip
from drivers.protocols import DeviceLost, DeviceRefused
from drivers.video_node import probe
from edge.finding import Finding
from edge.hardware import device_name, wanted

CONNECT_TIMEOUT_S = 2.0
CAMERA_LIBRARIES = ("cv2", "numpy", "zxingcpp")
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def examine_hardware(settings: Settings, running: dict[str, Any]) -> Iterator[Finding]:
    """Look at every lane's hardware; `running` is the status of the gate that runs, which holds much of it itself."""
    for lane in settings.lane:
        yield from _readers(lane, running)
        match lane.turnstile:
            case GpioTurnstile():
                yield from _gpio(lane, "turnstile", lane.turnstile)
            case HttpTurnstile():
                yield from _http(lane, lane.turnstile)
            case ModbusTurnstile():
                yield _modbus(lane, lane.turnstile, running)
            case FakeTurnstile():
                yield Finding("note", f"lane {lane.id}: its turnstile is imagined", "for practice only")
            case None:
                pass
        if lane.lights is not None:
            yield from _gpio(lane, "lights", lane.lights)


def _readers(lane: LaneSettings, running: dict[str, Any]) -> Iterator[Finding]:
    if not lane.readers:
        yield Finding("note", f"lane {lane.id}: no reader of its own", "it takes codes from its page and the API")
    for reader in lane.readers:
        match reader:
            case TerminalReader():
                pass
            case CameraReader():
                yield from _camera(lane, reader, running)
            case _:
                yield _reader(lane, reader, running)


def _reader(lane: LaneSettings, reader: SerialReader | EvdevReader | HidrawReader, running: dict[str, Any]) -> Finding:
    what = f"lane {lane.id}: {wanted(reader)}"
    find, kind = {
        "evdev": (find_keyboards, "a keyboard"),
        "hidraw": (find_hid_pos, "a scanner in HID-POS mode"),
        "serial": (find_serial_ports, "a serial port"),
    }[reader.driver]
    if isinstance(reader, EvdevReader) and find_spec("evdev") is None:
        return Finding("fault", f"{what}: evdev is not installed", "pip install 'brama[hid]' (needs gcc, python3-dev)")
    try:
        if isinstance(reader, SerialReader) and reader.device is not None:
            found = _by_path(reader.device)
        else:
            found = pick(wanted(reader), find, kind, _never)
    except (DeviceLost, DeviceRefused) as exc:
        return Finding("fault", f"lane {lane.id}: {exc}")
    need = os.R_OK if reader.driver == "hidraw" else os.R_OK | os.W_OK
    if not os.access(found.path, need):
        group = {"evdev": "input", "serial": "dialout"}.get(reader.driver)
        mend = f"add the gate's user to the group {group}" if group else RULES_MEND
        return Finding("fault", f"{what}: {found.path}: no permission", mend)
    held = any(_is_this(each, lane, reader) and each["state"] == "running" for each in running.get("readers", ()))
    if isinstance(reader, EvdevReader) and not held and _grabbed(found.path):
        return Finding("fault", f"{what}: grabbed by another program", f"fuser {found.path} names it; stop it")
    return Finding("ok", f"{what}: {found.name} at {found.path}" + (", read by the gate" if held else ""))


def _camera(lane: LaneSettings, reader: CameraReader, running: dict[str, Any]) -> Iterator[Finding]:
    what = f"lane {lane.id}: {device_name(reader)}"
    if missing := [each for each in CAMERA_LIBRARIES if find_spec(each) is None]:
        yield Finding("fault", f"{what}: {', '.join(missing)} not installed", "pip install 'brama[camera]'")
        return
    held = any(_is_this(each, lane, reader) and each["state"] == "running" for each in running.get("readers", ()))
    if held:
        yield Finding("ok", f"{what}: read by the gate")
    elif reader.url is not None:
        parts = urlsplit(reader.url)
        yield _reachable(what, parts.hostname or "", parts.port or _PORTS[parts.scheme], "the camera's")
    elif reader.folder is not None:
        yield _folder(what, Path(reader.folder))
    else:
        yield _video_node(lane, reader)
    if reader.folder is not None and (find_spec("pyzbar") is None or find_library("zbar") is None):
        yield Finding("note", f"{what}: no second opinion on still pictures", "apt install libzbar0")


def _folder(what: str, path: Path) -> Finding:
    if not path.is_dir():
        return Finding("fault", f"{what}: no such folder", "make it, or name another")
    if not os.access(path, os.R_OK | os.X_OK):
        return Finding("fault", f"{what}: no permission", "let the gate's user read it")
    return Finding("ok", f"{what}: a folder of pictures")


def _video_node(lane: LaneSettings, reader: CameraReader) -> Finding:
    try:
        path = reader.device or pick(wanted(reader), find_cameras, "a camera", _never).path
        probe(path)
    except (DeviceLost, DeviceRefused) as exc:
        why, _, mend = str(exc).partition("; ")
        return Finding("fault", f"lane {lane.id}: {why}", mend)
    name = next((each.name for each in find_cameras() if each.path == os.path.realpath(path)), "camera")
    return Finding("ok", f"lane {lane.id}: {wanted(reader)}: {name} at {path}")


def _is_this(
    status: dict[str, Any], lane: LaneSettings, reader: SerialReader | EvdevReader | HidrawReader | CameraReader
) -> bool:
    names = (status.get("lane"), status.get("driver"), status.get("device"))
    return names == (lane.id, reader.driver, device_name(reader))


def _by_path(path: str) -> Found:
    """Return a serial port that need not be on USB, nor known to sysfs.

    Raises:
        DeviceLost: there is no such node.
        DeviceRefused: it is something else than a serial port.
    """
    try:
        node = os.stat(path)  # noqa: PTH116 (a node of any kind)
    except OSError as exc:
        raise DeviceLost(f"{path}: not connected; plug it in, or see brama devices for what is") from exc
    numbers = f"{os.major(node.st_rdev)}:{os.minor(node.st_rdev)}"
    kind = Path(os.path.realpath(f"/sys/dev/char/{numbers}/subsystem")).name
    # A pseudo-terminal is not in sysfs, and what is not there tells nothing against it.
    if not stat.S_ISCHR(node.st_mode) or kind not in {"tty", "subsystem"}:
        raise DeviceRefused(f"{path}: not a serial port; see brama devices for those that are")
    return Found(path, "serial port", None, None, None, None, path)


def _grabbed(path: str) -> bool:
    """Tell whether another program keeps a keyboard to itself; ours is not running, so a moment's grab harms nobody."""
    from evdev import InputDevice

    try:
        with closing(InputDevice(path)) as device:
            device.grab()
    except OSError as exc:
        return exc.errno == errno.EBUSY
    return False


def _gpio(lane: LaneSettings, part: str, chosen: GpioTurnstile | GpioLights) -> Iterator[Finding]:
    try:
        chip = describe_chip(chosen.chip)
    except (DeviceLost, DeviceRefused) as exc:
        why, _, mend = str(exc).partition("; ")
        yield Finding("fault", f"lane {lane.id}: {part}: {why}", mend)
        return
    for name in (each for each in type(chosen).model_fields if each.endswith("_line")):
        line: LineSettings | None = getattr(chosen, name)
        if line is not None:
            what = f"lane {lane.id}: {part}: {chosen.chip}: {name} {line.line}"
            yield _line(what, chip.line(line.line))


def _line(what: str, line: DescribedLine | None) -> Finding:
    if line is None:
        return Finding("fault", f"{what}: no such line", "gpioinfo names them")
    if line.user is None:
        return Finding("ok", f"{what}: free")
    if line.user == CONSUMER:
        return Finding("ok", f"{what}: held by the gate")
    return Finding("fault", f"{what}: in use by {line.user}", "stop that, or name another line")


def _http(lane: LaneSettings, chosen: HttpTurnstile) -> Iterator[Finding]:
    calls = [urlsplit(each.url) for each in (chosen.on, chosen.off) if each is not None]
    at = [(each.hostname or "", each.port or (443 if each.scheme == "https" else 80)) for each in calls]
    for host, port in dict.fromkeys(at):
        yield _reachable(f"lane {lane.id}: turnstile", host, port)


def _modbus(lane: LaneSettings, chosen: ModbusTurnstile, running: dict[str, Any]) -> Finding:
    what, where = f"lane {lane.id}: turnstile", f"{chosen.host}:{chosen.port}"
    if find_spec("pymodbus") is None:
        return Finding("fault", f"{what}: pymodbus is not installed", "pip install 'brama[modbus]'")
    # Many a relay takes one connection only, and that is the gate's.
    if any(each["id"] == lane.id for each in running.get("lanes", ())):
        if fault := next((each for each in running.get("faults", ()) if where in each), None):
            return Finding("fault", fault)
        return Finding("ok", f"{what}: {where} answers the gate")
    return _reachable(what, chosen.host, chosen.port)


def _reachable(what: str, host: str, port: int, whose: str = "the relay's") -> Finding:
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except OSError as exc:
        why = exc.strerror or str(exc)
        return Finding("fault", f"{what}: {host}:{port}: {why}", f"check {whose} power, address and network")
    return Finding("ok", f"{what}: {host}:{port} answers")


async def _never() -> None:
    """Nobody waits: doctor looks once."""
