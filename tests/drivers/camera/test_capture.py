"""Frames from cameras: the newest only, over RTSP as over HTTP, and what is said of a stream that gives none."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from drivers.camera import stream
from drivers.camera.capture import Newest
from drivers.camera.frames import ArrayFrame
from drivers.camera.messages import Stream
from drivers.camera.pixels import BadPicture
from drivers.protocols import DeviceLost, DeviceRefused, Read
from tests.drivers.cameras import a_scanner, a_scene, failure, listening, until
from tests.drivers.plugs import TIMEOUT_S
from tests.drivers.rtsp import RtspCamera, an_rtsp_camera


@pytest.fixture
async def camera() -> AsyncIterator[RtspCamera]:
    async with an_rtsp_camera() as made:
        yield made


def a_frame(at_s: float) -> ArrayFrame:
    return ArrayFrame(np.zeros((2, 2), np.uint8), at_s)


# --- the newest -------------------------------------------------------------------------------------------------------


def test_only_the_newest_frame_is_kept_and_the_others_are_counted() -> None:
    newest = Newest()
    frames = [a_frame(number) for number in range(5)]
    for frame in frames:
        newest.put(frame)
    assert newest.take(0.0) is frames[-1]
    assert newest.take(0.0) is None
    newest.put(frames[0])
    assert newest.take(0.0) is frames[0]
    assert (newest.frames, newest.dropped) == (6, 4)


def test_a_frame_is_waited_for() -> None:
    newest, frame = Newest(), a_frame(0.0)
    thread = threading.Thread(target=newest.put, args=(frame,))
    thread.start()
    assert newest.take(TIMEOUT_S) is frame
    thread.join()


def test_bad_pictures_are_counted_and_the_last_fault_is_kept() -> None:
    newest = Newest()
    newest.spoil(BadPicture("no JPEG"))
    newest.put(a_frame(0.0))
    newest.take(0.0)
    newest.unreadable(BadPicture("damaged JPEG"))
    assert (newest.frames, newest.dropped, str(newest.bad)) == (2, 2, "damaged JPEG")


def test_what_ends_the_capture_is_raised_where_frames_are_waited_for() -> None:
    newest = Newest()
    newest.put(a_frame(0.0))
    newest.fail(DeviceLost("unplugged"))
    with pytest.raises(DeviceLost, match="unplugged"):
        newest.take(TIMEOUT_S)


# --- RTSP -------------------------------------------------------------------------------------------------------------


async def test_a_camera_is_read_over_rtsp(camera: RtspCamera) -> None:
    scanner = a_scanner(camera.stream())
    async with listening(scanner) as listener:
        for text in ("T-1", "T-2"):
            camera.shows(a_scene(text))
            read = await listener.next()
            assert isinstance(read, Read)
            assert read.code == text
        assert scanner.up is not None
        assert (scanner.up.width, scanner.up.height) == (640, 360)
        await until(lambda: scanner.alive is not None and scanner.alive.fps > 10)
    assert camera.asked[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


@pytest.mark.parametrize(
    ("path", "user", "kind", "fault"),
    [
        ("gone", "", DeviceLost, "the camera has no such stream (404); check the address"),
        ("closed", "", DeviceRefused, "wants a user and a password; put them into the url of the settings"),
        ("closed", "gate:p4ss@", DeviceRefused, "does not take the user, the password or the address; check them"),
    ],
)
async def test_an_rtsp_camera_says_why_it_gives_nothing(
    camera: RtspCamera, path: str, user: str, kind: type[Exception], fault: str
) -> None:
    made = camera.stream(path)
    failed = await failure(a_scanner(Stream(made.url.replace("rtsp://", f"rtsp://{user}"), made.shown)))
    assert str(failed).startswith(f"{made.shown}: {fault}")
    assert type(failed) is kind


# --- what is wrong with an address ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["ftp://camera/1", "camera", "http://camera:none/", "rtsp://[::1/", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(DeviceRefused, match=r"^shown: not the address of a stream; begin it with rtsp://"):
        stream.reach(Stream(url, "shown"))


def test_a_host_that_is_not_known_is_lost() -> None:
    with pytest.raises(DeviceLost, match=r"^shown: no such host; check the address"):
        stream.reach(Stream("rtsp://camera.invalid/1", "shown"))


def test_an_address_without_a_host_is_lost() -> None:
    with pytest.raises(DeviceLost, match=r"^shown: "):
        stream.reach(Stream("http:///1", "shown"))


@contextmanager
def a_host(answer: bytes) -> Iterator[int]:
    """Somebody who gives one answer to whatever is asked; the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(10_000)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


ODD = "the answer is none that a camera gives; check the port and the address"


@pytest.mark.parametrize(
    ("scheme", "answer", "fault"),
    [
        ("http", b"SSH-2.0-OpenSSH_9.2\r\n", ODD),
        ("http", b"", ODD),
        ("http", b"HTTP/1.1 999 \r\n\r\n", "the camera refuses (999); see its own page"),
        ("http", b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "the camera refuses (302); see its own page"),
        (
            "http",
            b"HTTP/1.1 200 OK\r\nContent-Type: a/\x1b[31m\r\n\r\n",
            "gives a/[31m, in which there is no video",
        ),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Type: video/x\r\n\r\n", "gives video/x, in which there is no video"),
        ("rtsp", b"HTTP/1.1 400 Bad Request\r\n\r\n", ODD),
        ("rtsp", b"RTSP/1.0 what\r\n\r\n", ODD),
        ("rtsp", b"", ODD),
        (
            "rtsp",
            b"RTSP/1.0 453 Not Enough Bandwidth\r\n\r\n",
            "the camera serves no more viewers (453); close another",
        ),
        ("rtsp", b"RTSP/1.0 200 OK\r\n\r\n", "gives no video that can be read; set the camera to H.264 or MJPEG"),
        ("rtsp", b"RTSP/1.0 401 \r\nX: 1\r\n" + b"Y: 2\r\n" * 500, "wants a user and a password"),
    ],
)
def test_whatever_answers_is_told_of(scheme: str, answer: bytes, fault: str) -> None:
    with a_host(answer) as port:
        said = str(stream.fault(Stream(f"{scheme}://127.0.0.1:{port}/1?a=b", "shown")))
    assert said.startswith(f"shown: {fault}")
    assert said.isprintable()


def test_a_password_that_an_address_has_to_quote_is_understood() -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                asked.append(link.recv(10_000))
                link.sendall(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        failed = stream.fault(Stream(f"http://gate:p%40ss@127.0.0.1:{server.getsockname()[1]}/1", "shown"))
        thread.join()
    assert b"Authorization: Basic Z2F0ZTpwQHNz\r\n" in asked[0]
    assert str(failed) == "shown: does not take the user or the password; mend them in the settings"


def test_who_does_not_speak_tls_where_it_should_is_told_of() -> None:
    with (
        a_host(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port,
        pytest.raises(DeviceLost, match=r"^shown: cannot be reached \("),
    ):
        stream.reach(Stream(f"https://127.0.0.1:{port}/1", "shown"))
