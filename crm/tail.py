"""The feed's last changes, kept in memory: what gates that wait are answered from, without a query. Pure.

The feed's seq has no gaps, so the rows lie one behind the other and a change is found by counting.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_CHANGES = 20_000
MOST_BYTES = 32 * 1024 * 1024
_BYTES_OF_CHANGE = 400
"""What a change takes beside its line, about."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the feed; `tickets` and `fingerprint` are those of the whole list after it."""

    seq: int
    kind: str
    line: str
    only_device: str | None
    not_device: str | None
    tickets: int
    fingerprint: str

    def is_for(self, device: str) -> bool:
        """Tell whether this device is told."""
        return self.only_device in (None, device) and self.not_device != device

    @property
    def size(self) -> int:
        """Bytes in memory, about; a text takes at least one a character."""
        return len(self.line) + _BYTES_OF_CHANGE


class Tail:
    """The changes after `first_seq`, up to `last_seq`; the oldest go when there are too many."""

    def __init__(self, most_changes: int = MOST_CHANGES, most_bytes: int = MOST_BYTES) -> None:
        self._most = (most_changes, most_bytes)
        self.restart(0)

    def restart(self, seq: int) -> None:
        """Forget all; the next change is the one after `seq`."""
        self.first_seq = self.last_seq = seq
        self._changes: list[Change] = []
        self._bytes = 0
        self._named: dict[str, list[int]] = defaultdict(list)

    def add(self, changes: Iterable[Change]) -> None:
        """Add the changes that follow, in order."""
        for change in changes:
            if change.seq != self.last_seq + 1:
                raise ValueError(f"change {change.seq} does not follow {self.last_seq}")
            self.last_seq = change.seq
            self._changes.append(change)
            self._bytes += change.size
            for device in {change.only_device, change.not_device} - {None}:
                self._named[str(device)].append(change.seq)
        if len(self._changes) > self._most[0] or self._bytes > self._most[1]:
            self._cut()

    def after(self, seq: int, most: int) -> Sequence[Change]:
        """Return up to `most` of the changes after `seq`, which must not lie before `first_seq`."""
        start = seq - self.first_seq
        return self._changes[start : start + most]

    def names(self, device: str, after: int, up_to: int) -> bool:
        """Tell whether a change in this span is for this device alone, or for all but it."""
        seqs = self._named.get(device, ())
        return bisect_right(seqs, after) < bisect_right(seqs, up_to)

    def _cut(self) -> None:
        """Drop the oldest, a tenth more than must go, so that this is not done at each change."""
        most_changes, most_bytes = (each - each // 10 for each in self._most)
        drop = 0
        while len(self._changes) - drop > most_changes or self._bytes > most_bytes:
            self._bytes -= self._changes[drop].size
            drop += 1
        del self._changes[:drop]
        self.first_seq += drop
        for device, seqs in list(self._named.items()):
            del seqs[: bisect_right(seqs, self.first_seq)]
            if not seqs:
                del self._named[device]
