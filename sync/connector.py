"""What the gate asks of any kind of CRM. One file per kind keeps this protocol."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from sync.wire import HeartbeatAnswer, ScansAnswer


class Connector(Protocol):
    """The way to one CRM. Every call raises the errors of `sync.errors` and no others."""

    def changes(self, since: str | None, wait_s: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the change feed after a cursor, or everything; yields whole lines without their ends.

        Raises:
            CursorExpired: start again without a cursor.
            LinkDown, TokenRefused, BadFeed: as named.
        """

    async def send_scans(self, device_id: str, scans: Sequence[dict[str, Any]]) -> ScansAnswer:
        """Hand over journal rows, oldest first.

        Raises:
            LinkDown, TokenRefused: as named.
        """

    async def heartbeat(self, health: dict[str, Any]) -> tuple[HeartbeatAnswer, float]:
        """Tell how this device fares; return the CRM's time and the round trip in seconds.

        Raises:
            LinkDown, TokenRefused: as named.
        """
