"""The gate's end of the process that reads barcode files; see `sync.file_feed`."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec

from sync.errors import LinkDown
from sync.file_job import FileJob, FileReport

CHUNK = 65536
END_S = 2.0
"""How long the killed process may take to be gone."""


@asynccontextmanager
async def reading(job: FileJob) -> AsyncIterator[tuple[FileReport, AsyncIterator[bytes]]]:
    """Start the process; yield what it found, and the chunks of the feed, if there is one.

    The process is gone when this ends: killed, since it leaves nothing that matters.

    Raises:
        LinkDown: it does not start, or dies; so do the chunks.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        try:
            child = _started(theirs)
        except OSError as exc:
            raise LinkDown(f"the files cannot be read: {exc.strerror}; see what the box is short of") from exc
        theirs.close()
        try:
            answer = _Answer(ours, child)
            await answer.ask(job)
            yield await answer.report(), answer.rest()
        finally:
            ours.close()
            await _gone(child)


class _Answer:
    """What the process says: a line with a report, then the feed."""

    def __init__(self, ours: socket.socket, child: subprocess.Popen[bytes]) -> None:
        self._socket = ours
        self._child = child
        self._held = b""

    async def ask(self, job: FileJob) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, msgspec.json.encode(job) + b"\n")
        except OSError as exc:
            raise await self._death() from exc

    async def report(self) -> FileReport:
        while (end := self._held.find(b"\n")) < 0:
            if not (data := await self._more()):
                raise await self._death()
            self._held += data
        line, self._held = self._held[:end], self._held[end + 1 :]
        return msgspec.json.decode(line, type=FileReport)

    async def rest(self) -> AsyncIterator[bytes]:
        if self._held:
            yield self._held
        while data := await self._more():
            yield data
        if await asyncio.to_thread(self._child.wait):
            raise await self._death()

    async def _more(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, CHUNK)
        except OSError:
            return b""

    async def _death(self) -> LinkDown:
        code = await asyncio.to_thread(self._child.wait)
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}; see the log"
        return LinkDown(f"reading the files ended ({how}); going on from the last cursor")


def _started(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process, in a process group of its own: what stops the gate at a terminal is not its business.

    This takes a millisecond or two; in a thread, one that is given up would start it for nobody.
    """
    command = [sys.executable, "-m", "sync.file_feed"]
    link = theirs.fileno()
    return subprocess.Popen(command, stdin=link, stdout=link, process_group=0)  # noqa: S603 (our own module)


async def _gone(child: subprocess.Popen[bytes]) -> None:
    """Kill the process and wait for its end, but not for a disk that does not let go of it."""
    child.kill()
    try:
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(child.wait, END_S)
    finally:
        if child.poll() is None:
            # Somebody must wait, or it would stay on as a zombie.
            threading.Thread(target=child.wait, name="end of reading files", daemon=True).start()
