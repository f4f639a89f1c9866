"""A machine with real hardware as far as its kernel can tell, emulated by QEMU in software.

with Machine(pc(image), state) as machine:
    machine.plug("usb-kbd", "scanner", port=1)
    gate = machine.start("python3 -m edge run -c /etc/brama/gate.toml")
    gate.wait_line("ready")
    machine.type_text("TICKET-1\\n")
"""

import os
import re
import shlex
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.hardware.boards import Board
from tests.hardware.guest.keys import strokes
from tests.hardware.link import HANG_S, GuestFailed, Link, Process
from tests.hardware.qmp import Monitor, MonitorFailed

KEY_GAP_S = 0.015
"""Between key events: QEMU's keyboard holds 16 until the machine asks, 8 ms apart, and drops the rest unsaid."""

CONSOLE_BYTES = 1 << 20


class Machine:
    """One machine, off until entered, and gone with everything in it when left.

    With `state`, a file that `save` made on the same board, it goes on from there, in about a second.
    """

    def __init__(self, board: Board, state: Path | None = None) -> None:
        self.board = board
        self._state = state
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._said = opened.enter_context(tempfile.TemporaryFile("a+b"))
            monitor, its_monitor = map(opened.enter_context, socket.socketpair())
            agent, its_agent = map(opened.enter_context, socket.socketpair())
            self._qemu = self._start(its_monitor, its_agent, opened)
            its_monitor.close()
            its_agent.close()
            try:
                self._begin(monitor, agent, opened)
            except (MonitorFailed, GuestFailed) as exc:
                raise GuestFailed(f"{exc}\n{self.console[-4000:]}") from exc
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _start(self, monitor: socket.socket, agent: socket.socket, opened: ExitStack) -> subprocess.Popen[bytes]:
        """Start QEMU so that it dies with the thread that this is called in, however that ends."""
        console = f"file,id=console,path=/proc/self/fd/{self._said.fileno()},append=on"
        channels = [
            *("-chardev", f"socket,id=monitor,fd={monitor.fileno()}", "-mon", "chardev=monitor,mode=control"),
            *("-chardev", f"socket,id=agent,fd={agent.fileno()}", "-chardev", console),
        ]
        inherited = [monitor.fileno(), agent.fileno(), self._said.fileno()]
        if self._state:
            state = opened.enter_context(self._state.open("rb"))
            inherited.append(state.fileno())
            channels += ["-incoming", f"fd:{state.fileno()}"]
        command = ["setpriv", "--pdeathsig", "KILL", "--", self.board.qemu, "-nodefaults", "-display", "none"]
        qemu = opened.enter_context(
            subprocess.Popen(
                [*command, "-no-reboot", *channels, *self.board.options],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                pass_fds=inherited,
            )
        )
        opened.callback(qemu.kill)
        return qemu

    def _begin(self, monitor: socket.socket, agent: socket.socket, opened: ExitStack) -> None:
        """Wait until the machine does what it is asked."""
        self._monitor = Monitor(monitor)
        opened.callback(self._monitor.close)
        self._link = Link(agent)
        opened.callback(self._link.close)
        if self._state:
            self._go_on()
        else:
            self._link.await_ready(self.board.boot_s)
        # Its clock stood still while its state lay on a disk, or it has none.
        self._link.call("set_clock", at_s=time.time())

    def _go_on(self) -> None:
        while self._monitor.ask("query-status")["status"] == "inmigrate":
            time.sleep(0.01)
        self._monitor.ask("cont")

    @property
    def process_id(self) -> int:
        """QEMU's, outside."""
        return self._qemu.pid

    @property
    def console(self) -> str:
        """What the kernel and QEMU have said."""
        return os.pread(self._said.fileno(), CONSOLE_BYTES, 0).decode(errors="replace")

    def start(self, command: str, user: str | None = None) -> Process:
        """Start a shell command in the machine, as root or as another user."""
        return self._link.start(command, user)

    def run(self, command: str, within_s: float = HANG_S) -> str:
        """Run a shell command to its end and return its output.

        Raises:
            GuestFailed: it ended with another code than 0, or not in time.
        """
        process = self.start(command)
        if process.wait(within_s):
            raise GuestFailed(f"{command}: {process.code}\n{process.output}")
        return process.output

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Call `module.function` of guest/ in the machine; arguments and result are what JSON can carry."""
        return self._link.call(name, **arguments)

    def put(self, path: str, content: str | bytes) -> None:
        """Write a file in the machine, with the folders above it."""
        self._link.put(path, content.encode() if isinstance(content, str) else content)

    def get(self, path: str) -> bytes:
        """Read a file of the machine."""
        return self._link.get(path)

    def plug(self, device: str, name: str, port: int) -> None:
        """Plug a USB device of QEMU's, such as `usb-kbd`, into a port of the PC, 1 to 4."""
        self._monitor.ask("device_add", driver=device, id=name, bus="xhci.0", port=str(port))

    def unplug(self, name: str) -> None:
        """Pull a device out; returns once it is gone."""
        self._monitor.ask("device_del", id=name)
        self._monitor.await_event("DEVICE_DELETED")

    def plug_disk(self, path: Path, name: str) -> str:
        """Plug a disk in whose content is the file at `path`; return its device node."""
        self._monitor.ask(
            "blockdev-add", **{"driver": "raw", "node-name": name, "file": {"driver": "file", "filename": str(path)}}
        )
        self._monitor.ask("device_add", driver="virtio-blk-pci", id=f"{name}-disk", drive=name, serial=name)
        node = f"/dev/disk/by-id/virtio-{name}"
        self.run(f"udevadm wait --timeout=30 {node}")
        return node

    def type_text(self, text: str) -> None:
        """Type on the keyboard that was plugged in last, as the US layout has it; a newline is Enter."""
        for key, down in strokes(text):
            data = {"down": down, "key": {"type": "qcode", "data": key.qemu}}
            self._monitor.ask("input-send-event", events=[{"type": "key", "data": data}])
            time.sleep(KEY_GAP_S)

    def memory_word(self, address: int) -> int:
        """Read four bytes of physical memory, or a device's register, from outside."""
        said = self._monitor.human(f"xp /1wx {address:#x}")
        found = re.search(r": (0x[0-9a-f]+)", said)
        assert found, said
        return int(found[1], 16)

    def save(self, path: Path) -> None:
        """Write the machine as it is now into a file; it stands still from then on.

        No process that `start` began may still run: whoever goes on from the file could not tell it from its own.
        """
        self._monitor.ask("stop")
        self._monitor.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self._monitor.ask("migrate", uri=f"exec:exec cat > {shlex.quote(str(path))}")
        while (how := self._monitor.ask("query-migrate").get("status")) != "completed":
            if how == "failed":
                raise MonitorFailed("the state could not be written")
            time.sleep(0.02)

    def cut_power(self) -> None:
        """Stop the machine as a pulled plug does: nothing in it gets to run again."""
        self._qemu.kill()
        self._qemu.wait()
