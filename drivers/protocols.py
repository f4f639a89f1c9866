"""What the gate asks of its hardware. A driver keeps one of these and knows nothing of tickets.

A driver translates its library's errors into the two below and never retries: the supervisor does.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

Again = Callable[[], Awaitable[None]]
"""Returns once trying again may help: since the attempt began, something was plugged in or given another owner."""


class DeviceLost(Exception):
    """Absent, unplugged, or an I/O error: worth trying again, by itself or when `again` says so."""

    def __init__(self, message: str, again: Again | None = None) -> None:
        super().__init__(message)
        self.again = again


class DeviceRefused(Exception):
    """It will not work until a person mends something, which the message names; `again` tells when they have."""

    def __init__(self, message: str, again: Again | None = None) -> None:
        super().__init__(message)
        self.again = again


class Clock(Protocol):
    """Where a driver takes the time from."""

    def now(self) -> datetime:
        """Return the present, aware UTC."""


@dataclass(frozen=True, slots=True)
class Read:
    """One decoded code from one reader, and when it was read (aware UTC).

    `symbology` is the AIM symbology identifier (ISO/IEC 15424) that the reader sent before the code, such as `]Q3`;
    it is not part of the code.
    """

    code: str
    at: datetime
    symbology: str | None = None
    certain: bool = True
    """False: the symbology's check lets misreads through, so a code that nobody knows is better read again."""
    again: bool = False
    """A code that is not certain, read once more while it is still shown; who has judged it has no use for this."""
    picture: bytes | None = field(default=None, repr=False)
    """A small JPEG in which the code was seen, from a camera that is asked to keep pictures."""


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A code that was begun but could not be read whole, and why; nothing of it is offered."""

    why: str
    at: datetime


class Scanner(Protocol):
    """A source of reads."""

    def reads(self) -> AsyncGenerator[Read | Spoiled]:
        """Yield reads in the order made, until the device goes.

        Raises:
            DeviceLost: absent, unplugged, or a read failed.
            DeviceRefused: no permission, or not such a device.
        """


@dataclass(frozen=True, slots=True)
class Outline:
    """A code in a picture: its text, its AIM identifier, and its four corners as fractions of width and height."""

    text: str
    symbology: str
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """What a camera sees, for people: `form` `jpeg`, or `luma` (one byte a pixel, row by row); sizes in pixels."""

    form: Literal["jpeg", "luma"]
    width: int
    height: int
    data: bytes = field(repr=False)
    outlines: tuple[Outline, ...]
    took_ms: float
    """How long the codes in it were looked for."""
    step: str
    """Which steps of the decoding that took; `still`: none, since nothing had moved."""


class Camera(Scanner, Protocol):
    """A reader that has a picture."""

    def watch(self, form: Literal["jpeg", "luma"], width: int, every_s: float) -> AsyncGenerator[Picture]:
        """Yield pictures while `reads` runs, the newest only, at most one in `every_s` seconds, for ever.

        No wider than `width` pixels; with several onlookers each may get more than it asked for.
        """


@dataclass(frozen=True, slots=True)
class Signals:
    """What a turnstile's own inputs say."""

    fault: bool = False
    """It reports that it cannot work."""
    held_open: bool = False
    """The fire contact, or another emergency, holds it open."""


class Turnstile(Protocol):
    """What lets one guest through."""

    @property
    def passage_timeout_s(self) -> float | None:
        """How long to wait for the guest to pass; None: it has no sensor and cannot tell."""

    def signals(self) -> AsyncGenerator[Signals]:
        """Claim the device and yield its inputs, as they are now and then at each change, until it goes.

        It works only while this runs, and is safe whenever this ends.

        Raises:
            DeviceLost: absent, in use by another program, or it does not answer.
            DeviceRefused: no permission, or not such a device.
        """

    async def release(self) -> None:
        """Unlock for one guest, and be safe again afterwards even if cancelled.

        Raises:
            DeviceLost: it did not answer, or is not claimed.
        """

    async def passed(self) -> None:
        """Return once a guest has gone through since `release`; wait for ever where none does."""


class Look(StrEnum):
    """What the lights and the buzzer of a lane say."""

    ADMITTED = "admitted"
    EXITED = "exited"
    REFUSED = "refused"
    AGAIN = "again"
    """The code could not be read: scan again."""
    NOTED = "noted"
    """Not a ticket, and taken: a controller's badge, an enrolment code."""
    HELD_OPEN = "held_open"
    """Emergency; shown until `DARK`."""
    DARK = "dark"


class Lights(Protocol):
    """The lamps and the buzzer of a lane."""

    def show(self, look: Look) -> None:
        """Say this from now on, in place of what was said before; never waits."""

    async def run(self) -> None:
        """Claim the lines and play what is to be shown, until the device goes; dark whenever this ends.

        Raises:
            DeviceLost, DeviceRefused: as `Turnstile.signals`.
        """
