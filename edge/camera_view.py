"""A camera in a terminal: its picture in half blocks, the outlines of codes in it, and what was read.

Two pixels stand in a character: the upper half block has the colour of the upper one, its background that of the lower.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from drivers.camera.messages import Alive
from drivers.protocols import Outline, Picture
from edge.box import picture_hint
from edge.visible import visible

LEVELS = 24
"""Of grey: the colours 232 to 255 of a terminal that has 256."""
MARK = LEVELS
"""The level that stands for an outline."""
_RAMP = " .:-=+*#%@"
"""For terminals without colours."""
_GREEN = 46
_LEAST_ROWS = 4

_HINTS = {
    "too_dark": "too dark: more light, or a longer exposure",
    "too_bright": "too bright: less light, or a shorter exposure",
    "out_of_focus": "out of focus, or nothing to see: turn the lens, or hold a code to it",
    None: "hold a code to the camera",
}


class CameraView:
    """What is shown of a camera; whoever keeps it fills it in and has it drawn again."""

    def __init__(self, device: str, address: str, reads_kept: int = 5) -> None:
        self.picture: Picture | None = None
        self.alive: Alive | None = None
        self.trouble = ""
        """What is wrong with the camera, while something is."""
        self._title = f"{device}   page: {address}"
        self._reads: list[str] = []
        self._kept = reads_kept

    def note(self, line: str) -> None:
        """Add a read."""
        self._reads = [*self._reads, line][-self._kept :]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        below = self._below()
        rows = max(_LEAST_ROWS, options.max_height - len(below) - self._kept)
        if self.picture is not None and not self.trouble:
            colour = console.color_system is not None and not console.no_color and not options.ascii_only
            yield from drawn(self.picture, options.max_width, rows, colour=colour)
        for line, style in (*below, *((read, "bold green") for read in self._reads)):
            yield Text(visible(line), style=style, no_wrap=True, overflow="ellipsis")

    def _below(self) -> list[tuple[str, str]]:
        return [
            (self._title, "bold"),
            (self.trouble, "bold yellow") if self.trouble else (self._figures(), ""),
            ("Ctrl-C ends this.", "dim"),
        ]

    def _figures(self) -> str:
        if self.picture is None:
            return "waiting for a picture"
        parts = [f"{self.picture.width}x{self.picture.height}"]
        if self.alive is not None:
            parts = [f"{self.alive.fps:.0f} frames/s", f"{self.alive.median_ms:.1f} ms"]
        return "   ".join((*parts, f"step {self.picture.step}", hint(self.alive, reads=bool(self.picture.outlines))))


def hint(alive: Alive | None, *, reads: bool) -> str:
    """Say what would make a picture read better; `reads`: something was read in it."""
    if alive is None:
        return ""
    found = picture_hint(alive)
    return "light and focus are good" if reads and found in {None, "out_of_focus"} else _HINTS[found]


def drawn(picture: Picture, columns: int, rows: int, *, colour: bool) -> Iterable[Segment]:
    """Draw a luma picture as large as `columns` by `rows` characters let it be, each row with its line end."""
    width, height = fitted(picture.width, picture.height, columns, 2 * rows)
    levels = sampled(picture, width, height)
    for x, y in traced(picture.outlines, width, height):
        levels[y][x] = MARK
    for upper, lower in zip(levels[::2], levels[1::2], strict=True):
        yield from _coloured(upper, lower) if colour else _plain(upper, lower)
        yield Segment.line()


def fitted(width: int, height: int, most_width: int, most_height: int) -> tuple[int, int]:
    """Return the largest size of the same proportions, its height even."""
    scale = min(most_width / width, most_height / height)
    return max(1, min(most_width, round(width * scale))), max(2, min(most_height, round(height * scale)) // 2 * 2)


def sampled(picture: Picture, width: int, height: int) -> list[list[int]]:
    """Return the levels of a smaller or larger picture, row by row: of each place the nearest pixel."""
    across = [x * picture.width // width for x in range(width)]
    take = itemgetter(*across) if width > 1 else lambda row: (row[0],)
    starts = (y * picture.height // height * picture.width for y in range(height))
    pixels = (take(picture.data[start : start + picture.width]) for start in starts)
    return [[each * LEVELS >> 8 for each in row] for row in pixels]


def traced(outlines: Iterable[Outline], width: int, height: int) -> set[tuple[int, int]]:
    """Return the pixels on the sides of outlines; what lies outside the picture is left out."""
    found: set[tuple[int, int]] = set()
    for each in outlines:
        corners = [(x * (width - 1), y * (height - 1)) for x, y in each.corners]
        for start, end in zip(corners, (*corners[1:], *corners[:1]), strict=True):
            found.update(_side(start, end, 2 * (width + height)))
    return {(x, y) for x, y in found if 0 <= x < width and 0 <= y < height}


def _side(start: tuple[float, float], end: tuple[float, float], most: int) -> Iterable[tuple[int, int]]:
    """Yield the pixels of a line. One that is longer than a picture's is not a code's: it is cut short."""
    across, down = end[0] - start[0], end[1] - start[1]
    steps = min(most, max(1, round(max(abs(across), abs(down)))))
    return ((round(start[0] + across * at / steps), round(start[1] + down * at / steps)) for at in range(steps + 1))


def _coloured(upper: Sequence[int], lower: Sequence[int]) -> Iterable[Segment]:
    for pair, run in groupby(zip(upper, lower, strict=True)):
        yield Segment("▀" * len(list(run)), _style(*pair))


def _plain(upper: Sequence[int], lower: Sequence[int]) -> Iterable[Segment]:
    yield Segment("".join(_letter(*pair) for pair in zip(upper, lower, strict=True)))


def _letter(upper: int, lower: int) -> str:
    if MARK in {upper, lower}:
        return "O"
    return _RAMP[(upper + lower) * len(_RAMP) // (2 * LEVELS)]


@lru_cache(maxsize=(LEVELS + 1) ** 2)
def _style(upper: int, lower: int) -> Style:
    return Style(color=_colour(upper), bgcolor=_colour(lower))


def _colour(level: int) -> Color:
    return Color.from_ansi(_GREEN if level == MARK else 232 + level)
