"""How a ticket is moved before a camera, and how the camera's automatics follow; both as functions of time."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from bench.scenes.lens import Pose


@dataclass(frozen=True)
class Way:
    """How a hand moves: from beside the frame to where it rests, and away again. Seconds and pixels."""

    rest: Pose
    away: tuple[float, float]
    """How far off the start and the end are."""
    comes_at_s: float
    takes_s: float
    goes_at_s: float
    sway: tuple[tuple[float, float, float, float], ...]
    """Swings, in x and y by turns: amplitude in pixels, frequency in Hz, phase, and how fast it calms (1/s)."""

    def pose(self, at_s: float) -> Pose:
        """Return where the code is."""
        come, go = (np.clip((at_s - begin) / self.takes_s, 0, 1) for begin in (self.comes_at_s, self.goes_at_s))
        off = float(1 - come**2 * (3 - 2 * come) + go**2 * (3 - 2 * go))
        calm_s = max(0.0, at_s - self.comes_at_s - self.takes_s)
        swings = [
            size * math.sin(2 * math.pi * (hertz * at_s + phase)) * (0.4 + math.exp(-calm * calm_s))
            for size, hertz, phase, calm in self.sway
        ]
        return replace(
            self.rest,
            x=self.rest.x + off * self.away[0] + sum(swings[::2]),
            y=self.rest.y + off * self.away[1] + sum(swings[1::2]),
            width=self.rest.width * (1 - 0.15 * min(1.0, off)),
            roll=self.rest.roll + 0.4 * off + swings[0] / 300,
            yaw=self.rest.yaw + swings[1] / 150,
        )


def make_way(rng: Generator, width_px: float, size: tuple[int, int]) -> Way:
    """Return one for a code of this width in a frame of this size, in pixels."""
    wide, high = size
    roll = float(rng.normal(0, 0.12)) + (float(rng.choice((0.5, 1, 1.5))) * math.pi if rng.random() < 0.12 else 0)
    x, y = wide * float(rng.uniform(0.42, 0.58)), high * float(rng.uniform(0.42, 0.58))
    width = min(width_px, 0.8 * high) if abs(math.sin(roll)) > 0.5 else width_px
    yaw, pitch = (float(each) for each in rng.normal(0, 0.17, 2))
    towards = float(rng.choice((0.5 * math.pi, 0, math.pi), p=(0.5, 0.25, 0.25))) + float(rng.normal(0, 0.25))
    far = high * float(rng.uniform(1.0, 1.3)) if abs(math.sin(towards)) > 0.5 else wide * float(rng.uniform(0.8, 1))
    sway = tuple(
        (
            size * float(rng.uniform(0.2, 1)),
            hertz * float(rng.uniform(0.7, 1.4)),
            float(rng.random()),
            float(rng.uniform(1, 5)),
        )
        for size, hertz in ((9, 1.2), (9, 1.2), (4, 3.5), (4, 3.5), (1, 9), (1, 9))
    )
    return Way(
        Pose(x, y, width, roll, yaw, pitch),
        (far * math.cos(towards), far * math.sin(towards)),
        comes_at_s=float(rng.uniform(0.05, 0.25)),
        takes_s=float(rng.uniform(0.3, 0.5)),
        goes_at_s=float(rng.uniform(1.72, 1.8)),
        sway=sway,
    )


@dataclass(frozen=True)
class Automatics:
    """What a camera's automatics do after the ticket came."""

    shutter_s: float
    blur: float
    """Standard deviation in pixels, at best."""
    hunts: tuple[tuple[float, float, float, float], ...]
    """Searches for the focus: when, how far out in pixels, how long each takes to calm, Hz."""
    dazzled: float
    """Exposure at first, 1 is right."""
    settles_s: float
    mirrored: float
    """Strength of the lamps mirrored on the sheet; 0: none."""

    def blur_at(self, at_s: float) -> float:
        """Return how far out of focus the sheet is: until the first search, as far as that begins with."""
        first, *more = self.hunts
        out = [_hunted(max(0.0, at_s - first[0]), *first[1:])]
        out += [_hunted(at_s - since, *how) for since, *how in more if at_s >= since]
        return math.hypot(self.blur, sum(out))


def _hunted(passed_s: float, size: float, calm_s: float, hertz: float) -> float:
    return size * math.exp(-passed_s / calm_s) * math.cos(2 * math.pi * hertz * passed_s)


def make_automatics(rng: Generator, shines: bool) -> Automatics:
    """Return how a camera takes to a screen, which shines, or to paper."""
    hunts = [_hunt(rng, float(rng.uniform(0.25, 0.5)), 6)]
    if rng.random() < 0.25:
        hunts.append(_hunt(rng, float(rng.uniform(0.9, 1.4)), 4))
    return Automatics(
        shutter_s=1 / float(rng.uniform(33, 120)),
        blur=float(rng.uniform(0.5, 0.85)),
        hunts=tuple(hunts),
        dazzled=float(rng.uniform(1.0, 1.9)) if shines else float(rng.uniform(0.7, 1.2)),
        settles_s=float(rng.uniform(0.1, 0.3)),
        mirrored=float(rng.uniform(0, 0.6)) if rng.random() < 0.25 else 0.0,
    )


def _hunt(rng: Generator, since_s: float, most_px: float) -> tuple[float, float, float, float]:
    return since_s, float(rng.uniform(1.5, most_px)), float(rng.uniform(0.08, 0.25)), float(rng.uniform(0.5, 2.5))
