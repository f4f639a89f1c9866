"""A GPIO chip where the machine has none: gpiod's classes over lines in memory.

It keeps no wiring, no bias and no debouncing: those are the kernel's, and tried on gpio-sim in the virtual machine.
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Self

from gpiod import EdgeEvent, LineSettings
from gpiod.line import Direction, Value


class Board:
    """The lines of one chip: what hardware would see of it, and do to it."""

    def __init__(self, many: int = 8) -> None:
        self.many = many
        self.levels: dict[int, bool] = {}
        """Of outputs, as last set; they stay when a request ends, as on a Raspberry Pi."""
        self.history: list[tuple[int, bool]] = []
        self.contacts: dict[int, bool] = {}
        self.names: dict[int, str] = {}
        self.taken: dict[int, str] = {}
        """By whom; an empty name is the kernel's own use."""
        self.is_gone = False
        self._events: list[EdgeEvent] = []
        self.reader, self._writer = os.pipe()

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)

    def contact(self, offset: int, *, closed: bool) -> None:
        """Close or open a contact, of which the kernel tells."""
        self.contacts[offset] = closed
        edge = EdgeEvent.Type.RISING_EDGE if closed else EdgeEvent.Type.FALLING_EDGE
        self._events.append(EdgeEvent(edge.value, 0, offset, 0, 0))
        os.write(self._writer, b".")

    def unplug(self) -> None:
        self.is_gone = True
        os.write(self._writer, b".")

    def there(self) -> None:
        if self.is_gone:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def set(self, offset: int, *, on: bool) -> None:
        if self.levels.get(offset) is not on:
            self.history.append((offset, on))
        self.levels[offset] = on

    def events(self) -> list[EdgeEvent]:
        self.there()
        told, self._events = self._events, []
        os.read(self.reader, 4096)
        return told


class BoardChip:
    """What `gpiod.Chip` would be to this board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    path = "/dev/gpiochip0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def line_offset_from_id(self, name: int | str) -> int:
        if not isinstance(name, int):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return name

    def get_info(self) -> SimpleNamespace:
        self._board.there()
        return SimpleNamespace(name="gpiochip0", label="board", num_lines=self._board.many)

    def get_line_info(self, offset: int) -> SimpleNamespace:
        if offset >= self._board.many:
            raise ValueError("line offset of out range")
        consumer = self._board.taken.get(offset)
        name = self._board.names.get(offset, "")
        return SimpleNamespace(offset=offset, name=name, used=consumer is not None, consumer=consumer or "")

    def request_lines(self, config: Mapping[int, LineSettings], consumer: str) -> "BoardRequest":
        if set(config) & set(self._board.taken):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return BoardRequest(self._board, config, consumer)


class BoardRequest:
    """What `gpiod.LineRequest` would be."""

    def __init__(self, board: Board, config: Mapping[int, LineSettings], consumer: str) -> None:
        self._board = board
        self._offsets = list(config)
        board.taken |= dict.fromkeys(config, consumer)
        for offset, settings in config.items():
            if settings.direction is Direction.OUTPUT:
                board.set(offset, on=settings.output_value is Value.ACTIVE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for offset in self._offsets:
            del self._board.taken[offset]

    @property
    def fd(self) -> int:
        return self._board.reader

    def set_values(self, values: Mapping[int, Value]) -> None:
        self._board.there()
        for offset, value in values.items():
            self._board.set(offset, on=value is Value.ACTIVE)

    def get_value(self, offset: int) -> Value:
        self._board.there()
        return Value.ACTIVE if self._board.contacts.get(offset) else Value.INACTIVE

    def read_edge_events(self) -> Iterable[EdgeEvent]:
        return self._board.events()


def opener(board: Board) -> Callable[[str], BoardChip]:
    return lambda _: BoardChip(board)
