"""What the gate asks of any kind of CRM. One file per kind keeps this protocol."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sync.cutting import Encoding
from sync.wire import FingerprintsAnswer, HeartbeatAnswer, ScansAnswer


@dataclass(frozen=True, slots=True)
class Feed:
    """Feed lines as they come, in chunks cut anywhere, and how they are packed."""

    chunks: AsyncIterator[bytes]
    encoding: Encoding = "identity"


class Connector(Protocol):
    """The way to one CRM. Every call raises the errors of `sync.errors` and no others."""

    def changes(self, since: str | None, wait_s: int) -> AbstractAsyncContextManager[Feed]:
        """Open the change feed after a cursor, or everything.

        Raises:
            CursorExpired: start again without a cursor.
            LinkDown, TokenRefused, BadFeed: as named.
        """

    async def fingerprints(self, prefix: str) -> FingerprintsAnswer | None:
        """Return count and fingerprint of the lookups that begin with these hex digits; None: it does not offer that.

        Raises:
            LinkDown, TokenRefused: as named.
        """

    def tickets(self, prefix: str) -> AbstractAsyncContextManager[Feed]:
        """Open the tickets whose lookups begin with these hex digits, and the cursor at which they are so.

        Raises:
            LinkDown, TokenRefused, BadFeed: as named.
        """

    async def send_scans(self, device_id: str, scans: Sequence[dict[str, Any]]) -> ScansAnswer:
        """Hand over journal rows, oldest first.

        Raises:
            LinkDown, TokenRefused: as named.
        """

    async def heartbeat(self, health: dict[str, Any]) -> tuple[HeartbeatAnswer, float] | None:
        """Tell how this device fares; return the CRM's time and the round trip in seconds; None: it has no clock.

        Raises:
            LinkDown, TokenRefused: as named.
        """

    async def close(self) -> None:
        """Close what is open."""
