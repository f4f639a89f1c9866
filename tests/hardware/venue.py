"""A venue in the machine: a central with an event, and a gate that is enrolled with it, installed as on a real box."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.hardware.link import HANG_S, GuestFailed, Process
from tests.hardware.machine import Machine

T = TypeVar("T")
CENTRAL_PORT, GATE_PORT = 8090, 8080
CENTRAL = f"http://127.0.0.1:{CENTRAL_PORT}"
CENTRAL_DB = "/var/lib/central/central.db"
TICKETS = 50
SETTINGS = "/etc/brama/gate.toml"
DATA = "/var/lib/brama"
DEVICE = f"""\
[device]
name = "North"
data_path = "{DATA}"
language = "en"

[crm]
url = "{CENTRAL}"

"""
LANE = '[[lane]]\nid = "a"\n'
"""A lane with nothing to it but its API."""


def set_up(machine: Machine) -> None:
    """Start a central with tickets CODE-1 to CODE-50, and enrol a gate; both as a technician would.

    The central runs on in the state that is saved; the gate has pulled the tickets, and was stopped.
    """
    machine.run(f"mkdir -p /var/lib/central && install -d -o brama -g brama -m 0700 {DATA}")
    machine.put(SETTINGS, DEVICE + LANE)
    code = machine.run(f"python3 -m tests.hardware.guest.stock {CENTRAL_DB} {CENTRAL} {TICKETS}").splitlines()[-1]
    serve = f"python3 -m edge crm serve --port {CENTRAL_PORT} --db {CENTRAL_DB}"
    # Nothing of it may hold on to the agent, which in the saved state has nobody to tell.
    machine.run(f"setsid {serve} > /var/log/central.log 2>&1 < /dev/null &")
    if not machine.call("web.await_status", port=CENTRAL_PORT, path="/gate/v1/changes", status=401, within_s=HANG_S):
        raise GuestFailed(machine.run("cat /var/log/central.log"))
    enrolling = machine.start(f"python3 -m edge enrol {CENTRAL} {code}", user="brama")
    if enrolling.wait():
        raise GuestFailed(enrolling.output)
    first = Venue(machine).open_gate()
    first.signal(signal.SIGTERM)
    first.wait()


class Venue:
    """The venue while a test uses it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def open_gate(self, lanes: str = LANE) -> Process:
        """Start the gate as its own user, with these lanes, TOML; return once it is in touch with the CRM."""
        self.machine.put(SETTINGS, DEVICE + lanes)
        gate = self.machine.start(f"exec python3 -m edge run -c {SETTINGS}", user="brama")
        if not self.machine.call("web.await_status", port=GATE_PORT, path="/readyz", status=200, within_s=HANG_S):
            raise GuestFailed(f"the gate is not ready:\n{gate.so_far()}")
        self.until(self._is_in_touch)
        return gate

    def scan(self, code: str, **fields: str) -> dict[str, Any]:
        """Offer a code through the gate's API."""
        return self._asked("/api/v1/scans", {"code": code, **fields})

    def status(self) -> dict[str, Any]:
        """Return what the gate believes."""
        return self._asked("/api/v1/status")

    def journal(self) -> list[dict[str, Any]]:
        """Return the gate's scans, oldest first."""
        found: list[dict[str, Any]] = self._asked("/api/v1/scans?after=0&limit=500")["scans"]
        return found

    def cameras(self) -> list[dict[str, Any]]:
        """Return the gate's cameras, and how each fares."""
        found: list[dict[str, Any]] = self._asked("/api/v1/cameras")["cameras"]
        return found

    def scans(self) -> list[dict[str, Any]]:
        """Return the scans that the central has, in the order made."""
        query = "SELECT * FROM scan ORDER BY seq"
        found: list[dict[str, Any]] = self.machine.call("web.rows", database=CENTRAL_DB, query=query)
        return found

    def until(self, look: Callable[[], T]) -> T:
        """Look until there is something to see, and return it.

        Raises:
            GuestFailed: not in time.
        """
        deadline = time.monotonic() + HANG_S
        while not (found := look()):
            if time.monotonic() > deadline:
                raise GuestFailed(f"it never came to be: {self.status()}")
            time.sleep(0.05)
        return found

    def _is_in_touch(self) -> bool:
        status = self.status()
        return bool(status["clock"]["trust"] == "trusted" and status["data"]["tickets"] == TICKETS)

    def _asked(self, path: str, body: Any = None) -> dict[str, Any]:
        status, answer = self.machine.call("web.ask", port=GATE_PORT, path=path, body=body)
        if status != 200:
            raise GuestFailed(f"{path}: {status} {answer}")
        found: dict[str, Any] = json.loads(answer)
        return found
