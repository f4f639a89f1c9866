"""Real processes for whole-system tests: gates, centrals and commands, none of which outlives its test."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from edge.store.credentials import Credentials, save_credentials
from tests.sync.book import KEY, packed

HANG_S = 20.0
"""Longer than anything here may take on a loaded machine: only a hang is told from it."""
ROOT = Path(__file__).parents[2]
BRAMA = (sys.executable, "-m", "edge")


class Children:
    """Starts processes, each in a session of its own, and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, log: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a process whose output goes into a file of the test's folder."""
        with (self._folder / f"{log}.log").open("ab") as output:
            given = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, "cwd": ROOT, **options}
            child = subprocess.Popen(arguments, env=environment(self._folder), start_new_session=True, **given)
        self._all.append(child)
        return child

    def end(self) -> None:
        """Kill what still runs, with its children."""
        for child in self._all:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(HANG_S)


def environment(home: Path) -> dict[str, str]:
    """The environment of a machine with nothing of Brama in it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BRAMA_")}
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
        "NO_COLOR": "1",
        "PYTHONWARNINGS": "error",
    }


async def brama(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run one command to its end; return its exit code and what it said, on standard output and error."""
    child = await asyncio.create_subprocess_exec(
        *BRAMA,
        *arguments,
        cwd=ROOT,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(2 * HANG_S):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return child.returncode, out.decode(), err.decode()


def free_ports(count: int) -> list[int]:
    """Return ports in a row that nobody listens on, below those that outgoing connections take (ip(7))."""
    while True:
        first = random.SystemRandom().randrange(10_000, 30_000)
        found = list(range(first, first + count))
        if all(is_free(port) for port in found):
            return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def ended(child: subprocess.Popen[bytes]) -> int:
    """Wait for a process to end; return its exit code."""
    return await asyncio.to_thread(child.wait, HANG_S)


async def poll(look: Callable[[], Awaitable[bool]]) -> None:
    """Look until it is so; bounded."""
    async with asyncio.timeout(HANG_S):
        while not await look():
            await asyncio.sleep(0.01)


@dataclass
class GateProcess:
    """One gate: its folder, its settings, and the process while there is one."""

    folder: Path
    port: int
    children: Children
    http: aiohttp.ClientSession
    name: str = "North"
    crm: str | None = None
    lanes: Sequence[str] = ("a",)
    child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def config(self) -> Path:
        return self.folder / "gate.toml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def configure(self, checkpoint: str | None = None) -> None:
        """Write the settings; without `checkpoint` the lanes work where the CRM says."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = [f'[device]\nname = "{self.name}"\ndata_path = "{self.data}"\nlanguage = "en"']
        parts += [f'[crm]\nurl = "{self.crm}"'] if self.crm else []
        parts += [f"[web]\nport = {self.port}"]
        works = f'\ncheckpoint = "{checkpoint}"' if checkpoint else ""
        parts += [f'[[lane]]\nid = "{lane}"{works}' for lane in self.lanes]
        self.config.write_text("\n".join(parts) + "\n")

    def enrol(self, device_id: str = "d-1", token: str | None = None, key: bytes = KEY) -> None:
        """Give the box its identity, as enrolment would."""
        save_credentials(
            self.data,
            Credentials(
                url=self.crm or "http://none",
                device_id=device_id,
                name=self.name,
                organiser="Palace",
                token=token or "none",
                lookup_key=key,
            ),
        )

    async def start(self) -> float:
        """Start the process and wait until guests can be judged; return the seconds that took."""
        started = time.monotonic()
        self.child = self.children.start(*BRAMA, "run", "-c", str(self.config), log=self.name)
        await poll(self._is_ready)
        return time.monotonic() - started

    async def _is_ready(self) -> bool:
        assert self.child is not None
        assert self.child.poll() is None, (self.folder.parent / f"{self.name}.log").read_text()
        try:
            async with self.http.get(f"{self.url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def kill(self) -> None:
        """End the process as a power cut does."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.child is not None
        await ended(self.child)

    async def stop(self) -> int:
        """Ask the process to stop; return its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        assert self.child is not None
        return await ended(self.child)

    async def push(self, lines: list[dict[str, Any]]) -> None:
        """Send the feed's lines to the gate."""
        headers = {"Content-Type": "application/x-ndjson"}
        async with self.http.post(f"{self.url}/api/v1/changes", data=packed(lines), headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def scan(self, code: str, **fields: str) -> dict[str, Any]:
        """Offer a code; an answer that is not 200 raises."""
        body = {"code": code, **fields}
        async with self.http.post(f"{self.url}/api/v1/scans", json=body, raise_for_status=True) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def status(self) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/api/v1/status", raise_for_status=True) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def until(self, fact: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait until the status says something; return that status."""
        seen: list[dict[str, Any]] = []

        async def look() -> bool:
            seen[:] = [await self.status()]
            return bool(fact(seen[0]))

        await poll(look)
        return seen[0]

    async def sync_now(self) -> None:
        async with self.http.post(f"{self.url}/api/v1/sync/now", raise_for_status=True):
            pass
