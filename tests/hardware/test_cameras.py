"""Cameras at the gate: tickets held before them, and what becomes of a lane whose camera does not do as it should."""

import re
import signal

from tests.hardware.machine import Machine
from tests.hardware.pictures import HEIGHT, SLOW_FPS, WIDTH, holding
from tests.hardware.test_scanners import lane, reader_of, until_reader, until_scans
from tests.hardware.venue import Venue

LONG_FRAMES = 4 * SLOW_FPS
"""For longer than a repeated read counts as the same."""
SMALL = (320, 180)
"""The smallest pictures of the pattern camera, which moves all the time."""
TAKE = """exec python3 -c '
import fcntl, os, signal, struct
camera = os.open("NODE", os.O_RDWR)
fcntl.ioctl(camera, 0xC0145608, struct.pack("<5I", 1, 1, 1, 0, 0))  # VIDIOC_REQBUFS
print("taken")
signal.pause()
'"""
MOST_MIB = 220
"""Of memory, for the gate and the camera's process together."""


def camera(node: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Write a reader of small pictures."""
    return f'driver = "camera", device = "{node}", width = {width}, height = {height}, fps = {SLOW_FPS}'


def until_looked(palace: Venue, frames: int) -> None:
    """Wait until the camera's process has had so many frames more."""

    def had() -> int:
        (found,) = palace.cameras()
        return int(found["frames"] or 0)

    enough = had() + frames
    palace.until(lambda: had() >= enough)


def process(machine: Machine, command: str) -> int:
    """Return the one process of the gate's user that runs a command."""
    return int(machine.run(f"pgrep -u brama -f '{command}'"))


def mib(machine: Machine, *processes: int) -> float:
    """Return how much memory processes take, what they share counted once."""
    rollups = " ".join(f"/proc/{each}/smaps_rollup" for each in processes)
    return sum(int(kib) for kib in re.findall(r"(?m)^Pss: +(\d+)", machine.run(f"cat {rollups}"))) / 1024


def test_tickets_held_before_a_camera_are_read_through_unplugging(palace: Venue) -> None:
    machine = palace.machine
    node = machine.call("camera_source.plug")
    gate = palace.open_gate(lane("a", camera(node)))
    # A loopback device is a camera only while a program writes what it sees.
    assert "no program gives it a picture" in until_reader(palace, "a", "lost")["error"]
    machine.call("camera_source.show", **holding("CODE-1"))
    until_scans(palace, 1)
    until_looked(palace, LONG_FRAMES)
    machine.call("camera_source.show", **holding("NO-SUCH"))
    scans = until_scans(palace, 2)
    assert [(scan["ticket_id"], scan["code"], scan["reason"]) for scan in scans] == [
        ("T-1", None, "admitted"),
        (None, "NO-SUCH", "unknown_ticket"),
    ]
    assert reader_of(palace, "a")["symbology"] == "]Q1"
    both = process(machine, "edge run"), process(machine, "drivers.camera")
    assert mib(machine, *both) < MOST_MIB
    assert not re.search("cv2|numpy|zxing|zbar", machine.run(f"cat /proc/{both[0]}/maps"))
    machine.call("camera_source.stop")
    assert "no picture for" in until_reader(palace, "a", "lost")["error"]
    machine.call("camera_source.unplug", within_s=30)
    palace.until(lambda: "not connected" in (reader_of(palace, "a")["error"] or ""))
    machine.call("camera_source.plug")
    machine.call("camera_source.show", **holding("CODE-2"))
    assert until_scans(palace, 3)[-1]["ticket_id"] == "T-2"
    assert gate.code is None
    central = palace.until(lambda: found if len(found := palace.scans()) == 3 else [])
    assert [scan["ticket_id"] for scan in central] == ["T-1", None, "T-2"]


def test_a_camera_s_process_that_dies_or_hangs_comes_back_and_doubles_no_scan(palace: Venue) -> None:
    machine = palace.machine
    node = machine.call("camera_source.plug")
    machine.call("camera_source.show", **holding("CODE-1"))
    gate = palace.open_gate(lane("a", camera(node)))
    until_scans(palace, 1)
    machine.run(f"kill -{signal.SIGKILL:d} {process(machine, 'drivers.camera')}")
    assert palace.scan("CODE-8")["verdict"] == "admitted"
    gate.wait_line("starting it anew")
    until_looked(palace, LONG_FRAMES)
    assert [scan["ticket_id"] for scan in palace.journal()] == ["T-1", "T-8"]
    machine.call("camera_source.show", **holding(None))
    machine.run(f"kill -{signal.SIGSTOP:d} {process(machine, 'drivers.camera')}")
    assert palace.scan("CODE-9")["verdict"] == "admitted"
    gate.wait_line("starting it anew")
    machine.call("camera_source.show", **holding("CODE-2"))
    assert [scan["ticket_id"] for scan in until_scans(palace, 4)] == ["T-1", "T-8", "T-9", "T-2"]


def test_a_camera_pulled_out_while_it_is_looked_through_is_lost_and_taken_up_again(palace: Venue) -> None:
    machine = palace.machine
    node = machine.call("pattern_camera.plug")
    palace.open_gate(lane("a", camera(node, *SMALL)))
    until_reader(palace, "a", "running")
    until_looked(palace, 1)
    machine.call("pattern_camera.unplug")
    until_reader(palace, "a", "lost")
    palace.until(lambda: "not connected" in (reader_of(palace, "a")["error"] or ""))
    machine.call("pattern_camera.plug")
    until_reader(palace, "a", "running")
    until_looked(palace, 1)


def test_a_camera_that_another_program_has_is_taken_up_once_it_is_free(palace: Venue) -> None:
    machine = palace.machine
    node = machine.call("pattern_camera.plug")
    other = machine.start(TAKE.replace("NODE", node))
    other.wait_line("taken")
    palace.open_gate(lane("a", camera(node, *SMALL)))
    assert "in use by another program; fuser" in until_reader(palace, "a", "lost")["error"]
    doctor = machine.start("python3 -m edge doctor", user="brama")
    assert doctor.wait() == 1
    assert re.search(r"FAULT lane a: .*: in use by another program", doctor.output)
    other.signal(signal.SIGKILL)
    until_reader(palace, "a", "running")  # nobody plugged anything: it is tried again
    until_looked(palace, 1)


def test_a_camera_that_may_not_be_looked_through_is_taken_up_once_it_may(palace: Venue) -> None:
    machine = palace.machine
    node = machine.call("camera_source.plug")
    machine.call("camera_source.show", **holding("CODE-3"))
    machine.run(f"chmod 600 {node}")
    palace.open_gate(lane("a", camera(node)))
    assert "no permission; add the gate's user to the group video" in until_reader(palace, "a", "stopped")["error"]
    machine.run(f"chmod 660 {node}")
    assert until_scans(palace, 1)[0]["ticket_id"] == "T-3"


def test_cameras_are_listed_and_looked_through_without_a_gate(palace: Venue) -> None:
    machine = palace.machine
    node = machine.call("camera_source.plug")
    machine.call("camera_source.show", **holding(None))
    pattern = machine.run(f"readlink -f {machine.call('pattern_camera.plug')}")
    listed = machine.run("python3 -m edge devices")
    assert "Palace camera" in listed
    for each in (node, pattern):
        assert f'{{ driver = "camera", device = "{each}" }}' in listed
    machine.put("/etc/brama/gate.toml", machine.get("/etc/brama/gate.toml").decode() + lane("b", camera(node)))
    doctor = machine.start("python3 -m edge doctor", user="brama")
    doctor.wait()
    assert re.search(rf"(?m)^ok +lane b: .*{node}", doctor.output), doctor.output
    shown = machine.start(f"exec python3 -m edge camera --device {node}", user="brama")
    shown.wait_line("http://")
    machine.call("camera_source.show", **holding("CODE-4"))
    assert "]Q1" in shown.wait_line("CODE-4")
    shown.signal(signal.SIGINT)
    assert shown.wait() == 0
    assert "Traceback" not in shown.output
