"""Banks of simulated GPIO lines, wired from outside of the program under test.

Source: Linux Documentation/admin-guide/gpio/gpio-sim.rst.
"""

import threading
import time
from pathlib import Path

CONFIG = Path("/sys/kernel/config/gpio-sim")
PLATFORM = Path("/sys/devices/platform")
LOOK_S = 0.0005
_recorders: dict[tuple[str, str], "Recorder"] = {}


def plug(label: str, lines: list[str]) -> str:
    """Make a bank whose lines have these names, in order; return its device node."""
    chip = CONFIG / label
    bank = chip / "bank0"
    bank.mkdir(parents=True)
    (bank / "label").write_text(label)
    (bank / "num_lines").write_text(str(len(lines)))
    for number, name in enumerate(lines):
        (bank / f"line{number}").mkdir()
        (bank / f"line{number}" / "name").write_text(name)
    (chip / "live").write_text("1")
    return f"/dev/{(bank / 'chip_name').read_text().strip()}"


def unplug(label: str) -> None:
    """Take the bank away, as when a USB relay board is pulled out."""
    chip = CONFIG / label
    (chip / "live").write_text("0")
    for line in chip.glob("bank0/line*"):
        line.rmdir()
    (chip / "bank0").rmdir()
    chip.rmdir()


def level(label: str, line: str) -> int:
    """Return what a voltmeter on the line shows: 0 or 1."""
    return int((wire(label, line) / "value").read_text())


def pull(label: str, line: str, up: bool) -> None:
    """Wire a line up or down, as the contact at its far end does."""
    (wire(label, line) / "pull").write_text("pull-up" if up else "pull-down")


def record(label: str, line: str) -> None:
    """Watch a line from now on; `recorded` tells what was seen."""
    _recorders[label, line] = Recorder(wire(label, line) / "value")


def recorded(label: str, line: str, changes: int, within_s: float) -> list[tuple[float, int]]:
    """Return the line's levels since `record`, each with when it was first seen (monotonic seconds).

    Waits until there have been so many changes, at most `within_s`. The first level is the one it had.
    """
    return _recorders[label, line].seen_changes(changes, within_s)


class Recorder(threading.Thread):
    """Looks at a line for as long as the machine runs: the simulator tells nobody of a change."""

    def __init__(self, value: Path) -> None:
        super().__init__(daemon=True)
        self._value = value
        self._seen = [(time.monotonic(), int(value.read_text()))]
        self._changed = threading.Condition()
        self.start()

    def run(self) -> None:
        """Look, and remember each change."""
        with self._value.open(buffering=1) as value:
            while True:
                value.seek(0)
                now = int(value.read())
                if now != self._seen[-1][1]:
                    with self._changed:
                        self._seen.append((time.monotonic(), now))
                        self._changed.notify_all()
                time.sleep(LOOK_S)

    def seen_changes(self, changes: int, within_s: float) -> list[tuple[float, int]]:
        """Wait for changes, and return what was seen until then."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._seen) > changes, within_s)
            return list(self._seen)


def wire(label: str, line: str) -> Path:
    bank = CONFIG / label / "bank0"
    device = (CONFIG / label / "dev_name").read_text().strip()
    chip = (bank / "chip_name").read_text().strip()
    for named in bank.glob("line*/name"):
        if named.read_text().strip() == line:
            return PLATFORM / device / chip / f"sim_gpio{named.parent.name.removeprefix('line')}"
    raise KeyError(f"{label} has no line {line}")
