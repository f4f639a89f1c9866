"""The PC itself, by its bare devices: what the tests of the gate stand on."""

import hashlib
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hardware.boards import Board
from tests.hardware.checkout import ROOT
from tests.hardware.guest import pos
from tests.hardware.link import HANG_S, GuestFailed, Process
from tests.hardware.machine import Machine
from tests.hardware.pictures import holding

READ = "exec python3 -m tests.hardware.guest.reading"
HOLD = """exec python3 -c '
import gpiod
from gpiod.line import Direction, Edge, Value
lines = {"RELAY": gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE),
         "PASSED": gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH)}
with gpiod.request_lines("NODE", config=lines) as held:
    print("held")
    while True:
        for event in held.read_edge_events():
            print(event.event_type.name)
'"""


def reading(machine: Machine, kind: str, node: str) -> Process:
    """Read a device once udev is done with it."""
    machine.run(f"udevadm wait --timeout=30 {node}")
    process = machine.start(f"{READ} {kind} {node}")
    process.wait_line("reading")
    return process


def at_port(number: int) -> str:
    """Where a keyboard in a USB port of the PC is found, by that port alone."""
    return f"/dev/input/by-path/pci-0000:00:03.0-usb-0:{number}:1.0-event-kbd"


def test_files_go_in_and_come_out_whole(machine: Machine) -> None:
    content = random.randbytes(200_000)
    machine.put("/srv/deep/file", content)
    assert machine.get("/srv/deep/file") == content
    assert machine.run("sha256sum < /srv/deep/file").split()[0] == hashlib.sha256(content).hexdigest()


def test_a_process_hears_speaks_and_ends(machine: Machine) -> None:
    process = machine.start("id -un; exec cat", user="brama")
    process.wait_line("brama")
    process.send("one\n")
    process.wait_line("one")
    process.signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    with pytest.raises(GuestFailed, match="without 'two'"):
        process.wait_line("two")


def test_what_fails_in_the_machine_fails_the_test(machine: Machine) -> None:
    with pytest.raises(GuestFailed, match=r"exit 3: 3\nwhy"):
        machine.run("echo why; exit 3")
    with pytest.raises(GuestFailed, match="no line NONE"):
        machine.call("gpio_bank.plug", label="gate", lines=["RELAY"])
        machine.call("gpio_bank.level", label="gate", line="NONE")


def test_keys_typed_on_a_usb_keyboard_arrive_until_it_is_pulled_out(machine: Machine) -> None:
    machine.plug("usb-kbd", "left", port=2)
    left = reading(machine, "keys", at_port(2))
    machine.type_text("Ab-12\n")
    left.wait_line("KEY_ENTER")
    assert left.lines[1:] == ["KEY_LEFTSHIFT", "KEY_A", "KEY_B", "KEY_MINUS", "KEY_1", "KEY_2", "KEY_ENTER"]
    machine.unplug("left")
    left.wait_line("gone ENODEV")
    machine.plug("usb-kbd", "left", port=2)
    left = reading(machine, "keys", at_port(2))
    machine.type_text("7")
    left.wait_line("KEY_7")


def test_no_key_of_a_long_burst_is_lost(machine: Machine) -> None:
    machine.plug("usb-kbd", "left", port=1)
    left = reading(machine, "keys", at_port(1))
    machine.type_text("0123456789" * 10 + "\n")
    left.wait_line("KEY_ENTER")
    assert left.lines[1:-1] == [f"KEY_{digit}" for digit in "0123456789"] * 10


def test_several_uinput_keyboards_type_at_once(machine: Machine) -> None:
    nodes = {name: machine.call("keyboard.plug", name=name) for name in ("left", "right")}
    readers = {name: reading(machine, "keys", node) for name, node in nodes.items()}
    machine.call("keyboard.type_text", name="left", text="a\n")
    machine.call("keyboard.type_text", name="right", text="b\n")
    for name, key in (("left", "KEY_A"), ("right", "KEY_B")):
        readers[name].wait_line("KEY_ENTER")
        assert readers[name].lines[1:] == [key, "KEY_ENTER"]
    machine.call("keyboard.unplug", name="left")
    readers["left"].wait_line("gone ENODEV")


