"""The composition root: builds each object of the gate once, in dependency order, and closes them in reverse."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from aiohttp import web

from config.hardware import CameraReader, TerminalReader
from config.settings import BadSettings, LaneSettings, Settings
from edge.box import Box, ShownCamera, reader_name
from edge.clock import GateClock
from edge.core.model import ClockTrust
from edge.desk import Desk
from edge.enrolling import CrmLink, identity_of, known_credentials
from edge.gate import Answer, Lane, ReaderCount
from edge.hardware import Hardware, device_name
from edge.hub import Hub
from edge.people import People
from edge.store.credentials import ApiTokens
from edge.store.database import NewerSchema, connect_read_only
from edge.store.outbox import Conflict
from edge.store.store import FolderInUse, Store, open_store
from edge.store.tx import Identity, Tx
from edge.store.writer import CannotRecord
from edge.supervise import Health, Job, run_until
from edge.web.app import make_app
from edge.web.pushes import takes_pushes
from sync.connector import Connector
from sync.engine import SyncEngine
from sync.pull import Puller
from sync.push import PushSink
from sync.state import CrmHealth

log = logging.getLogger(__name__)

CLOCK_CHECK_S = 5.0
RECORD_PROBE_S = 2.0
ARCHIVE_EVERY_S = 3600.0

OnDefect = Callable[[BaseException], None]


async def run(settings: Settings) -> None:
    """Run the gate until SIGTERM or SIGINT.

    Raises:
        BadSettings: the data folder, the credentials or the address cannot be used.
        BaseException: a defect in decide-and-record, for which the process must end.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    defects: list[BaseException] = []

    def on_defect(exc: BaseException) -> None:
        defects.append(exc)
        stop.set()

    async with open_gate(settings, on_defect) as gate:
        log.info("%s ready at %s", settings.device.name, gate.address)
        _settle_memory()
        await run_until(stop, gate.jobs, gate.box.healths)
    if defects:
        raise defects[0]


