"""What the way to the CRM needs of the gate around it."""

from collections.abc import Sequence
from datetime import datetime
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


async def tell_conflicts(store: Store, host: Host, found: Sequence[ConflictModel], now: datetime) -> None:
    """Keep conflicts in the journal and show those that are new."""
    if not found:
        return
    conflicts = [Conflict(each.scan_id, each.ticket_id, each.model_dump(mode="json")) for each in found]
    if fresh := await store.write(lambda tx: note_conflicts(tx, conflicts, now)):
        host.conflicts_shown(fresh)
