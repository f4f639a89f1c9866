"""Which costlier step of decoding goes when. Pure: times are passed in, and with them how fast the machine is.

A slow machine looks at few frames, so that each of them gets a costlier step; a fast one looks at them all and can let
some go with the first step alone, which keeps it cool while people pass.
"""

from typing import Final

from drivers.camera.ladder import COSTLIER, Step

TRIED_S: Final = 1.5
_FOCUSING_S: Final = 0.15
"""For how long after the last movement a scene is still looked at, and how often: a lens takes its time to focus."""
LOOKED_AGAIN_S: Final = 1.0
"""How often a scene in which nothing moves, and nothing was found, is looked at nevertheless."""
_BETWEEN_S: Final = 0.05
_LATER_BETWEEN_S: Final = 0.09
"""How far apart the costlier steps are while things move, and once nothing was found for `_LONG_S`."""
_LONG_S: Final = 0.7
_LUCKY_S: Final = 1.0
"""For how long the step that found a code takes every second turn, and goes without waiting."""
_STEADY_S: Final = 0.7
"""A code that has stood there for longer may be a poster, beside which a ticket is harder to read."""
_NEVER: Final = float("-inf")


class Turns:
    """Gives the costlier steps their turns."""

    def __init__(self) -> None:
        self._turn = -1
        self._was_lucky = False
        self._untried = 0
        self._tried_at_s = self._looked_at_s = self._moved_at_s = self._busy_at_s = _NEVER
        self._lucky = COSTLIER[0]
        self._lucky_at_s = self._steady_at_s = _NEVER
        self._was_found = False

    def moved(self, at_s: float) -> None:
        """Take note that something moved: every step shall have its turn on what then stands there."""
        if at_s - self._moved_at_s > TRIED_S:
            self._busy_at_s = at_s
        self._moved_at_s = at_s
        self._untried = len(COSTLIER)

    def is_at_rest(self, at_s: float) -> bool:
        """Tell whether a frame in which nothing moved need not be looked at."""
        wait_s = LOOKED_AGAIN_S if at_s - self._moved_at_s > TRIED_S else _FOCUSING_S
        return self._untried == 0 and at_s - self._looked_at_s < wait_s

    def next_step(self, at_s: float, found: bool) -> Step | None:
        """Return the step that goes after the first one, which `found` something or did not; None: no other."""
        self._looked_at_s = at_s
        if not found:
            self._was_found = False
        elif not self._was_found:
            self._was_found, self._steady_at_s = True, at_s
        wait_s = self._wait_s(at_s, found)
        if wait_s is None or at_s - self._tried_at_s < wait_s:
            return None
        self._tried_at_s = at_s
        self._untried = max(0, self._untried - 1)
        self._was_lucky = self._is_lucky(at_s) and not found and not self._was_lucky
        if self._was_lucky:
            return self._lucky
        self._turn = (self._turn + 1) % len(COSTLIER)
        return COSTLIER[self._turn]

    def succeeded(self, step: Step, at_s: float) -> None:
        """Take note that a step found a code that the first one missed."""
        self._lucky, self._lucky_at_s, self._busy_at_s = step, at_s, at_s

    def _is_lucky(self, at_s: float) -> bool:
        return at_s - self._lucky_at_s < _LUCKY_S

    def _wait_s(self, at_s: float, found: bool) -> float | None:
        """Return how long after the last costlier step the next one goes; None: not yet."""
        if found:
            return _LATER_BETWEEN_S if at_s - self._steady_at_s > _STEADY_S else None
        if self._is_lucky(at_s) or at_s > self._moved_at_s:
            return 0.0
        return _LATER_BETWEEN_S if at_s - self._busy_at_s > _LONG_S else _BETWEEN_S
