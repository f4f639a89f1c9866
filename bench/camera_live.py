"""A camera at a gate: time from a frame to its verdict on disk, memory of both processes, and the cost of idling."""

import asyncio
import itertools
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil

from bench.camera_stream import Camera, a_camera
from bench.decision import a_lane
from bench.figures import Figures, kept
from bench.memory import write_config
from bench.scenes.clips import FPS, idle_clip
from bench.scenes.still_life import held_still
from bench.stock import code_of, make_whitelist
from drivers.camera.messages import Stream, Task
from drivers.camera.symbologies import DEFAULT
from drivers.hotplug import Hotplug
from drivers.protocols import Read, Spoiled
from drivers.scanner_camera import CameraScanner
from edge.clock import GateClock
from edge.gate import Answer

TICKETS, CODES = 100_000, 120
SHOWN, BARE = 8, 3
"""Frames that show one ticket, and frames between two tickets."""
VERDICT_MS, MEMORY_MIB, IDLE_SHARE = 60.0, 220.0, 0.05
LIMIT_S = 60.0
FOREIGN = ("cv2", "numpy", "zxingcpp", "pyzbar", "libzbar", "libavcodec")
"""What the gate's own process must not have loaded."""


@dataclass(frozen=True)
class Way:
    """One code's way to its verdict, in seconds."""

    beside_s: float
    """From the frame's arrival in the camera's process to the verdict on disk, decoding left out."""
    whole_s: float
    """From the moment when the camera began to send the first frame that shows the code, all in all."""


def run(folder: Path) -> None:
    """Measure and print."""
    work = folder / "lane"
    work.mkdir()
    make_whitelist(work, TICKETS, CODES)
    ways = asyncio.run(_ways(work))
    beside, whole = Figures([way.beside_s for way in ways]), Figures([way.whole_s for way in ways])
    print(
        f"camera: frame arrived -> verdict on disk, {len(ways)} codes of a stream, decoding left out:"
        f" p50 {beside.p50_ms:.1f} ms, p99 {beside.p99_ms:.1f}"
        f" (goal: p50 at most {VERDICT_MS:g}) {kept(beside.p50_ms <= VERDICT_MS)};"
        f" from its first frame sent, decoding and all: p50 {whole.p50_ms:.1f}, p99 {whole.p99_ms:.1f}"
    )
    _run_gate(folder)


def _tickets() -> Iterator[tuple[bytes, str]]:
    """Yield frames in which one ticket after the other is shown."""
    rng = np.random.default_rng(7)
    bare = held_still(rng, None)
    for number in range(CODES):
        shown = held_still(rng, code_of(number))
        yield from [(shown, code_of(number))] * SHOWN
        yield from [(bare, "bare")] * BARE


# --- one lane in this process, so that each step of the way can be timed ------------------------------------------


class _Timed:
    """A camera's reads, each with when its frame came and how long that was decoded."""

    def __init__(self, camera: CameraScanner) -> None:
        self.camera = camera
        self.read: Read | None = None
        self.arrived_s = self.took_s = 0.0

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        async with aclosing(self.camera.reads()) as reads:
            async for read in reads:
                seen = self.camera.seen
                assert seen is not None and isinstance(read, Read)
                self.read, self.arrived_s, self.took_s = read, seen.frame_at_s, seen.took_ms / 1000
                yield read


async def _ways(work: Path) -> list[Way]:
    ways: list[Way] = []
    frames = list(_tickets())
    with a_camera(iter(frames[-1:])) as camera:
        task = Task(Stream(camera.url, camera.url), DEFAULT)
        timed = _Timed(CameraScanner(task, GateClock(), Hotplug()))
        everything = asyncio.Event()

        def shown(answer: Answer) -> None:
            now_s = time.monotonic()
            assert timed.read is not None and answer.scan.verdict == "admitted", answer.body()
            beside_s = now_s - timed.arrived_s - timed.took_s
            ways.append(Way(beside_s, now_s - camera.sent_at_s[timed.read.code]))
            if timed.read.code == code_of(CODES - 1):
                everything.set()

        async with a_lane(work) as lane, asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            pump = group.create_task(lane.pump(timed, shown=shown))
            await _up(timed.camera)
            camera.show(iter(frames))
            await everything.wait()
            pump.cancel()
    if len(ways) < 0.9 * CODES:
        raise AssertionError(f"of {CODES} codes only {len(ways)} were read")
    return ways


async def _up(camera: CameraScanner) -> None:
    async with aclosing(camera.watch("luma", 80, 0.0)) as pictures:
        await anext(pictures)


# --- the real `brama run`, and the process that it starts ------------------------------------------------------------


def _run_gate(folder: Path) -> None:
    make_whitelist(folder, TICKETS, CODES)
    with a_camera(itertools.cycle(list(_tickets()))) as camera:
        readers = f'readers = [{{ driver = "camera", url = "{camera.url}" }}]'
        config = write_config(folder, readers)
        process = subprocess.Popen([sys.executable, "-m", "edge", "run", "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            gate = psutil.Process(process.pid)
            _until_scanned(CODES * 9 // 10)
            (child,) = gate.children()
            _print_memory(gate, child)
            _print_idle(camera, child)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _until_scanned(count: int) -> None:
    until_s = time.monotonic() + LIMIT_S
    with httpx.Client(base_url="http://127.0.0.1:18080", trust_env=False) as client:
        while time.monotonic() < until_s:
            try:
                if len(client.get("/api/v1/scans", params={"limit": count}).json()["scans"]) >= count:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)  # between two looks
    raise AssertionError(f"{count} codes were not read in {LIMIT_S:g} s")


def _print_memory(gate: psutil.Process, child: psutil.Process) -> None:
    each = [process.memory_full_info() for process in (gate, child)]
    pss = [info.pss / 2**20 for info in each]
    rss = [info.rss / 2**20 for info in each]
    loaded = {name for name in FOREIGN for part in gate.memory_maps() if name in part.path}
    print(
        f"camera: memory after {CODES * 9 // 10} codes: gate {pss[0]:.0f} MiB, camera's process {pss[1]:.0f}, together"
        f" {sum(pss):.0f} (goal: at most {MEMORY_MIB:g}) {kept(sum(pss) <= MEMORY_MIB)};"
        f" resident, shared pages counted twice: {rss[0]:.0f} and {rss[1]:.0f}"
    )
    names = ", ".join(sorted(loaded)) or "none"
    print(f"camera: of {', '.join(FOREIGN)} the gate has loaded: {names} {kept(not loaded)}")


def _print_idle(camera: Camera, child: psutil.Process) -> None:
    still = list(idle_clip(1).jpegs())
    camera.show((packed, "idle") for packed in itertools.cycle(still))
    shares = []
    time.sleep(4)  # what moved last is looked at a few times more
    for _ in range(5):
        began = child.cpu_times()
        began_s = time.monotonic()
        time.sleep(2)  # the time over which it is measured
        ended = child.cpu_times()
        used_s = ended.user + ended.system - began.user - began.system
        shares.append(used_s / (time.monotonic() - began_s))
    share = statistics.mean(shares)
    print(
        f"camera: its whole process where nothing moves, {FPS} frames/s of JPEG: {100 * share:.1f} % of one core"
        f" (goal: at most {100 * IDLE_SHARE:g}) {kept(share <= IDLE_SHARE)}"
    )
