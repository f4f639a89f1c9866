"""Whatever happens at the gates, at the central and on the way between them: in the end all hold the same.

Two gates in processes of their own, with real stores, lanes and sync engines, which are killed in the middle of their
work; a real central on a socket; and a network that is slow, silent, cut, or somebody else's.

`BRAMA_SCHEDULES` is how many random schedules are gone through, `BRAMA_SEED` which ones: any whole number.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from crm.central import open_central
from edge.core.model import EventStatus, TicketState
from tests.sync.office import MOST_CODES
from tests.sync.proxy import Mood
from tests.sync.world import Waited, World, a_world

SCHEDULES = int(os.environ.get("BRAMA_SCHEDULES", "20"))
SEED = int(os.environ.get("BRAMA_SEED", "0"))
PARTS = 4
"""The schedules are divided into so many tests, which may run side by side."""


def http(head: str, body: str = "") -> Mood:
    """A mood in which something else answers."""
    lines = [f"HTTP/1.1 {head}", f"Content-Length: {len(body)}", "Connection: close", "", body]
    return Mood(answer="\r\n".join(lines).encode())


CAPTIVE_PORTAL = http("302 Found\r\nLocation: http://portal.example/login")
MOODS = st.one_of(
    st.builds(Mood, cut=st.integers(0, 3000)),
    st.builds(Mood, delay_s=st.sampled_from([0.01, 0.05]), cut=st.none() | st.integers(0, 3000)),
    st.just(Mood(bytes_per_s=8000)),
    st.sampled_from(
        [
            http("500 Internal Server Error", "oops"),
            http("502 Bad Gateway\r\nContent-Type: text/html", "<html>nginx</html>"),
            http("429 Too Many Requests\r\nRetry-After: 1"),
            CAPTIVE_PORTAL,
            http("200 OK\r\nContent-Type: text/html", "<html>Log in</html>"),
            http("200 OK\r\nContent-Type: application/json", '{"acked": "all", "tickets": []}'),
            http("200 OK\r\nContent-Type: application/x-ndjson", '{"kind":"reset"}\n{"kind":"event","id":5}\n'),
            http("404 Not Found"),
            Mood(answer=b"\x00\xff garbage \r\n"),
            Mood(answer=b""),
            Mood(impostor=True),
        ]
    ),
)
NUMBERS = st.integers(0, 30)
SEVERAL = st.lists(NUMBERS, min_size=1, max_size=5)
MANY = st.lists(NUMBERS, min_size=1, max_size=20, unique=True)
GATES = st.integers(0, 1)
POINTS = st.sampled_from(["c-1", "c-2", "c-3"])
EVENTS = st.sampled_from(["e-1", "e-2"])
HOURS_LATER = st.sampled_from([[], [(-1, 1)], [(-3, -1), (1, 2)], [(-1, 1), (2, 3)]])


def office(*what: st.SearchStrategy[Any] | str) -> st.SearchStrategy[tuple[Any, ...]]:
    """Something that the organiser's office does."""
    return st.tuples(st.just("office"), *(st.just(each) if isinstance(each, str) else each for each in what))


OFFICE = st.one_of(
    office("import", MANY),
    office("import of another seller", EVENTS, MANY),
    office("state", NUMBERS, st.sampled_from(list(TicketState))),
    office("delete", SEVERAL),
    office("hours", POINTS, HOURS_LATER),
    office("always open", POINTS),
    office("close for good", st.just("c-3")),
    office("event", EVENTS, st.sampled_from(list(EventStatus))),
    office("policy", st.sampled_from([1, 2, None])),
    office("controller", st.integers(1, 3)),
    office("controller leaves", st.integers(1, 3)),
    office("assign", GATES, st.sampled_from(["c-1", "c-2"])),
    office("forget changes"),
)


def by_hand(sql: str) -> st.SearchStrategy[list[str]]:
    """Statements that change a gate's list; each `?` is a number."""
    return NUMBERS.map(lambda number: [sql.replace("?", str(number))])


BY_HAND = st.one_of(
    by_hand("UPDATE ticket SET state = 'cancelled' WHERE id = 'T-?'"),
    by_hand("UPDATE ticket SET type = 't-9', valid_until = '2020-01-01T00:00:00Z' WHERE id >= 'T-?'"),
    by_hand("UPDATE ticket SET id = 'T-x' WHERE id = 'T-?'"),
    by_hand("DELETE FROM ticket WHERE id = 'T-?'"),
    by_hand("DELETE FROM ticket WHERE id >= 'T-?'"),
    by_hand(
        "INSERT OR IGNORE INTO ticket (lookup, event, id, type, state)"
        " VALUES (CAST(printf('%016d', ?) AS BLOB), 'e-1', 'T-?', 't-1', 'valid')"
    ),
    by_hand("UPDATE bucket SET tickets = tickets + 1 WHERE first_byte BETWEEN ? AND 8 * ?"),
    st.just(["DELETE FROM bucket"]),
)
# Sampled, since `one_of` would take each kind of what the office does for as likely as a scan.
ACTIONS = st.sampled_from(
    [
        OFFICE,
        OFFICE,
        OFFICE,
        st.tuples(st.just("scan"), GATES, SEVERAL),
        st.tuples(st.just("silence"), GATES, SEVERAL, st.none() | st.sampled_from([0, 20, 100]), st.booleans()),
        st.tuples(st.just("network"), st.lists(MOODS, min_size=1, max_size=4)),
        st.tuples(st.just("central"), st.booleans()),
        st.tuples(st.just("reopen"), GATES),
        st.tuples(st.just("kill"), GATES, SEVERAL, st.integers(0, 3)),
        st.tuples(st.just("by hand"), GATES, BY_HAND),
        st.tuples(st.just("meet")),
    ]
).flatmap(lambda each: each)
Action = tuple[Any, ...]
TICKETS: Action = ("office", "import", list(range(12)))
MEET: Action = ("meet",)


