"""Answers to gates that wait, made from memory; gates at the same place are handed the same bytes."""

import zlib
from dataclasses import dataclass

from crm.cursor import Place
from crm.feed import Sizes, cursor_line, step_of_tail
from crm.tail import Tail
from crm.transactions import Moment

MOST_BYTES = 128 * 1024
"""An answer that is longer is sent step by step instead."""
_MOST_SHARED = 64


@dataclass(frozen=True, slots=True)
class Parcel:
    """A whole answer, packed where that was asked for; `news` while it holds more than a cursor."""

    body: bytes
    place: Place
    news: bool


class Parcels:
    """Makes parcels, and keeps those of the last moment for others at the same place."""

    def __init__(self, tail: Tail, sizes: Sizes) -> None:
        self._tail = tail
        self._sizes = sizes
        self._moment: Moment | None = None
        self._shared: dict[tuple[Place, bool], Parcel | None] = {}

    def parcel(self, device: str, place: Place, moment: Moment, *, packed: bool) -> Parcel | None:
        """Return all that follows `place` up to `moment`, both within the tail; None where that is long.

        Raises:
            Denied: 410, as in `crm.cursor.check_place`.
        """
        if self._tail.names(device, place.seq, moment.seq):
            return self._made(device, place, moment, packed=packed)
        if moment is not self._moment or len(self._shared) >= _MOST_SHARED:
            self._moment, self._shared = moment, {}
        if (place, packed) not in self._shared:
            self._shared[place, packed] = self._made(device, place, moment, packed=packed)
        return self._shared[place, packed]

    def _made(self, device: str, place: Place, moment: Moment, *, packed: bool) -> Parcel | None:
        lines: list[str] = []
        steps, size, more = 0, 0, True
        while more:
            here = step_of_tail(self._tail, moment, device, place, self._sizes)
            lines += [*here.lines, cursor_line(here, moment)]
            size += sum(map(len, here.lines))
            if size > MOST_BYTES:
                return None
            steps, place, more = steps + 1, here.place, here.more
        body = "".join([f"{line}\n" for line in lines]).encode()
        return Parcel(zlib.compress(body, 1, wbits=31) if packed else body, place, len(lines) > steps)
