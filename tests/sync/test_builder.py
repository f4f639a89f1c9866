"""The process that builds a new list: what it takes, what it says of what it cannot, and how it ends."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge.store.whitelist_writer import whitelist_session
from sync.builder import open_builder
from sync.errors import BadFeed, LinkDown
from sync.following import NICENESS
from tests.drivers.cameras import gone
from tests.edge.conftest import NOW
from tests.sync.book import PLAN, Book, everything, packed, row
from tests.sync.rig import Rig


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def build(path: Path, *lines: dict[str, Any] | bytes) -> list[bytes]:
    """Build by lines of tickets and a cursor; return those that the process hands over."""
    body = b"".join(line if isinstance(line, bytes) else packed([line]) for line in lines)
    async with open_builder(path, "identity") as builder:
        handed = []
        async for line in builder.lines(chunks(body)):
            handed.append(line)
            if b'"cursor"' in line:
                await builder.session.commit("k-1", NOW)
        await builder.close()
    return handed


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "sync.build_process" in " ".join(each.cmdline())]


async def test_lines_of_tickets_are_applied_and_the_rest_is_handed_over_in_order(tmp_path: Path, book: Book) -> None:
    path = tmp_path / "list.db"
    first, second = book.tickets(*range(1000)), book.tickets(*range(1000, 1500))
    handed = await build(path, *PLAN, first, {"kind": "news"}, second, book.cursor("k-1"))
    kinds = [line.split(b'"')[3] for line in handed]
    assert kinds == [b"event", b"ticket_type", b"checkpoint", b"news", b"cursor"]
    async with whitelist_session(path) as session:
        assert (session.cursor, session.fingerprint) == ("k-1", book.fingerprint)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [[*row(1), "one more"]]},
        {"rows": [row(1)[:4]]},
        {"rows": [["short", *row(1)[1:]]]},
        {"rows": [[row(1)[0], *row(1)[1:4], "2026-13-01T00:00:00Z", None, None, None, None]]},
        {"rows": [[row(1)[0], *row(1)[1:4], "2026-05-01T18:00:00", None, None, None, None]]},
        {"rows": [row(n % 3) for n in range(1001)]},
        {"rows": [[*row(1)[:3], "torn", None, None, None, None, None]]},
        {"rows": 5},
        {"event": None},
    ],
)
async def test_a_line_that_is_not_as_it_should_be_is_left_to_the_models(tmp_path: Path, change: dict[str, Any]) -> None:
    line = {"kind": "tickets", "event": "e-1", "rows": [row(1)], **change}
    assert await build(tmp_path / "list.db", line) == [packed([line]).strip()]


async def test_a_line_of_endless_depth_is_left_to_the_models(tmp_path: Path) -> None:
    line = b'{"kind":"tickets","event":"e-1","rows":[],"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert await build(tmp_path / "list.db", line + b"\n") == [line]


async def test_the_process_stands_back_behind_the_gate(tmp_path: Path) -> None:
    """In a group of its own, so that Ctrl-C at a terminal reaches the gate alone, but in the same session, since by
    that the processors are shared out first.
    """
    async with open_builder(tmp_path / "list.db", "identity"):
        (child,) = children()
        assert os.getpgid(child.pid) == child.pid
        assert os.getsid(child.pid) == os.getsid(0)
        assert child.nice() == NICENESS


GATE = """
import asyncio, sys
from pathlib import Path
from sync.builder import open_builder

async def gate():
    async with open_builder(Path(sys.argv[1]), "identity"):
        print("building", flush=True)
        await asyncio.Event().wait()

asyncio.run(gate())
"""


async def test_the_process_does_not_outlive_a_gate_that_is_killed(tmp_path: Path) -> None:
    """Not even where it can do nothing itself: the next gate's process must be alone with the file."""
    with subprocess.Popen([sys.executable, "-c", GATE, str(tmp_path / "list.db")], stdout=subprocess.PIPE) as gate:
        assert gate.stdout is not None
        assert gate.stdout.readline() == b"building\n"
        (child,) = psutil.Process(gate.pid).children()
        child.suspend()
        gate.kill()
        await gone(child.pid)


async def test_fields_that_are_not_known_are_counted(tmp_path: Path, book: Book) -> None:
    async with open_builder(tmp_path / "list.db", "identity") as builder:
        body = packed([{**book.tickets(1), "colour": "red"}, book.tickets(2), {**book.tickets(3), "a": 1, "b": [2]}])
        assert [line async for line in builder.lines(chunks(body))] == []
        assert (builder.unknown, builder.number) == (3, 3)