async def go_through(world: World, actions: list[Action]) -> None:
    """Do it all, and see that all is the same in the end."""
    for action in actions:
        await world.act(action)
    world.proxy.moods.clear()
    await world.act(("office", "policy", 1))
    await world.act(("meet",))
    await world.nobody_is_let_in_again()
    await world.converged()


Story = Callable[[World], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture(scope="session")
def central_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new central's file, made once: copying it is faster than migrating."""
    path = tmp_path_factory.mktemp("central") / "central.db"

    async def make() -> None:
        async with open_central(path, lambda: datetime(2026, 5, 1, tzinfo=UTC), "Palace"):
            pass

    asyncio.run(make())
    return path


@pytest.fixture
def play(central_path: Path) -> Play:
    """Play a story in a world of its own."""

    async def told(folder: Path, story: Story, *, asks_first: bool) -> None:
        async with a_world(folder, asks_first=asks_first) as world:
            await story(world)

    def play(story: Story, *, asks_first: bool = False) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(central_path, folder)
            asyncio.run(told(Path(folder), story, asks_first=asks_first))

    return play


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_gates_and_central_converge(play: Play, part: int) -> None:
    met = Counter[Mood]()

    def schedule(actions: list[Action], *, met_before: bool) -> None:
        async def story(world: World) -> None:
            await go_through(world, [TICKETS, MEET, *actions] if met_before else [TICKETS, *actions])
            met.update(world.proxy.met)

        play(story)

    run = given(actions=st.lists(ACTIONS, min_size=5, max_size=20), met_before=st.booleans())(schedule)
    # One wrong certificate, one answer of somebody else's: what the network can do at worst is in every part.
    for worst in (Mood(impostor=True), CAPTIVE_PORTAL):
        actions: list[Action] = [("network", [worst]), ("scan", 0, [1]), ("office", "import", [1, 2])]
        run = example(actions=actions, met_before=True)(run)
    seed(SEED * PARTS + part)(settings(max_examples=SCHEDULES // PARTS, deadline=None, database=None)(run))()
    assert met[Mood(impostor=True)]


def test_a_snapshot_arrives_through_many_cuts(play: Play) -> None:
    async def story(world: World) -> None:
        actions: list[Action] = [
            ("central", False),
            ("office", "import", list(range(31))),
            ("network", [Mood(cut=size) for size in range(0, 6000, 150)]),
            ("scan", 0, list(range(MOST_CODES))),
            ("central", True),
            ("meet",),
            ("reopen", 0),
            ("scan", 0, [1, 1, 1]),
        ]
        await go_through(world, actions)
        assert world.proxy.cut >= 5

    play(story)


def test_a_list_changed_by_hand_is_mended_while_all_else_goes_on(play: Play) -> None:
    async def story(world: World) -> None:
        await go_through(world, [TICKETS])
        here, elsewhere = world.gates
        await world.act(("by hand", 0, ["DELETE FROM ticket WHERE id = 'T-3'", "UPDATE ticket SET type = 't-9'"]))
        assert here.by_hand == 1
        await world.act(("scan", 1, [3]))
        assert elsewhere.answered[-1][1] == "admitted"
        actions: list[Action] = [
            ("kill", 0, [1, 2], 1),
            ("office", "import of another seller", "e-2", [3, 4]),
            ("office", "controller", 1),
            ("office", "event", "e-2", EventStatus.CANCELLED),
            ("office", "hours", "c-2", [(1, 2)]),
        ]
        await go_through(world, actions)
        await world.act(("scan", 0, [3]))
        assert here.answered[-1][1] == "refused"
        assert [path for path, since in world.asked if path.endswith("/tickets")]

    play(story)


def test_a_lane_that_asks_the_network_would_be_found_out(play: Play) -> None:
    """It is by this that the schedules prove that no lane waits."""

    async def story(world: World) -> None:
        await go_through(world, [TICKETS, MEET, ("scan", 0, [1])])
        world.patience_s = 0.3
        with pytest.raises(Waited, match="gate 1 has no verdict without the network"):
            await world.act(("silence", 0, [2], 0, False))

    play(story, asks_first=True)


def test_a_list_half_built_when_the_gate_is_killed_goes_on_from_its_last_cursor(play: Play) -> None:
    async def story(world: World) -> None:
        await go_through(world, [TICKETS])
        gate = world.gates[0]
        folder = gate.start.folder
        await world.act(("office", "import", list(range(31))))
        await gate.process.kill()
        (folder / "whitelist.db").unlink()
        world.asked.clear()
        world.proxy.freeze(room=2500)
        gate.process = await world.open(gate.start)
        await world.news.until(lambda: (folder / "whitelist.building.db").exists() and world.proxy.held > 0)
        await gate.process.kill()
        gate.process = await world.open(gate.start)
        half = gate.process.state["cursor"]
        assert half is not None
        await world.act(("scan", 0, [1]))
        world.proxy.thaw()
        await world.converged()
        asked = [since for path, since in world.asked if path.endswith("/changes")]
        assert asked.count(None) == 1
        assert half in asked

    play(story)
