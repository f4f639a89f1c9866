"""What `bench.relay` runs inside the machine; prints the figures as JSON on its last line."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Figures
from bench.floor import commit_floor
from bench.stock import CHECKPOINT, KEY, code_of, make_whitelist
from edge.store.credentials import Credentials, save_credentials
from tests.hardware.guest import gpio_bank, keyboard

SCANS = 200
WARM = 20
TICKETS = 10_000
PULSE_MS = 20
SETTLE_S = 3.0
"""What a gate does once at its start is over."""
FLOOR = """
import sys, time, evdev, gpiod
from gpiod.line import Direction, Value
device = evdev.InputDevice(sys.argv[1])
device.grab()
output = {0: gpiod.LineSettings(direction=Direction.OUTPUT)}
with gpiod.request_lines(sys.argv[2], consumer="floor", config=output) as lines:
    print("ready", flush=True)
    for event in device.read_loop():
        if event.type == evdev.ecodes.EV_KEY and event.code == evdev.ecodes.KEY_ENTER and event.value == 1:
            lines.set_value(0, Value.ACTIVE)
            time.sleep(0.02)  # the pulse, as long as the gate's
            lines.set_value(0, Value.INACTIVE)
"""
SETTINGS = """
[device]
name = "Bench"
data_path = "{folder}"
language = "en"
[web]
port = 18080
[[lane]]
id = "bench"
checkpoint = "{checkpoint}"
readers = [{{ driver = "evdev", device = "{scanner}" }}]
turnstile = {{ driver = "gpio", chip = "{chip}", release_line = 0, pulse_ms = {pulse_ms} }}
"""


def main() -> None:
    """Measure floor, gate and commit, one after the other."""
    chip = gpio_bank.plug("bench", ["release"])
    line = gpio_bank.wire("bench", "release") / "value"
    scanner = keyboard.plug("scanner")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with floor(scanner, chip):
            bare = rises(line)
        with gate(folder, scanner, chip):
            whole = rises(line)
        commit = commit_floor(folder, 500)
    found = {"gate": whole, "floor": bare, "commit": commit}
    sys.stdout.write(json.dumps({key: {"p50": each.p50_ms, "p99": each.p99_ms} for key, each in found.items()}) + "\n")


def rises(line: Path) -> Figures:
    """Scan tickets, and time from each Enter to the line's rise, as one who only looks at it sees it."""
    took = []
    value = os.open(line, os.O_RDONLY)
    for number in range(WARM + SCANS):
        for character in code_of(number):
            keyboard.type_text("scanner", character)
            time.sleep(0.004)  # as fast as USB carries keys; all at once would run the kernel's queue over
        time.sleep(0.05)  # what reads the keys is idle again
        started = time.perf_counter()
        keyboard.press("scanner", [("KEY_ENTER", 1)])
        await_level(value, b"1")
        took.append(time.perf_counter() - started)
        keyboard.press("scanner", [("KEY_ENTER", 0)])
        await_level(value, b"0")
    os.close(value)
    return Figures(took[WARM:])


def await_level(value: int, wanted: bytes) -> None:
    """Look at a line's level without pause until it is so."""
    until = time.monotonic() + 10.0
    while os.pread(value, 1, 0) != wanted:
        if time.monotonic() > until:
            raise AssertionError(f"the line did not become {wanted!r}")


@contextmanager
def floor(scanner: str, chip: str) -> Iterator[None]:
    """Run the bare reader."""
    with subprocess.Popen([sys.executable, "-c", FLOOR, scanner, chip], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield
        finally:
            child.kill()


@contextmanager
def gate(folder: Path, scanner: str, chip: str) -> Iterator[None]:
    """Run the gate until it reads its scanner and holds its line."""
    make_whitelist(folder, TICKETS, SCANS + WARM)
    save_credentials(
        folder,
        Credentials(url="http://x", device_id="d", name="b", organiser="b", token="t", lookup_key=KEY),
    )
    config = folder / "gate.toml"
    config.write_text(
        SETTINGS.format(folder=folder, checkpoint=CHECKPOINT, scanner=scanner, chip=chip, pulse_ms=PULSE_MS)
    )
    with subprocess.Popen([sys.executable, "-m", "edge", "run", "-c", str(config)]) as child:
        try:
            until = time.monotonic() + 60.0
            while not is_at_work():
                if time.monotonic() > until or child.poll() is not None:
                    raise AssertionError("the gate did not start")
                time.sleep(0.2)  # between two looks
            time.sleep(SETTLE_S)
            yield
        finally:
            child.send_signal(signal.SIGTERM)


def is_at_work() -> bool:
    """Tell whether the gate reads and its turnstile is free of faults."""
    try:
        with urllib.request.urlopen("http://127.0.0.1:18080/api/v1/status") as answer:
            status = json.load(answer)
    except OSError:
        return False
    return status["readers"][0]["state"] == "running" and not status["faults"]


if __name__ == "__main__":
    main()
