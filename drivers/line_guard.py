"""The line guard: a small process that outlives the gate for as long as it takes to make its outputs safe.

A GPIO line keeps its last level on many chips (BCM2835, PL061) when the program that held it is killed, and a network
relay keeps its own in any case: a door left open. So the gate shares each line's request with this process, which
writes the safe level once the gate is gone, or once a pulse has lasted longer than it may.

It is run as a script by `drivers.guard`, without site packages, to stay small: standard library only, no imports of
ours. Messages come over a Unix SOCK_SEQPACKET socket, one JSON object a packet; a line's descriptor comes beside it
(SCM_RIGHTS, unix(7)).

Source: linux/gpio.h, GPIO_V2_LINE_SET_VALUES_IOCTL and struct gpio_v2_line_values.
"""

import fcntl
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

SET_VALUES = 0xC010B40F
MAX_MESSAGE = 64 * 1024
NETWORK_TIMEOUT_S = 2.0
LONGEST_WAIT_S = 3600.0
"""select(2) takes no time that does not fit its clock; who wakes for nothing waits again."""
NOT_UNDERSTOOD = (ValueError, LookupError, TypeError, OverflowError, RecursionError)


class Guarded:
    """What is to be made safe, by key."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[int, int, int]] = {}
        """Descriptor of the line request, mask of its outputs, their safe values."""
        self.actions: dict[str, tuple[str, int, bool, str]] = {}
        """What `send` sends to a network relay, while its pulse lasts."""
        self.deadlines: dict[str, float] = {}

    def hear(self, data: bytes, descriptors: list[int], now: float) -> None:
        """Take one message of the gate's; one that makes no sense is complained of and changes nothing."""
        try:
            self._take(json.loads(data), descriptors, now)
        except NOT_UNDERSTOOD as exc:
            # No more than its kind: the message may hold a relay's password.
            complain(f"message not understood ({type(exc).__name__})")
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _take(self, message: dict[str, object], descriptors: list[int], now: float) -> None:
        key = str(message["key"])
        match message["op"]:
            case "hold":
                mask, safe = _bits(message["mask"]), _bits(message["safe"])
                line = (descriptors.pop(), mask, safe)
                self.drop(key)
                self.lines[key] = line
            case "safe":
                descriptor, mask, _ = self.lines[key]
                self.lines[key] = (descriptor, mask, _bits(message["safe"]))
            case "arm":
                deadline = now + _seconds(message["after_s"])
                if "payload" in message:
                    self.actions[key] = _action(message)
                self.deadlines[key] = deadline
            case "disarm":
                self.actions.pop(key, None)
                self.deadlines.pop(key, None)
            case "drop":
                self.drop(key)
            case other:
                raise ValueError(other)

    def drop(self, key: str) -> None:
        """Let go of a line, which has been made safe."""
        if held := self.lines.pop(key, None):
            self.deadlines.pop(key, None)
            os.close(held[0])

    def overdue(self, now: float) -> float | None:
        """Make safe what has lasted too long; return the seconds to the next deadline."""
        for key in [key for key, at in self.deadlines.items() if at <= now]:
            del self.deadlines[key]
            self.make_safe(key)
        return min(*self.deadlines.values(), now + LONGEST_WAIT_S) - now if self.deadlines else None

    def all_safe(self) -> None:
        """Make everything safe and let go of it: the next gate may claim its lines at once."""
        for key in list(self.lines):
            self.make_safe(key)
            self.drop(key)
        for key in list(self.actions):
            self.make_safe(key)

    def make_safe(self, key: str) -> None:
        """Write a line's safe level, or send the bytes that undo a network relay's pulse."""
        if held := self.lines.get(key):
            descriptor, mask, safe = held
            try:
                fcntl.ioctl(descriptor, SET_VALUES, struct.pack("QQ", safe, mask))
            except OSError as exc:
                complain(f"{key}: {exc}")
        if action := self.actions.pop(key, None):
            try:
                # A relay that does not answer keeps no other output open.
                threading.Thread(target=undo, args=(key, action)).start()
            except RuntimeError:  # the system gives no more threads
                undo(key, action)


def _bits(value: object) -> int:
    """Return a set of lines as the kernel takes it: 64 bits."""
    bits = int(str(value))
    if not 0 <= bits < 1 << 64:
        raise ValueError("not 64 bits")
    return bits


def _seconds(value: object) -> float:
    seconds = float(str(value))
    if not math.isfinite(seconds):
        raise ValueError("no time")
    return seconds


def _action(message: dict[str, object]) -> tuple[str, int, bool, str]:
    payload = str(message["payload"])
    bytes.fromhex(payload)
    return str(message["host"]), int(str(message["port"])), bool(message["tls"]), payload


def undo(key: str, action: tuple[str, int, bool, str]) -> None:
    """Send what ends a network relay's pulse."""
    try:
        send(*action)
    except (OSError, *NOT_UNDERSTOOD) as exc:
        complain(f"{key}: {exc}")


def send(host: str, port: int, tls: bool, payload: str) -> None:
    """Send hex-coded bytes over a connection of their own, and wait for the beginning of an answer."""
    with socket.create_connection((host, port), NETWORK_TIMEOUT_S) as plain:
        if tls:
            import ssl

            link: socket.socket = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        else:
            link = plain
        link.sendall(bytes.fromhex(payload))
        link.recv(4096)  # an answer left unread would reset the connection, and with it what the relay has yet to read
        link.close()


def complain(text: str) -> None:
    """Write to standard error, which may be gone with the gate."""
    try:
        os.write(2, f"WARNING line guard: {text}\n".encode(errors="backslashreplace"))
    except OSError:
        return


def receive(link: socket.socket) -> tuple[bytes, list[int]]:
    """Return the next message and the descriptors beside it; nothing, once the gate is gone."""
    try:
        data, descriptors, _flags, _address = socket.recv_fds(link, MAX_MESSAGE, 4)
    except ConnectionResetError:
        return b"", []
    return data, descriptors


def main(descriptor: int) -> None:
    """Guard until the gate is gone, or this process is told to stop."""
    stop_at, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    guarded = Guarded()
    with socket.socket(fileno=descriptor) as link:
        try:
            link.sendall(b"ready")
            guard(guarded, link, stop_at)
        finally:
            guarded.all_safe()
            for thread in threading.enumerate():
                if thread is not threading.main_thread():
                    thread.join()


def guard(guarded: Guarded, link: socket.socket, stop_at: int) -> None:
    """Take messages and keep deadlines until the gate is gone, or something can be read from `stop_at`."""
    wait_s = None
    while True:
        ready, _, _ = select.select([link.fileno(), stop_at], [], [], wait_s)
        if stop_at in ready:
            return
        if link.fileno() in ready:
            data, descriptors = receive(link)
            if not data:
                return
            guarded.hear(data, descriptors, time.monotonic())
        wait_s = guarded.overdue(time.monotonic())


if __name__ == "__main__":
    main(int(sys.argv[1]))
