"""What wakes the gates that wait for a change: commits here at once, commits of other processes within 0.2 s."""

import asyncio
import logging
from contextlib import suppress

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm.dialect import commit_mark

_log = logging.getLogger(__name__)
_RETRY_S = 5
POLL_S = 0.1
"""How often another process's commits are looked for while somebody waits."""


class Bell:
    """Rung at every commit; whoever listens first and reads then misses nothing."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._waited_for = asyncio.Event()
        self._stopped = asyncio.Event()
        self._waiters = 0

    def listen(self) -> asyncio.Event:
        """Return the event that the next ring sets; take it before reading the data."""
        return self._rung

    def ring(self) -> None:
        """Wake all who wait."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, rung: asyncio.Event, timeout_s: float) -> bool:
        """Wait until `rung` is set; False when `timeout_s` seconds went by first."""
        self._waiters += 1
        self._waited_for.set()
        try:
            async with asyncio.timeout(timeout_s):
                await rung.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiters -= 1
            if not self._waiters and not self._stopped.is_set():
                self._waited_for.clear()

    async def watch(self, engine: AsyncEngine) -> None:
        """Ring for the commits of other connections, on one connection for the whole server, until `stop`.

        Nothing is asked while nobody waits; the first look after a pause rings if anything came in between.
        """
        while not self._stopped.is_set():
            try:
                async with engine.connect() as connection:
                    await self._look(connection)
            except DBAPIError:
                # Commits made here still ring; those of other processes again once the database answers.
                _log.exception("cannot look for changes by other processes; trying again")
                await self._pause(_RETRY_S)

    def stop(self) -> None:
        """Let `watch` come to its end: cancelling it could leave the driver's thread with an answer for nobody."""
        self._stopped.set()
        self._waited_for.set()

    async def _look(self, connection: AsyncConnection) -> None:
        seen: int | None = None
        while not self._stopped.is_set():
            # A transaction a look: an open one would go on seeing the moment at which it began.
            async with connection.begin():
                mark = await commit_mark(connection)
            if seen is not None and mark != seen:
                self.ring()
            seen = mark
            await self._pause(POLL_S)
            await self._waited_for.wait()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
