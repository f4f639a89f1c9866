"""The camera's end of the link to the gate. Once the gate is gone, so is the process, whatever it was doing."""

import errno
import os
import queue
import select
import socket
import threading
import time
from dataclasses import replace

from drivers.camera.messages import (
    MOST_BYTES,
    Decode,
    FromCamera,
    Seen,
    Show,
    Shown,
    StillDone,
    Task,
    packed,
    to_camera,
)
from drivers.camera.unpacking import Nonsense

PATIENCE_S = 1.0
"""How long a message waits for a gate that does not listen; what a camera sees is old by then."""


class Link:
    """One Unix socket of whole packets. Only one thread may speak."""

    def __init__(self, descriptor: int) -> None:
        """Take over the descriptor of a connected SOCK_SEQPACKET socket."""
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        # Room for two pictures, as far as the system lets us.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MOST_BYTES)
        self.shows: dict[str, Show] = {}
        """What people want to see, by form; the newest wish."""
        self.decodes: queue.SimpleQueue[str] = queue.SimpleQueue()
        """Image files to be decoded, in the order asked."""

    def task(self) -> Task:
        """Wait for the task, which is the first message, then listen beside whatever else is done."""
        task = self._next()
        if not isinstance(task, Task):
            raise Nonsense("no task")
        threading.Thread(target=self._listen, name="ear", daemon=True).start()
        return task

    def say(self, message: FromCamera, patience_s: float | None = PATIENCE_S) -> bool:
        """Send a message; False: the gate did not take it in time, and it is dropped. None: wait for ever."""
        packet = _fitting(message)
        until_s = None if patience_s is None else time.monotonic() + patience_s
        while not self._sent(packet):
            left_s = None if until_s is None else until_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            select.select([], [self._socket], [], left_s)
        return True

    def _sent(self, packet: bytes) -> bool:
        try:
            self._socket.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno in {errno.EPIPE, errno.ECONNRESET}:
                os._exit(0)
            if exc.errno != errno.EMSGSIZE:  # the system's own limit on a packet: then there is no such picture
                raise
        return True

    def _listen(self) -> None:
        try:
            while True:
                match self._next():
                    case Show() as show:
                        self.shows[show.form] = show
                    case Decode(path):
                        self.decodes.put(path)
                    case Task():
                        raise Nonsense("a second task")
        finally:
            os._exit(1)  # whoever cannot hear the gate must not outlive it

    def _next(self) -> Task | Show | Decode:
        try:
            packet = self._socket.recv(MOST_BYTES + 1)
        except ConnectionResetError:
            packet = b""
        if not packet:
            # No tidying up: the main thread may hang in a camera's driver.
            os._exit(0)
        return to_camera(packet)


def _fitting(message: FromCamera) -> bytes:
    """Pack a message; if it is too long, first without its picture, then with fewer codes."""
    while True:
        try:
            return packed(message)
        except Nonsense:
            if isinstance(message, (Seen, StillDone)) and message.picture is not None:
                message = replace(message, picture=None)
            elif isinstance(message, (Seen, StillDone, Shown)) and message.codes:
                message = replace(message, codes=message.codes[: len(message.codes) // 2])
            else:
                raise
