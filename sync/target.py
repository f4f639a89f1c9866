"""Where a feed goes: the process that builds a new list (`sync.builder`), or the list in use, here."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from edge.store.store import Store
from edge.store.whitelist_writer import WhitelistSession
from sync.connector import Feed
from sync.cutting import whole_lines


class Target(Protocol):
    """Where a feed goes; `unknown` counts what this release does not know in lines that it kept for itself."""

    @property
    def session(self) -> WhitelistSession:
        """What the lines that `lines` yields are applied to."""

    @property
    def number(self) -> int:
        """Lines so far."""

    @property
    def unknown(self) -> int:
        """Fields and columns so far that were skipped in lines that `lines` did not yield."""

    def lines(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield those lines that the caller must apply, each at its place."""

    async def start_over(self) -> None:
        """Have what follows build a new list from nothing."""

    async def close(self) -> None:
        """Close the list whole, after the feed's end."""


class Live:
    """The list in use, to which changes are applied in this process."""

    unknown = 0
    """Every line is yielded."""

    def __init__(self, store: Store, feed: Feed, stack: AsyncExitStack, session: WhitelistSession) -> None:
        self._store = store
        self._feed = feed
        self._stack = stack
        self.session = session
        self.number = 0

    async def lines(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield every line."""
        async for raw in whole_lines(chunks, self._feed.encoding):
            self.number += 1
            yield raw

    async def start_over(self) -> None:
        """Go on in a new list beside the one in use."""
        await self._stack.aclose()
        self._store.discard_building()
        self.session = await self._stack.enter_async_context(self._store.session(building=True))

    async def close(self) -> None:
        """Close the list."""
        await self._stack.aclose()


@asynccontextmanager
async def open_live(store: Store, feed: Feed) -> AsyncIterator[Live]:
    """Open the list in use."""
    async with AsyncExitStack() as stack:
        yield Live(store, feed, stack, await stack.enter_async_context(store.session(building=False)))
