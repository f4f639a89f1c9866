"""One gate of a crowd: it speaks the Gate API, keeps its list and counts it, and writes down what it saw."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from crm.journal import chain_hash
from edge.core.fingerprint import Fingerprint, row_digests
from sync.instants import write_instant

WAIT_S = 30
HEARTBEAT_S = 30.0
ANSWER_TIMEOUT_S = 20.0
LOST_ANSWERS = 0.03
"""The share of uploads of which the answer is not taken, so that the scans are sent again."""
_CHAIN_START = "0" * 64
_decoder = msgspec.json.Decoder()
_names: dict[str, str] = {}
"""Texts that all gates hold, once."""


class AnswerLost(TimeoutError):
    """The central has answered, and this gate does not know."""


@dataclass
class Seen:
    """What the crowd saw; instants are those of `time.monotonic`, which all processes of a machine share."""

    revoked_at: dict[str, list[float]] = field(default_factory=dict)
    """When each gate had the revocation of a ticket in force, by ticket id."""
    posts_s: list[float] = field(default_factory=list)
    """How long each upload of scans took."""
    requests: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    """What went wrong, and was tried again."""


class Gate:
    """One of the crowd; what it does are three jobs that do not end by themselves but `scan_on`."""

    def __init__(self, http: aiohttp.ClientSession, device: str, token: str, checkpoint: str, seen: Seen) -> None:
        self.device = device
        self.scans: list[dict[str, Any]] = []
        self.listed = asyncio.Event()
        """Set once the whole list has come."""
        self.counted = Fingerprint()
        self.heard: Counter[str] = Counter()
        """How often each admission made elsewhere was told."""
        self._http = http
        self._checkpoint = checkpoint
        self._seen = seen
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
        self._digests: dict[str, int] = {}
        self._acked = 0
        self._cursor: str | None = None

    async def follow(self) -> None:
        """Pull the whole list, then hold requests for what changes."""
        while True:
            await self._tried("changes", self._pull)

    async def scan_on(self, next_number: Callable[[], int], every_s: float, over: asyncio.Event) -> None:
        """Scan at this pace until it is over, and send until all is acknowledged."""
        await _over_within(over, random.uniform(0, every_s))
        while not over.is_set():
            self.scans.append(self._scan(next_number()))
            while self._acked < len(self.scans):
                await self._tried("scans", self._send)
            await _over_within(over, every_s)

    async def beat_on(self) -> None:
        """Tell how this gate fares."""
        await asyncio.sleep(random.uniform(0, HEARTBEAT_S))
        while True:
            await self._tried("heartbeat", self._beat)
            await asyncio.sleep(HEARTBEAT_S)

    async def _tried(self, what: str, call: Callable[[], Any]) -> None:
        self._seen.requests[what] += 1
        try:
            await call()
        except (aiohttp.ClientError, TimeoutError) as exc:
            self._seen.faults[f"{what}: {type(exc).__name__} {getattr(exc, 'status', '')}".strip()] += 1
            await asyncio.sleep(random.uniform(0.5, 1.0))

    async def _pull(self) -> None:
        params = {"wait": str(WAIT_S)} | ({"since": self._cursor} if self._cursor else {})
        timeout = aiohttp.ClientTimeout(total=None, sock_read=WAIT_S + ANSWER_TIMEOUT_S)
        async with self._http.get("changes", params=params, headers=self._headers, timeout=timeout) as answer:
            for line in _decoder.decode_lines(await answer.read()):
                self._apply(line)

    def _apply(self, line: dict[str, Any]) -> None:
        match line["kind"]:
            case "tickets":
                self._put(line["rows"])
            case "admissions":
                self.heard.update(row[0] for row in line["rows"])
            case "cursor":
                if (line["tickets"], line["fingerprint"]) != (self.counted.count, self.counted.hex()):
                    raise AssertionError(f"{self.device} holds another list than the central says")
                self._cursor = line["cursor"]
                if not line["more"]:
                    self.listed.set()

    def _put(self, rows: list[list[Any]]) -> None:
        for row, digest in zip(rows, row_digests(rows), strict=True):
            name = _names.setdefault(row[0], row[0])
            if (old := self._digests.get(name)) is not None:
                self.counted = self.counted.minus(old)
            self._digests[name] = digest
            self.counted = self.counted.plus(digest)
            if row[3] == "revoked":
                self._seen.revoked_at.setdefault(row[1], []).append(time.monotonic())

    async def _send(self) -> None:
        body = {"device_id": self.device, "scans": self.scans[self._acked :]}
        started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
        async with self._http.post("scans", json=body, headers=self._headers, timeout=timeout) as answer:
            if random.random() < LOST_ANSWERS:
                raise AnswerLost
            found = await answer.json()
        if found["rejected"] or found["conflicts"]:
            raise AssertionError(found)
        self._seen.posts_s.append(time.monotonic() - started)
        self._acked = found["acked"]

    async def _beat(self) -> None:
        health = {"backlog": len(self.scans) - self._acked, "clock": "trusted"}
        async with self._http.post("heartbeat", json=health, headers=self._headers) as answer:
            await answer.read()

    def _scan(self, number: int) -> dict[str, Any]:
        """Admit one of the tickets; nobody else does."""
        return {
            "scan_id": f"s-{number:06}",
            "seq": len(self.scans) + 1,
            "prev": (self.scans and chain_hash(self.scans[-1])) or _CHAIN_START,
            "lane": "bench",
            "checkpoint": self._checkpoint,
            "ticket_id": f"tk-{number:08}",
            "direction": "entry",
            "verdict": "admitted",
            "reason": "admitted",
            "at": write_instant(datetime.now(UTC)),
            "clock": "trusted",
        }


async def _over_within(over: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        pass
