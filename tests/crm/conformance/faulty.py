"""Our real central behind a door that gets one thing wrong."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from sync.wire import NDJSON
from tests.sync.rig import served

Line = dict[str, Any]


@dataclass
class Asked:
    """A request to the Gate API; `path` is what follows `/gate/v1`, `hold_s` how long it is kept before it goes on."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes
    hold_s: float = 0

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in the body; empty where there is none."""
        try:
            found = json.loads(self.raw)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @body.setter
    def body(self, body: dict[str, Any]) -> None:
        self.raw = json.dumps(body).encode()

    @property
    def scans(self) -> list[dict[str, Any]]:
        scans = self.body.get("scans")
        return [each for each in scans if isinstance(each, dict)] if isinstance(scans, list) else []

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    @property
    def is_snapshot(self) -> bool:
        return self.path == "/changes" and "since" not in self.query

    @property
    def is_since(self) -> bool:
        return self.path == "/changes" and "since" in self.query


@dataclass
class Answered:
    """What goes back: `lines` of a feed, or a body; `pack` puts a feed's bytes on the wire."""

    status: int
    type: str
    raw: bytes
    lines: list[Line] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found

    @body.setter
    def body(self, body: dict[str, Any]) -> None:
        self.raw = json.dumps(body).encode()

    @property
    def is_feed(self) -> bool:
        return bool(self.lines)

    def kind(self, kind: str) -> Iterator[Line]:
        """Yield the lines of a kind."""
        return (line for line in self.lines if line["kind"] == kind)


def refused(status: int, code: str = "bad_input") -> Answered:
    """An error in the contract's form."""
    return Answered(status, "application/json", json.dumps({"error": {"code": code, "message": "no"}}).encode())


def said(body: dict[str, Any]) -> Answered:
    """A success."""
    return Answered(200, "application/json", json.dumps(body).encode())


class Fault:
    """One thing that a CRM gets wrong; as it stands, none. Kept for one run, so it may remember."""

    def ask(self, asked: Asked) -> Answered | None:
        """Change a request on its way in, or answer it here."""

    def answer(self, asked: Asked, answered: Answered) -> None:
        """Change an answer on its way out."""

    def pack(self, asked: Asked, answered: Answered) -> None:
        """Put the lines of a feed into bytes, packed as asked."""
        answered.raw = b"".join(line_bytes(line) for line in answered.lines)
        if "gzip" in asked.headers.get("Accept-Encoding", ""):
            answered.raw = gzip.compress(answered.raw)
            answered.headers["Content-Encoding"] = "gzip"


def line_bytes(line: Line) -> bytes:
    """Write a line; the key `raw` stands for bytes that are no line."""
    return line["raw"].encode() if "raw" in line else json.dumps(line, ensure_ascii=False).encode() + b"\n"


@dataclass
class Door:
    """Passes every request on to the central, and every answer back, through the fault."""

    central: str
    fault: Fault
    session: aiohttp.ClientSession

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        path = request.path.removeprefix("/gate/v1")
        asked = Asked(request.method, path, dict(request.query), headers, await request.read())
        answered = self.fault.ask(asked)
        await asyncio.sleep(asked.hold_s)
        answered = answered or await self._pass_on(asked)
        self.fault.answer(asked, answered)
        if answered.is_feed:
            self.fault.pack(asked, answered)
        headers = {"Content-Type": answered.type, **answered.headers}
        return web.Response(status=answered.status, body=answered.raw, headers=headers)

    async def _pass_on(self, asked: Asked) -> Answered:
        headers = {**asked.headers, "Accept-Encoding": "identity"}
        content = asked.raw if asked.method == "POST" else None
        async with self.session.request(
            asked.method, f"{self.central}/gate/v1{asked.path}", params=asked.query, headers=headers, data=content
        ) as answer:
            raw, kind = await answer.read(), answer.content_type
            lines = [json.loads(line) for line in raw.splitlines()] if kind == NDJSON else []
            return Answered(answer.status, kind, raw, lines)


PASSED_ON = ("Authorization", "Content-Type", "Accept-Encoding")


@asynccontextmanager
async def behind_a_fault(central: str, fault: Fault) -> AsyncIterator[str]:
    """Serve a central wrongly; yield the address."""
    app = web.Application(client_max_size=16 * 1024 * 1024)
    async with aiohttp.ClientSession() as session:
        app.router.add_route("*", "/{path:.*}", Door(central, fault, session).handle)
        async with served(app) as address:
            yield address


@dataclass
class Asking(Fault):
    """Gets wrong what comes in."""

    change: Callable[[Asked], Answered | None]

    def ask(self, asked: Asked) -> Answered | None:
        return self.change(asked)


@dataclass
class Answering(Fault):
    """Gets wrong what goes out."""

    change: Callable[[Asked, Answered], None]

    def answer(self, asked: Asked, answered: Answered) -> None:
        self.change(asked, answered)


@dataclass
class Packing(Fault):
    """Gets wrong how feeds are put into bytes."""

    change: Callable[[Asked, Answered], None]

    def pack(self, asked: Asked, answered: Answered) -> None:
        super().pack(asked, answered)
        self.change(asked, answered)


@dataclass
class Case:
    """A fault, and the checks that must fail by it: these and no others."""

    name: str
    fails: set[str]
    make: Callable[[], Fault]
    options: dict[str, Any] = field(default_factory=dict)


def asking(name: str, change: Callable[[Asked], Answered | None], *fails: str, **options: Any) -> Case:
    return Case(name, set(fails), lambda: Asking(change), options)


def answering(name: str, change: Callable[[Asked, Answered], None], *fails: str, **options: Any) -> Case:
    return Case(name, set(fails), lambda: Answering(change), options)


def packing(name: str, change: Callable[[Asked, Answered], None], *fails: str) -> Case:
    return Case(name, set(fails), lambda: Packing(change))


def in_feed(name: str, change: Callable[[Answered], None], *fails: str, since: bool = False) -> Case:
    """A fault in the snapshots; `since`: in the answers to cursors in their place."""

    def answer(asked: Asked, answered: Answered) -> None:
        if answered.is_feed and (asked.is_since if since else asked.is_snapshot):
            change(answered)

    return answering(name, answer, *fails)


def at(path: str, change: Callable[[Answered], None]) -> Callable[[Asked, Answered], None]:
    """A change to the good answers of one call."""

    def answer(asked: Asked, answered: Answered) -> None:
        if asked.path == path and answered.status == 200:
            change(answered)

    return answer
