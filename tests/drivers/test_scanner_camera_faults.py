"""What goes wrong with a camera at a lane: its process, its stream, its address, its device."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from drivers import camera_child
from drivers.camera.messages import MOST_BYTES, Ended, StillDone, Stream, Task, VideoDevice, packed
from drivers.camera_child import Limits
from drivers.discovery import Found, Wanted
from drivers.hotplug import Hotplug
from drivers.protocols import DeviceLost, DeviceRefused, Read
from drivers.scanner_camera import CameraScanner
from edge.supervise import Health, supervise
from tests.drivers.cameras import (
    HEIGHT,
    PASSWORD,
    USER,
    NetworkCamera,
    a_camera,
    a_scanner,
    a_scene,
    a_stranger,
    failure,
    gone,
    listening,
    next_read,
    until,
    without_libraries,
)
from tests.drivers.plugs import TIMEOUT_S, FixedClock, Listener

KILLS = 20


@pytest.fixture
async def camera() -> AsyncIterator[NetworkCamera]:
    async with a_camera() as made:
        yield made


async def test_a_process_that_is_killed_again_and_again_costs_no_read_and_doubles_none(camera: NetworkCamera) -> None:
    """Each code stays in view over two deaths, at moments as they come; none of it is for the lane to notice."""
    chance = random.Random(4)
    scanner = a_scanner(camera.stream())
    listener, health = Listener(scanner), Health()
    codes = [f"T-{number}" for number in range(KILLS // 2)]
    async with asyncio.timeout(6 * TIMEOUT_S), asyncio.TaskGroup() as group:
        task = group.create_task(supervise("camera", listener.run, health, no_pause), name="camera")
        for code in codes:
            camera.shows(a_scene(code))
            for _ in range(2):
                await until(lambda: scanner.pid is not None)
                await camera.sends(chance.randrange(25))
                pid = scanner.pid
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    await gone(pid)
                await until(lambda died=pid: scanner.pid not in {None, died})  # type: ignore[misc]
            await until(lambda shown=code: is_seen(scanner, shown))  # type: ignore[misc]
        task.cancel()
    read = [listener.got.get_nowait() for _ in range(listener.got.qsize())]
    assert [each.code for each in read if isinstance(each, Read)] == codes
    assert health.failures == KILLS


async def no_pause(delay_s: float) -> None:
    await asyncio.sleep(0)


def is_seen(scanner: CameraScanner, text: str) -> bool:
    return scanner.up is not None and scanner.seen is not None and scanner.seen.codes[0].text == text


async def test_a_process_that_died_is_told_of_with_its_cause(camera: NetworkCamera) -> None:
    scanner = a_scanner(camera.stream())
    with pytest.raises(ExceptionGroup) as caught:
        async with listening(scanner):
            assert scanner.pid is not None
            os.kill(scanner.pid, signal.SIGSEGV)
            await asyncio.Event().wait()
    cause = r"/stream: its process died \(signal 11\); starting it anew$"
    assert caught.group_contains(DeviceLost, match=cause)


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"hello", "not JSON (JSONDecodeError)"),
        (b'{"say":"Ended","why":5}', "why: not what it should be"),
        (packed(StillDone("a.png", 1, 1, 1.0, ())), "out of turn"),
        (b"x" * (MOST_BYTES + 5), "too long"),
    ],
)
async def test_a_process_that_talks_nonsense_is_killed(
    monkeypatch: pytest.MonkeyPatch, packet: bytes, why: str, tmp_path: Path
) -> None:
    """As one might that a stranger's picture has taken over."""
    path = tmp_path / "packet"
    path.write_bytes(packet)
    monkeypatch.setattr(camera_child, "_process", partial(a_stranger, path))
    failed = await failure(a_scanner(Stream("http://camera/", "http://camera/")))
    assert str(failed) == f"http://camera/: its process talks nonsense ({why}); starting it anew"


async def test_words_of_a_process_are_made_harmless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "packet"
    path.write_bytes(packed(Ended("red\x1b[31m\n" * 1_000)))
    monkeypatch.setattr(camera_child, "_process", partial(a_stranger, path))
    failed = await failure(a_scanner(Stream("http://camera/", "http://camera/")))
    assert str(failed) == ("red?[31m?" * 1_000)[:400]


