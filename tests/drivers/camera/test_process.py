"""A camera's process as the system sees it: small until it must be large, behind the gate, and never without it."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from drivers.camera import process
from drivers.camera.link import Link
from drivers.camera.messages import (
    MOST_BYTES,
    Decode,
    Ended,
    FromCamera,
    Seen,
    Shown,
    Sighting,
    StillDone,
    Stills,
    Stream,
    Task,
    Up,
    VideoDevice,
    from_camera,
)
from drivers.camera.symbologies import DEFAULT
from drivers.camera_child import Limits, started
from drivers.protocols import DeviceLost, DeviceRefused
from tests.drivers.cameras import gone
from tests.drivers.plugs import TIMEOUT_S

LARGE = {"cv2", "numpy", "zxingcpp", "pyzbar"}
STILLS = Task(Stills(()), DEFAULT)
GATE = """
import signal
from drivers.camera.messages import Decode, Stills, Task
from drivers.camera_child import Limits, started
child = started(Task(Stills(()), ("qr",)), "camera", Limits())
print(child.pid, flush=True)
signal.pause()
"""


@contextmanager
def a_gate() -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """A gate that has started a camera's process and now hangs; both."""
    with subprocess.Popen([sys.executable, "-c", GATE], stdout=subprocess.PIPE, text=True) as gate:
        assert gate.stdout is not None
        try:
            yield psutil.Process(gate.pid), psutil.Process(int(gate.stdout.readline()))
        finally:
            gate.kill()


@pytest.mark.parametrize(
    "modules", ["drivers.scanner_camera", "drivers.camera.process, drivers.camera.stream, drivers.video_node"]
)
def test_neither_the_gate_nor_a_process_that_finds_no_camera_loads_what_is_large(modules: str) -> None:
    code = f"import json, sys, {modules}; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout)
    assert LARGE.isdisjoint(loaded)


async def test_it_does_not_outlive_a_gate_that_is_killed() -> None:
    with a_gate() as (gate, child):
        gate.kill()
        await gone(child.pid)


async def test_it_does_not_outlive_the_gate_even_when_it_can_do_nothing_itself() -> None:
    with a_gate() as (gate, child):
        await until_restrained(child)
        child.suspend()
        gate.kill()
        await gone(child.pid)


async def test_it_does_not_outlive_the_gate_when_it_hangs_over_its_work(tmp_path: Path) -> None:
    trap = tmp_path / "trap.png"
    os.mkfifo(trap)
    child = started(STILLS, "camera", Limits())
    child.tell(Decode(str(trap)))
    try:
        child._link.close()
        await gone(child.pid)
    finally:
        await child.end()


async def test_what_stops_a_gate_is_not_for_it() -> None:
    with a_gate() as (_, child):
        await until_restrained(child)
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            assert int(status["SigIgn"], 16) >> number - 1 & 1
        assert os.getpgid(child.pid) == child.pid
        assert os.getsid(child.pid) == os.getsid(0)  # else its niceness counts for nothing: sched(7), autogroup


async def test_it_stands_behind_the_gate_in_all_that_is_scarce() -> None:
    with a_gate() as (gate, child):
        await until_restrained(child)
        assert child.nice() == max(gate.nice(), process.NICENESS)
        most = process.MOST_MEMORY_BYTES
        assert resource.prlimit(child.pid, resource.RLIMIT_DATA) == (most, most)
        assert resource.prlimit(child.pid, resource.RLIMIT_CORE) == (0, 0)
        assert oom_score_of(child) == process.OOM_SCORE


async def until_restrained(child: psutil.Process) -> None:
    """The last thing that it does is to tell the kernel that it may be killed first."""
    until_s = time.monotonic() + TIMEOUT_S
    while oom_score_of(child) != process.OOM_SCORE:
        assert time.monotonic() < until_s


def oom_score_of(child: psutil.Process) -> int:
    """Read it at once: a second read, as for the end of a file, gives the rest of what it has become meanwhile."""
    with Path(f"/proc/{child.pid}/oom_score_adj").open("rb", buffering=0) as file:
        return int(file.read(16))


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "ended"),
    [
        (DeviceLost("camera: gone"), Ended("camera: gone")),
        (DeviceRefused("camera: no"), Ended("camera: no", refused=True)),
        (
            ImportError("no", name="cv2"),
            Ended("/dev/video0: cameras need: pip install 'brama[camera]' (cv2 does not load)", refused=True),
        ),
        (
            MemoryError(),
            Ended("/dev/video0: its pictures need more memory than there may be; ask it for smaller ones"),
        ),
    ],
)
def test_each_end_has_its_words(monkeypatch: pytest.MonkeyPatch, failure: Exception, ended: Ended) -> None:
    def work(task: Task, link: object) -> None:
        raise failure

    monkeypatch.setattr(process, "work", work)
    with a_link() as (link, _):
        assert process.ending(Task(VideoDevice("/dev/video0"), DEFAULT), link) == ended


def test_a_defect_tells_its_place_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(task: Task, link: object) -> None:
        raise ValueError("rtsp://gate:p4ss@camera")

    monkeypatch.setattr(process, "work", work)
    with a_link() as (link, _):
        ended = process.ending(Task(Stream("rtsp://gate:p4ss@camera", "rtsp://camera"), DEFAULT), link)
    where = f"test_process.py:{work.__code__.co_firstlineno + 1}"
    assert ended == Ended(f"rtsp://camera: defect in the camera's process: ValueError in {where}")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (VideoDevice("/dev/video0"), "/dev/video0"),
        (Stream("rtsp://gate:p4ss@camera", "rtsp://camera"), "rtsp://camera"),
        (Stills(("/pictures",)), "/pictures"),
        (Stills(("a.png", "b.png")), "still pictures"),
    ],
)
def test_a_source_is_named_for_people(source: VideoDevice | Stream | Stills, name: str) -> None:
    assert process.named(Task(source, DEFAULT)) == name


# --- the link ---------------------------------------------------------------------------------------------------------


@contextmanager
def a_link() -> Iterator[tuple[Link, socket.socket]]:
    """A camera's end of a link, and the gate's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = Link(theirs.detach())
    try:
        yield link, ours
    finally:
        ours.close()
        link._socket.close()


def heard(gate: socket.socket) -> list[FromCamera]:
    gate.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(from_camera(gate.recv(MOST_BYTES + 1)))
        except BlockingIOError:
            return messages


def test_a_gate_that_does_not_listen_misses_what_it_could_do_nothing_with() -> None:
    picture = Shown("jpeg", 1, 1, 1.0, "640", (), b"x" * 120_000)
    with a_link() as (link, gate):
        said = 0
        while link.say(picture, patience_s=0.0):
            said += 1
        assert not link.say(Up(1, 1), patience_s=0.01)
        assert heard(gate) == [picture] * said
        assert link.say(Up(1, 1))
        assert heard(gate) == [Up(1, 1)]


def test_what_is_too_long_loses_its_picture_first_and_then_codes() -> None:
    code = Sighting("x" * 7_000, "]Q1", "qr", ((0.0, 0.0),) * 4, "640")
    picture = b"x" * 120_000
    with a_link() as (link, gate):
        link.say(Seen(1.0, 1.0, (code,) * 4, picture))
        link.say(Seen(1.0, 1.0, (code,) * 20, picture))
        link.say(StillDone("a.png", 1, 1, 1.0, (code,) * 100))
        first, second, third = heard(gate)
    assert first == Seen(1.0, 1.0, (code,) * 4, picture)
    assert second == Seen(1.0, 1.0, (code,) * 20)
    assert third == StillDone("a.png", 1, 1, 1.0, (code,) * 25)
