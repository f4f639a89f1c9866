"""What a lane does with its turnstile: releases it for each admission, and settles what it saw.

An emergency holds the lane open: nothing is released or taken back meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import NoReturn

from config.settings import LaneSettings
from drivers.protocols import DeviceLost, DeviceRefused, Signals, Turnstile
from edge.clock import GateClock
from edge.emergency_log import EmergencyLog
from edge.hub import Hub
from edge.store.records import Scan, new_scan_id
from edge.store.store import Store
from edge.store.writer import CannotRecord

log = logging.getLogger(__name__)

CLAIM_S = 3.0
"""How long after an admission a turnstile that is not claimed yet may still be released: a gate that was killed is back
by then, and a guest still stands there."""


@dataclass(frozen=True, slots=True)
class _Admission:
    """A guest to be let through, admitted after so many openings; `claim_by_s` is the loop's time."""

    scan: Scan
    openings: int
    claim_by_s: float


class Door:
    """The way through one lane; a lane without a turnstile has one that is always free.

    `on_change` is called when what the lane shows of it has changed, `on_failure` with the reason why the journal
    could not be written.
    """

    def __init__(
        self,
        settings: LaneSettings,
        store: Store,
        clock: GateClock,
        hub: Hub,
        turnstile: Turnstile | None,
        on_change: Callable[[], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._lane = settings.id
        self._store = store
        self._clock = clock
        self._hub = hub
        self._turnstile = turnstile
        self._on_change = on_change
        self._on_failure = on_failure
        self._admissions: asyncio.Queue[_Admission] = asyncio.Queue()
        self._unanswered: str | None = None
        self._signals = Signals()
        self._claimed = asyncio.Event()
        self._openings = 0
        """How often an emergency has opened the lane."""
        self._blind = 0
        """How often a guest could then go through unseen: the lane was opened, or its turnstile lost."""
        self.emergencies = EmergencyLog(settings, store, clock, on_failure)

    @property
    def fault(self) -> str | None:
        """What is wrong with the turnstile, where something is."""
        return self._unanswered or ("turnstile: it reports a fault; look at it" if self._signals.fault else None)

    @property
    def held_open(self) -> bool:
        """An emergency holds the lane open."""
        return self._signals.held_open

    @property
    def passage_at_once(self) -> str:
        """What is known of the passage when the verdict is written; without a sensor an admission counts as passed."""
        return "unknown" if self._turnstile and self._turnstile.passage_timeout_s is not None else "passed"

    def admit(self, scan: Scan) -> bool:
        """Let one guest through, as soon as the one before is; False: the way is free, or held open, and they walk."""
        if self._turnstile is not None and not self.held_open:
            claim_by_s = asyncio.get_running_loop().time() + CLAIM_S
            self._admissions.put_nowait(_Admission(scan, self._openings, claim_by_s))
            return True
        return False

    # --- jobs -------------------------------------------------------------------------------------------------------

    async def run_releases(self) -> NoReturn:
        """Release the turnstile for each admission, one at a time, and settle what it saw."""
        assert self._turnstile is not None, "a lane without a turnstile has no such job"  # noqa: S101
        while True:
            await self._let_through(await self._admissions.get(), self._turnstile)

    async def _let_through(self, admission: _Admission, turnstile: Turnstile) -> None:
        """Release for one guest; since an emergency they may have walked."""
        if not self._claimed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(admission.claim_by_s):
                    await self._claimed.wait()
        if admission.openings != self._openings:
            return
        blind = self._blind
        try:
            await turnstile.release()
        except (DeviceLost, DeviceRefused) as exc:
            self._set_unanswered(f"turnstile: {exc}")
            return
        self._set_unanswered(None)
        if turnstile.passage_timeout_s is not None:
            await self._settle(admission.scan, blind, turnstile, turnstile.passage_timeout_s)

    async def run_signals(self, on_claimed: Callable[[], None] = lambda: None) -> None:
        """Claim the turnstile, tell that it is, and follow what its own contacts say.

        Raises:
            DeviceLost, DeviceRefused: as `Turnstile.signals`.
        """
        assert self._turnstile is not None, "a lane without a turnstile has no such job"  # noqa: S101
        try:
            async with aclosing(self._turnstile.signals()) as signals:
                async for now in signals:
                    if not self._claimed.is_set():
                        self._claimed.set()
                        on_claimed()
                    self._set_unanswered(None)
                    self._hear(now)
        finally:
            # What a turnstile that is gone last said is not known to be so any longer.
            self._signals = Signals()
            self._claimed.clear()
            self._blind += 1
            self._on_change()

    def _hear(self, now: Signals) -> None:
        """Take in what the contacts say, and wait for nothing: they are obeyed only while they are listened to."""
        before, self._signals = self._signals, now
        if now.held_open and not before.held_open:
            self._openings += 1
            self._blind += 1
        if now != before:
            self._on_change()
        self.emergencies.hear(now.held_open)

    async def _settle(self, scan: Scan, blind: int, turnstile: Turnstile, timeout_s: float) -> None:
        """Wait for the guest to pass; who does not gets the ticket back, unless they may have gone through unseen."""
        passed = True
        try:
            async with asyncio.timeout(timeout_s):
                await turnstile.passed()
        except TimeoutError:
            passed = False
        if not passed and blind != self._blind:
            return
        at, trust = self._clock.now(), self._clock.trust
        new_id = new_scan_id(at)
        try:
            if passed:
                await self._store.write(lambda tx: tx.passed(scan.scan_id, at))
            else:
                await self._store.write(lambda tx: tx.release(scan.scan_id, new_id, at, trust))
        except CannotRecord as exc:
            self._on_failure(str(exc))
            return
        word = "passed" if passed else "not_passed"
        self._hub.publish({"kind": "passage", "scan_id": scan.scan_id, "lane": self._lane, "passage": word})

    def _set_unanswered(self, fault: str | None) -> None:
        if fault != self._unanswered:
            self._unanswered = fault
            self._on_change()
