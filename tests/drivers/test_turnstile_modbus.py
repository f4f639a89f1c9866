"""A turnstile on a Modbus relay: a coil that is on for a guest and off in any other case, and a sensor."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest
from pymodbus.constants import ExcCodes

from drivers.line_guard import send
from drivers.protocols import DeviceLost
from drivers.turnstile_modbus import ModbusTurnstile, off_adu
from tests.drivers.relays import LONG_MS, TIMEOUT_S, Diary, ModbusRelay, NotedGuard, a_modbus_relay, working

COIL = 3
SENSOR = 5
SOON_S = 0.5


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def guard(diary: Diary) -> NotedGuard:
    return NotedGuard(diary)


@pytest.fixture
async def relay(diary: Diary) -> AsyncIterator[ModbusRelay]:
    async with a_modbus_relay(diary) as made:
        yield made


def a_turnstile(
    relay: ModbusRelay,
    guard: NotedGuard | None = None,
    pulse_ms: int = 1,
    coil: int = COIL,
    timeout_s: float = TIMEOUT_S,
    check_s: float = TIMEOUT_S,
) -> ModbusTurnstile:
    return ModbusTurnstile("127.0.0.1", relay.port, 1, coil, pulse_ms, timeout_s, guard=guard, check_s=check_s)


def with_sensor(relay: ModbusRelay, pulse_ms: int = 1, number: int = SENSOR) -> ModbusTurnstile:
    return ModbusTurnstile("127.0.0.1", relay.port, 1, COIL, pulse_ms, TIMEOUT_S, number, 8.0, check_s=TIMEOUT_S)


async def test_a_guest_is_let_through(relay: ModbusRelay, guard: NotedGuard) -> None:
    turnstile = a_turnstile(relay, guard)
    async with working(turnstile):
        assert relay.writes == ["3 off"]
        await turnstile.release()
        await turnstile.release()
        assert relay.writes == ["3 off", *["arm", "3 on", "3 off", "disarm"] * 2]
    assert relay.writes[-1] == "3 off"


async def test_what_was_left_on_is_switched_off_before_a_lane_works(relay: ModbusRelay) -> None:
    await relay.server.async_setValues(1, 15, COIL, [True])
    assert await relay.is_on(COIL)
    async with working(a_turnstile(relay)):
        assert not await relay.is_on(COIL)


async def test_a_released_turnstile_that_is_cancelled_is_locked_first(relay: ModbusRelay, guard: NotedGuard) -> None:
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await relay.diary.until(lambda: "3 on" in relay.writes)
        relay.held["3 off"] = asyncio.Event()
        task.cancel()
        await relay.diary.until(lambda: relay.writes[-1] == "3 off")
        # The relay takes its time to answer, and whoever cancels has no patience.
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        relay.held["3 off"].set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert relay.writes == ["3 off", "arm", "3 on", "3 off", "disarm"]
        assert not await relay.is_on(COIL)


async def test_cancelled_before_the_relay_has_answered_it_is_locked_too(relay: ModbusRelay, guard: NotedGuard) -> None:
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile):
        relay.held["3 on"] = asyncio.Event()
        task = asyncio.create_task(turnstile.release(), name="release")
        await relay.diary.until(lambda: "3 on" in relay.writes)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert relay.writes == ["3 off", "arm", "3 on", "3 off", "disarm"]


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancellation_that_meets_the_answer_is_not_lost(relay: ModbusRelay, turns: int) -> None:
    turnstile = a_turnstile(relay, pulse_ms=LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await relay.diary.until(lambda: "3 on" in relay.writes)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert relay.writes == ["3 off", "3 on", "3 off"]


async def test_a_lane_that_ends_locks_its_turnstile_first(relay: ModbusRelay, guard: NotedGuard) -> None:
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await relay.diary.until(lambda: "3 on" in relay.writes)
    assert not await relay.is_on(COIL)
    assert not guard.armed
    await task
    with pytest.raises(DeviceLost, match="not connected now"):
        await turnstile.release()
    assert relay.writes.count("3 on") == 1


async def test_the_guard_can_lock_it_by_itself(relay: ModbusRelay, guard: NotedGuard) -> None:
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await relay.diary.until(lambda: "3 on" in relay.writes)
        action = guard.action
        await asyncio.to_thread(send, action.host, action.port, action.tls, action.payload.hex())
        assert not await relay.is_on(COIL)
        task.cancel()
        await asyncio.wait([task])


def test_the_request_that_switches_off_is_the_standards() -> None:
    # Transaction, protocol, 6 bytes to come, unit 17, write single coil (5), coil 172, off.
    assert off_adu(0x11, 0xAC) == bytes.fromhex("0000 0000 0006 11 05 00ac 0000")


@pytest.mark.parametrize(
    ("refusal", "name", "after"),
    [
        (ExcCodes.DEVICE_BUSY, "server device busy .Modbus exception 6.", ["disarm"]),
        (ExcCodes.ILLEGAL_VALUE, "illegal data value .Modbus exception 3.", ["disarm"]),
        # Nobody knows what it did before it failed.
        (ExcCodes.DEVICE_FAILURE, "server device failure .Modbus exception 4.", ["3 off", "disarm"]),
        (ExcCodes.ACKNOWLEDGE, "acknowledge .Modbus exception 5.", ["3 off", "disarm"]),
    ],
)
async def test_a_relay_that_says_no_is_asked_once(
    relay: ModbusRelay, guard: NotedGuard, refusal: ExcCodes, name: str, after: list[str]
) -> None:
    turnstile = a_turnstile(relay, guard)
    async with working(turnstile):
        relay.refusals[True] = refusal
        with pytest.raises(DeviceLost, match=f"unit 1, coil 3: {name}; check unit and coil 3 in the settings"):
            await turnstile.release()
        assert relay.writes == ["3 off", "arm", "3 on refused", *after]
        relay.refusals.clear()
        await turnstile.release()


async def test_a_relay_that_cannot_be_locked_may_be_open(relay: ModbusRelay, guard: NotedGuard) -> None:
    turnstile = a_turnstile(relay, guard)
    async with working(turnstile):
        relay.refusals[False] = ExcCodes.DEVICE_FAILURE
        with pytest.raises(DeviceLost, match=r"may still be open, see to it: .* coil 3: server device failure"):
            await turnstile.release()
        assert relay.writes == ["3 off", "arm", "3 on", "3 off refused"]
        assert guard.armed


@pytest.mark.parametrize(
    ("turnstile", "what"),
    [
        pytest.param(lambda relay: a_turnstile(relay, coil=16), "coil 16", id="coil"),
        pytest.param(lambda relay: with_sensor(relay, number=16), "discrete input 16", id="sensor"),
    ],
)
async def test_a_number_that_the_relay_does_not_have_is_named(
    relay: ModbusRelay, turnstile: Callable[[ModbusRelay], ModbusTurnstile], what: str
) -> None:
    async with working(turnstile(relay)) as lost:
        assert re.search(f"{what}: illegal data address .Modbus exception 2.; check unit and {what}", str(await lost))


async def test_a_relay_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    turnstile = ModbusTurnstile("127.0.0.1", port, 7, COIL, 1, TIMEOUT_S)
    async with working(turnstile) as lost:
        assert str(await lost).startswith(f"127.0.0.1:{port} unit 7: no connection; check its power")
        with pytest.raises(DeviceLost, match="not connected now"):
            await turnstile.release()


async def test_a_relay_that_hangs_up_is_lost(relay: ModbusRelay) -> None:
    async with working(a_turnstile(relay)) as lost:
        await relay.server.shutdown()  # type: ignore[no-untyped-call]
        assert "hung up" in str(await lost)


async def test_a_relay_that_hangs_up_in_mid_pulse_may_be_open(relay: ModbusRelay, guard: NotedGuard) -> None:
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile) as lost:
        task = asyncio.create_task(turnstile.release(), name="release")
        await relay.diary.until(lambda: "3 on" in relay.writes)
        await relay.server.shutdown()  # type: ignore[no-untyped-call]
        with pytest.raises(DeviceLost, match="may still be open"):
            await task
        assert "hung up" in str(await lost)
        assert guard.armed


async def test_a_relay_that_falls_silent_is_lost_before_a_guest_comes(relay: ModbusRelay) -> None:
    turnstile = a_turnstile(relay, timeout_s=SOON_S, check_s=0.01)
    async with working(turnstile) as lost:
        await relay.diary.until(lambda: relay.pings >= 2)
        relay.held["ping"] = asyncio.Event()
        assert f"no answer in {SOON_S} s" in str(await lost)


async def test_a_relay_that_does_not_answer_is_asked_once_and_lost(relay: ModbusRelay, guard: NotedGuard) -> None:
    turnstile = a_turnstile(relay, guard, timeout_s=SOON_S)
    async with working(turnstile) as lost:
        relay.held = {"3 on": asyncio.Event(), "3 off": asyncio.Event()}
        with pytest.raises(DeviceLost, match=r"may still be open, see to it: .* no answer in"):
            await turnstile.release()
        assert "no answer in" in str(await lost)
        assert relay.writes.count("3 on") == 1
        assert guard.armed


async def test_what_takes_connections_and_says_nothing_is_no_relay() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with working(ModbusTurnstile("127.0.0.1", port, 1, COIL, 1, SOON_S)) as lost:
            assert f"no answer in {SOON_S} s" in str(await lost)


async def test_it_can_be_claimed_again(relay: ModbusRelay) -> None:
    turnstile = a_turnstile(relay)
    for _ in range(2):
        async with working(turnstile):
            await turnstile.release()
    assert relay.writes.count("3 on") == 2
    async with aclosing(turnstile.signals()) as signals:
        await anext(signals)
        await turnstile.release()
    assert relay.writes.count("3 on") == 3


async def test_who_goes_through_after_the_pulse_is_seen(relay: ModbusRelay) -> None:
    turnstile = with_sensor(relay)
    assert turnstile.passage_timeout_s == 8.0
    async with working(turnstile):
        for _ in range(2):
            await turnstile.release()
            passed = asyncio.create_task(turnstile.passed(), name="passed")
            await relay.looked(2)
            assert not passed.done()
            await relay.set_input(SENSOR, active=True)
            await passed
            await relay.set_input(SENSOR, active=False)


async def test_who_goes_through_during_the_pulse_is_seen(relay: ModbusRelay) -> None:
    turnstile = with_sensor(relay, LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await relay.diary.until(lambda: relay.looks >= 3)
        await relay.set_input(SENSOR, active=True)
        await relay.looked(2)
        await relay.set_input(SENSOR, active=False)
        task.cancel()
        await asyncio.wait([task])
        looks = relay.looks
        await turnstile.passed()
        assert relay.looks == looks


async def test_a_sensor_that_does_not_answer_makes_no_pulse_longer(relay: ModbusRelay) -> None:
    turnstile = with_sensor(relay, pulse_ms=200)
    async with working(turnstile):
        relay.held["look"] = asyncio.Event()
        passed = asyncio.create_task(turnstile.passed(), name="the guest before")
        await asyncio.sleep(0)
        await turnstile.release()
        assert relay.writes == ["3 off", "3 on", "3 off"]
        assert relay.looks >= 2
        assert not await relay.is_on(COIL)
        relay.held["look"].set()
        # What comes too late is no answer to what was asked since.
        await relay.looked(2)
        await relay.set_input(SENSOR, active=True)
        await passed


async def test_a_sensor_that_was_closed_all_the_while_has_seen_nobody(relay: ModbusRelay) -> None:
    await relay.set_input(SENSOR, active=True)
    turnstile = with_sensor(relay)
    async with working(turnstile):
        await turnstile.release()
        passed = asyncio.create_task(turnstile.passed(), name="passed")
        await relay.looked(3)
        assert not passed.done()
        await relay.set_input(SENSOR, active=False)
        await relay.looked(2)
        await relay.set_input(SENSOR, active=True)
        await passed


async def test_the_sensor_is_read_only_while_a_guest_is_awaited(relay: ModbusRelay) -> None:
    turnstile = ModbusTurnstile("127.0.0.1", relay.port, 1, COIL, 1, TIMEOUT_S, SENSOR, 8.0, check_s=0.01)
    async with working(turnstile):
        looks, pings = relay.looks, relay.pings
        await relay.diary.until(lambda: relay.pings >= pings + 10)
        assert relay.looks == looks == 1


async def test_a_lost_relay_does_not_end_the_wait_for_a_guest(relay: ModbusRelay) -> None:
    turnstile = with_sensor(relay)
    async with working(turnstile) as lost:
        await turnstile.release()
        passed = asyncio.create_task(turnstile.passed(), name="passed")
        await relay.server.shutdown()  # type: ignore[no-untyped-call]
        await lost
        assert not passed.done()
        passed.cancel()
        await asyncio.wait([passed])


async def test_without_a_sensor_nobody_is_seen_to_pass(relay: ModbusRelay) -> None:
    turnstile = a_turnstile(relay)
    assert turnstile.passage_timeout_s is None
    async with working(turnstile):
        await turnstile.release()
        task = asyncio.create_task(turnstile.passed(), name="passed")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
    assert relay.looks == 0