def _settle_memory() -> None:
    """Return to the system what only the start needed (malloc_trim(3)); a libc that has no such call keeps it.

    What is left stays for good, and is no longer looked through for garbage: each full pass stopped every lane for
    some 40 ms.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class OpenGate:
    """A gate whose files and socket are open; `jobs` make it live."""

    def __init__(self, box: Box, jobs: dict[str, Job], address: str) -> None:
        self.box = box
        self.jobs = jobs
        self.address = address


@asynccontextmanager
async def open_gate(settings: Settings, on_defect: OnDefect) -> AsyncIterator[OpenGate]:
    """Open one gate's files and socket.

    Raises:
        BadSettings: the data folder, the credentials or the address cannot be used.
    """
    data_path = settings.device.data_path
    async with AsyncExitStack() as opened:
        credentials = known_credentials(settings)
        clock = GateClock(last_written_at(data_path))
        store = await opened.enter_async_context(_open_store(data_path, identity_of(credentials), clock, on_defect))
        hub = Hub()
        host = _Host(clock, hub)
        crm = CrmHealth()
        hardware = Hardware(settings.lane, clock)
        people = People(store, clock, host.changed)
        healths: dict[str, Health] = {}

        def make_lane(chosen: LaneSettings) -> Lane:
            turnstile, lights = hardware.turnstile(chosen), hardware.lights(chosen.lights)
            return Lane(chosen, settings.device.language, store, clock, hub, turnstile, host.changed, lights)

        sync_now, accept = asyncio.Event(), asyncio.Event()
        puller = Puller(store, clock.now, crm, host, accept)

        def make_engine(connector: Connector) -> SyncEngine:
            return SyncEngine(store, connector, puller, host, crm, clock.now, sync_now=sync_now, accept=accept)

        link = CrmLink(settings, store, crm, make_engine, credentials, clock.now)
        opened.push_async_callback(link.close)
        box = Box(
            settings=settings,
            store=store,
            clock=clock,
            hub=hub,
            people=people,
            link=link,
            desk=Desk(store, people, link),
            lanes={each.id: make_lane(each) for each in settings.lane},
            healths=healths,
            crm=crm,
            name=settings.device.name,
            sync_now=sync_now,
            accept=accept,
        )
        host.box = box
        lane_jobs: dict[str, Job] = {}
        _add_lane_jobs(lane_jobs, box, hardware)
        jobs: dict[str, Job] = {**hardware.jobs, **lane_jobs}
        jobs |= {"changes": link.run_changes, "scans": link.run_scans, "heartbeat": link.run_heartbeat}
        jobs["audit"] = link.run_audit
        push = PushSink(puller, store)
        if takes_pushes(box):
            await push.resume()
        jobs["pushed list"] = partial(push.run, partial(takes_pushes, box))
        jobs["clock"] = partial(_watch_clock, clock)
        jobs["record probe"] = partial(_probe, box)
        jobs["archive"] = partial(_archive, store, clock, settings.journal.keep_days)
        if _allow_pictures(box, host.changed):
            jobs["pictures"] = store.pictures.run
        # These say themselves when they have their device: it may take a camera seconds to turn out to have none.
        silent = {f"turnstile:{lane}" for lane in box.lanes} | {shown.job for shown in box.cameras.values()}
        for name in jobs:
            healths[name] = Health(on_change=host.changed, settles=name not in silent)
        app = make_app(box, ApiTokens(data_path), push)
        address = await _listen(opened, app, settings)
        opened.callback(hub.close)
        yield OpenGate(box, jobs, address)


async def _listen(opened: AsyncExitStack, app: web.Application, settings: Settings) -> str:
    # A pushed body is unpacked where it is read; whatever else is packed is refused there, and not by the parser.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, auto_decompress=False)
    await runner.setup()
    opened.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, settings.web.host, settings.web.port)
    try:
        await site.start()
    except OSError as exc:
        where = f"{settings.web.host}:{settings.web.port}"
        # asyncio puts the address into strerror, where it would stand twice; a name's error has numbers of its own.
        why = exc.strerror if isinstance(exc, socket.gaierror) else os.strerror(exc.errno or 0)
        raise BadSettings(f"web.port: {where} cannot be listened on ({why}); choose another") from exc
    port = runner.addresses[0][1]
    return f"http://{settings.web.host}:{port}"


@asynccontextmanager
async def _open_store(
    data_path: Path, identity: Identity | None, clock: GateClock, on_defect: OnDefect
) -> AsyncIterator[Store]:
    _make_folder(data_path)
    try:
        async with open_store(data_path, identity, clock.now, on_defect) as store:
            yield store
    except (FolderInUse, NewerSchema) as exc:
        raise BadSettings(f"device.data_path: {exc}") from exc
    except PermissionError as exc:
        raise BadSettings(f"device.data_path: {exc.filename}: {exc.strerror}; give it to the gate's user") from exc


def _make_folder(path: Path) -> None:
    """Make the data folder; faults of the disk are left to those that come back to it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError) as exc:
        raise BadSettings(f"device.data_path: {exc.filename}: {exc.strerror}; name a folder that can be made") from exc


def _add_lane_jobs(jobs: dict[str, Job], box: Box, hardware: Hardware) -> None:
    """Add what makes the lanes live, in the order in which a person would look for a fault."""
    for lane in box.lanes.values():
        if lane.settings.turnstile is not None:
            jobs[f"turnstile:{lane.id}"] = partial(lane.door.run_signals, partial(_runs, box, f"turnstile:{lane.id}"))
            jobs[f"releases:{lane.id}"] = lane.door.run_releases
            jobs[f"emergencies:{lane.id}"] = lane.door.emergencies.run
        if lane.lights is not None:
            jobs[f"lights:{lane.id}"] = lane.lights.run
        for number, reader in enumerate(lane.settings.readers, 1):
            name = reader_name(lane.id, reader.driver, device_name(reader))
            if name in jobs:  # two streams that differ in what is not shown
                name += f" (reader {number})"
            _add_reader(jobs, name, box, hardware, lane, number)


