"""Keeping jobs alive: each runs under its own supervisor, and a fault stays where it is."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from drivers.protocols import Again, DeviceLost, DeviceRefused
from sync.errors import LinkDown, TokenRefused

log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[None]]
TRANSIENT = (DeviceLost, LinkDown)
PERMANENT = (DeviceRefused, TokenRefused)

FIRST_DELAY_S = 0.2
MOST_DELAY_S = 1.5
"""A scanner is back within two seconds of being plugged in."""
SETTLED_S = 0.3
"""A job that has run this long has found its device; one that fails at once has not flickered."""


State = Literal["starting", "running", "lost", "stopped"]


@dataclass(slots=True)
class Health:
    """How one job fares; `error` says what is wrong and what mends it."""

    state: State = "starting"
    error: str | None = None
    failures: int = 0
    settles: bool = True
    """The job runs once it has not failed for a while; False: it says itself when it has its device."""
    on_change: Callable[[], None] = field(default=lambda: None, repr=False)

    def set(self, state: State, error: str | None = None) -> None:
        """Note a change and tell whoever listens."""
        if error is not None and (state, error) != (self.state, self.error):
            log.warning("%s", error)
        changed = (state, error) != (self.state, self.error)
        self.state, self.error = state, error
        if changed:
            self.on_change()


async def supervise(
    name: str, job: Job, health: Health, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Run `job` again after each failure that may pass, waiting longer each time; stop at one that will not.

    A failure that knows what it waits for (`again`: something plugged in, a permission mended) is tried again when that
    has come, also after a stop. A job that runs for a while before it fails starts again at the first delay. A job that
    returns, or fails in a way that nobody named, has a defect: it is logged, counted, shown, and that job alone starts
    again.
    """
    delay, loop = FIRST_DELAY_S, asyncio.get_running_loop()
    while True:
        started = loop.time()
        again: Again | None = None
        state: State = "lost"
        settled = loop.call_later(SETTLED_S, health.set, "running") if health.settles else None
        try:
            await job()
            log.error("%s: the job returned, which it never should", name)
            error = "stopped by itself; starting again"
        except TRANSIENT as exc:
            error, again = str(exc), again_of(exc)
        except PERMANENT as exc:
            error, again, state = str(exc), again_of(exc), "stopped"
        except Exception as exc:
            log.exception("%s: defect", name)
            error = f"defect: {type(exc).__name__}: {exc}; see the log"
        finally:
            if settled is not None:
                settled.cancel()
        if (task := asyncio.current_task()) is not None and task.cancelling():
            # The job failed while it was being stopped, and so hid that it was: it must not start again.
            raise asyncio.CancelledError
        health.failures += 1
        health.set(state, error)
        if again is None and state == "stopped":
            return
        if again is not None:
            await again()
        if again is not None or loop.time() - started > 10 * MOST_DELAY_S:
            delay = FIRST_DELAY_S
        await sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, not a secret)
        delay = min(MOST_DELAY_S, delay * 2)


def again_of(exc: BaseException) -> Again | None:
    """Return what a failure waits for, where it knows."""
    return exc.again if isinstance(exc, (DeviceLost, DeviceRefused)) else None


async def run_until(stop: asyncio.Event, jobs: Mapping[str, Job], healths: Mapping[str, Health]) -> None:
    """Run all jobs until `stop` is set, each under its own supervisor."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(supervise(name, job, healths[name]), name=name) for name, job in jobs.items()]
        await stop.wait()
        for task in tasks:
            task.cancel()