async def test_a_process_that_hangs_is_killed_and_lost(camera: NetworkCamera) -> None:
    scanner = a_scanner(camera.stream(), silent_s=2.0)
    with pytest.raises(ExceptionGroup) as caught:
        async with listening(scanner):
            await until(lambda: scanner.up is not None)
            assert scanner.pid is not None
            os.kill(pid := scanner.pid, signal.SIGSTOP)
            await asyncio.Event().wait()
    assert caught.group_contains(DeviceLost, match=r"/stream: its process said nothing for 2 s; starting it anew$")
    await gone(pid)


class Held(subprocess.Popen[bytes]):
    """A process that is not ended, as none is that hangs in a driver."""

    def kill(self) -> None:
        """Do nothing."""


async def test_while_a_driver_holds_on_to_a_process_no_other_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be ever more, and the memory that they take is the gate's."""
    made: list[Held] = []

    def held(link: int) -> Held:
        made.append(Held([sys.executable, "-c", "import time; time.sleep(600)"]))
        return made[-1]

    monkeypatch.setattr(camera_child, "_process", held)
    monkeypatch.setattr(camera_child, "END_S", 0.0)
    scanner = a_scanner(Stream("http://camera/", "http://camera/"))
    try:
        assert "its process hangs; " in str(await failure(scanner))
        lost = await failure(scanner)
        mend = "plug the camera in anew, or restart the box"
        assert str(lost) == f"http://camera/: its driver does not let go of process {made[0].pid}; {mend}"
        assert isinstance(lost, DeviceLost)
        assert len(made) == 1
        os.kill(made[0].pid, signal.SIGKILL)
        await until(lambda: made[0].returncode is not None)
        assert "its process hangs; " in str(await failure(scanner))
        assert len(made) == 2
    finally:
        for process in made:
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
        await until(lambda: all(process.returncode is not None for process in made))


async def test_a_stream_that_stalls_is_lost(camera: NetworkCamera) -> None:
    scanner = a_scanner(camera.stream(), stall_s=0.5)
    with pytest.raises(ExceptionGroup) as caught:
        async with listening(scanner):
            await until(lambda: scanner.up is not None)
            camera.is_stalled = True
            await asyncio.Event().wait()
    assert caught.group_contains(DeviceLost, match=r"/stream: no picture for 0\.5 s; see that the camera is on")
    ((lost,),) = [caught.value.exceptions]
    assert isinstance(lost, DeviceLost)
    assert lost.again is None, "it gave pictures a moment ago, and may at once give them again"


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda jpeg: jpeg[:-100], "damaged JPEG"),
        (lambda jpeg: jpeg.replace(b"\x08" + bytes((HEIGHT >> 8, HEIGHT & 255)), b"\x08\xff\xff"), "640x65535 pixels"),
    ],
)
async def test_a_stream_of_damaged_pictures_is_lost_for_what_it_is(
    camera: NetworkCamera, damage: Callable[[bytes], bytes], fault: str
) -> None:
    camera.jpeg = damage(camera.jpeg)
    lost = await failure(CameraScanner(Task(camera.stream(), ("qr",), open_s=0.5), FixedClock(), Hotplug()))
    assert isinstance(lost, DeviceLost)
    mend = "set the camera to another format or size"
    assert str(lost) == f"{camera.url()}: no picture for 2.5 s that can be read ({fault}); {mend}"


@pytest.mark.parametrize(
    ("path", "user", "kind", "message"),
    [
        ("page", "", DeviceLost, "gives a web page, not a video; name the address of the stream itself"),
        ("gone", "", DeviceLost, "the camera has no such stream (404); check the address"),
        ("full", "", DeviceLost, "the camera serves no more viewers (503); close another one"),
        ("ends", "", DeviceLost, "the stream ended; see that its address is of a live stream"),
        ("still.jpg", "", DeviceLost, "the stream ended; see that its address is of a live stream"),
        ("secret", "", DeviceRefused, "wants a user and a password; put them into the url of the settings"),
        (
            "secret",
            f"{USER}:wr0ng@",
            DeviceRefused,
            "does not take the user or the password; mend them in the settings",
        ),
    ],
)
async def test_a_stream_that_does_not_open_says_why(
    camera: NetworkCamera, path: str, user: str, kind: type[Exception], message: str
) -> None:
    failed = await failure(a_scanner(camera.stream(path, user)))
    assert str(failed) == f"{camera.url(path)}: {message}"
    assert type(failed) is kind
    # Who asks with a wrong password again and again is locked out; who asks too often keeps a camera from starting.
    assert (failed.again is None) == (kind is DeviceRefused or path == "ends")


async def test_a_camera_that_is_off_refuses_the_connection() -> None:
    async with a_camera() as camera:
        stream = camera.stream()
    failed = await failure(a_scanner(stream))
    mend = "see that the camera's stream is switched on, and the port"
    assert str(failed) == f"{stream.shown}: refuses the connection; {mend}"


