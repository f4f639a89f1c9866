"""Push mode: a CRM on the same network sends the feed's lines to the device."""

from collections.abc import AsyncIterator
from typing import Any

from edge.store.store import Store
from sync.connector import Feed
from sync.pull import Puller


class PushSink:
    """Takes a body of feed lines through the same path as a pulled feed."""

    def __init__(self, puller: Puller, store: Store) -> None:
        self._puller = puller
        self._store = store

    async def apply(self, chunks: AsyncIterator[bytes]) -> dict[str, Any]:
        """Apply the lines and tell where the list now stands.

        Raises:
            BadFeed: names the line, the field and the mend; what an earlier cursor line closed stays applied.
        """
        lines = await self._puller.apply(Feed(chunks))
        data = self._store.data
        return {"lines": lines, "cursor": data.cursor, "tickets": data.tickets, "fingerprint": data.fingerprint}
