"""What the gate asks of its hardware. A driver keeps one of these and knows nothing of tickets.

A driver translates its library's errors into the two below and never retries: the supervisor does.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class DeviceLost(Exception):
    """Absent, unplugged, or an I/O error: worth trying again."""


class DeviceRefused(Exception):
    """It will not work until a person mends something, which the message names."""


class Clock(Protocol):
    """Where a driver takes the time from."""

    def now(self) -> datetime:
        """Return the present, aware UTC."""


@dataclass(frozen=True, slots=True)
class Read:
    """One decoded code from one reader, and when it was read (aware UTC)."""

    code: str
    at: datetime


class Scanner(Protocol):
    """A source of reads."""

    def reads(self) -> AsyncGenerator[Read]:
        """Yield reads in the order made, until the device goes.

        Raises:
            DeviceLost: absent, unplugged, or a read failed.
            DeviceRefused: no permission, or not such a device.
        """


class Turnstile(Protocol):
    """What lets one guest through."""

    @property
    def passage_timeout_s(self) -> float | None:
        """How long to wait for the guest to pass; None: it has no sensor and cannot tell."""

    async def release(self) -> None:
        """Unlock for one guest, and be safe again afterwards even if cancelled.

        Raises:
            DeviceLost: it did not answer.
        """

    async def passed(self) -> None:
        """Return once a guest has gone through since `release`; wait for ever where none does."""