def test_a_gpio_line_is_seen_and_wired_from_outside(machine: Machine) -> None:
    node = machine.call("gpio_bank.plug", label="gate", lines=["LAMP", "RELAY", "PASSED"])
    level = {"label": "gate", "line": "RELAY"}
    machine.call("gpio_bank.record", **level)
    assert machine.call("gpio_bank.level", **level) == 0
    program = machine.start(HOLD.replace("NODE", node))
    program.wait_line("held")
    assert machine.call("gpio_bank.level", **level) == 1
    machine.call("gpio_bank.pull", label="gate", line="PASSED", up=True)
    program.wait_line("RISING_EDGE")
    machine.call("gpio_bank.pull", label="gate", line="PASSED", up=False)
    program.wait_line("FALLING_EDGE")
    program.signal(signal.SIGKILL)
    seen = machine.call("gpio_bank.recorded", **level, changes=2, within_s=HANG_S)
    assert [value for _at, value in seen] == [0, 1, 0]
    machine.call("gpio_bank.unplug", label="gate")
    assert machine.run(f"ls {node} 2>&1 || true").endswith("No such file or directory")


def test_a_hid_pos_scanner_reports_and_is_pulled_out(machine: Machine) -> None:
    node = machine.call("pos_scanner.plug", name="Left", serial="S-1")
    reader = reading(machine, "reports", node)
    machine.call("pos_scanner.scan", name="Left", code="T" * 60, symbology="]Q1")
    expected = pos.reports(b"T" * 60, "]Q1")
    assert [reader.wait_line("02") for _ in expected] == [report.hex() for report in expected]
    facts = machine.run(f"udevadm info --attribute-walk {node}; cat /sys/class/hidraw/*/device/uevent")
    assert "HID_NAME=Left" in facts
    assert "HID_UNIQ=S-1" in facts
    machine.call("pos_scanner.unplug", name="Left")
    reader.wait_line("gone EIO")


def test_twin_keyboards_are_told_apart_by_their_port_alone(machine: Machine) -> None:
    nodes = [machine.call("gadget.plug", port=port, kind="keyboard", serial="SAME") for port in (0, 1)]
    paths = [f"/dev/input/by-path/platform-dummy_hcd.{port}-usb-0:1:1.0-event-kbd" for port in (0, 1)]
    readers = [reading(machine, "keys", path) for path in paths]
    assert machine.run(f"readlink -f {' '.join(paths)}").split() == nodes
    for port, text in ((0, "Zero"), (1, "One")):
        machine.call("gadget.type_text", port=port, text=f"{text}\n")
        readers[port].wait_line("KEY_ENTER")
        letters = [f"KEY_{letter}" for letter in text.upper()]
        assert readers[port].lines[1:] == ["KEY_LEFTSHIFT", *letters, "KEY_ENTER"]
    machine.call("gadget.unplug", port=0)
    readers[0].wait_line("gone ENODEV")


def test_twin_pos_scanners_are_told_apart_by_their_port_alone(machine: Machine) -> None:
    nodes = [machine.call("gadget.plug", port=port, kind="pos", serial="SAME") for port in (0, 1)]
    walks = [machine.run(f"udevadm info --query=path {node}") for node in nodes]
    assert [f"/dummy_hcd.{port}/" in walk for port, walk in enumerate(walks)] == [True, True]
    readers = [reading(machine, "reports", node) for node in nodes]
    for port, code in ((0, "Zero"), (1, "One")):
        machine.call("gadget.scan", port=port, code=code)
        readers[port].wait_line(pos.reports(code.encode(), "]Q3")[0].hex())
    machine.call("gadget.unplug", port=0)
    readers[0].wait_line("gone EIO")


