"""The line guard's own process, told what a gate would tell it, and what none would."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.guard import SCRIPT
from drivers.line_guard import LONGEST_WAIT_S, Guarded
from tests.drivers.guards import OFF, Line, Relay, a_relay, ended
from tests.drivers.relays import Diary

LONG_S = 3600.0
HOLD = b'{"op": "hold", "key": "line", "mask": 1, "safe": 0}'


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
async def relay(diary: Diary) -> AsyncIterator[Relay]:
    async with a_relay(diary) as made:
        yield made


@pytest.fixture
def line() -> Iterator[Line]:
    with closing(Line()) as made:
        yield made


@asynccontextmanager
async def a_guard_alone() -> AsyncIterator[socket.socket]:
    """The link by which a gate tells its guard; closing it is the gate's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        command = [sys.executable, "-I", "-S", str(SCRIPT), str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=(theirs.fileno(),)) as guard:
            theirs.close()
            try:
                assert ours.recv(16) == b"ready"
                yield ours
                ours.close()
                await ended(guard.pid)
                assert guard.wait() == 0
            finally:
                guard.kill()


def armed(port: int, key: str = "proof", after_s: float = 0.0, payload: bytes = OFF) -> bytes:
    told = {"host": "127.0.0.1", "port": port, "tls": False, "payload": payload.hex()}
    return json.dumps({"op": "arm", "key": key, "after_s": after_s, **told}).encode()


def share(link: socket.socket, message: bytes, *lines: Line) -> None:
    """Send a message and, beside it, lines, of which the guard then has the only end."""
    socket.send_fds(link, [message], [each.held.fileno() for each in lines])
    for each in lines:
        each.held.close()


async def test_a_relay_that_does_not_answer_keeps_no_other_on(relay: Relay, diary: Diary) -> None:
    relay.answers.clear()
    async with a_relay(diary) as other:
        async with a_guard_alone() as link:
            link.send(armed(relay.port, "silent"))
            await diary.until(lambda: f"{relay.port} begun" in diary.lines)
            link.send(armed(other.port, "other"))
            await diary.until(lambda: other.told != [])
            relay.answers.set()
        await diary.until(lambda: relay.told != [])
        assert diary.lines.index(f"{other.port} told") < diary.lines.index(f"{relay.port} told")


async def test_lines_are_let_go_before_a_relay_has_answered(relay: Relay, diary: Diary, line: Line) -> None:
    """The next gate, two seconds later, is to find them free."""
    relay.answers.clear()
    async with a_guard_alone() as link:
        link.send(armed(relay.port, "silent", LONG_S))
        share(link, HOLD, line)
        link.shutdown(socket.SHUT_RDWR)
        await line.let_go()
        await diary.until(lambda: f"{relay.port} begun" in diary.lines)
        assert relay.told == []
        relay.answers.set()


@pytest.mark.parametrize(
    "message",
    [
        b"\xff\xfe",
        b"{",
        b"[" * 5000,
        b"7",
        b"[]",
        b"{}",
        b'{"op": "drop"}',
        b'{"op": "sing", "key": "line"}',
        b'{"op": "safe", "key": "unknown", "safe": 1}',
        b'{"op": "disarm", "key": "unknown"}',
        b'{"op": "drop", "key": "unknown"}',
        b'{"op": "safe", "key": "line", "safe": -1}',
        b'{"op": "safe", "key": "line"}',
        b'{"op": "hold", "key": "line", "mask": 18446744073709551616, "safe": 0}',
        b'{"op": "hold", "key": "line", "mask": "x", "safe": 0}',
        b'{"op": "arm", "key": "line", "after_s": NaN}',
        b'{"op": "arm", "key": "line", "after_s": Infinity}',
        b'{"op": "arm", "key": "line", "after_s": 1e300}',
        b'{"op": "arm", "key": "line", "after_s": 0, "payload": "zz"}',
        b'{"op": "arm", "key": "a", "after_s": 0, "payload": "00", "host": "a..b", "port": 1, "tls": false}',
        b'{"op": "arm", "key": "a", "after_s": 0, "payload": "00", "host": "127.0.0.1", "port": 70000, "tls": false}',
        b'{"op": "arm", "key": "\\ud800", "after_s": 0, "payload": "00", "host": "127.1", "port": -1, "tls": false}',
        b'{"op": "arm", "key": "a", "after_s": 0, "payload": "00", "host": "127.0.0.1", "port": 0, "tls": true}',
    ],
)
async def test_no_message_ends_it_or_takes_a_line_away(
    message: bytes, relay: Relay, diary: Diary, line: Line, capfd: pytest.CaptureFixture[str]
) -> None:
    async with a_guard_alone() as link:
        with closing(Line()) as stray:
            share(link, HOLD, line)
            share(link, message, stray)
            link.send(armed(relay.port))
            await diary.until(lambda: relay.told != [])
            assert line.is_held
            assert not stray.is_held
    await line.let_go()
    assert relay.told == [OFF]
    assert "Traceback" not in capfd.readouterr().err


async def test_a_hold_without_a_line_leaves_the_one_before(relay: Relay, diary: Diary, line: Line) -> None:
    async with a_guard_alone() as link:
        share(link, HOLD, line)
        share(link, HOLD)
        link.send(armed(relay.port))
        await diary.until(lambda: relay.told != [])
        assert line.is_held


SOME = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([1])
MESSAGES = st.fixed_dictionaries(
    {"op": st.sampled_from(["hold", "safe", "arm", "disarm", "drop"]) | SOME, "key": st.sampled_from("ab")},
    optional=dict.fromkeys(["mask", "safe", "after_s"], st.integers(0, 3) | SOME)
    | dict.fromkeys(["host", "port", "tls", "payload"], st.sampled_from(["00", 1]) | SOME),
)


@given(st.lists(MESSAGES, max_size=8))
@settings(deadline=None)
def test_any_mix_of_messages_leaves_it_fit_to_go_on(told: list[dict[str, object]]) -> None:
    guarded = Guarded()
    with closing(Line()) as line:
        for message in told:
            guarded.hear(json.dumps(message).encode(), [os.dup(line.held.fileno())], 0.0)
        line.held.close()
        assert line.is_held == bool(guarded.lines)
        guarded.actions.clear()  # so that nobody is called
        wait_s = guarded.overdue(0.0)
        assert wait_s is None or 0 < wait_s <= LONGEST_WAIT_S
        guarded.all_safe()
        assert not line.is_held


async def test_secrets_reach_no_log(relay: Relay, diary: Diary, capfd: pytest.CaptureFixture[str]) -> None:
    secret = b"Authorization: Basic c2VjcmV0"
    async with a_guard_alone() as link:
        link.send(armed(relay.port, payload=secret)[:-1] + b', "port": "x"}')
        link.send(armed(1, payload=secret))
        link.send(armed(relay.port))
        await diary.until(lambda: relay.told != [])
    complaints = capfd.readouterr().err
    assert complaints.count("WARNING line guard") == 2
    assert secret.hex() not in complaints
    assert secret.decode() not in complaints
