"""An enrolled device as the suite plays it: who it is, and the list that it follows."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from crm.conformance.client import Client
from crm.conformance.errors import Broken, Skipped
from crm.conformance.held import HeldList
from crm.conformance.reading import Reading, read_feed

_MOST_ANSWERS = 1000


@dataclass(frozen=True, slots=True)
class Box:
    """What enrolment hands out; `lookup_key` is None where it was no key."""

    device_id: str
    token: str
    lookup_key: bytes | None = None


@dataclass(slots=True)
class Gate:
    """A device that follows the feed; every answer to a cursor is kept in `since`."""

    client: Client
    box: Box
    since: list[Reading] = field(default_factory=list)
    held: HeldList = field(default_factory=HeldList)
    cursor: str | None = None

    async def everything(self, *, packed: bool = False, until: Callable[[Reading], bool] | None = None) -> Reading:
        """Ask without a cursor; `until` cuts the connection, see `read_feed`."""
        self.held.clear()
        reading = await read_feed(self.client, "/changes", self.box.token, {}, self.held, packed=packed, until=until)
        self.cursor = reading.cursors[-1][0] if reading.cursors else None
        return reading

    async def changes(self, wait_s: float = 0) -> Reading:
        """Ask once for what changed since the cursor, and go on to the new one.

        Raises:
            Broken: it is refused.
        """
        if self.cursor is None:
            raise Skipped("the feed has given no cursor: see snapshot-cursor-last")
        # As the gate sends it, but for fractions.
        params = {"since": self.cursor} | ({"wait": f"{wait_s:g}"} if wait_s else {})
        reading = await read_feed(self.client, "/changes", self.box.token, params, self.held, wait_s=wait_s)
        if reading.status != httpx.codes.OK:
            raise Broken(f"since a cursor just given: {reading.status}", "take every cursor that you gave lately")
        self.since.append(reading)
        if reading.cursors:
            self.cursor = reading.cursors[-1][0]
        return reading

    async def catch_up(self, wait_s: float = 0) -> Reading:
        """Ask until there is no more; return the last answer.

        Raises:
            Broken: it is refused, or never ends.
        """
        for _ in range(_MOST_ANSWERS):
            reading = await self.changes(wait_s)
            if not reading.more:
                return reading
        raise Broken(f'{_MOST_ANSWERS} answers that all end with "more": true', 'end with "more": false')