def _add_reader(jobs: dict[str, Job], name: str, box: Box, hardware: Hardware, lane: Lane, number: int) -> None:
    """Add one reader of a lane, by its place there, counted from 1."""
    reader = lane.settings.readers[number - 1]
    count = box.readers[name] = ReaderCount()
    shown = _say if isinstance(reader, TerminalReader) else _say_nothing
    pump = partial(lane.pump, direction=reader.direction, shown=shown, others=box.desk.take, count=count)
    if isinstance(reader, CameraReader):
        camera = hardware.camera(reader)
        camera.on_up = partial(_runs, box, name)
        box.cameras[f"{lane.id}.{number}"] = ShownCamera(camera, lane.id, device_name(reader), reader.on_page, name)
        jobs[name] = partial(pump, camera, keep_h=reader.keep_refused_h)
    else:
        jobs[name] = partial(pump, hardware.scanner(reader))


def _allow_pictures(box: Box, on_change: Callable[[], None]) -> bool:
    """Let pictures of refused scans be kept as the settings say, and none once this box is revoked.

    Returns whether there is anything to keep, or to delete from before.
    """
    readers = [reader for lane in box.settings.lane for reader in lane.readers]
    most_h = max((reader.keep_refused_h for reader in readers if isinstance(reader, CameraReader)), default=0)
    box.store.pictures.allow(
        lambda: 0 if box.crm.state == "revoked" else most_h,
        lambda: box.clock.trust is not ClockTrust.UNKNOWN,
        on_change,
    )
    return most_h > 0 or box.store.pictures.is_there


def _runs(box: Box, job: str) -> None:
    """Show that a job has its device."""
    box.healths[job].set("running")


def _say(answer: Answer) -> None:
    """Show a verdict at the terminal at which its code was typed."""
    sys.stdout.write(f"{answer.line()}\n")
    sys.stdout.flush()


def _say_nothing(_answer: Answer) -> None:
    """The page shows what other readers' codes came to."""


class _Host:
    """What the way to the CRM tells the gate."""

    box: Box

    def __init__(self, clock: GateClock, hub: Hub) -> None:
        self._clock = clock
        self._hub = hub

    def hear(self, crm_time: datetime, round_trip_s: float) -> None:
        self._clock.hear(crm_time, round_trip_s)
        self.changed()

    async def health(self) -> dict[str, Any]:
        return await self.box.status()

    def conflicts_shown(self, conflicts: list[Conflict]) -> None:
        for each in conflicts:
            log.error("conflict: ticket %s was admitted at two devices: %s", each.ticket_id, each.body)
            self._hub.publish({"kind": "conflict", **each.body})
        self.changed()

    def changed(self) -> None:
        self._hub.publish({"kind": "status"})


# --- small jobs -----------------------------------------------------------------------------------------------------


async def _watch_clock(clock: GateClock) -> NoReturn:
    while True:
        clock.check()
        await asyncio.sleep(CLOCK_CHECK_S)


async def _probe(box: Box) -> NoReturn:
    """While a lane cannot record, try whether the disk takes a row again, so that the lane recovers by itself."""

    def job(tx: Tx) -> None:
        tx.journal.execute("INSERT OR REPLACE INTO meta VALUES ('probed_at', ?)", (box.clock.now().isoformat(),))

    while True:
        await asyncio.sleep(RECORD_PROBE_S)
        if box.ready() is None:
            continue
        try:
            await box.store.write(job)
        except CannotRecord:
            continue
        for lane in box.lanes.values():
            lane.set_cannot_record(None)


async def _archive(store: Store, clock: GateClock, keep_days: int) -> NoReturn:
    while True:
        while await store.archive(clock.now(), keep_days):
            pass
        await asyncio.sleep(ARCHIVE_EVERY_S)


def last_written_at(data_path: Path) -> datetime | None:
    """Return the newest time that this gate wrote down: before that it cannot be now."""
    path = data_path / "journal.db"
    with contextlib.suppress(sqlite3.Error, ValueError):
        with contextlib.closing(connect_read_only(path)) as journal:
            row = journal.execute("SELECT at FROM scan ORDER BY seq DESC LIMIT 1").fetchone()
        return datetime.fromisoformat(row[0]) if row else None
    return None
