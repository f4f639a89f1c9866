"""The gate's end of the line guard: starts it, keeps it alive, and tells it what to make safe."""

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from drivers.descriptor import until_readable
from drivers.guarding import NetworkAction
from drivers.protocols import DeviceLost

SCRIPT = Path(__file__).with_name("line_guard.py")
START_TIMEOUT_S = 10.0
END_TIMEOUT_S = 8.0


@dataclass(slots=True)
class _Hold:
    descriptor: int
    mask: int
    safe: int


class LineGuard:
    """One guard process for all outputs of this box; it runs only once there is something to guard.

    What stands when a guard starts is told to it, whether the one before knew it or not.
    """

    def __init__(self) -> None:
        self._holds: dict[str, _Hold] = {}
        self._armed: dict[str, tuple[float, dict[str, Any]]] = {}
        """When each is due (monotonic), and what besides there is to tell of it."""
        self._link: socket.socket | None = None
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self.pid: int | None = None
        """The guard's process, while there is one."""
        self._is_deaf = False
        """It did not take a message, and has been killed for it."""

    async def ready(self) -> None:
        """Ask for the guard, and wait until it runs."""
        self._wanted.set()
        await self._ready.wait()

    def hold(self, key: str, descriptor: int, mask: int, safe: int) -> None:
        """Have the outputs `mask` of a line request set to `safe` (bits in the order of its lines) at the end."""
        self._holds[key] = _Hold(descriptor, mask, safe)
        self._tell({"op": "hold", "key": key, "mask": mask, "safe": safe}, descriptor)

    def safe(self, key: str, safe: int) -> None:
        """Change what is safe for a held line: open, while the fire contact says so."""
        self._holds[key].safe = safe
        self._tell({"op": "safe", "key": key, "safe": safe})

    def drop(self, key: str) -> None:
        """Let go of a line that has been made safe."""
        if self._holds.pop(key, None):
            self._armed.pop(key, None)
            self._tell({"op": "drop", "key": key})

    def limit(self, key: str, after_s: float) -> None:
        """Have a held line made safe after so many seconds, whatever becomes of the gate."""
        self._arm(key, after_s, {})

    def arm(self, key: str, action: NetworkAction, deadline_s: float) -> None:
        """Have a network relay's pulse undone; see `drivers.guarding.NetworkGuard`."""
        told = {"host": action.host, "port": action.port, "tls": action.tls, "payload": action.payload.hex()}
        self._arm(key, deadline_s, told)

    def disarm(self, key: str) -> None:
        """Say that an output is safe again."""
        self._armed.pop(key, None)
        self._tell({"op": "disarm", "key": key})

    async def run(self) -> NoReturn:
        """Start the guard when it is first wanted, and wait for its end, which ought not to come.

        Raises:
            DeviceLost: it ended, did not listen, or did not start.
        """
        await self._wanted.wait()
        self._is_deaf = False
        try:
            ours, child = _started()
        except OSError as exc:
            raise DeviceLost(f"line guard: does not start ({exc.strerror}); see what the box is short of") from exc
        try:
            await self._serve(ours, child)
        finally:
            self._link, self.pid = None, None
            self._ready.clear()
            await _end(ours, child)
        why = "did not listen" if self._is_deaf else f"ended by itself ({child.returncode})"
        raise DeviceLost(f"line guard: {why}; starting it anew")

    async def _serve(self, link: socket.socket, child: subprocess.Popen[bytes]) -> None:
        if not await until_readable(link.fileno(), START_TIMEOUT_S) or not _heard(link):
            child.kill()
            return
        self._link, self.pid = link, child.pid
        for key, held in self._holds.items():
            self.hold(key, held.descriptor, held.mask, held.safe)
        for key, (due_s, told) in self._armed.items():
            self._arm(key, max(0.0, due_s - time.monotonic()), told)
        self._ready.set()
        while await until_readable(link.fileno()) and _heard(link):
            pass

    def _arm(self, key: str, after_s: float, told: dict[str, Any]) -> None:
        self._armed[key] = (time.monotonic() + after_s, told)
        self._tell({"op": "arm", "key": key, "after_s": after_s, **told})

    def _tell(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        if self._link is None:
            return
        data = json.dumps(message).encode()
        try:
            socket.send_fds(self._link, [data], [] if descriptor is None else [descriptor])
        except OSError as exc:
            # If it has ended, `run` is about to find out, and the next one is told all that stands. One that is stopped
            # or starved now knows what is no longer true; it must not act on that when it wakes, not even to make safe:
            # it might close what a fire has opened.
            if exc.errno not in {errno.EPIPE, errno.ECONNRESET} and self.pid is not None:
                self._is_deaf = True
                os.kill(self.pid, signal.SIGKILL)


def _started() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a guard and return our end of the link to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        try:
            return ours, _child(theirs.fileno())
        except OSError:
            ours.close()
            raise


def _child(link: int) -> subprocess.Popen[bytes]:
    """Start the guard with its end of the link, in a session of its own: what stops the gate must not stop it first."""
    return subprocess.Popen(  # noqa: S603 (our own script)
        [sys.executable, "-I", "-S", str(SCRIPT), str(link)],
        pass_fds=(link,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", **{key: os.environ[key] for key in ("PATH", "SSL_CERT_FILE") if key in os.environ}},
    )


async def _end(link: socket.socket, child: subprocess.Popen[bytes]) -> None:
    """Have the guard make all safe and end: in a moment, or when a network relay that it talks to has had its time.

    Whoever has no patience for that leaves it to end by itself.
    """
    try:
        with suppress(OSError):
            link.shutdown(socket.SHUT_WR)
        in_time = await until_readable(link.fileno(), END_TIMEOUT_S)
    finally:
        link.close()
    if not in_time:
        child.kill()
    child.wait()


def _heard(link: socket.socket) -> bool:
    """Tell whether the guard said something; False: it is gone."""
    try:
        return bool(link.recv(16))
    except BlockingIOError:
        return True
    except OSError:
        return False