async def test_a_bad_row_in_a_long_list_is_named(rig: Rig, book: Book) -> None:
    rows = [row(n) for n in range(900)]
    rows[700][4] = "tomorrow"
    rig.crm.answers([{"kind": "reset"}, *PLAN, {"kind": "tickets", "event": "e-1", "rows": rows}])
    async with rig.running():
        await rig.until(lambda: rig.health.state == "away")
    assert rig.health.error is not None
    assert "feed line 5: tickets.rows.700.4: an instant is ISO 8601 UTC" in rig.health.error


async def test_a_feed_that_is_not_packed_as_it_says_is_told(tmp_path: Path) -> None:
    async with open_builder(tmp_path / "list.db", "gzip") as builder:
        with pytest.raises(BadFeed, match="packing is broken"):
            await anext(builder.lines(chunks(b'{"kind":"reset"}\n')))


async def test_a_process_that_dies_is_named_and_the_list_goes_on_from_its_last_cursor(rig: Rig, book: Book) -> None:
    hold = asyncio.Event()
    rig.crm.answers(
        [{"kind": "reset"}, *PLAN, book.tickets(1, 2), book.cursor("s-1", more=True), book.tickets(3), hold],
        [book.tickets(3, 4), book.cursor("k-1")],
    )
    async with rig.running():
        await rig.until(lambda: rig.health.progress is not None and rig.health.progress.tickets == 2)
        (child,) = children()
        os.kill(child.pid, signal.SIGKILL)
        hold.set()
        await rig.until_at("k-1")
    assert rig.crm.asked[:2] == [None, "s-1"]
    assert rig.store.data.fingerprint == book.fingerprint.hex()


async def test_leaving_ends_the_process_and_forgets_what_has_no_cursor(tmp_path: Path, book: Book) -> None:
    path, never = tmp_path / "list.db", asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield packed([book.tickets(1), book.cursor("k-1"), book.tickets(2), {"kind": "event"}])
        await never.wait()

    async def pull(at_event: asyncio.Event) -> None:
        async with open_builder(path, "identity") as builder:
            async for line in builder.lines(endless()):
                if b"cursor" in line:
                    await builder.session.commit("k-1", NOW)
                else:
                    at_event.set()

    reached = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(pull(reached))
        await reached.wait()
        task.cancel()
    assert children() == []
    async with whitelist_session(path) as session:
        assert (session.cursor, session.fingerprint.count) == ("k-1", 1)


async def test_what_a_killed_process_had_written_of_the_next_part_is_taken_back(tmp_path: Path) -> None:
    path, book = tmp_path / "list.db", Book()

    def tickets(first: int) -> list[dict[str, Any]]:
        return [book.tickets(*range(start + first, start + 1000, 2)) for start in range(0, 20_000, 1000)]

    begun = packed([*tickets(0), book.cursor("k-1")])
    vouched = book.fingerprint
    more = packed([*tickets(1), {"kind": "event"}])
    async with open_builder(path, "identity") as builder:
        with pytest.raises(LinkDown, match="SIGKILL"):
            async for line in builder.lines(chunks(begun, more)):
                if b"cursor" in line:
                    await builder.session.commit("k-1", NOW)
                else:
                    # More than fits into memory is in the file by now.
                    assert path.with_name("list.db-journal").stat().st_size
                    os.kill(children()[0].pid, signal.SIGKILL)
    async with whitelist_session(path, kind="building") as session:
        assert (session.cursor, session.fingerprint) == ("k-1", vouched)
        assert all([await session.audit(first) for first in range(256)])


async def test_a_file_that_cannot_be_opened_is_no_fault_of_the_feed(tmp_path: Path, book: Book) -> None:
    path = tmp_path / "list.db"
    path.mkdir()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        await build(path, *everything(1, book=book))
    with pytest.raises(sqlite3.OperationalError, match="No such file"):
        await build(tmp_path / "gone" / "list.db", *everything(1, book=book))


def test_the_process_closes_what_it_opened(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-W", "error", "-m", "sync.build_process", str(theirs.fileno())]
        child = subprocess.Popen(
            [*command, str(tmp_path / "list.db"), "gzip"], pass_fds=[theirs.fileno()], stderr=subprocess.PIPE
        )
        theirs.close()
        assert b'"ready"' in ours.recv(4096)
        ours.close()
        assert child.communicate(timeout=60)[1] == b""
    assert child.returncode == 0
