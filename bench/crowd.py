"""Very many gates in a process of their own, `python -m bench.crowd`, and the handle by which a bench holds it.

The process reads its task as a line of JSON and says `listed` once every gate has the whole list; then they scan until
it reads the list's count and fingerprint. It writes what it saw once every gate holds that list and has heard of every
admission of the others, or a minute later.
"""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.crowd_gate import Gate, Seen

SETTLE_S = 60.0


@dataclass(frozen=True)
class Crowd:
    """A running crowd."""

    process: subprocess.Popen[str]

    def until_listed(self) -> None:
        """Return once every gate has the whole list; from then on they scan."""
        if self._read() != "listed":
            raise AssertionError("the crowd ended early")

    def end(self, tickets: int, fingerprint: str) -> dict[str, Any]:
        """Let the crowd come to an end with this list; return what it saw."""
        self.tell([tickets, fingerprint])
        found: dict[str, Any] = json.loads(self._read())
        return found

    def tell(self, value: Any) -> None:
        """Write a line of JSON to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def crowd(url: str, checkpoint: str, devices: Sequence[tuple[str, str]], scan_every_s: float) -> Iterator[Crowd]:
    """Run gates with these ids and tokens, each of which scans at this pace."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.crowd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        running = Crowd(process)
        running.tell([url, checkpoint, list(devices), scan_every_s])
        yield running
    finally:
        process.terminate()
        process.communicate()


async def _run() -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    url, checkpoint, devices, scan_every_s = json.loads(await lines.readline())
    seen, over = Seen(), asyncio.Event()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(f"{url}/gate/v1/", connector=connector, raise_for_status=True) as http:
        gates = [Gate(http, device, token, checkpoint, seen) for device, token in devices]
        async with asyncio.TaskGroup() as group:
            for_ever = [group.create_task(gate.follow()) for gate in gates]
            for gate in gates:
                await gate.listed.wait()
            seen.requests.clear()
            print("listed", flush=True)
            for_ever += [group.create_task(gate.beat_on()) for gate in gates]
            numbers = itertools.count()
            scanning = [group.create_task(gate.scan_on(lambda: next(numbers), scan_every_s, over)) for gate in gates]
            tickets, fingerprint = json.loads(await lines.readline())
            over.set()
            await asyncio.wait(scanning)
            settled = await _settled(gates, (tickets, fingerprint))
            print(json.dumps(_told(gates, seen, settled)), flush=True)
            for task in for_ever:
                task.cancel()


async def _settled(gates: Sequence[Gate], listed: tuple[int, str]) -> bool:
    """Wait until every gate has all there is; False: they never had."""
    until = time.monotonic() + SETTLE_S
    scans = sum(len(gate.scans) for gate in gates)
    while time.monotonic() < until:
        if all(
            (gate.counted.count, gate.counted.hex()) == listed and len(gate.heard) == scans - len(gate.scans)
            for gate in gates
        ):
            return True
        await asyncio.sleep(0.1)
    return False


def _told(gates: Sequence[Gate], seen: Seen, settled: bool) -> dict[str, Any]:
    return {
        "settled": settled,
        "scans": {gate.device: [scan["scan_id"] for scan in gate.scans] for gate in gates},
        "doubled": sum(count - 1 for gate in gates for count in gate.heard.values()),
        "revoked_at": seen.revoked_at,
        "posts_s": seen.posts_s,
        "requests": seen.requests,
        "faults": seen.faults,
    }


if __name__ == "__main__":
    asyncio.run(_run())
