"""Speaks to QEMU's monitor.

Source: QEMU docs/interop/qmp-spec.rst: one JSON object a line; a greeting first, then answers, with events between.
"""

import json
import socket
import time
from typing import Any

HANG_S = 60.0
"""Longer than any answer takes on a loaded machine: only a hang is told from it."""


class MonitorFailed(Exception):
    """QEMU refused a command, did not answer, or is gone."""


class Monitor:
    """One connection to the monitor of a running QEMU."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(HANG_S)
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._events: list[str] = []
        self._read()
        self.ask("qmp_capabilities")

    def ask(self, command: str, /, **arguments: Any) -> Any:
        """Run a command and return what it answers; `arguments` in Python's spelling, `node_name` for `node-name`.

        Raises:
            MonitorFailed: refused, or no answer.
        """
        self._say({"execute": command, "arguments": arguments})
        while "return" not in (answer := self._read()):
            if "error" in answer:
                raise MonitorFailed(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def human(self, command: str) -> str:
        """Run a command of the monitor for people, for what the other has no words for."""
        answer: str = self.ask("human-monitor-command", **{"command-line": command})
        return answer

    def await_event(self, name: str) -> None:
        """Return once QEMU has told of an event of that name since the last wait for it."""
        deadline = time.monotonic() + HANG_S
        while name not in self._events:
            if time.monotonic() > deadline:
                raise MonitorFailed(f"no {name}")
            self._read()
        self._events.remove(name)

    def close(self) -> None:
        self._lines.close()
        self._connection.close()

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as exc:
            raise MonitorFailed(f"QEMU is gone: {exc}") from exc

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except OSError as exc:
            raise MonitorFailed(f"QEMU does not answer: {exc}") from exc
        if not line:
            raise MonitorFailed("QEMU is gone")
        message: dict[str, Any] = json.loads(line)
        if "event" in message:
            self._events.append(message["event"])
        return message
