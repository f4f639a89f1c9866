"""What time the gate believes, and how far."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edge.clock import GateClock
from edge.core.model import ClockTrust

SIX = datetime(2026, 5, 1, 18, 0, tzinfo=UTC)


@dataclass
class Machine:
    """A computer whose clocks are set by hand."""

    wall: datetime = SIX
    up_s: float = 100.0
    ntp: bool = False

    def clock(self, last_written_at: datetime | None = None) -> GateClock:
        return GateClock(
            last_written_at, wall=lambda: self.wall, monotonic=lambda: self.up_s, synchronised=lambda: self.ntp
        )

    def passes(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.up_s += seconds


def test_time_runs_with_the_monotonic_clock() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(60)
    assert clock.now() == SIX + timedelta(seconds=60)
    assert clock.trust is ClockTrust.ESTIMATED


def test_a_jump_of_the_wall_clock_changes_nothing() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall -= timedelta(hours=3)
    clock.check()
    assert clock.now() == SIX


def test_ntp_is_followed_and_trusted() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += timedelta(minutes=7)
    machine.ntp = True
    clock.check()
    assert (clock.now(), clock.trust) == (SIX + timedelta(minutes=7), ClockTrust.TRUSTED)


def test_a_box_without_a_clock_chip_wakes_up_where_it_stopped() -> None:
    machine = Machine(wall=SIX - timedelta(days=40))
    clock = machine.clock(last_written_at=SIX)
    assert (clock.now(), clock.trust) == (SIX, ClockTrust.UNKNOWN)
    clock.hear(SIX + timedelta(hours=2), 0.2)
    assert clock.trust is ClockTrust.ESTIMATED
    assert clock.now() == SIX + timedelta(hours=2, seconds=0.1)


def test_a_crm_that_agrees_confirms() -> None:
    clock = Machine().clock()
    clock.hear(SIX + timedelta(seconds=2), 0.4)
    assert (clock.trust, clock.skew_s, clock.now()) == (ClockTrust.TRUSTED, 2.2, SIX)


def test_a_crm_far_off_is_adopted_but_not_called_sure() -> None:
    clock = Machine().clock()
    clock.hear(SIX + timedelta(minutes=10), 0.0)
    assert (clock.now(), clock.trust) == (SIX + timedelta(minutes=10), ClockTrust.ESTIMATED)
    clock.hear(SIX + timedelta(minutes=10), 0.0)
    assert clock.trust is ClockTrust.ESTIMATED


def test_a_crm_cannot_take_time_back_before_what_was_written() -> None:
    machine = Machine(wall=SIX - timedelta(days=1))
    clock = machine.clock(last_written_at=SIX)
    clock.hear(SIX - timedelta(hours=5), 0.0)
    assert (clock.now(), clock.trust) == (SIX, ClockTrust.UNKNOWN)


def test_a_lying_crm_moves_no_clock_that_ntp_keeps() -> None:
    machine = Machine(ntp=True)
    clock = machine.clock()
    clock.hear(SIX + timedelta(days=300), 0.0)
    assert (clock.now(), clock.trust) == (SIX, ClockTrust.TRUSTED)
    assert clock.skew_s == timedelta(days=300).total_seconds()
