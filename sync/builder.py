"""The gate's end of the process that builds a new list; see `sync.build_process`."""

import asyncio
import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from edge.store.whitelist_writer import WhitelistSession
from sync.cutting import Encoding
from sync.errors import BadFeed, LinkDown

END_TIMEOUT_S = 10.0
"""It may have a commit to finish and a log to fold back."""


class Builder:
    """A list that is being built; `session` is there for those lines that the process hands over."""

    def __init__(self, link: "_Link", meta: dict[str, str]) -> None:
        self._link = link
        self.session = WhitelistSession(self._call, meta)
        self.number = 0
        """Lines so far."""
        self.unknown = 0
        """Fields and columns so far that this release does not know, in the lines that were not handed over."""

    async def lines(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Have the feed applied, and yield the lines that are not tickets, each at its place.

        Raises:
            BadFeed: a line breaks the contract, or the feed is cut; what an earlier cursor closed stays.
            LinkDown: the process died.
            sqlite3.Error: the disk is full, or the like.
        """
        while True:
            header, payload = await self._link.hear()
            match header["is"]:
                case "want":
                    chunk = await anext(chunks, None)
                    await self._link.say({"do": "end"} if chunk is None else {"do": "chunk"}, chunk or b"")
                case "line":
                    self._count(header)
                    yield payload
                    await self._link.say({"do": "go"})
                case "end":
                    self._count(header)
                    return

    async def start_over(self) -> None:
        """Drop what was built; what follows goes into a new file."""
        await self._link.say({"do": "start_over"})
        await self._link.answer()
        self.session = WhitelistSession(self._call, {})

    async def close(self) -> None:
        """Have the file closed whole."""
        await self._link.say({"do": "go"})
        await self._link.hear()

    def _count(self, header: dict[str, Any]) -> None:
        self.number, self.unknown = header["number"], self.unknown + header["unknown"]

    async def _call(self, method: str, *args: Any) -> Any:
        await self._link.say({"do": "call"}, json.dumps([method, args]).encode())
        return await self._link.answer()


@asynccontextmanager
async def open_builder(path: Path, encoding: Encoding) -> AsyncIterator[Builder]:
    """Start the process on the file at `path`, which it goes on with if there is one; it is gone when this ends.

    Raises:
        LinkDown: it does not start.
        sqlite3.Error: the disk is full, or the like.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        try:
            child = _started(theirs, path, encoding)  # in a thread, one given up would start it for nobody
        except OSError as exc:
            raise LinkDown(f"a new list cannot be built: {exc.strerror}; see what the box is short of") from exc
        theirs.close()
        try:
            link = _Link(ours, child)
            header, _ = await link.hear()
            yield Builder(link, header["meta"])
        finally:
            ours.close()  # by which it knows to end, if it has not
            await _ended(child)


class _Link:
    """The socket to the process: packets of a JSON header, its line end, and as many bytes as the header says."""

    def __init__(self, ours: socket.socket, child: subprocess.Popen[bytes]) -> None:
        self._socket = ours
        self._child = child
        self._held = bytearray()

    async def say(self, header: dict[str, Any], payload: bytes = b"") -> None:
        packet = json.dumps({**header, "bytes": len(payload)}).encode() + b"\n" + payload
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, packet)
        except OSError as exc:
            raise await self._death() from exc

    async def hear(self) -> tuple[dict[str, Any], bytes]:
        """Wait for a packet that is no failure."""
        while (end := self._held.find(b"\n")) < 0:
            await self._more()
        header: dict[str, Any] = json.loads(self._held[:end])
        size = end + 1 + header["bytes"]
        while len(self._held) < size:
            await self._more()
        payload = bytes(self._held[end + 1 : size])
        del self._held[:size]
        match header["is"]:
            case "bad":
                raise BadFeed(header["why"])
            case "broken":
                failure = sqlite3.OperationalError(header["why"])
                failure.sqlite_errorcode = header["code"]
                raise failure
        return header, payload

    async def answer(self) -> Any:
        """Wait for what a call returns."""
        header, _ = await self.hear()
        return header["value"]

    async def _more(self) -> None:
        try:
            data = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
        except OSError:
            data = b""
        if not data:
            raise await self._death()
        self._held += data

    async def _death(self) -> LinkDown:
        await _ended(self._child)
        code = self._child.returncode
        how = signal.Signals(-code).name if code and code < 0 else f"exit status {code}; see the log"
        return LinkDown(f"building a new list ended ({how}); going on from the last cursor")


def _started(theirs: socket.socket, path: Path, encoding: Encoding) -> subprocess.Popen[bytes]:
    """Start the process, in a process group of its own: Ctrl-C at a terminal is for the gate, which then ends it.

    Not in a session of its own: Linux shares out the processors by session first (sched(7), autogroup), so that its
    niceness would count for nothing.
    """
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "sync.build_process", str(theirs.fileno()), str(path), encoding],
        pass_fds=(theirs.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        process_group=0,
    )


async def _ended(child: subprocess.Popen[bytes]) -> None:
    """Wait for the end of the process, which closes its file first; one that takes too long is killed.

    One that hangs in a flush to its disk does not even end then; it is not waited for, and its locks keep others off.
    """
    try:
        await _waited(child)
    finally:
        if child.poll() is None:
            child.kill()
            await _waited(child)


async def _waited(child: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(child.wait, END_TIMEOUT_S)
