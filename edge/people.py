"""Who stands at the gate: controllers known by badge or PIN, and the shifts they sign in for."""

import asyncio
import re
from collections import deque
from collections.abc import Callable

from edge.clock import GateClock
from edge.core.barcodes import lookup_of, lookup_text
from edge.core.model import Controller, Plan
from edge.judging import NotAllowed
from edge.store.store import Store
from edge.store.tx import Tx

MOST_FAILURES = 5
"""Wrong PINs or badges within `FAILURES_S` after which the next must wait."""
FAILURES_S = 60
MOST_MEMORY_KIB = 65536
MOST_PASSES = 10
MOST_THREADS = 16
"""The dearest argon2id hash that a gate will compute; a feed must not make it run out of memory, time or threads."""

_PARAMETERS = re.compile(r"^\$argon2id\$v=\d+\$m=(\d+),t=(\d+),p=(\d+)\$")


class NotKnown(NotAllowed):
    """The badge or PIN is not that of a controller, or may not do this."""


class People:
    """Checks who someone is, and keeps the shifts. Wrong attempts are slowed down, whoever makes them."""

    def __init__(self, store: Store, clock: GateClock, on_change: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._clock = clock
        self._on_change = on_change
        self._failures: deque[float] = deque(maxlen=MOST_FAILURES)
        self._one_at_a_time = asyncio.Lock()

    async def identify(
        self, *, badge: str | None = None, controller: str | None = None, pin: str | None = None
    ) -> Controller:
        """Return the controller who shows this badge, or whose id and PIN these are.

        Raises:
            NotKnown: none is, or there were too many wrong attempts just now.
        """
        # One at a time: tried all at once, wrong PINs would each be judged before any of them counted.
        async with self._one_at_a_time:
            self._slow_down()
            plan = await self._store.read(lambda tx: tx.plan)
            found = self._by_badge(plan, badge) if badge is not None else await _by_pin(plan, controller, pin)
            if found is None:
                self._failures.append(self._clock.now().timestamp())
                field = "badge" if badge is not None else "pin"
                raise NotKnown(f"{field}: not that of a controller known here; check it, or wait for the next sync")
        return found

    async def sign_in(self, lane: str, who: Controller) -> None:
        """Open the shift of `who` at a lane; it relieves whoever was there."""
        at = self._clock.now()

        def job(tx: Tx) -> None:
            tx.open_shift(lane, who.id, at)

        await self._store.write(job)
        self._on_change()

    async def sign_out(self, lane: str) -> None:
        """Close the shift at a lane, if one is open."""
        at = self._clock.now()
        await self._store.write(lambda tx: tx.close_shift(lane, at))
        self._on_change()

    async def on_shift(self, lane: str) -> list[Controller]:
        """Return who is signed in at a lane, as far as the CRM still knows them."""

        def job(tx: Tx) -> list[Controller]:
            return [tx.plan.controllers[each] for each in tx.on_shift(lane) if each in tx.plan.controllers]

        return await self._store.read(job)

    def _by_badge(self, plan: Plan, badge: str) -> Controller | None:
        identity = self._store.identity
        if identity is None:
            return None
        wanted = lookup_text(lookup_of(identity.lookup_key, badge))
        return next((each for each in plan.controllers.values() if each.badge == wanted), None)

    def _slow_down(self) -> None:
        oldest = self._failures[0] if len(self._failures) == MOST_FAILURES else None
        if oldest is not None and self._clock.now().timestamp() - oldest < FAILURES_S:
            raise NotKnown(f"pin: {MOST_FAILURES} wrong attempts in a minute; wait a minute and try again")


async def _by_pin(plan: Plan, controller: str | None, pin: str | None) -> Controller | None:
    known = plan.controllers.get(controller or "")
    if known is None or known.pin is None or pin is None or not _affordable(known.pin):
        return None
    return known if await asyncio.to_thread(_verify, known.pin, pin) else None


def _affordable(phc: str) -> bool:
    parameters = _PARAMETERS.match(phc)
    if parameters is None:
        return False
    memory_kib, passes, threads = map(int, parameters.groups())
    return memory_kib <= MOST_MEMORY_KIB and passes <= MOST_PASSES and threads <= MOST_THREADS


def _verify(phc: str, pin: str) -> bool:
    from argon2 import PasswordHasher  # at the first PIN: many gates see only badges
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(phc, pin)
    except (VerificationError, InvalidHashError):
        return False
