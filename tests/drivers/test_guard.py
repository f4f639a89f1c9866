"""The line guard as a real process: whatever becomes of the gate, what was released is undone."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager

import psutil
import pytest

from drivers.guard import LineGuard
from drivers.guarding import Guard
from drivers.protocols import DeviceLost
from tests.drivers.guards import OFF, Line, Relay, a_relay, ended, guarding
from tests.drivers.relays import TIMEOUT_S, Diary

LONG_S = 3600.0
MOST_RSS_MIB = 20
MORE_THAN_A_LINK_HOLDS = 10_000
GATE = """
import asyncio, json, signal, sys
from drivers.guard import LineGuard
from drivers.guarding import NetworkAction

async def main():
    guard = LineGuard()
    async with asyncio.TaskGroup() as group:
        group.create_task(guard.run())
        await guard.ready()
        for key, port, payload, deadline_s in json.loads(sys.argv[1]):
            guard.arm(key, NetworkAction("127.0.0.1", port, False, bytes.fromhex(payload)), deadline_s)
        for key in json.loads(sys.argv[2]):
            guard.disarm(key)
        print(guard.pid, flush=True)
        signal.pause()

asyncio.run(main())
"""


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
async def relay(diary: Diary) -> AsyncIterator[Relay]:
    async with a_relay(diary) as made:
        yield made


@contextmanager
def a_gate(armed: list[tuple[str, int, bytes, float]], disarmed: tuple[str, ...] = ()) -> Iterator[tuple[int, int]]:
    """A gate process that has told its guard this and now hangs; its process and the guard's."""
    told = json.dumps([(key, port, payload.hex(), after_s) for key, port, payload, after_s in armed])
    command = [sys.executable, "-c", GATE, told, json.dumps(disarmed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gate:
        assert gate.stdout is not None
        try:
            yield gate.pid, int(gate.stdout.readline())
        finally:
            gate.kill()


@pytest.fixture
def line() -> Iterator[Line]:
    with closing(Line()) as made:
        yield made


async def test_it_runs_once_it_is_wanted_and_stops_with_the_gate() -> None:
    guard: Guard
    guard = made = LineGuard()
    running = asyncio.create_task(made.run(), name="line guard")
    await asyncio.sleep(0)
    assert made.pid is None
    await guard.ready()
    assert made.pid is not None
    assert psutil.pid_exists(made.pid)
    pid = made.pid
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert made.pid is None
    assert not psutil.pid_exists(pid)
    gc.collect()  # what was left open would be warned of now


async def test_it_is_small() -> None:
    async with guarding(LineGuard()) as pid:
        rss_mib = psutil.Process(pid).memory_info().rss / 1024**2
        assert rss_mib < MOST_RSS_MIB, f"{rss_mib:.1f} MiB resident"


async def test_what_a_killed_gate_left_on_is_switched_off(relay: Relay, diary: Diary) -> None:
    with a_gate([("relay", relay.port, OFF, LONG_S)]) as (gate, guard):
        assert relay.told == []
        os.kill(gate, signal.SIGKILL)
        await diary.until(lambda: relay.told != [])
        await ended(guard)
    assert relay.told == [OFF]


async def test_what_a_killed_gate_had_switched_off_is_left_alone(relay: Relay, diary: Diary) -> None:
    both = [("one", relay.port, b"one", LONG_S), ("other", relay.port, b"other", LONG_S)]
    with a_gate(both, disarmed=("one", "never armed")) as (gate, guard):
        os.kill(gate, signal.SIGKILL)
        await ended(guard)
    await diary.until(lambda: relay.told != [])
    assert relay.told == [b"other"]


async def test_a_pulse_of_a_gate_that_hangs_ends_in_time(relay: Relay, diary: Diary) -> None:
    with a_gate([("relay", relay.port, OFF, 0.01)]) as (gate, _):
        await diary.until(lambda: relay.told != [])
        assert psutil.pid_exists(gate)
    assert relay.told == [OFF]


async def test_deadlines_are_kept_in_order_and_each_once(relay: Relay, diary: Diary) -> None:
    guard = LineGuard()
    async with guarding(guard):
        guard.arm("disarmed", relay.action(b"disarmed"), 0.01)
        guard.disarm("disarmed")
        guard.arm("later", relay.action(b"replaced"), 0.01)
        guard.arm("later", relay.action(b"later"), 0.1)
        guard.arm("sooner", relay.action(b"sooner"), 0.05)
        await diary.until(lambda: len(relay.told) == 2)
    assert relay.told == [b"sooner", b"later"]


async def test_a_line_is_shared_until_it_is_dropped(relay: Relay, diary: Diary, line: Line) -> None:
    guard = LineGuard()
    async with guarding(guard):
        guard.hold("line", line.held.fileno(), 1, 0)
        line.held.close()
        guard.arm("proof", relay.action(), 0.0)
        await diary.until(lambda: relay.told != [])
        assert line.is_held
        guard.drop("line")
        guard.drop("line")
        await line.let_go()


async def test_a_line_that_cannot_be_made_safe_is_complained_of(
    relay: Relay, diary: Diary, line: Line, capfd: pytest.CaptureFixture[str]
) -> None:
    guard = LineGuard()
    async with guarding(guard):
        guard.hold("gpiochip0 17", line.held.fileno(), 1, 0)
        guard.limit("gpiochip0 17", 0.0)
        guard.arm("proof", relay.action(), 0.0)
        await diary.until(lambda: relay.told != [])
        assert capfd.readouterr().err == "WARNING line guard: gpiochip0 17: [Errno 25] Inappropriate ioctl for device\n"
        guard.safe("gpiochip0 17", 1)
    assert "gpiochip0 17" in capfd.readouterr().err


async def test_the_guard_that_follows_a_killed_one_knows_what_stands(relay: Relay, diary: Diary, line: Line) -> None:
    guard = LineGuard()
    with pytest.raises(ExceptionGroup) as caught:
        async with guarding(guard) as first:
            guard.hold("line", line.held.fileno(), 1, 0)
            for key in ("stands", "disarmed meanwhile"):
                guard.arm(key, relay.action(key.encode()), LONG_S)
            os.kill(first, signal.SIGKILL)
            await asyncio.Event().wait()
    assert caught.group_contains(DeviceLost, match=r"line guard: ended by itself \(-9\)")
    assert not psutil.pid_exists(first)
    guard.disarm("disarmed meanwhile")
    guard.arm("armed meanwhile", relay.action(b"armed meanwhile"), 0.0)
    async with guarding(guard) as second:
        assert second != first
        await diary.until(lambda: relay.told != [])
        assert relay.told == [b"armed meanwhile"]
        line.held.close()
        assert line.is_held
    await diary.until(lambda: len(relay.told) == 2)
    assert relay.told[1] == b"stands"
    await line.let_go()


async def test_a_guard_that_does_not_listen_is_replaced_and_acts_on_nothing_old(
    relay: Relay, diary: Diary, line: Line, capfd: pytest.CaptureFixture[str]
) -> None:
    guard = LineGuard()
    with pytest.raises(ExceptionGroup) as caught:
        async with guarding(guard) as first:
            guard.hold("line", line.held.fileno(), 1, 0)
            guard.arm("stands", relay.action(b"stands"), LONG_S)
            os.kill(first, signal.SIGSTOP)
            for number in range(MORE_THAN_A_LINK_HOLDS):
                guard.safe("line", number % 2)
            await asyncio.Event().wait()
    assert caught.group_contains(DeviceLost, match="line guard: did not listen; starting it anew")
    assert not psutil.pid_exists(first)
    assert capfd.readouterr().err == ""  # the line was not written to, of which it would have complained
    async with guarding(guard):
        guard.arm("proof", relay.action(b"proof"), 0.0)
        await diary.until(lambda: relay.told != [])
        line.held.close()
        assert line.is_held
    await diary.until(lambda: len(relay.told) == 2)
    assert relay.told == [b"proof", b"stands"]


async def test_a_guard_that_is_told_to_stop_makes_safe_and_is_started_anew(relay: Relay, diary: Diary) -> None:
    guard = LineGuard()
    with pytest.raises(ExceptionGroup) as caught:
        async with guarding(guard) as pid:
            guard.arm("relay", relay.action(), LONG_S)
            guard.arm("proof", relay.action(b"proof"), 0.0)
            await diary.until(lambda: relay.told != [])
            os.kill(pid, signal.SIGTERM)
            await asyncio.Event().wait()
    assert caught.group_contains(DeviceLost, match=r"ended by itself \(0\)")
    await diary.until(lambda: len(relay.told) == 2)
    assert relay.told == [b"proof", OFF]


@pytest.mark.parametrize(
    ("python", "why"), [("/nowhere/python3", "does not start .No such file"), ("/bin/false", r"ended by itself \(1\)")]
)
async def test_a_guard_that_does_not_start_is_lost(python: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python)
    guard = LineGuard()
    asking = asyncio.create_task(guard.ready(), name="turnstile")
    async with asyncio.timeout(TIMEOUT_S):
        with pytest.raises(DeviceLost, match=f"line guard: {why}"):
            await guard.run()
    assert not asking.done()
    asking.cancel()
    await asyncio.wait([asking])
    gc.collect()
