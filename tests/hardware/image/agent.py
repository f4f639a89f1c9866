"""Runs in the machine and does what the tests ask, over the port that the kernel's command line names.

One JSON object a line. Asked: `{"id", "call", "args"}`. Answered: `{"id", "value"}` or `{"id", "error"}`; a process
that was started sends `{"id", "line"}` for each line of its output first and its exit code as the value. Whatever
stands before the first brace is the noise of a serial line that was just opened.
"""

import base64
import importlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import traceback
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKOUT = "/opt/brama"
PORT = re.search(r"brama\.link=(\S+)", Path("/proc/cmdline").read_text())


class Agent:
    """Answers requests, each in a thread of its own, so that a long one holds up no other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sending = threading.Lock()
        self._started: dict[int, subprocess.Popen[bytes]] = {}
        self._own: dict[str, Callable[..., Any]] = {
            "put": put,
            "get": get,
            "set_clock": set_clock,
            "send": self.send,
            "signal": self.signal,
        }

    def serve(self) -> None:
        """Answer for as long as the machine runs."""
        self._say(id=0, value="ready")
        with open(self._port, "rb", buffering=1 << 16, closefd=False) as requests:
            while True:
                for line in requests:
                    request = line[line.find(b"{") :]
                    threading.Thread(target=self._answer, kwargs=json.loads(request), daemon=True).start()
                time.sleep(0.02)  # an end of file: nobody holds the other end yet

    def _answer(self, id: int, call: str, args: dict[str, Any]) -> None:  # noqa: A002 (the word of the protocol)
        try:
            if call == "run":
                value = self._run(id, **args)
            elif call in self._own:
                value = self._own[call](**args)
            else:
                value = from_checkout(call)(**args)
        except Exception:  # noqa: BLE001 (whoever asked is told, and the next request answered)
            self._say(id=id, error=traceback.format_exc())
        else:
            self._say(id=id, value=value)

    def _run(self, id: int, command: str, user: str | None) -> int:  # noqa: A002 (the word of the protocol)
        """Run a shell command in a session of its own and send its output, both streams, line by line."""
        identity: dict[str, Any] = {}
        if user:
            identity = {"user": user, "group": user, "extra_groups": os.getgrouplist(user, 0)[1:]}
        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **identity,
        )
        self._started[id] = child
        with child:
            for line in child.stdout or ():
                self._say(id=id, line=line.decode(errors="replace").rstrip("\n"))
            return child.wait()

    def send(self, to: int, data: str) -> None:
        """Write to a process's standard input; nothing closes it."""
        stdin = self._started[to].stdin
        assert stdin is not None
        stdin.write(base64.b64decode(data))
        stdin.flush()

    def signal(self, to: int, number: int) -> None:
        """Send a signal to a process and all that it started."""
        os.killpg(self._started[to].pid, number)

    def _say(self, **message: Any) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._sending:
            while data:
                data = data[os.write(self._port, data) :]


def put(path: str, data: str, more: bool) -> None:
    """Write a file, or with `more` write on."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("ab" if more else "wb") as file:
        file.write(base64.b64decode(data))


def get(path: str) -> str:
    """Read a file."""
    return base64.b64encode(Path(path).read_bytes()).decode()


def set_clock(at_s: float) -> None:
    """Set the wall clock, seconds since 1970: it stood still while the machine's state lay on a disk."""
    time.clock_settime(time.CLOCK_REALTIME, at_s)


def from_checkout(name: str) -> Callable[..., Any]:
    """Find a function `module.name` of tests/hardware/guest in the checkout that was brought in."""
    module, _, function = name.rpartition(".")
    importlib.invalidate_caches()
    found: Callable[..., Any] = getattr(importlib.import_module(f"tests.hardware.guest.{module}"), function)
    return found


def main() -> None:
    """Open the port, which may still have to appear, and serve."""
    assert PORT
    while not Path(PORT[1]).exists():
        time.sleep(0.05)
    port = os.open(PORT[1], os.O_RDWR | os.O_NOCTTY)
    if os.isatty(port):
        tty.setraw(port)
    sys.path.insert(0, CHECKOUT)
    Agent(port).serve()


if __name__ == "__main__":
    main()
