"""`brama camera`: what a camera sees and reads, live, in the terminal and as a page; to aim it and to try settings."""

import asyncio
import errno
import json
import signal
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from aiohttp import web
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live

from config.hardware import CameraReader
from config.settings import BadSettings, LaneSettings, Settings, WebSettings
from drivers.protocols import DeviceLost, DeviceRefused, Read, Spoiled
from edge.box import ShownCamera
from edge.camera_files import chosen_symbologies
from edge.camera_view import CameraView
from edge.clock import GateClock
from edge.devices import list_devices
from edge.hardware import Hardware, device_name
from edge.supervise import Health, supervise
from edge.visible import visible
from edge.web.app import make_viewer

if TYPE_CHECKING:
    from drivers.scanner_camera import CameraScanner

HOST = "127.0.0.1"
PORT = 8090
"""Where the page is, unless another program is there."""
NAME = "camera"
EVERY_S = 0.2
"""No more than one picture in this time is drawn in a terminal: each is some ten kilobytes for it."""
DRAWN_PX = 240
"""The widest terminal that is filled."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says; None: nothing."""

    device: str | None = None
    url: str | None = None
    symbologies: str | None = None
    rotate: int | None = None
    mirror: bool | None = None
    region: str | None = None


def look(asked: Asked, settings: Settings | None, port: int | None) -> str:
    """Show a camera until Ctrl-C; return what to write into the settings. `port` as `show_camera` takes it.

    Raises:
        BadSettings: no camera is meant, an option is wrong, or the port is taken.
        DeviceLost, DeviceRefused: the camera gives no picture, or not any more; the message names the mend.
    """
    reader = chosen_camera(asked, settings)
    try:
        asyncio.run(show_camera(reader, port, settings.device.language if settings else "en"))
    except DeviceLost as exc:
        if "in use" not in str(exc):
            raise
        page = f"{(settings.web if settings else WebSettings()).local_url}/camera"
        raise DeviceLost(f"{exc}; the gate may have it: its own page shows what it sees, {page}") from exc
    hidden = reader.url is not None and reader.url != reader.shown
    mend = "; put back into url what may be a password, which is not shown here" if hidden else ""
    return f"In the settings: readers = [{settings_entry(reader)}]{mend}"


# --- which camera ---------------------------------------------------------------------------------------------------


def chosen_camera(asked: Asked, settings: Settings | None) -> CameraReader:
    """Return the camera that is meant: the one named, the first in the settings, or the first connected.

    Raises:
        BadSettings: none is meant, or an option is not one of those that there are; the message names it.
    """
    keys = _named(asked, settings)
    for name in ("rotate", "mirror"):
        if (value := getattr(asked, name)) is not None:
            keys[name] = value
    if asked.symbologies is not None:
        keys["symbologies"] = chosen_symbologies(asked.symbologies)
    if asked.region is not None:
        keys["region"] = parts = asked.region.split(",")
        if len(parts) != 4:
            raise BadSettings("--region: write it as left,top,width,height, such as 0.25,0.25,0.5,0.5 for the middle")
    try:
        return CameraReader.model_validate(keys)
    except ValidationError as exc:
        raise BadSettings("; ".join(_told(each["loc"], each["msg"]) for each in exc.errors())) from exc


def _named(asked: Asked, settings: Settings | None) -> dict[str, Any]:
    if asked.device is not None and asked.url is not None:
        raise BadSettings("--device, --url: each names a camera; give one of them")
    if asked.url is not None:
        return {"driver": "camera", "url": asked.url}
    cameras = [each for each in list_devices() if each.driver == "camera"]
    if asked.device is not None and asked.device.startswith("/dev/"):
        return {"driver": "camera", "device": asked.device}
    if asked.device is not None:
        cameras = [each for each in cameras if str(each.number) == asked.device]
        if not cameras:
            wrong = visible(asked.device)
            raise BadSettings(f"--device: {wrong}: give a camera's number in brama devices, or a path as /dev/video0")
    elif settings is not None:
        readers = [reader for lane in settings.lane for reader in lane.readers if isinstance(reader, CameraReader)]
        if readers:
            return readers[0].model_dump(exclude_unset=True)
    if not cameras:
        named = "the settings name none, and " if settings is not None else ""
        raise BadSettings(f"no camera: {named}none is connected; plug one in, or name one with --device or --url")
    found: dict[str, Any] = tomllib.loads(f"reader = {cameras[0].reader}")["reader"]
    return found


def _told(place: tuple[int | str, ...], what: str) -> str:
    """Put what is wrong with a camera's key into words, by the option that it comes from."""
    said = what.removeprefix("Value error, ")
    return f"--{place[0]}: {said[0].lower()}{said[1:]}" if place else said


def settings_entry(reader: CameraReader) -> str:
    """Return how the settings say what a reader is; of an address what may be a password is left out."""
    keys = {"driver": reader.driver, **reader.model_dump(exclude_unset=True)}
    if reader.url is not None:
        keys["url"] = reader.shown
    # What is printable and quoted for JSON is quoted for TOML, and so are numbers, lists of them, true and false.
    told = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items() if value is not None)
    return f"{{ {', '.join(told)} }}"


# --- live -----------------------------------------------------------------------------------------------------------


