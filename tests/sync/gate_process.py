"""A gate in a process of its own, so that it can be killed: its real store, lane and sync engine.

It is forked from a server that has loaded everything, which takes milliseconds where a start takes a second. Gate and
test speak JSON lines over a socket.
"""

import asyncio
import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import sqlite3
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from config.settings import LaneSettings
from edge.gate import Answer, Lane
from edge.hub import Hub
from edge.store.tx import Identity
from tests.sync.rig import News, OpenEngine, acked, open_engine
from tests.sync.sameness import dump_of_gate

LANE = LaneSettings(id="a")
"""Made before the fork: pydantic prepares itself with the first."""
NAP_S = 0.01
"""What any delay is cut to: enough for others to have their turn."""
PARTS = 256
"""The parts that an audit counts one by one."""


@dataclass(frozen=True)
class Start:
    """What a gate is started with; `asks_first`: its lane asks the CRM before it judges, which no lane may."""

    folder: Path
    url: str
    authority_path: Path
    identity: Identity
    token: str
    checkpoint: str
    asks_first: bool = False


# --- in the gate's process ------------------------------------------------------------------------------------------


def live(link: socket.socket, start: Start) -> None:
    """Be a gate until told to close; what goes wrong is told."""
    gc.freeze()  # what was loaded before the fork need not be looked through
    os.environ["SSL_CERT_FILE"] = str(start.authority_path)
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("error")
    left_open: list[str] = []
    sys.unraisablehook = lambda each: left_open.append(f"{each.err_msg} {each.object!r}: {each.exc_value!r}")
    with link:
        try:
            asyncio.run(_Gate(start).live(link.dup()))
            gc.collect()
            # httpcore does not close a connection that is given up in the middle of its TLS handshake; the collector
            # does, and says so.
            assert all("unclosed" in each for each in left_open), left_open
        except BaseException:
            link.setblocking(True)
            link.sendall(json.dumps({"defect": traceback.format_exc()}).encode() + b"\n")
            raise


