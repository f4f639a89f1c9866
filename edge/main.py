"""The composition root: builds each object of the gate once, in dependency order, and closes them in reverse."""

import asyncio
import base64
import contextlib
import logging
import os
import platform
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from aiohttp import web

from config.settings import BadSettings, LaneSettings, SerialReader, Settings, TerminalReader
from drivers.protocols import Scanner, Turnstile
from drivers.scanner_serial import SerialScanner
from drivers.scanner_terminal import TerminalScanner
from drivers.turnstile_fake import FakeTurnstile
from edge.box import Box, reader_name
from edge.clock import GateClock
from edge.gate import Answer, Lane
from edge.hub import Hub
from edge.people import People
from edge.store.credentials import ApiTokens, BadCredentials, Credentials, load_credentials, save_credentials
from edge.store.database import NewerSchema, connect_read_only
from edge.store.outbox import Conflict
from edge.store.store import FolderInUse, Store, open_store
from edge.store.tx import Identity, Tx
from edge.store.writer import CannotRecord
from edge.supervise import Health, Job, run_until
from edge.web.app import make_app
from sync.crm_brama import BramaCrm
from sync.engine import SyncEngine
from sync.pull import Puller
from sync.push import PushSink
from sync.state import CrmHealth
from sync.wire import DeviceModel, EnrolRequest

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
        await run_until(stop, gate.jobs, gate.box.healths)
    if defects:
        raise defects[0]


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
        credentials = read_credentials(data_path)
        identity = identity_of(credentials)
        clock = GateClock(last_written_at(data_path))
        store = await opened.enter_async_context(_open_store(data_path, identity, clock, on_defect))
        hub = Hub()
        host = _Host(clock, hub)
        crm = CrmHealth()
        people = People(store, clock, host.changed)
        lanes = {each.id: _make_lane(each, settings, store, clock, hub, host) for each in settings.lane}
        jobs: dict[str, Job] = {}
        healths: dict[str, Health] = {}
        box = Box(
            settings=settings,
            store=store,
            clock=clock,
            hub=hub,
            people=people,
            lanes=lanes,
            healths=healths,
            crm=crm,
            name=settings.device.name,
            organiser=credentials.organiser if credentials else None,
        )
        host.box = box
        _add_lane_jobs(jobs, lanes.values(), clock)
        puller = Puller(store, clock.now, crm, host, box.accept)
        if credentials is not None and settings.crm is not None:
            connector = BramaCrm(settings.crm.url, credentials.token)
            opened.push_async_callback(connector.close)
            engine = SyncEngine(
                store, connector, puller, host, crm, clock.now, sync_now=box.sync_now, accept=box.accept
            )
            crm.state = "connecting"
            jobs |= {"changes": engine.run_changes, "scans": engine.run_scans, "heartbeat": engine.run_heartbeat}
        elif settings.crm is not None:
            crm.error = f"not enrolled: run brama enrol {settings.crm.url} CODE with a code from the CRM"
        jobs["clock"] = partial(_watch_clock, clock)
        jobs["record probe"] = partial(_probe, box)
        jobs["archive"] = partial(_archive, store, clock, settings.journal.keep_days)
        healths |= {name: Health(on_change=host.changed) for name in jobs}
        app = make_app(box, ApiTokens(data_path), PushSink(puller, store))
        address = await _listen(opened, app, settings)
        opened.callback(hub.close)
        yield OpenGate(box, jobs, address)


async def _listen(opened: AsyncExitStack, app: web.Application, settings: Settings) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
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


def _make_lane(lane: LaneSettings, settings: Settings, store: Store, clock: GateClock, hub: Hub, host: "_Host") -> Lane:
    turnstile: Turnstile | None = None
    if lane.turnstile is not None:
        fake = lane.turnstile
        turnstile = FakeTurnstile(
            fake.passes_after_s if fake.passes else None, fake.passage_timeout_s if fake.sensor else None
        )
    return Lane(lane, settings.device.language, store, clock, hub, turnstile, host.changed)


def _add_lane_jobs(jobs: dict[str, Job], lanes: Iterable[Lane], clock: GateClock) -> None:
    for lane in lanes:
        if lane.settings.turnstile is not None:
            jobs[f"turnstile:{lane.id}"] = lane.run_turnstile
        for reader in lane.settings.readers:
            scanner, device = make_scanner(reader, clock)
            name = reader_name(lane.id, reader.driver, device)
            shown = _say if isinstance(reader, TerminalReader) else _say_nothing
            jobs[name] = partial(lane.pump, scanner, reader.direction, shown)


def make_scanner(reader: TerminalReader | SerialReader, clock: GateClock) -> tuple[Scanner, str]:
    """Build the reader that the settings name; return it and what to call its device."""
    match reader:
        case TerminalReader():
            return TerminalScanner(clock), "stdin"
        case SerialReader():
            return SerialScanner(reader.device, reader.baud, clock), reader.device


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


# --- credentials ----------------------------------------------------------------------------------------------------


def read_credentials(data_path: Path) -> Credentials | None:
    """Read the credentials.

    Raises:
        BadSettings: they cannot be used.
    """
    try:
        return load_credentials(data_path)
    except BadCredentials as exc:
        raise BadSettings(str(exc)) from exc


def identity_of(credentials: Credentials | None) -> Identity | None:
    """Return who this box is to the CRM."""
    return Identity(credentials.device_id, credentials.lookup_key) if credentials else None


async def enrol(settings: Settings, url: str, code: str) -> Credentials:
    """Trade an enrolment code for an identity and keep it.

    Raises:
        EnrolmentRefused, LinkDown: as `BramaCrm.enrol`.
    """
    crm = BramaCrm(url)
    try:
        answer = await crm.enrol(EnrolRequest(code=code, device=describe_device(settings)))
    finally:
        await crm.close()
    key = base64.b64decode(answer.lookup_key)
    credentials = Credentials(
        url=url,
        device_id=answer.device_id,
        name=answer.name,
        organiser=answer.organiser,
        token=answer.token,
        lookup_key=key,
    )
    save_credentials(settings.device.data_path, credentials)
    return credentials


def describe_device(settings: Settings) -> DeviceModel:
    """Say what this box is."""
    model = Path("/proc/device-tree/model")
    serial = Path("/proc/device-tree/serial-number")
    return DeviceModel(
        name=settings.device.name,
        hardware=_text_of(model) or platform.machine(),
        serial=_text_of(serial),
        software=f"brama on Python {platform.python_version()}",
    )


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text().strip("\0\n ")[:200] or None
    except (OSError, UnicodeDecodeError):
        return None


def last_written_at(data_path: Path) -> datetime | None:
    """Return the newest time that this gate wrote down: before that it cannot be now."""
    path = data_path / "journal.db"
    with contextlib.suppress(sqlite3.Error, ValueError):
        with contextlib.closing(connect_read_only(path)) as journal:
            row = journal.execute("SELECT at FROM scan ORDER BY seq DESC LIMIT 1").fetchone()
        return datetime.fromisoformat(row[0]) if row else None
    return None
