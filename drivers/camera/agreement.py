"""Whether a code that was decoded is to be believed: how many reads must say the same. Pure: times are passed in.

Matrix codes correct errors and know when they cannot, so one read of them suffices. Codes of bars check little: light
and clutter misread them, though seldom twice alike, so they and PDF417 want equal reads of different frames.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from drivers.camera.decoder import Found
from drivers.camera.messages import Point, Sighting
from drivers.camera.symbologies import symbology

WITHIN_S: Final = 1.2
"""Reads further apart do not confirm one another."""
_SHORT: Final = 4
"""A code of bars with fewer characters is soon found in clutter."""
_UNCHECKED: Final = frozenset({"code39", "itf", "codabar"})
"""No check digit is always there."""

_Key = tuple[str, bytes]
_Outline = tuple[Point, ...]


def reads_wanted(found: Found) -> int | None:
    """Return from how many different frames a code must be read alike; None: it is not believed however often."""
    match symbology(found.sighting.kind).shape:
        case "matrix":
            return 2 if _is_exhausted(found) else 1
        case "stacked":
            return 3 if _is_exhausted(found) else 2
        case "linear" if not _is_weak(found):
            return 2
        case _:
            return None if found.whole is False else 3


def _is_exhausted(found: Found) -> bool:
    """Tell whether all error correction was used up, so that the errors may be more than it can tell."""
    # Micro QR's smallest form corrects nothing, and has more to detect errors with.
    return found.spare is not None and found.spare <= 0 and found.sighting.kind != "micro_qr"


def _is_weak(found: Found) -> bool:
    """Tell whether bars of which a part is missing could read as this."""
    return found.short or len(found.content) < _SHORT or found.sighting.kind in _UNCHECKED


@dataclass(frozen=True, slots=True)
class _Read:
    key: _Key
    at_s: float
    outline: _Outline


class Agreement:
    """Counts equal reads of different frames."""

    def __init__(self) -> None:
        self._reads: deque[_Read] = deque()
        self._believed_at_s: dict[_Key, float] = {}

    def believed(self, found: Iterable[Found], at_s: float) -> list[Sighting]:
        """Return those of the codes in the frame of `at_s` that are to be believed, in their order.

        A code that was believed stays so while it is read again within `WITHIN_S`.
        """
        counting = [each for each in found if reads_wanted(each) is not None]
        self._forget(at_s)
        self._reads.extend(_Read(_key(each), at_s, each.sighting.outline) for each in counting)
        believed = [each for each in counting if self._is_believed(each)]
        self._believed_at_s.update((_key(each), at_s) for each in believed)
        return [each.sighting for each in believed]

    def _forget(self, at_s: float) -> None:
        while self._reads and not 0 <= at_s - self._reads[0].at_s <= WITHIN_S:
            self._reads.popleft()
        self._believed_at_s = {
            key: since_s for key, since_s in self._believed_at_s.items() if 0 <= at_s - since_s <= WITHIN_S
        }

    def _is_believed(self, found: Found) -> bool:
        wanted = reads_wanted(found) or 0
        if wanted == 1 or _key(found) in self._believed_at_s:
            return True
        equal = {read.at_s for read in self._reads if read.key == _key(found)}
        # What was read otherwise at the same place must be outvoted, not merely matched.
        return len(equal) >= wanted + 2 * len(self._otherwise(found))

    def _otherwise(self, found: Found) -> set[float]:
        key, outline = _key(found), found.sighting.outline
        return {
            read.at_s
            for read in self._reads
            if read.key[0] == key[0] and read.key != key and _overlap(read.outline, outline)
        }


def settled(found: Iterable[Found]) -> list[Found]:
    """Return the codes of one picture that was looked at in several ways, each once.

    Where the ways disagree about a place, whole bars go before a part of them, then what most of them read, then the
    longer, since bars that are cut off read shorter.
    """
    reads: dict[_Key, list[Found]] = {}
    for each in found:
        reads.setdefault(_key(each), []).append(each)
    standing = [each for each in reads.values() if _stands(each)]
    standing.sort(key=lambda each: (not _is_cut(each), len(each), len(each[0].content)), reverse=True)
    kept: list[Found] = []
    for same in standing:
        if not any(_rival(other, same[0]) or (_is_cut(same) and _is_part(same[0], other)) for other in kept):
            kept.append(same[0])
    return kept


def _stands(reads: list[Found]) -> bool:
    """Tell whether reads of one picture that say the same are to be believed together."""
    first, ways = reads[0], len({each.sighting.step for each in reads})
    shape = symbology(first.sighting.kind).shape
    if shape != "linear":
        return ways >= 2 or not all(_is_exhausted(each) for each in reads)
    careful = any(each.careful for each in reads)
    if first.short:
        return ways >= 2 and careful and not _is_cut(reads)
    if symbology(first.sighting.kind).certain:
        return True
    return careful or ways >= (3 if _is_cut(reads) and _is_weak(first) else 2)


def _is_cut(reads: list[Found]) -> bool:
    return all(each.whole is False for each in reads)


def _is_part(part: Found, whole: Found) -> bool:
    return part.sighting.kind == whole.sighting.kind and part.content in whole.content


def _rival(one: Found, other: Found) -> bool:
    """Tell whether two codes stand at the same place, though only one of them can."""
    shapes = [symbology(each.sighting.kind).shape for each in (one, other)]
    same = one.sighting.kind == other.sighting.kind or shapes == ["linear", "linear"]
    return same and _overlap(one.sighting.outline, other.sighting.outline)


def _key(found: Found) -> _Key:
    return (found.sighting.kind, found.content)


def _overlap(one: _Outline, other: _Outline) -> bool:
    """Tell whether two convex figures meet: no line along a side of one has them on different sides of it."""
    for figure in (one, other):
        for (x, y), (to_x, to_y) in zip(figure, figure[1:] + figure[:1], strict=True):
            near, far = ([(to_y - y) * px - (to_x - x) * py for px, py in each] for each in (one, other))
            if max(near) < min(far) or max(far) < min(near):
                return False
    return True
