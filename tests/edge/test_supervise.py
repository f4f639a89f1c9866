"""A fault stays where it is: jobs run again, or stop and say why."""

import asyncio

import pytest

from drivers.protocols import DeviceLost, DeviceRefused
from edge.hub import QUEUE_LENGTH, Hub
from edge.supervise import MOST_DELAY_S, Health, run_until, supervise


class Scripted:
    """A job that fails as told, then runs until it is stopped; its pauses are written down, not waited."""

    def __init__(self, *failures: Exception | None) -> None:
        self._failures = list(failures)
        self.pauses: list[float] = []
        self.settled = asyncio.Event()

    async def run(self) -> None:
        if self._failures:
            failure = self._failures.pop(0)
            if failure is not None:
                raise failure
            return
        self.settled.set()
        await asyncio.Event().wait()

    async def pause(self, delay_s: float) -> None:
        self.pauses.append(delay_s)


async def until_settled(job: Scripted, health: Health) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervise("reader", job.run, health, job.pause), name="reader")
        async with asyncio.timeout(20):
            await job.settled.wait()
        task.cancel()


async def test_a_lost_device_is_tried_again_with_growing_pauses() -> None:
    job, health = Scripted(*[DeviceLost("/dev/ttyACM0: unplugged")] * 8), Health()
    await until_settled(job, health)
    assert (health.failures, health.state, health.error) == (8, "lost", "/dev/ttyACM0: unplugged")
    assert job.pauses[0] <= 0.2
    assert max(job.pauses) <= MOST_DELAY_S
    assert job.pauses[-1] >= MOST_DELAY_S / 2


async def test_a_refused_device_stops_and_says_why() -> None:
    job, health = Scripted(DeviceRefused("/dev/ttyACM0: no permission; add the user to dialout")), Health()
    await supervise("reader", job.run, health, job.pause)
    assert (health.state, health.error) == ("stopped", "/dev/ttyACM0: no permission; add the user to dialout")
    assert job.pauses == []


@pytest.mark.parametrize("failure", [ZeroDivisionError("x"), None])
async def test_a_defect_is_counted_and_that_job_starts_again(
    failure: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    job, health = Scripted(failure), Health()
    await until_settled(job, health)
    assert health.failures == 1
    assert "reader" in caplog.text


async def test_one_job_s_fault_leaves_the_others_alone() -> None:
    stop, well, broken = asyncio.Event(), Scripted(), Scripted(DeviceRefused("gone"))
    healths = {"well": Health(), "broken": Health()}
    async with asyncio.TaskGroup() as group:
        jobs = {"well": well.run, "broken": broken.run}
        group.create_task(run_until(stop, jobs, healths), name="gate")
        async with asyncio.timeout(20):
            await well.settled.wait()
        stop.set()
    assert (healths["broken"].state, healths["well"].error) == ("stopped", None)


async def test_changes_of_health_are_told_once() -> None:
    told: list[str] = []
    health = Health(on_change=lambda: told.append(health.state))
    for state in ("lost", "lost"):
        health.set(state, "unplugged")
    health.set("running")
    assert told == ["lost", "running"]


async def test_a_slow_onlooker_is_told_to_go_and_the_others_get_all() -> None:
    hub = Hub()
    with hub.subscribe() as slow, hub.subscribe() as quick:
        for number in range(QUEUE_LENGTH + 1):
            hub.publish({"number": number})
            assert await quick.get() == {"number": number}
        assert slow.get_nowait() is None
        assert slow.empty()
        hub.close()
        assert await quick.get() is None
