"""Cameras: what is read of photographs and of clips that this repository draws, how fast, and at what cost."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2

from bench import camera_clips, camera_live, camera_photographs


def run(folder: Path) -> None:
    """Measure and print all of it."""
    run_photographs(folder)
    run_clips(folder)
    run_live(folder)


def run_photographs(_: Path) -> None:
    """Measure and print what is read of photographs."""
    with _pool() as pool:
        camera_photographs.run(pool)


def run_conditions(_: Path) -> None:
    """Measure and print it also by what is wrong with the photographs."""
    with _pool() as pool:
        camera_photographs.run(pool, by_condition=True)


def run_clips(_: Path) -> None:
    """Measure and print what is read of clips, and what frames without a code cost."""
    cv2.setNumThreads(1)
    camera_clips.run_empty()
    with _pool() as pool:
        camera_clips.run(pool)


def run_live(folder: Path) -> None:
    """Measure and print the way from a frame to a verdict, memory, and the cost of idling, of real processes."""
    camera_live.run(folder)


@contextmanager
def _pool() -> Iterator[ProcessPoolExecutor]:
    """Yield a process a core; each measures its own processor time."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn, initializer=_begin) as pool:
        yield pool


def _begin() -> None:
    """One thread, as in a camera's own process; and none of what zbar's C code prints of broken codes."""
    cv2.setNumThreads(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
