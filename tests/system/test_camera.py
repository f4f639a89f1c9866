"""`brama camera`, as a technician meets it: the picture in the terminal, the page, what was read, and Ctrl-C."""

import asyncio
import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.drivers.cameras import PASSWORD, USER, NetworkCamera, a_camera, a_scene
from tests.system.processes import BRAMA, HANG_S, ROOT, brama, ended, environment, free_ports, is_free
from tests.system.test_demo import Terminal, a_pty

GREEN = "\x1b[38;5;46"
LEFT = "\x1b[?1049l"
"""A terminal is left as it was found."""


@pytest.fixture
async def camera() -> AsyncIterator[NetworkCamera]:
    async with a_camera() as made:
        yield made


def family(pid: int) -> list[int]:
    return [pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))]


@asynccontextmanager
async def in_terminal(folder: Path, *arguments: str) -> AsyncIterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """Run `brama camera` in a terminal of 100 by 30 characters that has colours."""
    loop = asyncio.get_running_loop()
    with a_pty() as (ours, theirs):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        colourful = {key: value for key, value in environment(folder).items() if key not in {"NO_COLOR", "COLUMNS"}}
        child = subprocess.Popen(
            (*BRAMA, "camera", *arguments),
            cwd=ROOT,
            env=colourful | {"TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 (so that Ctrl-C is a signal)
        )
        os.close(theirs)
        terminal = Terminal(ours)
        loop.add_reader(ours, terminal.read)
        try:
            yield child, terminal
        finally:
            loop.remove_reader(ours)
            child.kill()
            await ended(child)


class Lines:
    """`brama camera` whose output is read by a program."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child

    async def out(self) -> str:
        """Return the next line of standard output."""
        assert self.child.stdout is not None
        async with asyncio.timeout(HANG_S):
            return (await self.child.stdout.readline()).decode().rstrip("\n")

    async def err(self) -> str:
        """Return the next line of standard error."""
        assert self.child.stderr is not None
        async with asyncio.timeout(HANG_S):
            return (await self.child.stderr.readline()).decode().rstrip("\n")


@asynccontextmanager
async def in_lines(folder: Path, *arguments: str) -> AsyncIterator[Lines]:
    child = await asyncio.create_subprocess_exec(
        *BRAMA,
        *("camera", *arguments),
        cwd=ROOT,
        env=environment(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Lines(child)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


# --- in a terminal --------------------------------------------------------------------------------------------------


async def test_picture_outline_and_reads_are_shown_until_ctrl_c(camera: NetworkCamera, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    camera.shows(a_scene("T-1\x1d2"))
    arguments = ("--url", camera.url(), "--port", str(port), "--symbologies", "qr", "--rotate", "180")
    async with in_terminal(tmp_path, *arguments) as (child, terminal):
        await terminal.until(rf"{re.escape(camera.url())}   page: http://127\.0\.0\.1:{port}/camera")
        await terminal.until(r"\d\d:\d\d:\d\d  \]Q1  qr  \S+  [0-9.]+ ms  T-1<GS>2")
        await terminal.until(re.escape(GREEN))
        await terminal.until(r"\d+ frames/s   [0-9.]+ ms   step \S+")
        assert "▀" in terminal.text
        processes = family(child.pid)
        assert len(processes) == 2
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/api/v1/cameras") as answer:
                (shown,) = (await answer.json())["cameras"]
            assert (shown["state"], shown["device"]) == ("running", camera.url())
            async with session.get(f"http://127.0.0.1:{port}/camera") as answer:
                assert 'id="picture"' in await answer.text()
        terminal.type("\x03")
        assert await ended(child) == 0
        entry = f'{{ driver = "camera", url = "{camera.url()}", rotate = 180, symbologies = ["qr"] }}'
        await terminal.until(rf"{re.escape(LEFT)}In the settings: readers = \[{re.escape(entry)}\]")
    assert "Traceback" not in terminal.text
    assert not any(psutil.pid_exists(each) for each in processes)
    assert is_free(port)


async def test_camera_that_goes_is_waited_for(camera: NetworkCamera, tmp_path: Path) -> None:
    async with in_terminal(tmp_path, "--url", camera.url()) as (child, terminal):
        await terminal.until("▀")
        await camera.switched_off()
        await terminal.until(rf"{re.escape(camera.url())}: .*(ended|refuses the connection)")
        camera.shows(a_scene("T-9"))
        await camera.switched_on()
        await terminal.until(r"\]Q1  qr  \S+  [0-9.]+ ms  T-9")
        child.send_signal(signal.SIGTERM)
        assert await ended(child) == 0
    assert "Traceback" not in terminal.text


# --- for a program --------------------------------------------------------------------------------------------------


async def test_each_read_is_a_line_where_there_is_no_terminal(camera: NetworkCamera, tmp_path: Path) -> None:
    async with in_lines(tmp_path, "--url", camera.url()) as lines:
        assert re.fullmatch(
            rf"{re.escape(camera.url())}: http://127\.0\.0\.1:\d+/camera; Ctrl-C ends this\.", await lines.out()
        )
        for text in ("T-1", "T-2\x1b[2J", "Привіт"):
            camera.shows(a_scene(text))
            shown = text.replace("\x1b", "<ESC>")
            assert re.fullmatch(rf"\d\d:\d\d:\d\d  \]Q\d  qr  \S+  [0-9.]+ ms  {re.escape(shown)}", await lines.out())
        await camera.switched_off()
        assert (await lines.err()).startswith(f"brama: {camera.url()}: ")
        lines.child.send_signal(signal.SIGINT)
        async with asyncio.timeout(HANG_S):
            out, err = await lines.child.communicate()
    assert lines.child.returncode == 0
    assert out.decode() == f'In the settings: readers = [{{ driver = "camera", url = "{camera.url()}" }}]\n'
    assert b"Traceback" not in err


async def test_first_camera_of_the_settings_is_shown(camera: NetworkCamera, tmp_path: Path) -> None:
    url = camera.url("secret", f"{USER}:{PASSWORD}@")
    config = tmp_path / "gate.toml"
    config.write_text(
        f'[device]\nname = "x"\n[[lane]]\nid = "a"\nreaders = [{{ driver = "camera", url = "{url}", mirror = true }}]\n'
    )
    async with in_lines(tmp_path, "-c", str(config), "--region", "0,0,1,0.9") as lines:
        assert (await lines.out()).startswith(f"{camera.url('secret')}: ")
        camera.shows(a_scene("T-1"))
        assert (await lines.out()).endswith("  T-1")
        lines.child.send_signal(signal.SIGINT)
        out, err = await lines.child.communicate()
    keys = f'driver = "camera", url = "{camera.url("secret")}", region = [0.0, 0.0, 1.0, 0.9], mirror = true'
    told = "; put back into url what may be a password, which is not shown here"
    assert out.decode() == f"In the settings: readers = [{{ {keys} }}]{told}\n"
    assert (lines.child.returncode, err) == (0, b"")


async def test_whoever_has_read_enough_ends_it(camera: NetworkCamera, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = await asyncio.create_subprocess_exec(
        *BRAMA,
        *("camera", "--url", camera.url()),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    assert await asyncio.to_thread(os.read, reading, 1)
    os.close(reading)
    camera.shows(a_scene("T-1"))
    async with asyncio.timeout(2 * HANG_S):
        _out, err = await child.communicate()
    assert err == b""


# --- what cannot be shown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["nothing", "page", "secret", "full"])
async def test_stream_that_gives_no_picture_is_said_in_one_line(
    camera: NetworkCamera, tmp_path: Path, path: str
) -> None:
    code, _out, err = await brama(tmp_path, "camera", "--url", camera.url(path, f"{USER}:wr0ng@"))
    assert code == 1
    assert err.startswith(f"brama: {camera.url(path)}: ")
    assert "wr0ng" not in err
    assert len(err.splitlines()) == 1


async def test_port_that_is_taken_is_said_or_another_is_chosen(camera: NetworkCamera, tmp_path: Path) -> None:
    code, _out, err = await brama(tmp_path, "camera", "--url", camera.url(), "--port", str(camera.port))
    assert (code, err) == (
        1,
        f"brama: --port: {camera.port} cannot be listened on; choose another, or leave it out\n",
    )
    async with in_lines(tmp_path, "--url", camera.url()) as one, in_lines(tmp_path, "--url", camera.url()) as other:
        pages = [re.search(r"http://127\.0\.0\.1:\d+/camera", await each.out()) for each in (one, other)]
        assert pages[0] is not None
        assert pages[1] is not None
        assert pages[0][0] != pages[1][0]
