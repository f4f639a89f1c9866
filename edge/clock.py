"""What time the gate believes it is, and how far it believes it.

Time runs with the monotonic clock from an anchor, so that a jump of the wall clock cannot reorder the journal. The
anchor is the wall clock's reading at the start, never before what was last written; it moves when the kernel says
that the wall clock is synchronised (NTP), and else to the CRM's time when that is far from ours.
"""

import ctypes
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from edge.core.model import ClockTrust

AGREE_S = 5.0
"""Gate and CRM agree when they are this near: hours and windows are said in minutes."""
STEP_S = 0.5
"""A synchronised wall clock is followed when it is this far from the anchor's time."""


def kernel_synchronised() -> bool:
    """Tell whether NTP keeps the wall clock (Linux adjtimex(2): any state but TIME_ERROR)."""
    buffer = ctypes.create_string_buffer(512)  # struct timex is 208 bytes; its first field, modes = 0, only reads
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return 0 <= state < 5


def wall_clock() -> datetime:
    """Return the wall clock's reading, aware UTC."""
    return datetime.now(UTC)


class GateClock:
    """Aware UTC now, its trust, and the skew to the CRM; safe to read from any thread."""

    def __init__(
        self,
        last_written_at: datetime | None = None,
        *,
        wall: Callable[[], datetime] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
        synchronised: Callable[[], bool] = kernel_synchronised,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._synchronised = synchronised
        self._lock = threading.Lock()
        self._confirmed = False
        self._adopted = False
        self.skew_s: float | None = None
        """The CRM's time less ours at last contact, in seconds; None: never heard."""
        wall_at = wall()
        self._behind = last_written_at is not None and wall_at < last_written_at
        self._anchor = (max(wall_at, last_written_at) if last_written_at else wall_at, monotonic())
        self._synced = synchronised()

    def now(self) -> datetime:
        """Return the present, aware UTC; it never runs backwards but when a synchronised clock says so."""
        with self._lock:
            at, since = self._anchor
        return at + timedelta(seconds=self._monotonic() - since)

    @property
    def trust(self) -> ClockTrust:
        """How far `now` is to be believed."""
        if self._synced or (self._confirmed and not self._adopted):
            return ClockTrust.TRUSTED
        return ClockTrust.UNKNOWN if self._behind and not self._adopted else ClockTrust.ESTIMATED

    def check(self) -> None:
        """Follow a wall clock that the kernel vouches for; call every few seconds."""
        self._synced = self._synchronised()
        if self._synced:
            wall = self._wall()
            if abs((wall - self.now()).total_seconds()) > STEP_S:
                self._move(wall)
            self._adopted = self._behind = False

    def hear(self, crm_time: datetime, round_trip_s: float) -> None:
        """Take note of the CRM's time; half the round trip is on its way here."""
        theirs = crm_time + timedelta(seconds=round_trip_s / 2)
        ours = self.now()
        self.skew_s = (theirs - ours).total_seconds()
        if self._synced:
            return
        if abs(self.skew_s) <= AGREE_S + round_trip_s:
            self._confirmed = True
        elif theirs > ours or not self._behind:
            self._move(theirs)
            self._adopted = True

    def _move(self, to: datetime) -> None:
        with self._lock:
            self._anchor = (to, self._monotonic())
