"""`brama devices`: what is connected, as the settings would name it, and what a scanner sends to the last character."""

import asyncio
import os
import re
import signal
import tomllib
import tty
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.hardware import CameraReader, EvdevReader, HidrawReader, SerialReader
from config.settings import BadSettings, check_settings
from drivers.discovery import Found
from drivers.protocols import Read, Spoiled
from edge.devices import KINDS, Listed, chosen_reader, described, list_devices, watch
from edge.hardware import Hardware
from tests.system.processes import BRAMA, HANG_S, ROOT, brama, environment

AT = datetime(2026, 5, 1, 18, 0, 5, tzinfo=UTC)
CLOCK = f"{AT.astimezone():%H:%M:%S}"
"""As the machine's own clock shows it."""


@dataclass
class Port:
    """A serial port, and the end at which a hand would pull its scanner's trigger."""

    name: str
    hand: int


@pytest.fixture
def port() -> Iterator[Port]:
    hand, other = os.openpty()
    tty.setraw(other)
    yield Port(os.ttyname(other), hand)
    os.close(other)
    os.close(hand)


# --- what a scanner sends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("T-1", "3 characters  T-1"),
        ("(01)0123\x1d10AB", "13 characters  (01)0123<GS>10AB"),
        ("T-1\r\n", "5 characters  T-1<CR><LF>"),
        ("\x02T-1\x03\x04", "6 characters  <STX>T-1<ETX><EOT>"),
        ("[)>\x1e06\x1f\x1c\x1b\t", "10 characters  [)><RS>06<US><FS><ESC><TAB>"),
        ("\x00\x7f\x85", "3 characters  <U+0000><U+007F><U+0085>"),
        ("a\u00a0b\u200bc\ufeff", "6 characters  a<U+00A0>b<U+200B>c<U+FEFF>"),
        ("\ud800\u2028", "2 characters  <U+D800><U+2028>"),
        ("\U000e0001", "1 characters  <U+E0001>"),
        ("Квиток № 7", "10 characters  Квиток № 7"),
        ("", "0 characters  "),
    ],
    ids=ascii,
)
def test_control_characters_are_shown_by_name(code: str, shown: str) -> None:
    assert described(Read(code, AT, "]Q3")) == f"{CLOCK}  ]Q3  {shown}"


def test_a_scanner_that_tells_no_symbology_is_shown_so() -> None:
    assert described(Read("T-1", AT)) == f"{CLOCK}  no AIM id  3 characters  T-1"


async def test_a_code_that_stays_before_a_camera_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    doubtful = Read("4006381333931", AT, "]E0", certain=False)
    shown: list[str] = []

    class Camera:
        async def reads(self) -> AsyncGenerator[Read | Spoiled]:
            yield doubtful
            yield replace(doubtful, again=True)

    monkeypatch.setattr(Hardware, "scanner", lambda _self, _reader: Camera())
    await watch(CameraReader(driver="camera", device="/dev/video0"), shown.append)
    assert shown == [f"{CLOCK}  ]E0  13 characters  4006381333931"]


def test_a_spoiled_read_is_shown_with_its_reason_and_no_code() -> None:
    assert described(Spoiled("no suffix after 50 ms", AT)) == f"{CLOCK}  spoiled: no suffix after 50 ms"


@given(st.text(st.characters(codec=None), max_size=40))
def test_whatever_is_sent_is_one_line_that_any_terminal_shows(code: str) -> None:
    shown = described(Read(code, AT))
    assert shown.isprintable()
    assert shown.encode()


# --- what is meant --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "driver", "meant"),
    [
        ("/dev/input/event77", None, EvdevReader(driver="evdev", device="/dev/input/event77", suffix="tab")),
        ("/dev/hidraw77", None, HidrawReader(driver="hidraw", device="/dev/hidraw77")),
        ("/dev/ttyACM77", None, SerialReader(driver="serial", device="/dev/ttyACM77", baud=19200)),
        ("/dev/serial/by-id/x", None, SerialReader(driver="serial", device="/dev/serial/by-id/x", baud=19200)),
        ("/dev/scanner", "evdev", EvdevReader(driver="evdev", device="/dev/scanner", suffix="tab")),
        ("/dev/scanner", "hidraw", HidrawReader(driver="hidraw", device="/dev/scanner")),
        ("/dev/video77", None, CameraReader(driver="camera", device="/dev/video77")),
        ("/dev/v4l/by-id/x", None, CameraReader(driver="camera", device="/dev/v4l/by-id/x")),
        ("/dev/scanner", "camera", CameraReader(driver="camera", device="/dev/scanner")),
    ],
)
def test_a_path_is_read_by_the_driver_that_it_looks_like_or_the_one_named(
    path: str, driver: str | None, meant: object
) -> None:
    assert chosen_reader(path, driver, "us", "tab", 19200) == meant