class _Gate:
    """What the test asks for, done with the gate's parts."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._news = News()
        self._round_wanted = asyncio.Event()
        self._round_done = asyncio.Event()
        self._counted = 0

    async def live(self, link: socket.socket) -> None:
        """Open the gate, run its jobs and do what is asked for."""
        start = self._start
        reader, self._writer = await asyncio.open_connection(sock=link)
        opening = open_engine(start.folder, start.url, start.identity, start.token, self._news, self._sleep)
        async with opening as self._opened, asyncio.TaskGroup() as group:
            opened = self._opened
            settings = LANE.model_copy(update={"checkpoint": start.checkpoint})
            self._lane = Lane(settings, "en", opened.store, opened.clock, Hub())
            self._say(cursor=await opened.puller.cursor())
            await reader.readline()  # it looks whether that is where the list stood
            jobs = {"changes": opened.engine.run_changes, "scans": opened.engine.run_scans, "audit": self._audit}
            tasks = [group.create_task(job(), name=name) for name, job in jobs.items()]
            tasks.append(group.create_task(self._tell(opened), name="tell"))
            while (line := await reader.readline()) and (asked := json.loads(line))["do"] != "close":
                tasks.append(group.create_task(self._answer(asked), name="answer"))
            for task in tasks:
                task.cancel()
        self._writer.close()
        await self._writer.wait_closed()

    def _say(self, **said: Any) -> None:
        self._writer.write(json.dumps(said).encode() + b"\n")

    async def _tell(self, opened: OpenEngine) -> None:
        """Say whenever something changed, and with it how things stand."""
        while True:
            data, health = opened.store.data, opened.health
            self._say(acked=acked(opened.store), fingerprint=data.fingerprint, held=data.held, state=health.state)
            await self._news.next()

    async def _answer(self, asked: dict[str, Any]) -> None:
        value: Any = None
        match asked["do"]:
            case "scan":
                if self._start.asks_first:
                    await self._opened.connector.heartbeat({})
                answer: Answer = await self._lane.offer(asked["code"], scan_id=None)
                value = (answer.scan.scan_id, answer.scan.verdict)
            case "accept":
                self._opened.accept.set()
            case "audit":
                self._round_done.clear()
                self._round_wanted.set()
                await self._round_done.wait()
            case "dump":
                store = self._opened.store
                value = await store.read(lambda _: dump_of_gate(store.journal_path, store.whitelist_path))
            case "change by hand":
                value = await self._opened.store.read(lambda _: _change_by_hand(self._opened, asked["sql"]))
        self._say(id=asked["id"], value=value)

    async def _audit(self) -> None:
        await self._round_wanted.wait()
        await self._opened.engine.run_audit()

    async def _sleep(self, _delay_s: float) -> None:
        """Let the time pass almost at once; but that between two audits passes only while a round is asked for."""
        task = asyncio.current_task()
        if task is None or task.get_name() != "audit":
            await asyncio.sleep(NAP_S)
            return
        self._counted += 1
        if self._counted % PARTS == 0:
            self._round_wanted.clear()
            self._round_done.set()
            await self._round_wanted.wait()


def _change_by_hand(opened: OpenEngine, statements: Sequence[str]) -> bool:
    """Change the list in use over a connection of its own; False: it was locked just then.

    In the decision thread, so that the file is not swapped meanwhile: whoever does that by hand knows which he opened.
    """
    with closing(sqlite3.connect(opened.store.whitelist_path, timeout=0)) as db, suppress(sqlite3.OperationalError), db:
        for each in statements:
            db.execute(each)
        return True
    return False


# --- in the test ----------------------------------------------------------------------------------------------------


class Gone(Exception):
    """The gate was killed before it answered."""


def fork_server() -> multiprocessing.context.ForkServerContext:
    """Return what forks gates, ready to load all that they need."""
    context = multiprocessing.get_context("forkserver")
    # What httpx loads with its first request, and what a process of pytest's loads at its start.
    context.set_forkserver_preload([__name__, "pytest", "httpcore", "h11", "anyio._backends._asyncio"])
    return context


class GateProcess:
    """A gate that was started, as seen from the test; `poke` is called when something of it changed.

    `state`: the `cursor` of its list when it was opened, and as it goes on `acked`, `fingerprint`, why a list is
    `held`, and the CRM's `state` to it.
    """

    def __init__(self, process: ForkServerProcess, poke: Callable[[], None]) -> None:
        self.state: dict[str, Any] = {}
        self.killed = False
        self._process = process
        self._poke = poke
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._defect: str | None = None
        self._writer: asyncio.StreamWriter
        self._listening: asyncio.Task[None]

    @classmethod
    async def begin(cls, start: Start, poke: Callable[[], None]) -> "GateProcess":
        """Fork a gate; it opens its store, says at which `cursor` its list stands, and waits for `go`."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = fork_server().Process(target=live, args=(theirs, start), daemon=True)
            process.start()
        gate = cls(process, poke)
        reader, gate._writer = await asyncio.open_connection(sock=ours)
        gate._hear(await reader.readline())
        gate._listening = asyncio.create_task(gate._listen(reader), name="gate's words")
        assert gate._defect is None, gate._defect
        return gate

    def go(self) -> None:
        """Have the jobs begin."""
        self._writer.write(b"\n")

    async def ask(self, do: str, **more: Any) -> Any:
        """Have the gate do something; return what it answers.

        Raises:
            Gone: it ended first.
        """
        if self._listening.done():
            raise Gone
        self._count += 1
        number = self._count
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"id": number, "do": do, **more}).encode() + b"\n")
        try:
            return await answer
        finally:
            del self._asked[number]

    async def kill(self) -> None:
        """Kill it (SIGKILL) and wait until nothing is left of it."""
        self.killed = True
        self._process.kill()
        await self._end()

    async def close(self) -> None:
        """Have it close in order."""
        if not self.killed:
            self._writer.write(json.dumps({"do": "close"}).encode() + b"\n")
            await self._end()

    async def _end(self) -> None:
        await self._listening
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        await asyncio.to_thread(self._process.join)
        code = self._process.exitcode
        self._process.close()
        assert (code, self._defect) == (-signal.SIGKILL if self.killed else 0, None), self._defect

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            async for line in reader:
                self._hear(line)
        for each in self._asked.values():
            if not each.done():
                each.set_exception(Gone())
        self._poke()

    def _hear(self, line: bytes) -> None:
        said = json.loads(line)
        if "id" in said:
            if answer := self._asked.get(said["id"]):
                answer.set_result(said["value"])
        else:
            self.state.update(said)
            self._defect = said.get("defect", self._defect)
            self._poke()
