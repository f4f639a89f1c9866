"""Scanners of every kind at the gate: read, told apart, pulled out and plugged in again, without a restart."""

import re
from typing import Any

import pytest
from evdev import ecodes

from tests.drivers.typist import Typist
from tests.hardware.machine import Machine
from tests.hardware.test_pc import at_port, reading
from tests.hardware.venue import Venue

QEMU_KEYBOARD = "0627:0001"
CTRL, RIGHT_BRACKET = 29, 27
PIECE = 16
TEXTS = {"us": "Ab-12~|", "uk": "Ab-£€#2", "de": "Zy-äßÜ@{é", "fr": "Aq1é&@îñ", "ua": "Їжак-7ґ", "ru": "Съёмка-№7"}


def press(machine: Machine, name: str, typist: Typist) -> None:
    """Press on a uinput keyboard what a typist typed, in pieces that the kernel's queue holds."""
    names = {code: key if isinstance(key, str) else key[0] for code, key in ecodes.KEY.items()}
    events = [(names[code], value) for type_, code, value, _ in typist.events if type_ == ecodes.EV_KEY]
    for at in range(0, len(events), PIECE):
        machine.call("keyboard.press", name=name, events=events[at : at + PIECE])


def lane(lane_id: str, *readers: str) -> str:
    """Write a lane whose readers are inline tables."""
    listed = ", ".join(f"{{ {reader} }}" for reader in readers)
    return f'[[lane]]\nid = "{lane_id}"\ncheckpoint = "c-1"\nreaders = [{listed}]\n'


def reader_of(palace: Venue, lane_id: str) -> dict[str, Any]:
    """Return what the gate says of a lane's only reader."""
    (found,) = [each for each in palace.status()["readers"] if each["lane"] == lane_id]
    return dict(found)


def until_reader(palace: Venue, lane_id: str, state: str) -> dict[str, Any]:
    """Wait until the gate says that of a reader."""
    return palace.until(lambda: found if (found := reader_of(palace, lane_id))["state"] == state else {})


def until_grabbed(machine: Machine, node: str) -> None:
    """Wait until a program keeps a keyboard to itself."""
    grab = f"python3 -c 'import evdev; evdev.InputDevice(\"{node}\").grab()' 2>&1"
    while "Device or resource busy" not in machine.run(f"{grab} || true"):
        pass


def until_scans(palace: Venue, count: int) -> list[dict[str, Any]]:
    """Wait until the journal has so many scans."""
    return palace.until(lambda: found if len(found := palace.journal()) >= count else [])


def port_of(machine: Machine, node: str) -> str:
    """Return the USB port that `brama devices` shows for a node, where it must be told to tell twins apart."""
    said = machine.run("python3 -m edge devices")
    entry = said.split(f"({node})")[1].splitlines()[1]
    found = re.search(r'port = "([^"]+)"', entry)
    assert found, said
    return found[1]


def test_codes_typed_on_a_usb_scanner_reach_the_central_through_unplugging(palace: Venue) -> None:
    machine = palace.machine
    palace.open_gate(lane("a", f'driver = "evdev", usb = "{QEMU_KEYBOARD}"'))
    assert "not connected" in until_reader(palace, "a", "lost")["error"]
    machine.plug("usb-kbd", "scanner", port=1)
    until_reader(palace, "a", "running")
    machine.type_text("CODE-1\n")
    machine.type_text("]C1NO-SUCH\n")
    until_scans(palace, 2)
    assert reader_of(palace, "a")["symbology"] == "]C1"
    machine.type_text("CODE-")
    machine.unplug("scanner")
    assert until_reader(palace, "a", "lost")["spoiled_why"] == "unplugged inside a code"
    machine.plug("usb-kbd", "scanner", port=2)
    until_reader(palace, "a", "running")
    machine.type_text("CODE-2\n")
    scans = until_scans(palace, 3)
    assert [(scan["ticket_id"], scan["code"], scan["reason"]) for scan in scans] == [
        ("T-1", None, "admitted"),
        (None, "NO-SUCH", "unknown_ticket"),
        ("T-2", None, "admitted"),
    ]
    central = palace.until(lambda: found if len(found := palace.scans()) == 3 else [])
    assert [scan["ticket_id"] for scan in central] == ["T-1", None, "T-2"]


