"""Writes down when an emergency opens a lane and when it is over, however late the disk takes it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from config.settings import LaneSettings
from edge.clock import GateClock
from edge.core.admission import Reason
from edge.core.model import ClockTrust, Direction
from edge.store.records import Scan, new_scan_id
from edge.store.store import Store
from edge.store.tx import Tx
from edge.store.writer import CannotRecord

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""How long to wait before a row is tried again that the disk did not take."""


@dataclass(frozen=True, slots=True)
class _Row:
    """An emergency began or ended: a row of the journal, of the time at which it happened."""

    scan_id: str
    reason: Reason
    at: datetime
    clock: ClockTrust


class EmergencyLog:
    """One lane's. `hear` never waits; `run`, a job of its own, writes. `on_failure` gets why the disk takes nothing."""

    def __init__(
        self, settings: LaneSettings, store: Store, clock: GateClock, on_failure: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._on_failure = on_failure
        self._unwritten: deque[_Row] = deque()
        self._news = asyncio.Event()
        self._told_open = False
        """What the journal says, or soon will."""
        self._now_open: bool | None = None
        """What was heard last."""
        self._looked_back = False

    def hear(self, held_open: bool) -> None:
        """Take in whether an emergency holds the lane open now."""
        self._now_open = held_open
        if held_open == self._told_open:
            return
        self._told_open = held_open
        reason = Reason.EMERGENCY_OPEN if held_open else Reason.EMERGENCY_OVER
        log.error("lane %s: %s", self._settings.id, reason)
        at = self._clock.now()
        self._unwritten.append(_Row(new_scan_id(at), reason, at, self._clock.trust))
        self._news.set()

    async def run(self) -> NoReturn:
        """Write what was heard, in order, each once."""
        if not self._looked_back:
            await self._look_back()
        while True:
            while self._unwritten:
                if await self._written(self._unwritten[0]):
                    self._unwritten.popleft()
                else:
                    await asyncio.sleep(AGAIN_S)
            self._news.clear()
            await self._news.wait()

    async def _look_back(self) -> None:
        """Find an emergency in the journal whose end was not written: it lasts, or ended while no gate was running."""
        stood_open = await self._store.read(lambda tx: tx.stands_open(self._settings.id))
        self._looked_back = True
        if stood_open and self._unwritten:
            self._unwritten.popleft()  # that it is open, which the journal says already
        elif stood_open:
            self._told_open = True
            if self._now_open is not None:
                self.hear(self._now_open)

    async def _written(self, row: _Row) -> bool:
        here = self._settings
        way = Direction.EXIT if here.direction == "exit" else Direction.ENTRY

        def job(tx: Tx) -> Scan:
            # A job that was stopped just after its commit is run again.
            return tx.find(row.scan_id) or tx.note_event(
                row.scan_id, here.id, here.checkpoint, way, row.reason, row.at, row.clock
            )

        try:
            await self._store.write(job)
        except CannotRecord as exc:
            self._on_failure(str(exc))
            return False
        return True
