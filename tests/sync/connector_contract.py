"""What any connector must keep, whichever CRM it leads to. `test_connectors.py` runs it on each kind there is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from edge.core.fingerprint import Fingerprint, row_digests
from sync.connector import Connector
from sync.cutting import LineCutter
from sync.errors import BadFeed, CursorExpired, LinkDown
from sync.lines import parse_line
from sync.wire import MAX_ROWS, CursorLine, DeleteLine, Line, ResetLine, TicketsLine
from tests.crm.conftest import a_scan
from tests.sync.subjects import Subject

COUNT = 2300
"""Tickets that take several lines."""
LONG_S = 30
"""How long a request may be held, which none here is for want of news."""


@dataclass
class Gate:
    """Believes what a feed says, cursor by cursor, as a gate does."""

    cursor: str | None = None
    rows: dict[tuple[str, str], list[str | None]] = field(default_factory=dict)
    vouched: tuple[int | None, str | None] = None, None
    more: bool = True
    kinds: list[str] = field(default_factory=list)
    """Of each line of the last feed."""

    @property
    def listed(self) -> Fingerprint:
        return Fingerprint.of_digests(row_digests(self.rows.values()))

    async def pull(self, connector: Connector, wait_s: int = 0, most_bytes: int | None = None) -> None:
        """Take one feed in; one that is cut keeps what its last cursor closed."""
        self.kinds = []
        async with connector.changes(self.cursor, wait_s) as feed:
            cutter, held = LineCutter(feed.encoding), list[Line]()
            async for chunk in _some_of(feed.chunks, most_bytes):
                for raw in cutter.feed(chunk):
                    line = parse_line(raw, len(self.kinds) + 1)
                    assert line is not None
                    self.kinds.append(line.kind)
                    held.append(line)
                    if isinstance(line, CursorLine):
                        self._apply(held)
                        held.clear()
            if most_bytes is None:
                cutter.end()

    async def pull_all(self, connector: Connector) -> None:
        """Pull until there is no more, starting over where the connector asks for it."""
        while True:
            try:
                await self.pull(connector)
            except CursorExpired:
                self.cursor, self.more = None, True
                continue
            if not self.more:
                return

    def _apply(self, lines: list[Line]) -> None:
        for line in lines:
            match line:
                case ResetLine():
                    self.rows.clear()
                case TicketsLine():
                    assert len(line.rows) <= MAX_ROWS
                    self.rows |= {(line.event, row[0]): list(row) for row in line.rows}
                case DeleteLine(of="tickets"):
                    self.rows = {key: row for key, row in self.rows.items() if row[1] not in line.ids}
                case CursorLine():
                    self.cursor, self.more = line.cursor, line.more
                    self.vouched = line.tickets, line.fingerprint


async def _some_of(chunks: AsyncIterator[bytes], most: int | None) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk if most is None else chunk[:most]
        most = None if most is None else most - len(chunk)
        if most is not None and most <= 0:
            return


class ConnectorContract:
    """Test classes inherit it, and give it a fixture `subject`."""

    async def test_everything_ends_in_a_list_whose_fingerprint_is_right(self, subject: Subject) -> None:
        await subject.sells(*range(COUNT))
        gate = Gate()
        await gate.pull(subject.connector)
        assert (gate.kinds[0], gate.kinds[-1], gate.more) == ("reset", "cursor", False)
        assert {"event", "ticket_type", "checkpoint"} <= set(gate.kinds)
        assert gate.kinds.count("tickets") >= 3
        assert gate.listed == subject.listed
        assert gate.vouched == (COUNT, subject.listed.hex())

    async def test_nothing_new_leaves_the_list_and_the_cursor(self, subject: Subject) -> None:
        await subject.sells(1, 2, 3)
        gate = Gate()
        await gate.pull(subject.connector)
        cursor = gate.cursor
        await gate.pull(subject.connector)
        assert (gate.cursor, gate.kinds) == (cursor, ["cursor"])
        assert gate.vouched == (3, subject.listed.hex())

    async def test_the_same_is_known_as_such_after_a_restart(self, subject: Subject) -> None:
        await subject.sells(1, 2, 3)
        gate = Gate()
        await gate.pull(subject.connector)
        again = subject.reconnected()
        await gate.pull(again)
        assert gate.kinds == ["cursor"]
        await again.close()

    async def test_a_request_is_held_until_a_change_comes(self, subject: Subject) -> None:
        await subject.sells(1, 2, 3)
        gate, other = Gate(), Gate()
        await gate.pull_all(subject.connector)
        async with asyncio.timeout(LONG_S / 2), asyncio.TaskGroup() as group:
            held = group.create_task(gate.pull(subject.connector, LONG_S))
            for _ in range(3):
                await other.pull(subject.connector)
            assert not held.done()
            await subject.sells(2, state="cancelled")
            await held
        assert gate.listed == subject.listed

    @pytest.mark.parametrize("change", ["state", "sale", "withdrawal"])
    async def test_a_change_arrives(self, subject: Subject, change: str) -> None:
        await subject.sells(*range(10))
        gate = Gate()
        await gate.pull_all(subject.connector)
        match change:
            case "state":
                await subject.sells(7, state="blocked")
            case "sale":
                await subject.sells(10, 11)
            case _:
                await subject.withdraws(3)
        async with asyncio.timeout(LONG_S / 2):
            while gate.listed != subject.listed:
                await gate.pull(subject.connector, LONG_S)
        assert gate.vouched == (subject.listed.count, subject.listed.hex())

    @pytest.mark.parametrize("most", [1, 700, 20_000, 90_000])
    async def test_a_cut_feed_is_gone_on_from(self, subject: Subject, most: int) -> None:
        await subject.sells(*range(COUNT))
        gate = Gate()
        await gate.pull(subject.connector, most_bytes=most)
        await gate.pull_all(subject.connector)
        assert gate.listed == subject.listed

    async def test_a_feed_cut_as_the_list_changes_ends_right(self, subject: Subject) -> None:
        await subject.sells(*range(COUNT))
        gate = Gate()
        await gate.pull(subject.connector, most_bytes=20_000)
        await subject.sells(*range(5), state="revoked")
        await gate.pull_all(subject.connector)
        assert gate.listed == subject.listed

    @pytest.mark.parametrize("cursor", ["nonsense", "", "W10", "0" * 32 + ".5." + "0" * 32, "0" * 32 + "+1000"])
    async def test_an_unknown_cursor_never_leaves_a_wrong_list(self, subject: Subject, cursor: str) -> None:
        await subject.sells(1, 2, 3)
        gate = Gate(cursor)
        gate.rows["e-0", "of another CRM"] = ["of another CRM", "x", "x", "valid", None, None]
        await gate.pull_all(subject.connector)
        assert gate.listed == subject.listed

    async def test_scans_handed_over_twice_count_once(self, subject: Subject) -> None:
        scans = [a_scan(f"s-{seq}", seq) for seq in range(1, 6)]
        answer = await subject.connector.send_scans(subject.device_id, scans[:3])
        assert (answer.acked, answer.rejected) == (3, [])
        answer = await subject.connector.send_scans(subject.device_id, scans[1:4])
        assert answer.acked == 4
        again = subject.reconnected()
        answer = await again.send_scans(subject.device_id, scans)
        await again.close()
        assert answer.acked == 5
        assert await subject.scans() == [(seq, f"s-{seq}") for seq in range(1, 6)]

    async def test_what_is_out_of_reach_is_an_error_with_a_name(self, subject: Subject) -> None:
        await subject.sells(1)
        await subject.goes()
        with pytest.raises(LinkDown, match=r"\w"):
            await Gate().pull(subject.connector)
        with pytest.raises(LinkDown, match=r"\w"):
            await subject.connector.send_scans(subject.device_id, [a_scan("s-1", 1)])

    async def test_ranges_are_right_or_not_offered(self, subject: Subject) -> None:
        await subject.sells(*range(50))
        found = await subject.connector.fingerprints("")
        if found is not None:
            assert (found.count, found.fingerprint) == (50, subject.listed.hex())
            return
        with pytest.raises(BadFeed):
            async with subject.connector.tickets("0"):
                pass

    async def test_a_time_is_another_clocks_or_none(self, subject: Subject) -> None:
        heard = await subject.connector.heartbeat({"version": "test"})
        assert heard is None or heard[1] >= 0

    async def test_giving_up_leaves_nothing_open(self, subject: Subject) -> None:
        await subject.sells(*range(COUNT))
        await tire(subject.connector)
        before = open_things()
        again = subject.reconnected()
        await tire(again)
        await again.close()
        await until(lambda: open_things() <= before)


async def tire(connector: Connector) -> None:
    """Ask for much, and wait for little of it."""
    gate = Gate()
    await gate.pull_all(connector)
    await give_up(connector, None, 0)
    await give_up(connector, gate.cursor, LONG_S)
    async with connector.changes(None, 0) as feed:
        await anext(feed.chunks)


async def give_up(connector: Connector, since: str | None, wait_s: int) -> None:
    """Ask, and be cancelled while the answer is awaited or comes."""
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()
        async with connector.changes(since, wait_s) as feed:
            async for _ in feed.chunks:
                await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask())
        await asked.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()


def open_things() -> tuple[int, int]:
    """Count this process's children and its open files."""
    me = psutil.Process()
    return len(me.children(recursive=True)), me.num_fds()


async def until(fact: Callable[[], Any]) -> None:
    """Look until it is so; bounded."""
    async with asyncio.timeout(LONG_S / 2):
        while not fact():
            await asyncio.sleep(0.01)
