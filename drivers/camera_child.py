"""The gate's end of a camera's process: starts it, listens to it, and ends it, whatever state it is in."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from drivers.camera.messages import MOST_BYTES, Ended, FromCamera, Task, ToCamera, from_camera, packed
from drivers.camera.unpacking import Nonsense
from drivers.descriptor import until_readable
from drivers.protocols import DeviceLost

END_S = 2.0
"""How long a killed process may take to be gone; one that the kernel holds on to is left behind."""
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
"""What a library may need; secrets of the gate are none of it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a camera's process may be silent, in seconds: until its first word, and after that."""

    start_s: float = 30.0
    silent_s: float = 10.0


LIMITS = Limits()


class ProcessDied(DeviceLost):
    """A camera's process is of no more use; `cause` says what became of it."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"{name}: its process {cause}; starting it anew")
        self.cause = cause


class CameraChild:
    """A camera's process at work."""

    def __init__(self, link: socket.socket, process: subprocess.Popen[bytes], name: str, limits: Limits) -> None:
        self._link = link
        self._process = process
        self._name = name
        self._limits = limits
        self._has_spoken = False

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Tell whether it has ended, and is nothing to the system any more."""
        return self._process.poll() is not None

    async def heard(self, silent_s: float | None = None) -> FromCamera:
        """Wait for the next message, for no longer than `silent_s`, or than the limits say.

        Raises:
            ProcessDied: it did, it hangs, or talks nonsense.
        """
        allowed_s = silent_s or (self._limits.silent_s if self._has_spoken else self._limits.start_s)
        if not await until_readable(self._link.fileno(), allowed_s):
            raise ProcessDied(self._name, f"said nothing for {allowed_s:g} s")
        try:
            packet = self._link.recv(MOST_BYTES + 1)
        except ConnectionResetError:
            packet = b""
        if not packet:
            raise ProcessDied(self._name, await self._cause())
        try:
            message = from_camera(packet)
        except Nonsense as exc:
            raise ProcessDied(self._name, f"talks nonsense ({exc})") from exc
        self._has_spoken = True
        return replace(message, why=tame(message.why)) if isinstance(message, Ended) else message

    def tell(self, message: ToCamera) -> None:
        """Say something; a process that does not listen is found out by `heard`."""
        with suppress(OSError):
            self._link.send(packed(message))

    async def end(self) -> None:
        """End the process, and wait a moment for it to be gone."""
        self._link.close()
        self._process.kill()
        try:
            await self._gone()
        finally:
            if self._process.poll() is None:
                # In a driver that does not let go of it. Somebody must wait, or it would stay on as a zombie.
                threading.Thread(target=self._process.wait, name=f"end of {self._name}", daemon=True).start()

    async def _cause(self) -> str:
        """Say what became of a process whose end of the link is closed."""
        await self._gone()
        status = self._process.poll()
        if status is None:
            return "hangs"
        return f"died (signal {-status})" if status < 0 else f"ended (status {status})"

    async def _gone(self) -> None:
        """Wait until the process is gone, for a moment."""
        if self._process.poll() is not None:
            return
        handle = os.pidfd_open(self._process.pid)
        try:
            await until_readable(handle, END_S)
        finally:
            os.close(handle)


@asynccontextmanager
async def a_child(task: Task, name: str, limits: Limits) -> AsyncIterator[CameraChild]:
    """Have a process work at a task, and end it however the block is left.

    Raises:
        DeviceLost: the system starts no process.
    """
    child = started(task, name, limits)
    try:
        yield child
    finally:
        await child.end()


def started(task: Task, name: str, limits: Limits) -> CameraChild:
    """Start a process, which the caller must `end`; raise as `a_child`."""
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            try:
                ours.send(packed(task))
                return CameraChild(ours, _process(theirs.fileno()), name, limits)
            except OSError:
                ours.close()
                raise
    except OSError as exc:
        raise DeviceLost(f"{name}: its process does not start ({exc.strerror}); see what the box is short of") from exc


def tame(text: str) -> str:
    """Return what may be shown and logged of words that a stranger may have had a hand in."""
    return "".join(char if char.isprintable() else "?" for char in text[:400])


def _process(link: int) -> subprocess.Popen[bytes]:
    """Start the process in a group of its own, so that what stops the gate at a terminal does not stop it first.

    Not in a session of its own: Linux shares out the processors by session first (sched(7), autogroup), so that its
    niceness would count for nothing.

    The task, in which there may be a password, goes over the link: a command line is for all to read. This takes a
    millisecond or two, since nothing but the interpreter, which is in memory, is loaded before it goes its own way.
    """
    kept = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
    if (root := Path(__file__).parents[1]).name not in {"site-packages", "dist-packages"}:
        kept["PYTHONPATH"] = str(root)  # a checkout
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-P", "-m", "drivers.camera", str(link)],
        pass_fds=(link,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
        cwd="/",
        env={
            **kept,
            "LC_ALL": "C.UTF-8",
            "MALLOC_ARENA_MAX": "2",  # each arena keeps memory of its own
        },
    )
