"""What a camera that is left running sees: frames in, codes out. It knows no clock: a frame says when it came."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from drivers.camera.agreement import Agreement
from drivers.camera.decoder import Found, Placing, distinct, nearest_first
from drivers.camera.frames import Frame, Luma
from drivers.camera.ladder import FIRST, View, narrowed
from drivers.camera.messages import Sighting
from drivers.camera.stillness import Stillness
from drivers.camera.turns import Turns

MOST_WIDTH_PX: Final = 1920
"""What is looked at is made no wider: of a larger picture, let the region be a part."""
REPEATED_S: Final = 0.5
"""How often a believed code is told again while nothing moves."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one frame showed."""

    codes: tuple[Sighting, ...]
    """Those to be believed."""
    seen: tuple[Sighting, ...]
    """All that was decoded in this very frame."""
    steps: str
    """Which steps ran, such as `640+soft`; `still`: none."""
    still: bool
    """Nothing moved, and nothing was decoded."""


class Watcher:
    """Looks at one frame after the other."""

    def __init__(
        self,
        symbologies: Sequence[str],
        region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
        all_codes: bool = False,
    ) -> None:
        """`region`: where codes are looked for: left, top, width, height, as fractions of the shown picture.

        Of several codes in a frame the one nearest to the region's centre is taken, or with `all_codes` all of them.
        """
        self._kinds = tuple(symbologies)
        self._region = region
        self._all_codes = all_codes
        self._stillness = Stillness()
        self._turns = Turns()
        self._agreement = Agreement()
        self._believed: tuple[Sighting, ...] = ()
        self._told_at_s = float("-inf")

    def look(self, frame: Frame) -> Looked:
        """Return what a frame shows; it is unpacked whole only where there is reason to."""
        if self._stillness.moved(_cut(frame.glimpse(), self._region)[0]):
            self._turns.moved(frame.at_s)
        elif self._believed or self._turns.is_at_rest(frame.at_s):
            return Looked(self._again(frame.at_s), (), "still", still=True)
        self._stillness.keep()
        return self._decode(frame)

    def _again(self, at_s: float) -> tuple[Sighting, ...]:
        if at_s - self._told_at_s < REPEATED_S:
            return ()
        self._told_at_s = at_s
        return self._believed

    def _decode(self, frame: Frame) -> Looked:
        whole = frame.luma()
        part, placing = _cut(whole, self._region)
        luma = narrowed(part, MOST_WIDTH_PX)
        finer = part.shape[1] / luma.shape[1]
        view = View(luma, self._kinds, placing.within(Placing((0.0, 0.0), (finer, 0.0), (0.0, finer))))
        names = FIRST.name
        found = FIRST.look(view)
        step = self._turns.next_step(frame.at_s, bool(found))
        if step is not None:
            names += f"+{step.name}"
            more = step.look(view)
            if more and not found:
                self._turns.succeeded(step, frame.at_s)
            found = distinct([*found, *more])
        self._believed = tuple(self._agreement.believed(self._taken(found, whole), frame.at_s))
        self._told_at_s = frame.at_s
        return Looked(self._believed, tuple(each.sighting for each in found), names, still=False)

    def _taken(self, found: list[Found], whole: Luma) -> list[Found]:
        left, top, width, height = self._region
        ordered = nearest_first(found, (left + width / 2, top + height / 2), whole.shape[1] / whole.shape[0])
        return ordered if self._all_codes else ordered[:1]


def _cut(luma: Luma, region: tuple[float, float, float, float]) -> tuple[Luma, Placing]:
    """Return the part of a picture that is in `region`, at least one pixel of it, and where it lies."""
    height, width = luma.shape
    left, top = min(int(region[0] * width), width - 1), min(int(region[1] * height), height - 1)
    right = min(width, max(left + 1, round((region[0] + region[2]) * width)))
    bottom = min(height, max(top + 1, round((region[1] + region[3]) * height)))
    placing = Placing((left / width, top / height), (1 / width, 0.0), (0.0, 1 / height))
    if (right - left, bottom - top) == (width, height):
        return luma, placing
    return np.array(luma[top:bottom, left:right], order="C"), placing
