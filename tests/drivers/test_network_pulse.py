"""What is begun on a network output is ended in time, however often it is cancelled; the cancellation comes."""

import asyncio

import pytest

from drivers.network_pulse import LOOK_EVERY_S, NetworkPulse, to_the_end
from drivers.protocols import DeviceLost
from tests.drivers.relays import LONG_MS, TIMEOUT_S, Diary


class Work:
    """Takes until it is told to end."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.may_end = asyncio.Event()
        self.began = asyncio.Event()
        self.ended = False
        self._failure = failure

    async def run(self) -> str:
        self.began.set()
        await self.may_end.wait()
        self.ended = True
        if self._failure:
            raise self._failure
        return "done"


async def test_the_result_comes_back() -> None:
    work = Work()
    work.may_end.set()
    assert await to_the_end(work.run()) == "done"


async def test_a_failure_comes_back() -> None:
    work = Work(DeviceLost("gone"))
    work.may_end.set()
    with pytest.raises(DeviceLost, match="gone"):
        await to_the_end(work.run())


@pytest.mark.parametrize("failure", [None, DeviceLost("gone")])
@pytest.mark.parametrize("times", [1, 2, 5])
async def test_no_cancellation_stops_it_and_none_is_lost(times: int, failure: Exception | None) -> None:
    work = Work(failure)
    task = asyncio.create_task(to_the_end(work.run()), name="caller")
    await work.began.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not task.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert work.ended
    assert caught.value.__cause__ is failure


async def test_a_timeout_around_it_is_kept_once_it_has_ended() -> None:
    work = Work()

    async def bounded() -> None:
        async with asyncio.timeout(0):
            await to_the_end(work.run())

    task = asyncio.create_task(bounded(), name="bounded")
    await work.began.wait()
    work.may_end.set()
    with pytest.raises(TimeoutError):
        await task
    assert work.ended


class Output:
    """What a pulse switches, and looks at: a look has no end but its cancellation."""

    def __init__(self) -> None:
        self.diary = Diary()

    async def on(self) -> None:
        await self.diary.note("on")

    async def off(self) -> None:
        await self.diary.note("off")

    async def look(self) -> None:
        await self.diary.note("look")
        try:
            await asyncio.Event().wait()
        finally:
            await self.diary.note("broken off")

    def pulse(self, pulse_ms: float) -> NetworkPulse:
        return NetworkPulse("output", self.on, self.off, round(pulse_ms))


LOOKED = ["on", "look", "broken off", "off"]


async def test_a_look_without_an_answer_makes_no_pulse_longer() -> None:
    output = Output()
    async with asyncio.timeout(TIMEOUT_S):
        await output.pulse(2000 * LOOK_EVERY_S).make(output.look)
    assert output.diary.lines == LOOKED


async def test_a_lane_that_ends_waits_for_no_look() -> None:
    output = Output()
    pulse = output.pulse(LONG_MS)
    making = asyncio.create_task(pulse.make(output.look), name="pulse")
    await output.diary.until(lambda: "look" in output.diary.lines)
    async with asyncio.timeout(TIMEOUT_S):
        await pulse.end()
    await making
    assert output.diary.lines == LOOKED


async def test_a_cancelled_pulse_waits_for_no_look() -> None:
    output = Output()
    making = asyncio.create_task(output.pulse(LONG_MS).make(output.look), name="pulse")
    await output.diary.until(lambda: "look" in output.diary.lines)
    making.cancel()
    await asyncio.wait([making], timeout=TIMEOUT_S)
    assert making.cancelled()
    assert output.diary.lines == LOOKED
