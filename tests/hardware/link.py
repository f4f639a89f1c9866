"""Speaks to the agent in the machine (image/agent.py): its functions, and the processes that it starts."""

import base64
import json
import queue
import socket
import threading
import time
from typing import Any

HANG_S = 60.0
"""Longer than anything may take in an emulated machine on a loaded one: only a hang is told from it."""
CHUNK = 48_000
Message = dict[str, Any]


class GuestFailed(Exception):
    """A function in the machine raised, a command failed, or no answer came; the message carries what was said."""


class Process:
    """A process in the machine; its lines, standard output and error together, are kept as they come."""

    def __init__(self, link: "Link", number: int, answers: "queue.SimpleQueue[Message]") -> None:
        self._link = link
        self._number = number
        self._answers = answers
        self.lines: list[str] = []
        self.code: int | None = None
        self._looked_at = 0

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def so_far(self) -> str:
        """Return what it has said until now, without waiting."""
        while not self._answers.empty():
            self._take(0, "")
        return self.output

    def wait_line(self, text: str, within_s: float = HANG_S) -> str:
        """Return the next line that contains `text`; each line is looked at once.

        Raises:
            GuestFailed: the process ended without one, or none came in time.
        """
        deadline = time.monotonic() + within_s
        while True:
            while self._looked_at < len(self.lines):
                self._looked_at += 1
                if text in (line := self.lines[self._looked_at - 1]):
                    return line
            if self.code is not None:
                raise GuestFailed(f"ended with {self.code} and without {text!r}:\n{self.output}")
            self._take(deadline, f"no {text!r}")

    def wait(self, within_s: float = HANG_S) -> int:
        """Return the exit code once it has ended; a process ended by a signal has minus its number."""
        deadline = time.monotonic() + within_s
        while self.code is None:
            self._take(deadline, "did not end")
        return self.code

    def send(self, text: str) -> None:
        """Write to its standard input."""
        self._link.call("send", to=self._number, data=base64.b64encode(text.encode()).decode())

    def signal(self, number: int) -> None:
        """Send a signal to it and to what it started."""
        self._link.call("signal", to=self._number, number=number)

    def _take(self, deadline: float, failure: str) -> None:
        answer = take(self._answers, deadline, lambda: f"{failure}:\n{self.output}")
        if "line" in answer:
            self.lines.append(answer["line"])
        elif "error" in answer:
            raise GuestFailed(answer["error"])
        else:
            self.code = answer["value"]


class Link:
    """The connection to the agent; requests may be made from several threads."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Message]] = {0: queue.SimpleQueue()}
        self._made = 0
        self._reader = threading.Thread(target=self._read, name="agent", daemon=True)
        self._reader.start()

    def await_ready(self, within_s: float) -> None:
        """Return once the agent of a machine that boots is there."""
        take(self._waiting[0], time.monotonic() + within_s, lambda: "no agent")

    def call(self, name: str, within_s: float = HANG_S, /, **arguments: Any) -> Any:
        """Call one of the agent's functions, or `module.name` of guest/, and return what it returns."""
        _, answers = self._ask(name, arguments)
        answer = take(answers, time.monotonic() + within_s, lambda: f"{name} did not return")
        if "error" in answer:
            raise GuestFailed(answer["error"])
        return answer["value"]

    def start(self, command: str, user: str | None) -> Process:
        """Start a shell command, as another user where one is named."""
        return Process(self, *self._ask("run", {"command": command, "user": user}))

    def put(self, path: str, data: bytes) -> None:
        """Write a file with the folders above it."""
        for start in range(0, max(len(data), 1), CHUNK):
            piece = base64.b64encode(data[start : start + CHUNK]).decode()
            self.call("put", path=path, data=piece, more=start > 0)

    def get(self, path: str) -> bytes:
        """Read a file."""
        return base64.b64decode(self.call("get", path=path))

    def close(self) -> None:
        self._connection.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._connection.close()

    def _ask(self, name: str, arguments: Message) -> tuple[int, "queue.SimpleQueue[Message]"]:
        with self._sending:
            self._made += 1
            number = self._made
            answers = self._waiting[number] = queue.SimpleQueue()
            self._connection.sendall(json.dumps({"id": number, "call": name, "args": arguments}).encode() + b"\n")
        return number, answers

    def _read(self) -> None:
        with self._connection.makefile("rb") as lines:
            for line in lines:
                # A serial line that was just opened puts noise before the first brace.
                answer = json.loads(line[line.find(b"{") :])
                self._waiting[answer.pop("id")].put(answer)
        for answers in list(self._waiting.values()):
            answers.put({"error": "the machine is off"})


def take(answers: "queue.SimpleQueue[Message]", deadline: float, failure: Any) -> Message:
    """Return the next answer; `failure` makes the message where none comes before the deadline, monotonic seconds."""
    try:
        return answers.get(timeout=max(deadline - time.monotonic(), 0.001))
    except queue.Empty:
        raise GuestFailed(failure()) from None
