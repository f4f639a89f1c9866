"""What the way to the CRM needs of the gate around it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from edge.store.outbox import Conflict, note_conflicts
from edge.store.store import Store
from sync.wire import ConflictModel


class Host(Protocol):
    """What the engine needs of the gate around it."""

    def hear(self, crm_time: datetime, round_trip_s: float) -> None:
        """Take note of the CRM's clock."""

    async def health(self) -> dict[str, Any]:
        """Tell how this device fares, for the heartbeat."""

    def conflicts_shown(self, conflicts: list[Conflict]) -> None:
        """Show conflicts that are new."""

    def changed(self) -> None:
        """Something that is shown of data, backlog or CRM has changed."""


MOST_SCANS = 100
"""That are kept of a conflict, the oldest: whoever looks into it needs no more."""
AT_ONCE = 50
"""Conflicts in one transaction of the decision thread, for which a guest may have to wait."""


async def tell_conflicts(store: Store, host: Host, found: Sequence[ConflictModel], now: datetime) -> None:
    """Keep conflicts in the journal and show those that are new."""
    for start in range(0, len(found), AT_ONCE):
        conflicts = await asyncio.to_thread(_to_keep, found[start : start + AT_ONCE])
        if fresh := await store.write(partial(note_conflicts, conflicts=conflicts, now=now)):
            host.conflicts_shown(fresh)


def _to_keep(found: Sequence[ConflictModel]) -> list[Conflict]:
    cut = [each.model_copy(update={"scans": each.scans[:MOST_SCANS]}) for each in found]
    return [Conflict(each.scan_id, each.ticket_id, each.model_dump(mode="json")) for each in cut]