def test_a_scanner_is_kept_from_everyone_else_and_another_program_from_it(palace: Venue) -> None:
    machine = palace.machine
    for port, name in ((1, "left"), (2, "right")):
        machine.plug("usb-kbd", name, port=port)
        machine.run(f"udevadm wait --timeout=30 {at_port(port)}")
    taken = reading(machine, "keys", at_port(2))
    left, right = (f'driver = "evdev", device = "{at_port(port)}"' for port in (1, 2))
    palace.open_gate(lane("a", left) + lane("b", right))
    until_reader(palace, "a", "running")
    assert "grabbed by another program; fuser" in until_reader(palace, "b", "lost")["error"]
    mine = machine.start(f"python3 -m tests.hardware.guest.reading keys {at_port(1)}")
    mine.wait_line("gone EBUSY")
    doctor = machine.start("python3 -m edge doctor", user="brama")
    assert doctor.wait() == 1
    assert re.search(r"FAULT lane b: .*: grabbed by another program -> fuser", doctor.output)
    taken.signal(9)
    until_reader(palace, "b", "running")  # nobody plugged anything: it is tried again


def test_each_layout_is_read_as_its_scanner_types_it(palace: Venue) -> None:
    machine = palace.machine
    lanes = ""
    for number, layout in enumerate(TEXTS):
        machine.call("keyboard.plug", name=layout, product=0x1200 + number)
        lanes += lane(layout, f'driver = "evdev", usb = "05e0:{0x1200 + number:04x}", layout = "{layout}"')
    palace.open_gate(lanes)
    for number, (layout, text) in enumerate(TEXTS.items(), 1):
        until_reader(palace, layout, "running")
        press(machine, layout, Typist().text(text, layout).enter())  # by xkb's tables and not by ours
        scan = until_scans(palace, number)[-1]
        assert (scan["lane"], scan["code"]) == (layout, text)


def test_a_burst_that_runs_the_queue_over_is_shown_and_never_guessed(palace: Venue) -> None:
    machine = palace.machine
    machine.call("keyboard.plug", name="fast")
    gate = palace.open_gate(lane("a", 'driver = "evdev", usb = "05e0:1200"'))
    until_reader(palace, "a", "running")
    gate.signal(19)  # SIGSTOP: the gate hangs while the guest's code is typed
    for _ in range(5):
        machine.call("keyboard.type_text", name="fast", text="CODE-1 CODE-1 CODE-1\n")
    gate.signal(18)
    spoiled = palace.until(lambda: found if (found := reader_of(palace, "a"))["spoiled"] else {})
    assert spoiled["spoiled_why"].startswith("keys were lost")
    assert palace.journal() == []


@pytest.mark.parametrize("kind", ["keyboard", "pos"])
def test_twins_are_told_apart_by_their_port(palace: Venue, kind: str) -> None:
    machine, driver = palace.machine, {"keyboard": "evdev", "pos": "hidraw"}[kind]
    nodes = [machine.call("gadget.plug", port=port, kind=kind, serial="SAME") for port in (0, 1)]
    for node in nodes:
        machine.run(f"udevadm wait --timeout=30 {node} && udevadm settle")
    ports = [port_of(machine, node) for node in nodes]
    either = lane("either", f'driver = "{driver}", usb = "0c2e:0b61"')
    gate = palace.open_gate(either)
    error = until_reader(palace, "either", "stopped")["error"]
    assert "2 devices answer to that" in error
    assert all(f'port = "{port}"' in error for port in ports)
    machine.call("gadget.unplug", port=1)
    until_reader(palace, "either", "running")  # now it is clear which is meant, and nobody restarted anything
    machine.call("gadget.plug", port=1, kind=kind, serial="SAME")
    gate.signal(15)
    gate.wait()
    palace.open_gate("".join(lane(f"at-{n}", f'driver = "{driver}", port = "{at}"') for n, at in enumerate(ports)))
    for port in (1, 0):
        until_reader(palace, f"at-{port}", "running")
        if kind == "pos":
            machine.call("gadget.scan", port=port, code=f"CODE-{port + 1}", symbology="]Q3")
        else:
            machine.call("gadget.type_text", port=port, text=f"CODE-{port + 1}\n")
    scans = until_scans(palace, 2)
    assert [(scan["lane"], scan["ticket_id"]) for scan in scans] == [("at-1", "T-2"), ("at-0", "T-1")]
    machine.call("gadget.unplug", port=0)
    until_reader(palace, "at-0", "lost")
    assert reader_of(palace, "at-1")["state"] == "running"


