"""Network cameras on real sockets, what is held up to them, and the gate's end of one as a lane reads it."""

import asyncio
import base64
import itertools
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import zxingcpp
from aiohttp import web

from drivers.camera.frames import Luma
from drivers.camera.messages import Source, Stream, Task
from drivers.camera_child import Limits
from drivers.descriptor import until_readable
from drivers.hotplug import Hotplug
from drivers.protocols import DeviceLost, DeviceRefused, Read
from drivers.scanner_camera import CameraScanner
from tests.drivers.plugs import READ_AT, TIMEOUT_S, FixedClock, Listener

WIDTH, HEIGHT = 640, 360
FRAME_S = 1 / 30
USER, PASSWORD = "gate", "p4ss-w0rd"
NOTHING: Luma = np.full((HEIGHT, WIDTH), 200, np.uint8)
_BOUNDARY = "frame"
STRANGER = """
import pathlib, socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 500_000)
link.recv(1_000_000)
link.send(pathlib.Path(sys.argv[2]).read_bytes())
link.recv(1)
"""
_BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def a_code(text: str | bytes, kind: str = "QRCode", scale: int = 5) -> Luma:
    """Draw a code with its quiet zone."""
    barcode = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
    return np.array(zxingcpp.write_barcode_to_image(barcode, scale=scale, add_quiet_zones=True))


def a_scene(text: str | bytes, kind: str = "QRCode", scale: int = 5, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Luma:
    """What a camera sees of whoever holds up a code: the code, in the middle of something grey."""
    scene = np.full((size[1], size[0]), 200, np.uint8)
    code = a_code(text, kind, scale)
    top, left = (size[1] - code.shape[0]) // 2, (size[0] - code.shape[1]) // 2
    scene[top : top + code.shape[0], left : left + code.shape[1]] = code
    return scene


def a_jpeg(luma: Luma, quality: int = 90) -> bytes:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


class NetworkCamera:
    """A camera that gives MJPEG over HTTP, and other things under other addresses."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self.jpeg = b""
        self.port = 0
        self.requests: list[str] = []
        self.is_stalled = False
        self.is_cut = False
        """Each other JPEG lacks its second half."""
        self.video = b""
        """What `/video` gives, such as an MPEG transport stream."""
        self._sent = 0
        self._changed = asyncio.Condition()
        self._runner: web.ServerRunner | None = None
        self._off = asyncio.Event()
        self.shows(NOTHING)

    async def switched_on(self) -> None:
        self._off.clear()
        self._runner = web.ServerRunner(web.Server(self.answer), shutdown_timeout=0.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self._tls).start()
        self.port = self._runner.addresses[0][1]

    async def switched_off(self) -> None:
        self._off.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def shows(self, luma: Luma) -> None:
        self.jpeg = a_jpeg(luma)

    def url(self, path: str = "stream", user: str = "") -> str:
        return f"{'https' if self._tls else 'http'}://{user}127.0.0.1:{self.port}/{path}"

    def stream(self, path: str = "stream", user: str = "") -> Stream:
        return Stream(self.url(path, user), self.url(path))

    async def sends(self, frames: int) -> None:
        """Wait until it has sent so many more frames."""
        until = self._sent + frames
        async with asyncio.timeout(TIMEOUT_S), self._changed:
            await self._changed.wait_for(lambda: self._sent >= until)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request.path)
        match request.path:
            case "/stream":
                return await self._mjpeg(request, itertools.count())
            case "/ends":
                return await self._mjpeg(request, range(10))
            case "/secret":
                if request.headers.get("Authorization") != _BASIC:
                    raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="camera"'})
                return await self._mjpeg(request, itertools.count())
            case "/video":
                return await self._bytes(request)
            case "/page":
                return web.Response(text="<html><body>A camera.</body></html>" * 20, content_type="text/html")
            case "/full":
                raise web.HTTPServiceUnavailable
            case "/still.jpg":
                return web.Response(body=self.jpeg, content_type="image/jpeg")
            case "/silent":
                await self._off.wait()
        raise web.HTTPNotFound

    async def _mjpeg(self, request: web.BaseRequest, numbers: Iterable[int]) -> web.StreamResponse:
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        answer = web.StreamResponse(headers={"Content-Type": kind})
        await answer.prepare(request)
        for number in numbers:
            if self._off.is_set():
                break
            jpeg = self.jpeg[: len(self.jpeg) // 2] if self.is_cut and number % 2 else self.jpeg
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                await answer.write(head.encode() + jpeg + b"\r\n")
            except ConnectionResetError:  # whoever looked has gone
                break
            await self._paced()
        return answer

    async def _bytes(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "video/mp2t"})
        await answer.prepare(request)
        for start in itertools.count(0, 4096):
            if self._off.is_set() or not (part := self.video[start : start + 4096]):
                break
            with suppress(ConnectionResetError):
                await answer.write(part)
            await self._paced()
        return answer

    async def _paced(self) -> None:
        """Let the time of a frame pass, as a camera does, or all time."""
        self._sent += 1
        async with self._changed:
            self._changed.notify_all()
        if self.is_stalled:
            await self._off.wait()
        await asyncio.sleep(FRAME_S)


@asynccontextmanager
async def a_camera(tls: ssl.SSLContext | None = None) -> AsyncIterator[NetworkCamera]:
    """A camera that is switched on until the end of the block."""
    camera = NetworkCamera(tls)
    await camera.switched_on()
    try:
        yield camera
    finally:
        await camera.switched_off()


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact of which nobody tells."""
    async with asyncio.timeout(TIMEOUT_S):
        while not fact():
            await asyncio.sleep(0.005)


def a_scanner(
    source: Source, *, symbologies: tuple[str, ...] = ("qr",), stall_s: float = TIMEOUT_S, silent_s: float = TIMEOUT_S
) -> CameraScanner:
    """A camera at a lane, which has a long patience unless told otherwise."""
    task = Task(source, symbologies, open_s=TIMEOUT_S, stall_s=stall_s)
    return CameraScanner(task, FixedClock(), Hotplug(), limits=Limits(TIMEOUT_S, silent_s), stream_pause_s=0.0)


@asynccontextmanager
async def listening(scanner: CameraScanner) -> AsyncIterator[Listener]:
    """Read a camera as a lane does; at the end its process is gone."""
    listener = Listener(scanner)
    async with listener.running():
        pid = scanner.pid
        yield listener
    assert scanner.pid is None
    assert pid is None or not psutil.pid_exists(pid)


async def next_read(listener: Listener) -> Read:
    read = await listener.next()
    assert isinstance(read, Read)
    assert READ_AT - timedelta(seconds=3) < read.at <= READ_AT
    return read


async def failure(scanner: CameraScanner) -> DeviceLost | DeviceRefused:
    """Read nothing, and return why."""
    async with asyncio.timeout(TIMEOUT_S), aclosing(scanner.reads()) as reads:
        with pytest.raises((DeviceLost, DeviceRefused)) as caught:
            await anext(reads)
    assert scanner.pid is None
    assert isinstance(caught.value, (DeviceLost, DeviceRefused))
    return caught.value


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert await until_readable(process, TIMEOUT_S)
    finally:
        os.close(process)


def without_libraries(folder: Path) -> str:
    """Return an interpreter that has nothing but its standard library."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    path.chmod(0o755)
    return str(path)


def a_stranger(path: Path, link: int) -> "subprocess.Popen[bytes]":
    """A process that takes its task, says what is in a file, and waits."""
    return subprocess.Popen([sys.executable, "-c", STRANGER, str(link), str(path)], pass_fds=(link,))
