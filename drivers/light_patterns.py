"""What lamps and a buzzer do for each look: told apart by rhythm alone, without colour and without sound.

Whoever sees no colours, or has both lamps in one lens, sees one long light or fast flashes; whoever hears nothing needs
no more than that; and whoever looks away counts the beeps: one long for in, two for out, three short for no, many for
an emergency. A crowd looks on: no lamp flashes more than three times a second.

Source: WCAG 2.2, success criterion 2.3.1 "Three Flashes or Below Threshold".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.protocols import Look

LINES = ("green", "red", "buzzer")


@dataclass(frozen=True, slots=True)
class Step:
    """Which lines are active, and for how many milliseconds."""

    ms: int
    green: bool = False
    red: bool = False
    buzzer: bool = False

    def levels(self) -> dict[str, bool]:
        """Return the level of each line."""
        return {name: bool(getattr(self, name)) for name in LINES}


_FLASH_MS, _REST_MS = 120, 220
_PAUSE = Step(300)
_BEEPING_GREEN = (Step(125, green=True, buzzer=True), Step(125, green=True)) * 4
PATTERNS: dict[Look, tuple[Step, ...]] = {
    # One long light and one long beep.
    Look.ADMITTED: (Step(350, green=True, buzzer=True), Step(2150, green=True)),
    # Two slow flashes, two beeps.
    Look.EXITED: (Step(200, green=True, buzzer=True), Step(250), Step(200, green=True, buzzer=True), Step(250)),
    # Three beeps on three fast flashes, and the lamp goes on flashing in silence.
    Look.REFUSED: (
        *((Step(_FLASH_MS, red=True, buzzer=True), Step(_REST_MS)) * 3),
        *((Step(_FLASH_MS, red=True), Step(_REST_MS)) * 4),
    ),
    # The lamps in turn, dark in between, and one very short beep: nothing is decided.
    Look.AGAIN: (
        *(Step(80, red=True, buzzer=True), Step(220, red=True), _PAUSE, Step(300, green=True), _PAUSE),
        *(Step(300, red=True), _PAUSE, Step(300, green=True), _PAUSE),
    ),
    # Both lamps together, short and then long, one short beep.
    Look.NOTED: (
        Step(120, green=True, red=True, buzzer=True),
        Step(220),
        Step(1000, green=True, red=True),
    ),
    # For as long as it lasts: the lamps in turn, long, and beeps with green.
    Look.HELD_OPEN: (*_BEEPING_GREEN, Step(500), Step(1000, red=True), Step(500)),
    Look.DARK: (),
}
ENDLESS = {Look.HELD_OPEN}


def steps(look: Look) -> Iterator[Step]:
    """Yield what follows one another; an emergency has no end."""
    yield from PATTERNS[look]
    while look in ENDLESS:
        yield from PATTERNS[look]
