"""A CRM that answers by a script, over a real socket, and a real gate's store, lane and sync engine against it."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from config.settings import LaneSettings
from edge.clock import GateClock
from edge.gate import Answer, Lane
from edge.hub import Hub
from edge.store.database import connect_read_only
from edge.store.outbox import Conflict, acked_seq
from edge.store.store import Store, open_store
from edge.store.tx import Identity
from sync.crm_brama import BramaCrm
from sync.engine import SyncEngine
from sync.pull import Puller
from sync.state import CrmHealth
from sync.wire import NDJSON
from tests.sync.book import KEY, packed

START = datetime(2026, 5, 1, 18, 0, tzinfo=UTC)
TIMEOUT_S = 15.0


class News:
    """Something happened; one test waits at a time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def poke(self) -> None:
        self._event.set()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait for a fact; it is looked at again whenever something happened."""
        async with asyncio.timeout(TIMEOUT_S):
            while not fact():
                await self.next()

    async def next(self) -> None:
        """Wait until something has happened since the last time."""
        await self._event.wait()
        self._event.clear()


Step = dict[str, Any] | bytes | asyncio.Event
Feed = Sequence[Step]
"""What one answer to `GET /changes` is made of: lines, raw bytes, or something to wait for."""
CUT = b""
"""As the last step: the connection is cut here, without an end."""


class ScriptedCrm:
    """Answers `GET /changes` by `script`, one entry a request, and holds the requests that come after its end."""

    def __init__(self, news: News) -> None:
        self.news = news
        self.script: deque[Feed | web.Response] = deque()
        self.asked: list[str | None] = []
        self.waits: list[str | None] = []
        self.encodings: list[str] = []
        self.got: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []
        self.gzip = False
        self.closing = asyncio.Event()
        self.on_scans: Callable[[list[dict[str, Any]]], dict[str, Any] | web.Response] = self.take_all
        self.on_beat: Callable[[], web.Response] = lambda: web.json_response({"time": "2026-05-01T18:00:00Z"})

    def answers(self, *feeds: Feed | web.Response) -> None:
        self.script.extend(feeds)

    @staticmethod
    def take_all(scans: list[dict[str, Any]]) -> dict[str, Any]:
        return {"acked": scans[-1]["seq"]}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/gate/v1/changes", self._changes)
        app.router.add_post("/gate/v1/scans", self._scans)
        app.router.add_post("/gate/v1/heartbeat", self._beat)
        return app

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.query.get("since"))
        self.waits.append(request.query.get("wait"))
        self.encodings.append(request.headers.get("Accept-Encoding", ""))
        self.news.poke()
        if not self.script:
            await self.closing.wait()
            return web.Response(status=503)
        answer = self.script.popleft()
        return answer if isinstance(answer, web.Response) else await self._play(request, answer)

    async def _play(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        if self.gzip:
            response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        for step in feed:
            match step:
                case asyncio.Event():
                    await step.wait()
                case b"":
                    assert request.transport is not None
                    request.transport.close()
                    return response
                case bytes():
                    await response.write(step)
                case _:
                    await response.write(packed([step]))
        await response.write_eof()
        return response

    async def _scans(self, request: web.Request) -> web.Response:
        scans = (await request.json())["scans"]
        answer = self.on_scans(scans)
        self.got.extend(scans)
        self.news.poke()
        return answer if isinstance(answer, web.Response) else web.json_response(answer)

    async def _beat(self, request: web.Request) -> web.Response:
        self.beats.append(await request.json())
        self.news.poke()
        return self.on_beat()


@dataclass
class Sleeper:
    """Keeps the delays asked for; each but the first `naps` lasts for ever."""

    news: News
    naps: int = 50
    delays: list[float] = field(default_factory=list)

    async def __call__(self, delay_s: float) -> None:
        self.delays.append(delay_s)
        self.news.poke()
        if len(self.delays) > self.naps:
            await asyncio.Event().wait()
        await asyncio.sleep(0)


class HostRecord:
    """Keeps what the way to the CRM tells the gate."""

    def __init__(self, news: News) -> None:
        self.news = news
        self.shown: list[Conflict] = []
        self.heard: list[datetime] = []

    def hear(self, crm_time: datetime, round_trip_s: float) -> None:
        self.heard.append(crm_time)
        self.news.poke()

    async def health(self) -> dict[str, Any]:
        return {"backlog": 0}

    def conflicts_shown(self, conflicts: list[Conflict]) -> None:
        self.shown.extend(conflicts)
        self.news.poke()

    def changed(self) -> None:
        self.news.poke()


@dataclass
class Rig:
    """One gate under test and its CRM."""

    crm: ScriptedCrm
    store: Store
    lane: Lane
    puller: Puller
    engine: SyncEngine
    health: CrmHealth
    host: HostRecord
    sleeper: Sleeper
    news: News
    sync_now: asyncio.Event
    accept: asyncio.Event

    @property
    def acked(self) -> int:
        """The seq up to which the CRM has every row."""
        return acked(self.store)

    async def until(self, fact: Callable[[], bool]) -> None:
        await self.news.until(fact)

    async def until_at(self, cursor: str) -> None:
        """Wait until the list in use stands at this cursor."""
        await self.until(lambda: self.store.data.cursor == cursor)

    async def until_asked(self, times: int) -> None:
        await self.until(lambda: len(self.crm.asked) >= times)

    @asynccontextmanager
    async def running(self, *jobs: str) -> AsyncIterator[None]:
        """Run these jobs of the engine; without names the one that pulls."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(getattr(self.engine, f"run_{job}")()) for job in jobs or ("changes",)]
            yield
            for task in tasks:
                task.cancel()

    async def offer(self, number: int, scan_id: str | None = None) -> Answer:
        return await self.lane.offer(f"CODE-{number}", scan_id=scan_id)

    async def reason(self, number: int) -> str:
        return (await self.offer(number)).scan.reason