def test_a_serial_scanner_on_usb_sends(machine: Machine) -> None:
    machine.call("gadget.plug", port=0, kind="acm", serial="A-1")
    node = "/dev/serial/by-id/usb-Palace_Scanner_acm_A-1-if00"
    machine.run(f"udevadm wait --timeout=30 {node}")
    reader = machine.start(f"stty -F {node} raw -echo && echo reading && exec cat {node}")
    reader.wait_line("reading")
    machine.call("gadget.send", port=0, text="TICKET-1\n")
    reader.wait_line("TICKET-1")


def test_a_camera_sees_what_is_held_before_it_until_it_is_pulled_out(machine: Machine) -> None:
    node = machine.call("camera_source.plug")
    assert ":video_output:" in machine.run(f"udevadm info {node}")  # no camera while nothing is to be seen
    machine.call("camera_source.show", **holding("CODE-1"))
    reader = reading(machine, "codes", node)
    reader.wait_line("CODE-1")
    machine.call("camera_source.show", **holding("Квиток №2"))
    reader.wait_line("Квиток №2")
    with pytest.raises(GuestFailed, match="rmmod"):
        machine.call("camera_source.unplug", within_s=0)  # the driver cannot go while a program has the camera
    reader.signal(signal.SIGKILL)
    machine.call("camera_source.unplug", within_s=HANG_S)
    assert "No such file" in machine.run(f"ls {node} 2>&1 || true")


def test_a_camera_of_one_program_is_pulled_out_under_it_and_plugged_in_again(machine: Machine) -> None:
    node = machine.call("pattern_camera.plug")
    reader = reading(machine, "codes", node)
    second = machine.start(f"{READ} codes {node}")
    second.wait_line("gone EBUSY")
    machine.call("pattern_camera.unplug")
    reader.wait_line("gone ENODEV")
    assert machine.call("pattern_camera.plug") == node
    reading(machine, "codes", node)


def test_a_rule_for_udev_names_a_scanner_and_lets_the_gate_s_user_in(machine: Machine) -> None:
    rule = 'SUBSYSTEM=="hidraw", KERNELS=="0003:0C2E:*", SYMLINK+="scanner-left", GROUP="brama", MODE="0660"\n'
    machine.put("/etc/udev/rules.d/60-test.rules", rule)
    machine.run("udevadm control --reload")
    machine.call("pos_scanner.plug", name="Left", serial="S-1")
    machine.run("udevadm wait --timeout=30 /dev/scanner-left")
    reader = machine.start(f"{READ} reports /dev/scanner-left", user="brama")
    reader.wait_line("reading")


def test_what_was_synced_to_a_disk_survives_a_power_cut(pc: Board, installed: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", disk], check=True, env={"PATH": os.defpath + ":/sbin:/usr/sbin"})
    mount = "mkdir -p /mnt/d && mount {} /mnt/d && cat /mnt/d/* 2>/dev/null || true"
    with Machine(pc, installed) as machine:
        node = machine.plug_disk(disk, "data")
        machine.run(mount.format(node))
        machine.run("echo admitted > /mnt/d/journal && sync /mnt/d/journal")
        machine.cut_power()
    with Machine(pc, installed) as machine:
        assert machine.run(mount.format(machine.plug_disk(disk, "data"))) == "admitted"


def test_a_machine_dies_with_the_test_that_was_killed(pc: Board, installed: Path) -> None:
    """Even where that had no time to say anything."""
    program = (
        "import sys; from pathlib import Path; from tests.hardware import boards, machine\n"
        "image, state = map(Path, sys.argv[1:])\n"
        "with machine.Machine(boards.pc(image), state) as m:\n"
        "    print(m.process_id, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, installed.parent, installed],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as test:
        assert test.stdout
        process_id = int(test.stdout.readline())
        watched = os.pidfd_open(process_id)
        test.kill()
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        assert poll.poll(HANG_S * 1000)
        os.close(watched)
