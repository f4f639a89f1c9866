"""Saved states of machines that have booted, so that a test has one in a second.

They lie with the image, each under a name made of all that went into it.
"""

import hashlib
import os
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from tests.hardware.boards import Board
from tests.hardware.build import alone, keep_newest
from tests.hardware.machine import Machine

KEPT = 6
"""Of each board: a few checkouts' worth. Each is some hundred MB."""


def booted(image: Path, board: Board) -> Path:
    """Return the state of a board that has just booted."""
    return _made(image, board, None, (_version(board.qemu), repr(board).encode()), lambda machine: None)


def prepared(
    image: Path, board: Board, base: Path, depends: Sequence[bytes], prepare: Callable[[Machine], None]
) -> Path:
    """Return the state that `prepare` brings a machine in state `base` to; it follows from what it `depends` on."""
    return _made(image, board, base, (base.name.encode(), *depends), prepare)


def _made(
    image: Path, board: Board, base: Path | None, depends: Sequence[bytes], prepare: Callable[[Machine], None]
) -> Path:
    name = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in depends)).hexdigest()[:16]
    state = image / f"state-{board.name}-{name}"
    with alone(image):
        if state.exists():
            os.utime(state)
            return state
        half_done = state.with_name(f"half-{state.name}")
        with Machine(board, base) as machine:
            prepare(machine)
            machine.save(half_done)
        half_done.rename(state)
        keep_newest(image, f"state-{board.name}-*", KEPT)
    return state


@cache
def _version(qemu: str) -> bytes:
    """A state is read only by the QEMU that wrote it."""
    return subprocess.run([qemu, "--version"], capture_output=True, check=True).stdout