def acked(store: Store) -> int:
    """Return the seq up to which the CRM has every row."""
    with closing(connect_read_only(store.journal_path)) as journal:
        return acked_seq(journal)


async def _some_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def served(app: web.Application, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on loopback; yield the address."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    try:
        await site.start()
        yield f"{'https://localhost' if tls else 'http://127.0.0.1'}:{runner.addresses[0][1]}"
    finally:
        # asyncio gives an accepted connection to the server two turns of the loop later. One that came as the server
        # closes, or after the clean-up had looked round, would be left open.
        await _some_turns()
        await site.stop()
        await _some_turns()
        await runner.cleanup()


@asynccontextmanager
async def open_rig(folder: Path, url: str, crm: ScriptedCrm) -> AsyncIterator[Rig]:
    """Open a gate's real parts in a folder, not yet running."""
    news, clock = crm.news, GateClock(wall=lambda: START, synchronised=lambda: True)
    host, health, sleeper = HostRecord(news), CrmHealth(), Sleeper(news)
    sync_now, accept = asyncio.Event(), asyncio.Event()
    defects: list[BaseException] = []
    async with open_store(folder, Identity("d-1", KEY), clock.now, defects.append) as store:
        puller = Puller(store, clock.now, health, host, accept)
        connector = BramaCrm(url, "the-token")
        engine = SyncEngine(
            store,
            connector,
            puller,
            host,
            health,
            clock.now,
            sync_now=sync_now,
            accept=accept,
            sleep=sleeper,
            period_s=0.0,
        )
        lane = Lane(LaneSettings(id="north-1", checkpoint="c-1"), "en", store, clock, Hub())
        try:
            yield Rig(crm, store, lane, puller, engine, health, host, sleeper, news, sync_now, accept)
        finally:
            await connector.close()
    assert defects == []


@dataclass
class OpenEngine:
    """A gate's store and its sync engine, not yet running."""

    store: Store
    puller: Puller
    engine: SyncEngine
    host: HostRecord
    health: CrmHealth
    clock: GateClock
    sync_now: asyncio.Event
    accept: asyncio.Event
    connector: BramaCrm


async def short_nap(_delay_s: float) -> None:
    """Try again soon: what the delays are is tested elsewhere."""
    await asyncio.sleep(0.005)


@asynccontextmanager
async def open_engine(
    folder: Path,
    url: str,
    identity: Identity,
    token: str,
    news: News,
    sleep: Callable[[float], Awaitable[None]] = short_nap,
) -> AsyncIterator[OpenEngine]:
    """Open a gate's store in a folder, with an engine towards a real central."""
    clock, health, host = GateClock(synchronised=lambda: True), CrmHealth(), HostRecord(news)
    sync_now, accept = asyncio.Event(), asyncio.Event()
    defects: list[BaseException] = []
    async with open_store(folder, identity, clock.now, defects.append) as store:
        connector = BramaCrm(url, token)
        puller = Puller(store, clock.now, health, host, accept)
        engine = SyncEngine(
            store, connector, puller, host, health, clock.now, sync_now=sync_now, accept=accept, sleep=sleep
        )
        try:
            yield OpenEngine(store, puller, engine, host, health, clock, sync_now, accept, connector)
        finally:
            await connector.close()
    assert defects == []
