"""Answers gates that ask what has changed: from memory whom it reaches back to, others from the database."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from crm.cursor import Phase, Place, check_place
from crm.database import Database
from crm.devices import Device, admitted, device_of_token, hash_of
from crm.feed import SIZES, Sizes, Step, cursor_line, step, step_of_tail
from crm.follower import STALE_S
from crm.parcels import Parcel, Parcels
from crm.transactions import Moment

_READERS = 6
"""How many steps are read from the database at a time; the pool holds more connections, for scans and all else."""
Gone = Callable[[], bool]
"""Tells whether the gate has given its request up."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The lines of one step, the cursor's the last; `more` while the feed goes on after it."""

    lines: list[str]
    place: Place
    more: bool

    @property
    def news(self) -> bool:
        """Tell whether there is more in it than a cursor."""
        return self.more or len(self.lines) > 1


class Reception:
    """Knows devices by their tokens, and holds their requests until there is news."""

    def __init__(self, db: Database, sizes: Sizes = SIZES) -> None:
        self.closing = False
        self._db = db
        self._follower = db.follower
        self._sizes = sizes
        self._parcels = Parcels(db.follower.tail, sizes)
        self._readers = asyncio.Semaphore(_READERS)

    def close(self) -> None:
        """Give gates that wait their cursor now."""
        self.closing = True
        self._follower.wake()

    async def device(self, token: str) -> Device:
        """Return whose token this is; one revoked by another process may still be known for `STALE_S`.

        Raises:
            Denied: 401 `token_unknown` or `token_revoked`.
        """
        await self._follower.fresh(STALE_S)
        if hash_of(token) not in self._follower.devices:
            await self._follower.fresh()  # another process may have enrolled it just now
        return self._known(token)

    async def answer(
        self, token: str, place: Place | None, wait_s: float, *, packed: bool, gone: Gone
    ) -> Parcel | Piece:
        """Return what follows `place` (None: everything), after up to `wait_s` seconds; a piece may have more to come.

        Without waiting, all that was committed before the call is in it.

        Raises:
            Denied: 401, or 410 as in `crm.cursor.check_place`.
            ConnectionResetError: it is gone.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + wait_s
        await self.device(token)
        if not wait_s:
            await self._follower.fresh()
        while True:
            rung = self._follower.listen()
            last = self.closing or now() >= deadline
            if place is None or not self._in_memory(place):
                found: Parcel | Piece | None = await self.piece(token, place, gone)
            else:
                found = await self._from_memory(token, place, last=last, packed=packed, gone=gone)
            if found is not None:
                if found.news or last:
                    return found
                place = found.place
            await self._follower.wait(rung, deadline - now())

    async def piece(self, token: str, place: Place | None, gone: Gone) -> Piece:
        """Return the next step after `place`; the token is looked at each time, so that who is revoked gets no more.

        Raises:
            Denied: as in `answer`.
        """
        if place is not None and place.phase is Phase.FEED:
            moment = await self._moment_at(place)
            if self._in_memory(place):
                check_place(place, moment)
                return self._piece(self._known(token), place, moment)
        async with self._readers:
            if gone():
                # When all gates start at once some give up before their turn; to read for them would make others wait
                # until they give up too.
                raise ConnectionResetError("the gate no longer waits for this")
            async with self._db.read() as tx:
                device = await device_of_token(tx, token)
                here = await step(tx, device.id, place, self._sizes)
                return _piece_of(here, cursor_line(here, tx))

    async def _from_memory(
        self, token: str, place: Place, *, last: bool, packed: bool, gone: Gone
    ) -> Parcel | Piece | None:
        """Return what is published after `place`, or if this is the `last` look all there is; None: nothing yet."""
        newest = await self._moment_at(place)
        if not self._in_memory(place):
            return await self.piece(token, place, gone)  # the tail was cut in the meantime
        check_place(place, newest)
        device = self._known(token)
        moment = newest if last else self._follower.published
        if place.seq > moment.seq:
            return None
        found = self._parcels.parcel(device.id, place, moment, packed=packed)
        return found or self._piece(device, place, moment)

    async def _moment_at(self, place: Place) -> Moment:
        """Return a moment at which the feed has reached a place, if it has: another process may have given it out."""
        moment = await self._follower.fresh(STALE_S)
        return await self._follower.fresh() if place.seq > moment.seq else moment

    def _piece(self, device: Device, place: Place, moment: Moment) -> Piece:
        here = step_of_tail(self._follower.tail, moment, device.id, place, self._sizes)
        return _piece_of(here, cursor_line(here, moment))

    def _in_memory(self, place: Place) -> bool:
        return place.phase is Phase.FEED and self._follower.tail.first_seq <= place.seq

    def _known(self, token: str) -> Device:
        return admitted(self._follower.devices.get(hash_of(token)))


def _piece_of(here: Step, cursor: str) -> Piece:
    return Piece([*here.lines, cursor], here.place, here.more)
