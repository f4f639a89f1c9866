"""Scanners that are picked by what they tell, as far as they go without one: what is missing is said, with its mend."""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import aclosing
from pathlib import Path

import pytest

from drivers.discovery import Found, Wanted
from drivers.hotplug import Hotplug
from drivers.keymaps import LAYOUTS
from drivers.protocols import DeviceLost, DeviceRefused, Read, Scanner, Spoiled
from drivers.scanner_evdev import EvdevScanner
from drivers.scanner_hidraw import HidrawScanner
from drivers.scanner_serial import SerialLine, SerialScanner
from drivers.wedge_decoder import WedgeDecoder
from tests.drivers.plugs import READ_AT, FixedClock, Listener, a_port, give_to_nobody, unprivileged, watched
from tests.hardware.guest import pos

pytest.importorskip("evdev")  # now, while whatever it needs may be read

Find = Callable[[], Iterable[Found]]
Make = Callable[[Wanted, Hotplug, Find], Scanner]

POS = bytes.fromhex("05 8c 09 02 a1 01 09 12 a1 02 15 00 26 ff 00 75 08 05 8c 09 fe 95 40 82 02 01 c0 c0")
"""Decoded data of 64 bytes, and nothing else."""
KEYBOARD = bytes.fromhex("05 01 09 06 a1 01 05 07 19 e0 29 e7 75 01 95 08 81 02 c0")
WANTED = Wanted(usb="0c2e:0b61")


def a_keyboard(wanted: Wanted, hotplug: Hotplug, find: Find) -> EvdevScanner:
    return EvdevScanner(
        wanted, lambda caps_lock: WedgeDecoder(LAYOUTS["us"], caps_lock=caps_lock), FixedClock(), hotplug, find
    )


def a_hid_pos(wanted: Wanted, hotplug: Hotplug, find: Find, descriptor: bytes = POS) -> HidrawScanner:
    return HidrawScanner(wanted, FixedClock(), hotplug, find, lambda _: descriptor)


def a_serial(wanted: Wanted, hotplug: Hotplug, find: Find) -> SerialScanner:
    return SerialScanner(wanted, SerialLine(), FixedClock(), hotplug, find)


every_kind = pytest.mark.parametrize("make", [a_keyboard, a_hid_pos, a_serial], ids=["evdev", "hidraw", "serial"])
every_hid = pytest.mark.parametrize("make", [a_keyboard, a_hid_pos], ids=["evdev", "hidraw"])


def found(path: Path | str, port: str = "1-1.2") -> Found:
    return Found(str(path), "Honeywell Scanner", "0c2e", "0b61", None, port, f"/devices/usb1/1-1/{port}")


async def failure_of(scanner: Scanner) -> DeviceLost | DeviceRefused:
    """Read nothing, and return why."""
    async with aclosing(scanner.reads()) as reads:
        try:
            await anext(reads)
        except (DeviceLost, DeviceRefused) as exc:
            return exc
    raise AssertionError("it read something")


@every_kind
async def test_one_that_is_not_connected_is_lost_until_something_is_plugged_in(make: Make, tmp_path: Path) -> None:
    connected: list[Found] = []
    async with watched(tmp_path / "event5") as hotplug:
        scanner = make(WANTED, hotplug, lambda: connected)
        failure = await failure_of(scanner)
        assert isinstance(failure, DeviceLost)
        assert str(failure).startswith("usb 0c2e:0b61: not connected; plug it in")
        assert failure.again is not None
        # It comes and goes: found by what it tells, and no longer there when it is opened.
        (tmp_path / "event5").touch()
        await failure.again()
        (tmp_path / "event5").unlink()
        connected.append(found(tmp_path / "event5"))
        failure = await failure_of(scanner)
        assert isinstance(failure, DeviceLost)
        assert failure.again is not None
        await failure.again()


@every_kind
async def test_of_two_that_are_the_same_neither_is_read(make: Make) -> None:
    both = [found("/dev/one", "1-1.2"), found("/dev/other", "1-1.3")]
    failure = await failure_of(make(WANTED, Hotplug(), lambda: both))
    assert isinstance(failure, DeviceRefused)
    assert 'port = "1-1.2"; or ' in str(failure)
    assert failure.again is not None


@every_kind
async def test_a_permission_is_asked_for_with_its_mend(make: Make, tmp_path: Path) -> None:
    with a_port(tmp_path / "link") as port:
        port.plug()
        give_to_nobody(port.node, 0o000)
        with unprivileged():
            failure = await failure_of(make(WANTED, Hotplug(), lambda: [found(port.node)]))
    assert isinstance(failure, DeviceRefused)
    assert str(failure).startswith(f"{port.node}: no permission; ")
    assert failure.again is not None


@every_hid
@pytest.mark.parametrize("path", ["/dev/null", "/dev"])
async def test_a_path_of_something_else_is_refused(make: Make, path: str) -> None:
    failure = await failure_of(make(Wanted(path), Hotplug(), lambda: [found("/dev/input/event5")]))
    assert isinstance(failure, DeviceRefused)
    assert str(failure).startswith(f"{path}: not a ")
    assert "see brama devices" in str(failure)


async def test_without_evdev_its_installation_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evdev", None)
    failure = await failure_of(a_keyboard(WANTED, Hotplug(), lambda: [found("/dev/null")]))
    assert isinstance(failure, DeviceRefused)
    assert "pip install 'brama[hid]'" in str(failure)


async def test_what_has_no_events_is_no_keyboard() -> None:
    failure = await failure_of(a_keyboard(WANTED, Hotplug(), lambda: [found("/dev/null")]))
    assert str(failure).startswith("/dev/null: ")


@pytest.mark.parametrize("descriptor", [b"", KEYBOARD, POS[:-9]])
async def test_a_descriptor_without_scanned_data_is_refused(descriptor: bytes) -> None:
    failure = await failure_of(a_hid_pos(WANTED, Hotplug(), lambda: [found("/dev/null")], descriptor))
    assert isinstance(failure, DeviceRefused)
    assert str(failure).startswith("usb 0c2e:0b61: ")
    assert failure.again is not None


async def test_reports_are_read_in_the_order_made(tmp_path: Path) -> None:
    """A pipe with a name stands for the node: the kernel gives reports one by one all the same."""
    node = tmp_path / "hidraw0"
    os.mkfifo(node)
    listener = Listener(a_hid_pos(WANTED, Hotplug(), lambda: [found(node)]))
    with os.fdopen(os.open(node, os.O_RDWR), "wb", buffering=0) as hand:
        async with listener.running():
            for number in range(3):
                hand.write(f"T-{number}".encode().ljust(64, b"\0"))
                assert await listener.next() == Read(f"T-{number}", READ_AT)


async def test_a_long_code_whose_rest_does_not_come_is_given_up_and_the_next_is_whole(tmp_path: Path) -> None:
    node = tmp_path / "hidraw0"
    os.mkfifo(node)
    scanner = HidrawScanner(
        WANTED, FixedClock(), Hotplug(), lambda: [found(node)], lambda _: pos.DESCRIPTOR, stale_s=0.01
    )
    listener = Listener(scanner)
    first, *_rest = pos.reports(b"x" * 100, "]Q1")
    with os.fdopen(os.open(node, os.O_RDWR), "wb", buffering=0) as hand:
        async with listener.running():
            hand.write(first)
            given_up = await listener.next()
            assert isinstance(given_up, Spoiled)
            assert given_up.why.startswith("the rest of a long code did not come")
            hand.write(pos.reports(b"T-1", "]Q1")[0])
            assert await listener.next() == Read("T-1", READ_AT, "]Q1")
