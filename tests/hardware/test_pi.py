"""The Raspberry Pi itself: a line that nobody holds any more keeps its level, which the simulator's lines do not."""

import signal

from tests.hardware.machine import Machine

GPLEV0 = 0x3F200034
"""BCM2835 ARM Peripherals, section 6.1: a bit for each of lines 0 to 31; the Pi 3 has them at 0x3F000000."""
LINE = 17
HOLD = f"""exec python3 -c '
import gpiod, signal
from gpiod.line import Direction, Value
high = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
with gpiod.request_lines("/dev/gpiochip0", config={{{LINE}: high}}):
    print("held")
    signal.pause()
'"""


def is_high(pi: Machine) -> bool:
    """Measure the line from outside."""
    return bool(pi.memory_word(GPLEV0) >> LINE & 1)


def test_a_line_stays_high_when_the_process_that_set_it_is_killed(pi: Machine) -> None:
    assert not is_high(pi)
    program = pi.start(HOLD)
    program.wait_line("held")
    assert is_high(pi)
    program.signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL
    assert is_high(pi)
