"""A whole gate on the Raspberry Pi, whose released lines keep their level: killed, hung, stopped, the relay drops.

The relay's line is read in the chip's own register, from outside of the machine.
"""

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from edge.store.credentials import Credentials
from tests.hardware.link import HANG_S, GuestFailed, Process
from tests.hardware.machine import Machine
from tests.hardware.test_pi import LINE, is_high
from tests.sync.book import KEY, everything, packed

PORT, DATA = 8080, "/var/lib/brama"
SETTINGS = f"""\
[device]
name = "Pi"
data_path = "{DATA}"
language = "en"

[[lane]]
id = "a"
checkpoint = "c-1"
turnstile = {{ driver = "gpio", chip = "pinctrl-bcm2835", release_line = {LINE}, pulse_ms = %d%s }}
"""
LONG_MS = 30_000
"""A pulse in the middle of which there is time to kill."""
FIRE = ", open_line = { line = 27, active_low = true }"
"""A contact that nobody pulls up: this fire burns for as long as the machine runs."""


class Gate:
    """The gate on the Pi, started anew as often as a test wants."""

    def __init__(self, pi: Machine) -> None:
        self._pi = pi
        identity = {"url": "http://none", "device_id": "d-1", "name": "Pi", "organiser": "Palace", "token": "t"}
        pi.put(f"{DATA}/credentials.json", Credentials(**identity, lookup_key=KEY).model_dump_json())

    def start(self, pulse_ms: int = LONG_MS, more: str = "") -> Process:
        """Start it, and return once it holds its line."""
        self._pi.put("/etc/brama/gate.toml", SETTINGS % (pulse_ms, more))
        process = self._pi.start("exec python3 -m edge run")
        self.until(lambda: self.ask("/readyz")[0] == 200)
        # The line guard runs before a line is claimed, and a claimed line has no fault.
        self.until(lambda: bool(self.guard()) and not self.status()["faults"])
        return process

    def stock(self) -> None:
        """Push a list of tickets, as a CRM on the same network does."""
        self._pi.put("/run/lines", packed(everything(9)))
        self._pi.run(
            "python3 -c 'import urllib.request as r; r.urlopen(r.Request("
            f'"http://127.0.0.1:{PORT}/api/v1/changes", open("/run/lines", "rb").read(), '
            '{"Content-Type": "application/x-ndjson"}))\''
        )

    def admit(self, number: int) -> None:
        """Admit a guest."""
        status, answer = self.ask("/api/v1/scans", {"code": f"CODE-{number}"})
        assert (status, json.loads(answer)["verdict"]) == (200, "admitted"), answer

    def ask(self, path: str, body: Any = None) -> tuple[int, str]:
        status, answer = self._pi.call("web.ask", port=PORT, path=path, body=body)
        return status, answer

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("/api/v1/status")[1])
        return found

    def guard(self) -> str:
        """Return the process id of the line guard; empty while there is none."""
        return self._pi.run("pgrep -f [l]ine_guard.py || true")

    def until_guarded(self, former: str) -> None:
        """Wait until another guard than `former` has been given the line."""
        self.until(lambda: self.guard() not in {"", former})
        self.until(lambda: "gpio-line" in self._pi.run(f"ls -l /proc/{self.guard()}/fd"))

    def until_level(self, high: bool) -> None:
        self.until(lambda: is_high(self._pi) is high)

    def until(self, fact: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + 2 * HANG_S
        while not fact():
            if time.monotonic() > deadline:
                raise GuestFailed(f"it never came to be: {self.ask('/api/v1/status')}\n{self._pi.console[-2000:]}")
            time.sleep(0.05)


@pytest.fixture
def gate(pi: Machine) -> Gate:
    return Gate(pi)


def test_the_relay_drops_whatever_becomes_of_the_gate(pi: Machine, gate: Gate) -> None:
    process = gate.start()
    gate.stock()
    gate.admit(1)
    gate.until_level(True)

    process.signal(signal.SIGKILL)  # in the middle of a pulse of half a minute
    gate.until_level(False)

    process = gate.start(pulse_ms=4000)
    gate.admit(2)
    gate.until_level(True)
    process.signal(signal.SIGSTOP)  # it hangs, and cannot end its pulse
    gate.until_level(False)
    process.signal(signal.SIGKILL)

    process = gate.start()
    gate.admit(3)
    gate.until_level(True)
    guard = gate.guard()
    pi.run(f"kill -KILL {guard}")
    gate.until_guarded(former=guard)
    process.signal(signal.SIGKILL)
    gate.until_level(False)

    process = gate.start()
    gate.admit(4)
    gate.until_level(True)
    process.signal(signal.SIGTERM)  # an orderly stop in mid-pulse
    gate.until_level(False)

    process = gate.start()
    gate.admit(5)
    gate.until_level(True)
    pi.run(f"kill -STOP {gate.guard()}")
    process.signal(signal.SIGKILL)
    pi.run("pkill -KILL -f [l]ine_guard.py")  # both at once: the chip keeps the level, as it would for anybody
    assert is_high(pi)
    gate.start()
    gate.until_level(False)  # the next start drops it


def test_what_a_fire_opened_stays_open_whatever_becomes_of_the_gate(pi: Machine, gate: Gate) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = gate.start(more=FIRE)
        gate.until(lambda: gate.status()["lanes"][0]["turnstile"]["held_open"])
        assert is_high(pi)
        process.signal(number)
        process.wait()
        gate.until(lambda: not gate.guard())
        assert is_high(pi)
