"""Follows the feed for all gates that wait: one look at the database serves them all, and wakes them together.

Whoever asks gets a moment that was read no longer ago than they allow; those who ask at once share one read. Commits
made here are heard of at once, those of other processes when the database announces them or the next look finds them.

After news has gone out, what follows is held back a little, longer the more gates wait: an answer costs the same
with one change as with fifty, so under load each carries more and the number of answers a second stays what one
process can give. The first news after a pause goes out at once.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from crm import schema
from crm.devices import Devices, all_devices
from crm.dialect import listening
from crm.tail import Change, Tail
from crm.transactions import Moment, Read

_log = logging.getLogger(__name__)
STALE_S = 0.1
"""How old, at most, is what a gate that waits is answered from."""
_LINGER_EACH_S = 0.0015
_LINGER_MOST_S = 1.0
_FORGET = 0.9
"""Of the gates that were told, so many are reckoned with next time, though they do not wait again yet."""
_RETRY_S = 2
_CHUNK = 60
_MOST_BEHIND = 600
"""A tail that is further behind begins anew: nobody has waited for long, or a whole list came in."""


def linger_s(gates: float) -> float:
    """Return how long news is held back after the last, where so many gates were told."""
    return min(_LINGER_MOST_S, gates * _LINGER_EACH_S)


class Follower:
    """The feed as it stands, in memory; `begin` before anything else, then `run` beside it."""

    def __init__(self, reading: Callable[[], AbstractAsyncContextManager[Read]], engine: AsyncEngine) -> None:
        """`reading` opens a read transaction."""
        self.tail = Tail()
        self.devices: Devices = {}
        self._reading = reading
        self._engine = engine
        self._turn = asyncio.Lock()
        self._read_at = self._stale_at = 0.0
        self._rung = asyncio.Event()
        self._nudge = asyncio.Event()
        self._waited_for = asyncio.Event()
        self._stopped = asyncio.Event()
        self._waiters = 0
        self._told = 0.0
        self._not_before = 0.0

    async def begin(self) -> None:
        """Read where the feed stands."""
        async with self._reading() as tx:
            self.moment = self.published = _moment_of(tx)
            self.devices = await all_devices(tx)
        self.tail.restart(self.moment.seq)

    async def fresh(self, within_s: float = 0) -> Moment:
        """Return a moment that was read at most `within_s` seconds before this call, or later."""
        oldest = asyncio.get_running_loop().time() - within_s
        async with self._turn:
            # Whoever waited here may find that the one before has read late enough for both.
            if self._read_at <= max(oldest, self._stale_at):
                began = asyncio.get_running_loop().time()
                await self._read()
                self._read_at = began
            return self.moment

    def ring(self, *, devices: bool = False) -> None:
        """Say that something was committed here; `devices`: one was enrolled or revoked."""
        if devices:
            self._stale_at = asyncio.get_running_loop().time()
        self._nudge.set()

    def listen(self) -> asyncio.Event:
        """Return the event that the next news sets; take it before looking."""
        return self._rung

    def wake(self) -> None:
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

    async def run(self) -> None:
        """Publish what is committed, here or elsewhere, until `stop`; nothing is asked while nobody waits."""
        while not self._stopped.is_set():
            await self._waited_for.wait()
            try:
                async with listening(self._engine, self._nudge.set) as look_s:
                    await self._follow(look_s)
            except (SQLAlchemyError, OSError):
                # Gates that ask are still answered, or told that the database is away.
                _log.exception("cannot look for changes; trying again in %s s", _RETRY_S)
                await self._pause(_RETRY_S)

    def stop(self) -> None:
        """Let `run` come to its end: cancelling it could leave the driver's thread with an answer for nobody."""
        self._stopped.set()
        self._waited_for.set()
        self._nudge.set()

    async def _follow(self, look_s: Callable[[], float | None]) -> None:
        while not self._stopped.is_set() and (delay_s := look_s()) is not None:
            self._nudge.clear()
            await self.fresh()
            if self.moment.devices != self.published.devices:
                self._publish()  # somebody may have to stop waiting
            elif self.moment.seq != self.published.seq:
                await self._pause(self._not_before - asyncio.get_running_loop().time())
                await self.fresh()
                self._publish()
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._nudge.wait()
            await self._waited_for.wait()

    def _publish(self) -> None:
        self.published = self.moment
        self._told = max(self._waiters, self._told * _FORGET)
        self._not_before = asyncio.get_running_loop().time() + linger_s(self._told)
        self.wake()

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopped.wait()

    async def _read(self) -> None:
        """Bring the tail up to date."""
        async with self._reading() as tx:
            last = self.tail.last_seq
            if not 0 <= tx.seq - last <= _MOST_BEHIND or tx.pruned_seq > last:
                self.tail.restart(tx.seq)
            while self.tail.last_seq < tx.seq:
                self.tail.add(await _changes(tx, self.tail.last_seq))
            if tx.devices != self.moment.devices:
                self.devices = await all_devices(tx)
            self.moment = _moment_of(tx)
        is_restored = self.published.seq > self.moment.seq
        if is_restored or not (self._waiters or asyncio.get_running_loop().time() < self._not_before):
            self.published = self.moment  # there is nobody for whom to hold it back


async def _changes(tx: Read, after: int) -> list[Change]:
    change = schema.change.c
    columns = (change.seq, change.kind, change.line, change.only_device, change.not_device)
    query = sa.select(*columns, change.tickets, change.fingerprint).where(change.seq > after, change.seq <= tx.seq)
    return [Change(*tuple(row)) for row in await tx.rows(query.order_by(change.seq).limit(_CHUNK))]


def _moment_of(tx: Read) -> Moment:
    return Moment(tx.organiser, tx.now, tx.seq, tx.pruned_seq, tx.listed, tx.devices)
