"""When a list that was built takes the place of the one in use: it has ended, and is not suspicious or was accepted."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime

from edge.core.hours import is_open
from edge.core.model import EventStatus, Plan
from edge.store.store import Store
from edge.store.whitelist_writer import WhitelistSession
from sync.errors import BadFeed
from sync.host import Host
from sync.state import CrmHealth
from sync.wire import CursorLine


class Mismatch(BadFeed):
    """Gate and CRM do not hold the same list."""


def check(session: WhitelistSession, tickets: int | None, fingerprint: str | None) -> None:
    """Compare count and fingerprint with the CRM's; None: it does not say.

    Raises:
        Mismatch: they differ.
    """
    mine = session.fingerprint
    if fingerprint in (None, mine.hex()) and tickets in (None, mine.count):
        return
    raise Mismatch(
        f"the ticket list here ({mine.count}, {mine.hex()}) is not the CRM's ({tickets}, {fingerprint});"
        " looking where they differ"
    )


def ended(line: CursorLine) -> dict[str, str]:
    """Return what a list keeps beside its cursor: whether it ends there, and what the CRM then vouches for."""
    return {"ended": "" if line.more else json.dumps([line.tickets, line.fingerprint])}


class Promotion:
    """Decides over the list that is built; one thing at a time, which is for the caller to see to.

    `accepted` is set where a person has said that the list which is held may take its place. It is for that one: it is
    cleared when that list is dropped.
    """

    def __init__(
        self, store: Store, now: Callable[[], datetime], health: CrmHealth, host: Host, accepted: asyncio.Event
    ) -> None:
        self._store = store
        self._now = now
        self._health = health
        self._host = host
        self._accepted = accepted
        self.count = 0
        """How often a new list has taken its place since the start."""

    def drop_held(self) -> None:
        """Show that no list waits for a person's word any more, and forget one that was given."""
        self._store.hold(None)
        self._accepted.clear()

    async def settle(self) -> None:
        """Let a held list take its place if a person has said so; a word for one that is no more is forgotten."""
        if self._store.data.held is None or not self._store.building_path.exists():
            self.drop_held()
        elif self._accepted.is_set():
            await self.attempt()

    async def judge_again(self) -> None:
        """Judge a list that had ended before a restart, by which it was forgotten that it is held.

        Raises:
            Mismatch: it is not the one that the CRM vouched for.
        """
        if not self._store.building_path.exists():
            return
        async with self._store.session(building=True) as session:
            if not (vouched := session.meta("ended")):
                return
            check(session, *json.loads(vouched))
        await self.attempt()

    async def attempt(self) -> None:
        """Put the built list in place, unless it is so small that a person must look first."""
        async with self._store.session(building=True) as session:
            count = session.fingerprint.count
        why = None if self._accepted.is_set() else await self._doubt(count)
        if why is None:
            await self._store.promote()
            self.count += 1
            self._health.progress = None
            self.drop_held()
        else:
            self._store.hold(why)
        self._host.changed()

    async def _doubt(self, new_count: int) -> str | None:
        old = self._store.data.tickets
        if old == 0 or new_count * 2 >= old:
            return None
        plan = await self._store.read(lambda tx: tx.plan)
        if not _anything_open(plan, self._now()):
            return None
        return (
            f"a new list of {new_count} tickets is held back, since the one in use has {old} and a checkpoint is open;"
            " run brama sync accept if that is right"
        )


def _anything_open(plan: Plan, now: datetime) -> bool:
    return any(
        is_open(each.hours, now)
        for each in plan.checkpoints.values()
        if each.event in plan.events and plan.events[each.event].status is EventStatus.CONFIRMED
    )
