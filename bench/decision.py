"""Time from an offered code to its verdict on disk, at whitelists of four sizes, beside the commit floor."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Figures
from bench.floor import commit_floor
from bench.stock import CHECKPOINT, KEY, code_of, make_whitelist
from config.settings import LaneSettings
from edge.clock import GateClock
from edge.gate import Lane
from edge.hub import Hub
from edge.store.database import remove
from edge.store.store import open_store
from edge.store.tx import Identity

SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
SCANS = 2000
WAITING = 32


@asynccontextmanager
async def a_lane(folder: Path) -> AsyncIterator[Lane]:
    """Open one lane on a folder, as the gate does."""
    clock = GateClock()

    def on_defect(exc: BaseException) -> None:
        raise exc

    async with open_store(folder, Identity("d-bench", KEY), clock.now, on_defect) as store:
        yield Lane(LaneSettings(id="bench", checkpoint=CHECKPOINT), "en", store, clock, Hub())


async def one_by_one(lane: Lane, first: int, count: int) -> Figures:
    """Offer codes one after the other; each must be admitted."""
    took = []
    for number in range(first, first + count):
        started = time.perf_counter()
        answer = await lane.offer(code_of(number))
        took.append(time.perf_counter() - started)
        if answer.scan.verdict != "admitted":
            raise AssertionError(answer.body())
    return Figures(took)


async def all_at_once(lane: Lane, first: int, count: int) -> float:
    """Keep `WAITING` reads waiting; return decisions a second."""
    numbers = iter(range(first, first + count))

    async def reader() -> None:
        for number in numbers:
            await lane.offer(code_of(number))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(WAITING):
            group.create_task(reader())
    return count / (time.perf_counter() - started)


def run(folder: Path, sizes: tuple[int, ...] = SIZES) -> None:
    """Measure and print."""
    medians: dict[int, float] = {}
    print("decision: code offered -> verdict on disk, one lane, one thread hop")
    print(f"{'tickets':>10} {'p50 ms':>8} {'p99 ms':>8} {'floor p50':>10} {'floor p99':>10} {'p50/floor':>10}")
    for size in sizes:
        work = folder / f"at-{size}"
        work.mkdir()
        make_whitelist(work, size, 3 * SCANS)
        floor = commit_floor(work)
        figures = asyncio.run(_measure(work))
        again = commit_floor(work)
        floor = Figures(floor.took + again.took)
        medians[size] = figures.p50_ms
        print(
            f"{size:>10} {figures.p50_ms:>8.3f} {figures.p99_ms:>8.3f}"
            f" {floor.p50_ms:>10.3f} {floor.p99_ms:>10.3f} {figures.p50_ms / floor.p50_ms:>10.2f}"
        )
        if size != min(sizes):
            shutil.rmtree(work)
    growth = medians[max(sizes)] / medians[min(sizes)]
    print(f"p50 at {max(sizes)} tickets over p50 at {min(sizes)}: {growth:.2f} (goal: at most 1.3)")
    work = folder / f"at-{min(sizes)}"
    remove(work / "journal.db")
    alone, together = asyncio.run(_rates(work))
    rates = f"{together:.0f} decisions/s; one commit a read: {alone:.0f}/s"
    print(f"{WAITING} reads waiting: {rates}; {together / alone:.1f} times (goal: at least 5)")


async def _measure(work: Path) -> Figures:
    async with a_lane(work) as lane:
        await one_by_one(lane, 0, 200)
        return await one_by_one(lane, 200, SCANS)


async def _rates(work: Path) -> tuple[float, float]:
    async with a_lane(work) as lane:
        alone = await one_by_one(lane, 0, SCANS)
        return len(alone.took) / sum(alone.took), await all_at_once(lane, SCANS, 2 * SCANS)
