"""A fault stays where it is: jobs run again, or stop and say why."""

import asyncio

import pytest

from drivers.protocols import DeviceLost, DeviceRefused
from edge.hub import QUEUE_LENGTH, Hub
from edge.supervise import FIRST_DELAY_S, MOST_DELAY_S, Health, run_until, supervise
from sync.errors import LinkDown, TokenRefused


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


# --- failures that know what they wait for --------------------------------------------------------------------------


class Mended:
    """What a failure waits for: `asked` once someone waits for it, over once the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.done = asyncio.Event()
        self.times = 0

    async def again(self) -> None:
        self.times += 1
        self.asked.set()
        await self.done.wait()


@pytest.mark.parametrize(
    ("kind", "shown"), [(DeviceRefused, "stopped"), (DeviceLost, "lost")], ids=["no permission", "unplugged"]
)
async def test_a_job_that_waits_for_a_hand_is_shown_meanwhile_and_comes_back_after_it(
    kind: type[DeviceLost | DeviceRefused], shown: str
) -> None:
    mended = Mended()
    job, health = Scripted(kind("/dev/hidraw0: see to it", mended.again)), Health()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervise("reader", job.run, health, job.pause), name="reader")
        async with asyncio.timeout(20):
            await mended.asked.wait()
            assert (health.state, health.error, health.failures) == (shown, "/dev/hidraw0: see to it", 1)
            assert (job.pauses, job.settled.is_set(), task.done()) == ([], False, False)
            mended.done.set()
            await job.settled.wait()
        task.cancel()
    assert mended.times == 1
    assert [pause <= FIRST_DELAY_S for pause in job.pauses] == [True]


async def test_a_job_that_came_back_is_shown_running_and_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.supervise.SETTLED_S", 0.0)
    mended, told = Mended(), asyncio.Queue[str]()
    mended.done.set()
    job = Scripted(DeviceRefused("no permission", mended.again))
    health = Health()
    health.on_change = lambda: told.put_nowait(f"{health.state} {health.error}")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervise("reader", job.run, health, job.pause), name="reader")
        async with asyncio.timeout(20):
            assert [await told.get(), await told.get()] == ["stopped no permission", "running None"]
        task.cancel()


async def test_a_hand_that_is_always_there_makes_no_busy_loop() -> None:
    mended = Mended()
    mended.done.set()
    failures = [DeviceLost("gone", mended.again), DeviceRefused("no permission", mended.again)] * 10
    job, health = Scripted(*failures), Health()
    await until_settled(job, health)
    assert (mended.times, len(job.pauses)) == (20, 20)
    assert min(job.pauses) >= FIRST_DELAY_S / 2
    assert max(job.pauses) <= FIRST_DELAY_S


async def test_pauses_grow_anew_after_a_hand_came() -> None:
    mended = Mended()
    mended.done.set()
    busy, gone = DeviceLost("in use by another program"), DeviceLost("unplugged", mended.again)
    job = Scripted(*[busy] * 5, gone, busy, busy)
    await until_settled(job, Health())
    assert job.pauses[4] > FIRST_DELAY_S
    assert job.pauses[5] <= FIRST_DELAY_S
    assert job.pauses[6] <= 2 * FIRST_DELAY_S


async def test_a_job_that_waits_for_a_hand_ends_with_the_gate() -> None:
    stop, mended = asyncio.Event(), Mended()
    job = Scripted(DeviceRefused("no permission", mended.again))
    async with asyncio.TaskGroup() as group:
        gate = group.create_task(run_until(stop, {"reader": job.run}, {"reader": Health()}), name="gate")
        async with asyncio.timeout(20):
            await mended.asked.wait()
            stop.set()
            await gate
    assert not job.settled.is_set()


@pytest.mark.parametrize("failure", [DeviceRefused("not a serial port"), TokenRefused("the token is not known")])
async def test_a_job_that_no_hand_can_help_stays_stopped(failure: Exception) -> None:
    job, health = Scripted(failure), Health()
    await supervise("job", job.run, health, job.pause)
    assert (health.state, job.pauses, job.settled.is_set()) == ("stopped", [], False)


async def test_a_link_that_is_down_is_tried_again_by_itself() -> None:
    job, health = Scripted(LinkDown("no connection"), LinkDown("no connection")), Health()
    await until_settled(job, health)
    assert (health.state, len(job.pauses)) == ("lost", 2)


# --- the gate goes on -----------------------------------------------------------------------------------------------


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


async def test_a_job_that_says_itself_when_it_has_its_device_is_not_taken_for_running_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.supervise.SETTLED_S", 0.0)
    claimed = asyncio.Event()
    health, settling = Health(settles=False), Health()

    async def job() -> None:
        await claimed.wait()
        health.set("running")
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(supervise("turnstile", job, each)) for each in (health, settling)]
        async with asyncio.timeout(20):
            while settling.state != "running":
                await asyncio.sleep(0)
            assert (health.state, health.failures) == ("starting", 0)
            claimed.set()
            while health.state != "running":
                await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