def test_a_hid_pos_scanner_is_read_by_the_gates_user_through_the_udev_rule(palace: Venue) -> None:
    machine = palace.machine
    palace.open_gate(lane("a", 'driver = "hidraw", serial = "S-1"'))
    until_reader(palace, "a", "lost")
    machine.call("pos_scanner.plug", name="Left", serial="S-1")
    until_reader(palace, "a", "running")
    machine.call("pos_scanner.scan", name="Left", code="CODE-3", symbology="]Q3")
    machine.call("pos_scanner.scan", name="Left", code="LONG-" + "x" * 200, symbology="]d2")
    scans = until_scans(palace, 2)
    assert [(scan["ticket_id"], scan["code"]) for scan in scans] == [("T-3", None), (None, "LONG-" + "x" * 200)]
    assert reader_of(palace, "a")["symbology"] == "]d2"
    machine.call("pos_scanner.unplug", name="Left")
    until_reader(palace, "a", "lost")
    machine.call("pos_scanner.plug", name="Left again", serial="S-1")
    until_reader(palace, "a", "running")
    machine.call("pos_scanner.scan", name="Left again", code="CODE-4")
    assert until_scans(palace, 3)[-1]["ticket_id"] == "T-4"


def test_a_serial_scanner_is_read_by_id_through_unplugging(palace: Venue) -> None:
    machine = palace.machine
    node = "/dev/serial/by-id/usb-Palace_Scanner_acm_A-1-if00"
    palace.open_gate(lane("a", f'driver = "serial", device = "{node}", baud = 115200'))
    for turn in (1, 2):
        until_reader(palace, "a", "lost")
        machine.call("gadget.plug", port=0, kind="acm", serial="A-1")
        until_reader(palace, "a", "running")
        machine.call("gadget.send", port=0, text=f"]Q1CODE-{turn}\r\n")
        assert until_scans(palace, turn)[-1]["ticket_id"] == f"T-{turn}"
        machine.call("gadget.unplug", port=0)


def test_a_scanner_that_may_not_be_read_is_taken_up_once_it_may(palace: Venue) -> None:
    machine = palace.machine
    node = machine.call("keyboard.plug", name="shut")
    machine.run(f"udevadm wait --timeout=30 {node} && udevadm settle && chmod 600 {node}")
    palace.open_gate(lane("a", f'driver = "evdev", device = "{node}"'))
    assert "no permission; " in until_reader(palace, "a", "stopped")["error"]
    machine.run(f"chmod 660 {node}")
    until_reader(palace, "a", "running")
    machine.call("keyboard.type_text", name="shut", text="CODE-5\n")
    assert until_scans(palace, 1)[0]["ticket_id"] == "T-5"


def test_a_device_that_is_no_scanner_is_refused_by_name(palace: Venue) -> None:
    machine = palace.machine
    machine.plug("usb-mouse", "mouse", port=3)
    mouse = "/dev/input/by-path/pci-0000:00:03.0-usb-0:3:1.0-event-mouse"
    machine.run(f"udevadm wait --timeout=30 {mouse}")
    machine.plug("usb-kbd", "scanner", port=1)
    palace.open_gate(
        lane("a", f'driver = "evdev", device = "{mouse}"') + lane("b", f'driver = "evdev", usb = "{QEMU_KEYBOARD}"')
    )
    assert f"{mouse}: not a keyboard" in until_reader(palace, "a", "stopped")["error"]
    until_reader(palace, "b", "running")
    machine.type_text("CODE-6\n")
    assert until_scans(palace, 1)[0]["ticket_id"] == "T-6"


def test_what_a_scanner_sends_is_shown_live(machine: Machine) -> None:
    machine.call("keyboard.plug", name="Honeywell")
    listed = machine.run("python3 -m edge devices")
    assert '{ driver = "evdev", usb = "05e0:1200"' in listed
    shown = machine.start("exec python3 -m edge devices --watch 1")
    shown.wait_line("scan something")
    until_grabbed(machine, "/dev/input/event0")
    press(machine, "Honeywell", Typist().text("]C101").key(CTRL, RIGHT_BRACKET).text("2").enter())
    assert shown.wait_line("characters").split("  ")[1:] == ["]C1", "4 characters", "01<GS>2"]
