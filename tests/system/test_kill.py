"""Power cuts in the middle of a crowd: what was answered is on disk, once, and the gate is back at once."""

import asyncio
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import aiohttp
import pytest

from edge.store.keeping import verify_chain
from tests.sync.book import everything
from tests.system.processes import HANG_S, GateProcess

KILLS = 50
CLIENTS = 8
TICKETS = 1000


@dataclass
class Crowd:
    """Clients that offer codes, each scan under a name of its own; who gets no answer asks again or walks off."""

    gate: GateProcess
    up: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    answered: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By scan_id: the code, and the verdict that the client was told."""
    unanswered: int = 0
    recorded_unanswered: int = 0
    """Scans on disk whose answer the power cut swallowed: asked again, they are not judged again."""

    async def client(self, number: int) -> None:
        """Offer codes for ever; clients share the codes, so that most are offered several times."""
        luck = random.Random(number)
        count = 0
        while True:
            count += 1
            name, code = f"s-{number}-{count}", f"CODE-{luck.randint(1, TICKETS + 50)}"
            while not await self._offer(name, code) and luck.random() < 0.7:
                pass

    async def _offer(self, name: str, code: str) -> bool:
        await self.up.wait()
        try:
            answer = await self.gate.scan(code, scan_id=name)
        except aiohttp.ClientConnectionError:
            self.unanswered += 1
            return False
        assert answer["scan_id"] == name
        self.recorded_unanswered += answer["repeat"]
        self.answered[name] = (code, answer["verdict"])
        self.news.set()
        return True

    async def until_answered(self, count: int) -> None:
        async with asyncio.timeout(HANG_S):
            while len(self.answered) < count:
                self.news.clear()
                await self.news.wait()


def journal_of(gate: GateProcess) -> list[tuple[int, str, str | None, str]]:
    """Return seq, scan_id, ticket and verdict of each row, once the chain has been proved."""
    with closing(sqlite3.connect(gate.data / "journal.db")) as journal:
        found = verify_chain(journal)
        assert found.problems == ()
        rows = journal.execute("SELECT seq, scan_id, ticket_id, verdict FROM scan ORDER BY seq").fetchall()
        assert found.rows == len(rows)
        return rows


@pytest.mark.kill
@pytest.mark.timeout(400)
async def test_no_power_cut_loses_doubles_or_changes_a_scan(
    gate: GateProcess, capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    crowd, luck, restarts = Crowd(gate), random.Random(50), list[float]()
    await gate.start()
    await gate.push(everything(TICKETS))
    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(crowd.client(number)) for number in range(CLIENTS)]
        crowd.up.set()
        for _ in range(KILLS):
            await crowd.until_answered(len(crowd.answered) + luck.randint(3, 60))
            crowd.up.clear()
            await gate.kill()
            restarts.append(await gate.start())
            crowd.up.set()
        await crowd.until_answered(len(crowd.answered) + 20)
        for client in clients:
            client.cancel()
    assert await gate.stop() == 0

    rows = journal_of(gate)
    assert [seq for seq, *_ in rows] == list(range(1, len(rows) + 1))
    recorded = {scan_id: verdict for _, scan_id, _, verdict in rows}
    assert len(recorded) == len(rows)
    assert {name: verdict for name, (_, verdict) in crowd.answered.items()}.items() <= recorded.items()
    admissions = Counter(ticket for _, _, ticket, verdict in rows if verdict == "admitted")
    offered = {code for code, _ in crowd.answered.values()} & {f"CODE-{n}" for n in range(1, TICKETS + 1)}
    assert set(admissions.values()) == {1}
    assert {code.replace("CODE", "T") for code in offered} <= admissions.keys()

    record_property("restart_max_s", round(max(restarts), 3))
    with capsys.disabled():
        sys.stdout.write(
            f"\n{KILLS} kills, {len(rows)} scans, {len(crowd.answered)} answered, {crowd.unanswered} cut off,"
            f" {crowd.recorded_unanswered} of them on disk all the same;"
            f" restart at most {max(restarts):.2f} s, mean {sum(restarts) / KILLS:.2f} s\n"
        )


@pytest.mark.kill
async def test_an_answer_is_the_same_after_a_power_cut(gate: GateProcess) -> None:
    await gate.start()
    await gate.push(everything(1))
    before = await gate.scan("CODE-1", scan_id="s-1")
    await gate.kill()
    await gate.start()
    again = await gate.scan("CODE-1", scan_id="s-1")
    assert {**again, "took_ms": 0, "repeat": False} == {**before, "took_ms": 0}
    assert (await gate.scan("CODE-1", scan_id="s-2"))["reason"] == "already_used"
    assert len(journal_of(gate)) == 2