class _Session:
    """One camera, for as long as it is looked at."""

    def __init__(self, reader: CameraReader) -> None:
        self.device = device_name(reader)
        self._hardware = Hardware([LaneSettings(id=NAME, readers=(reader,))], GateClock())
        self.camera: CameraScanner = self._hardware.camera(reader)
        self.health = Health(on_change=self._changed)
        self.stop = asyncio.Event()
        self.failure: DeviceLost | DeviceRefused | None = None
        self.on_read: Callable[[Read | Spoiled], None] = lambda _read: None
        self.on_trouble: Callable[[str], None] = lambda _what: None
        self._seen = False
        self._shared = {name: Health() for name in self._hardware.jobs}

    @property
    def shown(self) -> ShownCamera:
        return ShownCamera(self.camera, "", self.device, True, NAME)

    async def run(self, show: Callable[["_Session"], Any]) -> None:
        """Read the camera, and let `show` show it, until `stop`."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(supervise(NAME, self._read, self.health), name=NAME)]
            for name, job in self._hardware.jobs.items():
                tasks.append(group.create_task(supervise(name, job, self._shared[name]), name=name))
            tasks.append(group.create_task(show(self), name="show"))
            await self.stop.wait()
            for task in tasks:
                task.cancel()

    def saw(self) -> None:
        """Note that a picture came: from now on a camera that goes is waited for."""
        self._seen = True

    async def _read(self) -> None:
        try:
            async with aclosing(self.camera.reads()) as reads:
                async for read in reads:
                    self._seen = True
                    if isinstance(read, Spoiled) or not read.again:
                        self.on_read(read)
        except (DeviceLost, DeviceRefused) as exc:
            if not self._seen or (isinstance(exc, DeviceRefused) and exc.again is None):
                self.failure = exc
                self.stop.set()
            raise

    def _changed(self) -> None:
        if self.failure is None:  # which is told at the end
            self.on_trouble((self.health.error if self.health.state != "running" else None) or "")


async def show_camera(reader: CameraReader, port: int | None, language: str) -> None:
    """Show a camera until Ctrl-C; `port` None: the usual one, or one that is free.

    Raises:
        BadSettings: the port cannot be listened on.
        DeviceLost, DeviceRefused: the camera gives no picture, or not any more.
    """
    session, console = _Session(reader), Console(highlight=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, session.stop.set)
    app = make_viewer({NAME: session.shown}, {NAME: session.health}, language)
    async with _served(app, port) as address:
        page = f"{address}/camera"
        if console.is_terminal:
            await session.run(partial(_in_terminal, console=console, page=page))
        else:
            await session.run(partial(_in_lines, page=page))
    if session.failure is not None:
        raise session.failure


async def _in_terminal(session: _Session, console: Console, page: str) -> None:
    """Draw the camera's picture, and below it how the camera fares and what it read."""
    view = CameraView(session.device, page)
    session.on_read = lambda read: view.note(line_of(read, session.camera))

    def trouble(what: str) -> None:
        view.trouble = what

    session.on_trouble = trouble
    with Live(view, console=console, screen=True, auto_refresh=False) as live:
        async with asyncio.TaskGroup() as group:
            group.create_task(_redraw(live, view, session), name="redraw")
            async with aclosing(session.camera.watch("luma", DRAWN_PX, EVERY_S)) as pictures:
                async for view.picture in pictures:
                    session.saw()
                    view.alive = session.camera.alive
                    live.refresh()


async def _redraw(live: Live, view: CameraView, session: _Session) -> None:
    """Draw anew while no picture comes: the size of the terminal and the camera's trouble change without one."""
    while True:
        await asyncio.sleep(1.0)
        view.alive = session.camera.alive
        live.refresh()


async def _in_lines(session: _Session, page: str) -> None:
    """Write a line for each read, and one on standard error when the camera goes."""

    def say(text: str, stream: TextIO) -> None:
        try:
            stream.write(f"{text}\n")
            stream.flush()
        except BrokenPipeError:  # whoever read the lines has had enough
            session.stop.set()

    say(f"{session.device}: {page}; Ctrl-C ends this.", sys.stdout)
    session.on_read = lambda read: say(line_of(read, session.camera), sys.stdout)
    session.on_trouble = lambda what: say(f"brama: {what}", sys.stderr) if what else None
    async with aclosing(session.camera.watch("luma", 80, 1.0)) as pictures:
        async for _picture in pictures:
            session.saw()


def line_of(read: Read | Spoiled, camera: "CameraScanner") -> str:
    """Write one read: when, what kind, by which step of the decoding, how long that took, and the code."""
    at = f"{read.at.astimezone():%H:%M:%S}"
    if isinstance(read, Spoiled):
        return f"{at}  spoiled: {read.why}"
    heard = camera.seen
    sighting = next((each for each in heard.codes if each.text == read.code), None) if heard is not None else None
    about = f"{sighting.kind}  {sighting.step}  {heard.took_ms:.1f} ms  " if heard is not None and sighting else ""
    return visible(f"{at}  {read.symbology}  {about}{read.code}")


@asynccontextmanager
async def _served(app: web.Application, port: int | None) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await _listen(runner, port)
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int | None) -> None:
    try:
        await web.TCPSite(runner, HOST, PORT if port is None else port).start()
    except OSError as exc:
        if port is not None or exc.errno != errno.EADDRINUSE:
            raise BadSettings(f"--port: {port or PORT} cannot be listened on; choose another, or leave it out") from exc
        await web.TCPSite(runner, HOST, 0).start()
