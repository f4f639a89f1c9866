"""What happens within one transaction: rows read of one moment, and what a write adds to the feed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crm import schema
from crm.dialect import announce
from edge.core.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class Organiser:
    """Whose central this is; `lookup_key` is 32 bytes, `epoch` names this database in every cursor."""

    name: str
    lookup_key: bytes
    epoch: str


@dataclass(slots=True)
class Moment:
    """A moment of the feed: the last change then was `seq`, the first that is still there follows `pruned_seq`.

    `listed` is the list of tickets then, `devices` differs once a device was enrolled or revoked, `now` is the time.
    """

    organiser: Organiser
    now: datetime
    seq: int
    pruned_seq: int
    listed: Fingerprint
    devices: int


@dataclass(slots=True)
class Read(Moment):
    """A read transaction: all it sees is of this one moment."""

    connection: AsyncConnection

    async def rows(self, query: sa.Executable) -> Sequence[sa.Row[Any]]:
        """Return all rows of a query."""
        return (await self.connection.execute(query)).all()

    async def row(self, query: sa.Executable) -> sa.Row[Any] | None:
        """Return the first row of a query, if there is one."""
        return (await self.connection.execute(query)).first()


@dataclass(slots=True)
class Write(Read):
    """A write transaction; `say` adds to the feed, `listed` is moved by whoever changes tickets."""

    said: list[dict[str, Any]] = field(default_factory=list)

    def say(
        self, kind: str, line: str, *, to: str | None = None, not_to: str | None = None, before: Any = None
    ) -> None:
        """Add a line to the feed: to one device, to all but one, or to all; call after `listed` has moved."""
        self.seq += 1
        self.said.append(
            {
                "seq": self.seq,
                "kind": kind,
                "line": line,
                "only_device": to,
                "not_device": not_to,
                "before": before,
                "tickets": self.listed.count,
                "fingerprint": self.listed.hex(),
                "at": self.now,
            }
        )

    async def store_feed(self) -> None:
        """Write the lines said and the state reached, and have it announced with the commit."""
        if self.said:
            await self.connection.execute(sa.insert(schema.change), self.said)
        await self.connection.execute(
            sa.update(schema.feed_state).values(
                seq=self.seq,
                pruned_seq=self.pruned_seq,
                tickets=self.listed.count,
                fingerprint=self.listed.hex(),
                devices=self.devices,
            )
        )
        await announce(self.connection)