async def test_a_camera_that_says_nothing_is_given_up(camera: NetworkCamera) -> None:
    task = Task(camera.stream("silent"), ("qr",), open_s=0.5)
    failed = await failure(CameraScanner(task, FixedClock(), Hotplug()))
    assert isinstance(failed, DeviceLost)
    assert str(failed).startswith(f"{camera.url('silent')}: ")


async def test_a_camera_that_is_switched_off_and_on_comes_back_by_itself(camera: NetworkCamera) -> None:
    scanner = a_scanner(camera.stream())
    listener, health = Listener(scanner), Health()
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        task = group.create_task(supervise("camera", listener.run, health, no_pause), name="camera")
        camera.shows(a_scene("T-1"))
        assert (await next_read(listener)).code == "T-1"
        await camera.switched_off()
        await until(lambda: health.state == "lost")
        await camera.switched_on()
        camera.shows(a_scene("T-2"))
        assert (await next_read(listener)).code == "T-2"
        task.cancel()


async def test_a_password_is_for_the_camera_alone(camera: NetworkCamera) -> None:
    stream = camera.stream("secret", f"{USER}:{PASSWORD}@")
    scanner = a_scanner(stream)
    async with listening(scanner) as listener:
        camera.shows(a_scene("T-1"))
        assert (await next_read(listener)).code == "T-1"
        process = psutil.Process(scanner.pid)
        assert PASSWORD not in repr([process.cmdline(), process.environ(), stream, scanner.up, scanner.alive])
    camera_is_off = await failure(a_scanner(replace(stream, url=stream.url.replace("127.0.0.1", "camera.invalid"))))
    assert PASSWORD not in repr(camera_is_off)


async def test_a_defect_in_the_process_is_told_with_its_place(camera: NetworkCamera) -> None:
    failed = await failure(a_scanner(camera.stream(), symbologies=("runes",)))
    assert isinstance(failed, DeviceLost)
    assert ": defect in the camera's process: " in str(failed)
    assert "runes" not in str(failed), "what a message holds may be secret"


async def test_without_the_libraries_it_says_what_to_install(
    camera: NetworkCamera, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", without_libraries(tmp_path))
    failed = await failure(a_scanner(camera.stream()))
    assert isinstance(failed, DeviceRefused)
    assert "cameras need: pip install 'brama[camera]' (" in str(failed)


async def test_where_no_process_can_be_started_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/gone/python")
    failed = await failure(a_scanner(Stream("http://camera/", "http://camera/")))
    assert str(failed).startswith("http://camera/: its process does not start (No such file or directory); see ")


async def test_who_stops_reading_before_it_has_begun_leaves_nothing_behind(camera: NetworkCamera) -> None:
    scanner = a_scanner(camera.stream())
    reading = asyncio.create_task(Listener(scanner).run(), name="lane")
    await until(lambda: scanner.pid is not None)
    pid = scanner.pid
    reading.cancel()
    await asyncio.wait([reading])
    assert pid is not None
    await gone(pid)


# --- devices ----------------------------------------------------------------------------------------------------------


def a_device(path: str, wanted: Wanted | None = None, found: Found | None = None) -> CameraScanner:
    limits = Limits(TIMEOUT_S, TIMEOUT_S)
    finds = [found] if found else []
    return CameraScanner(
        Task(VideoDevice(path), ("qr",)), FixedClock(), Hotplug(), wanted, find=lambda: finds, limits=limits
    )


async def test_a_camera_that_is_not_connected_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "video0")
    for scanner in (a_device(path), a_device("", Wanted(path))):
        failed = await failure(scanner)
        assert str(failed) == f"{path}: not connected; plug it in, or see brama devices for what is"
        assert isinstance(failed, DeviceLost)
        assert failed.again is not None
    failed = await failure(a_device("", Wanted(usb="046d:0825")))
    assert str(failed) == "usb 046d:0825: not connected; plug it in, or see brama devices for what is"


async def test_what_is_no_camera_is_refused() -> None:
    found = Found("/dev/null", "C270", "046d", "0825", None, "1-1.2", "/devices/usb1/1-1/1-1.2")
    for scanner in (a_device("/dev/null"), a_device("", Wanted(usb="046d:0825"), found)):
        failed = await failure(scanner)
        assert str(failed) == "/dev/null: not a camera; see brama devices for those that are"
        assert isinstance(failed, DeviceRefused)
        assert failed.again is not None
