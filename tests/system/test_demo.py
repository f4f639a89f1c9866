"""`brama demo`, as a newcomer meets it: started in a terminal, a code typed, a verdict seen, and Ctrl-C."""

import asyncio
import os
import pty
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from tests.system.processes import BRAMA, HANG_S, Children, ended, free_ports, is_free


class Terminal:
    """The person's side of a pseudo-terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = b""
        self._news = asyncio.Event()

    @property
    def text(self) -> str:
        return self._text.decode(errors="replace").replace("\r\n", "\n")

    def type(self, line: str) -> None:
        os.write(self._descriptor, f"{line}\n".encode())

    async def until(self, pattern: str) -> re.Match[str]:
        """Wait until the screen shows a pattern."""
        async with asyncio.timeout(HANG_S):
            while (found := re.search(pattern, self.text, re.MULTILINE)) is None:
                self._news.clear()
                await self._news.wait()
        return found

    def read(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # EIO: the other side has closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._text += data
        self._news.set()


@contextmanager
def a_pty() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


@asynccontextmanager
async def a_demo(
    children: Children, folder: Path, port: int
) -> AsyncIterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """Start the demo in a terminal, in an empty folder."""
    arguments = (*BRAMA, "demo", "--rate", "5", "--data", str(folder / "demo"), "--port", str(port))
    with a_pty() as (ours, theirs):
        child = children.start(*arguments, log="demo", stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder)
        os.close(theirs)
        terminal = Terminal(ours)
        asyncio.get_running_loop().add_reader(ours, terminal.read)
        try:
            yield child, terminal
        finally:
            asyncio.get_running_loop().remove_reader(ours)


async def test_the_demo_lives_and_leaves_nothing_behind(children: Children, tmp_path: Path) -> None:
    folder, port = tmp_path / "here", free_ports(3)[0]
    folder.mkdir()
    async with a_demo(children, folder, port) as (child, terminal):
        found = await terminal.until(r"^  (\S+) +a good ticket; type it again and see$")
        await terminal.until(r"^  first guest of the crowd: .+ in [0-9.]+ ms$")
        terminal.type(found[1])
        verdict = await terminal.until(r"^  (\N{HEAVY CHECK MARK}|\N{BALLOT X}) .*\[(\w+), [0-9.]+ ms\]$")
        assert verdict[2] == "admitted"
        terminal.type("FORGED-1")
        await terminal.until(r"^  \N{BALLOT X} .*\[unknown_ticket, [0-9.]+ ms\]$")
        family = [child.pid, *(each.pid for each in psutil.Process(child.pid).children(recursive=True))]
        assert not is_free(port)

        child.send_signal(signal.SIGINT)
        assert await ended(child) == 0
        await terminal.until(r"^Stopped\. The data stays in .*/demo/ until the next demo\.$")
    assert "Traceback" not in terminal.text
    assert not any(psutil.pid_exists(each) for each in family)
    assert all(is_free(each) for each in range(port, port + 3))
    assert [each.name for each in folder.iterdir()] == ["demo"]


async def test_a_folder_that_is_not_the_demos_is_left_alone(children: Children, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    async with a_demo(children, tmp_path, free_ports(3)[0]) as (child, terminal):
        assert await ended(child) == 78
        await terminal.until(r"^brama: --data: .*/demo holds something else; name an empty folder$")
    assert (tmp_path / "demo" / "mine.txt").read_text() == "mine"