@pytest.mark.parametrize(
    ("wanted", "driver", "layout", "baud", "said"),
    [
        ("0", None, "us", 9600, "--watch: 0: use a number of brama devices, or a path such as /dev/input/event3"),
        ("100000", None, "us", 9600, "--watch: 100000: use a number of brama devices"),
        ("scanner", None, "us", 9600, "--watch: scanner: use a number of brama devices"),
        ("/dev/scanner", "telepathy", "us", 9600, "--driver: telepathy; use one of evdev, hidraw, serial, camera"),
        ("/dev/input/event77", None, "es", 9600, "--layout: input should be 'us', 'uk', 'de', 'fr', 'ua' or 'ru'"),
        ("/dev/ttyACM77", None, "us", 5, "--baud: input should be greater than or equal to 300"),
    ],
)
def test_what_cannot_be_meant_is_named_by_its_option(
    wanted: str, driver: str | None, layout: str, baud: int, said: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        chosen_reader(wanted, driver, layout, "enter", baud)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_number_means_what_the_list_shows_by_it() -> None:
    for each in list_devices():
        reader = chosen_reader(str(each.number), None, "us", "enter", 9600)
        assert (reader.driver, reader.device) == (each.driver, each.found.path)


@pytest.mark.parametrize(
    ("serial", "port", "twice", "named"),
    [
        ("S1", "1-1.2", False, 'usb = "0c2e:0b61", serial = "S1"'),
        ("S1", "1-1.2", True, 'usb = "0c2e:0b61", serial = "S1", port = "1-1.2"'),
        (None, "1-1.2", False, 'usb = "0c2e:0b61", port = "1-1.2"'),
    ],
)
def test_a_device_is_named_by_what_stays_the_same(serial: str | None, port: str, twice: bool, named: str) -> None:
    found = Found("/dev/input/event3", "Honeywell", "0c2e", "0b61", serial, port, "")
    assert Listed(1, "evdev", found, twice).reader == f'{{ driver = "evdev", {named} }}'


def test_a_device_that_tells_nothing_of_itself_is_named_by_its_path() -> None:
    found = Found("/dev/ttyS0", "serial port", None, None, None, None, "")
    assert Listed(1, "serial", found, False).reader == '{ driver = "serial", device = "/dev/ttyS0" }'


# --- the command ----------------------------------------------------------------------------------------------------


async def test_each_device_is_shown_as_the_settings_take_it(tmp_path: Path) -> None:
    code, out, err = await brama(tmp_path, "devices")
    assert (code, err) == (0, "")
    titles = [title for title, _find in KINDS.values()]
    assert [line.split(":")[0] for line in out.splitlines() if line.split(":")[0] in titles] == titles
    assert re.search("^GPIO chips(:|$)", out, re.MULTILINE)
    shown = re.findall(r"^ +(\{ driver = .*\})$", out, re.MULTILINE)
    assert len(shown) == len(re.findall(r"^  \d+  .+  \(/dev/.+\)$", out, re.MULTILINE)) == len(list_devices())
    for entry in shown:
        (reader,) = tomllib.loads(f"readers = [{entry}]")["readers"]
        tables = {"device": {"name": "x"}, "lane": [{"id": "a", "readers": [reader]}]}
        assert check_settings(tables, "-").lane[0].readers[0].driver == reader["driver"]
    assert ("brama devices --watch NUMBER" in out) is bool(shown)


@asynccontextmanager
async def watching(folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `brama devices --watch`; what is left of it afterwards is ended."""
    child = await asyncio.create_subprocess_exec(
        *BRAMA,
        "devices",
        *arguments,
        cwd=ROOT,
        env=environment(folder) | {"PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(2 * HANG_S):
            yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def line_of(child: asyncio.subprocess.Process) -> str:
    assert child.stdout is not None
    return (await child.stdout.readline()).decode().rstrip("\n")


async def scanned_until_shown(port: Port, code: bytes, child: asyncio.subprocess.Process) -> str:
    """Pull the trigger until something is shown: what came before the port was open is nowhere."""
    async with asyncio.TaskGroup() as group:
        shown = group.create_task(line_of(child))
        while not shown.done():
            os.write(port.hand, code)
            await asyncio.wait({shown}, timeout=0.02)
    return shown.result()


async def test_watching_shows_what_is_scanned_until_it_is_ended(tmp_path: Path, port: Port) -> None:
    async with watching(tmp_path, "--watch", port.name) as child:
        assert await line_of(child) == f"{port.name}: scan something; Ctrl-C ends this."
        shown = await scanned_until_shown(port, b"]Q3T-1\x1d7\r", child)
        assert re.fullmatch(r"\d\d:\d\d:\d\d  \]Q3  5 characters  T-1<GS>7", shown)
        child.send_signal(signal.SIGINT)
        _out, err = await child.communicate()
    assert (child.returncode, err) == (0, b"")


async def test_a_scanner_that_is_unplugged_ends_the_watching_with_its_mend(tmp_path: Path) -> None:
    hand, other = os.openpty()
    tty.setraw(other)
    unplugged = Port(os.ttyname(other), hand)
    os.close(other)
    async with watching(tmp_path, "--watch", unplugged.name) as child:
        await line_of(child)
        await scanned_until_shown(unplugged, b"T-1\r", child)
        os.close(hand)
        _out, err = await child.communicate()
    assert child.returncode == 1
    assert err.decode() == f"brama: {unplugged.name}: unplugged; plug it in again\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/dev/null",), "/dev/null: not a serial port; see brama devices for those that are"),
        (("/dev/ttyNONE",), "/dev/ttyNONE: not connected; plug it in, or see brama devices for what is"),
        (("/dev/x", "--driver", "telepathy"), "--driver: telepathy; use one of evdev, hidraw, serial, camera"),
        (("/dev/videoNONE",), "/dev/videoNONE: not connected; plug it in, or see brama devices for what is"),
        (("/dev/null", "--driver", "camera"), "/dev/null: not a camera; see brama devices for those that are"),
        (("/dev/input/event-none", "--suffix", "crlf"), "--suffix: input should be 'enter', 'tab' or 'none'"),
    ],
)
async def test_what_cannot_be_watched_is_said_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, _out, err = await brama(tmp_path, "devices", "--watch", *arguments)
    assert (code, err) == (1, f"brama: {said}\n")
