"""What waits together is done together, and fails only for whom it must."""

import asyncio
from collections.abc import Sequence

import pytest

from crm.gathering import Gathered


class Work:
    """Doubles numbers, once it may; 13 is bad luck for all that are done with it."""

    def __init__(self) -> None:
        self.done: list[list[int]] = []
        self.begun = asyncio.Event()
        self.may = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.begun.set()
        await self.may.wait()
        self.done.append(list(items))
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


async def held(gathered: Gathered[int, int], work: Work, group: asyncio.TaskGroup) -> asyncio.Task[int]:
    """An item that is being done, for as long as the work may not go on."""
    first = group.create_task(gathered.do(0))
    await work.begun.wait()
    return first


async def started(*tasks: asyncio.Task[int]) -> None:
    """Let tasks that were just made run until they wait."""
    for _ in tasks:
        await asyncio.sleep(0)


async def test_what_comes_meanwhile_is_done_together() -> None:
    work = Work()
    gathered = Gathered(work)
    async with asyncio.TaskGroup() as group:
        await held(gathered, work, group)
        tasks = [group.create_task(gathered.do(number)) for number in range(1, 6)]
        await started(*tasks)
        work.may.set()
    assert [task.result() for task in tasks] == [2, 4, 6, 8, 10]
    assert work.done == [[0], [1, 2, 3, 4, 5]]


async def test_what_does_not_fit_waits_for_the_next() -> None:
    work = Work()
    gathered = Gathered(work, lambda items, more: sum(items) + more <= 6)
    async with asyncio.TaskGroup() as group:
        await held(gathered, work, group)
        tasks = [group.create_task(gathered.do(number)) for number in (1, 9, 2, 3, 4)]
        await started(*tasks)
        work.may.set()
    assert [task.result() for task in tasks] == [2, 18, 4, 6, 8]
    assert work.done == [[0], [1, 2, 3], [9], [4]]


async def test_a_failure_is_told_to_whom_it_concerns() -> None:
    work = Work()
    gathered = Gathered(work)

    async def unlucky() -> int:
        with pytest.raises(ValueError, match="13"):
            await gathered.do(13)
        return 0

    async with asyncio.TaskGroup() as group:
        await held(gathered, work, group)
        tasks = [group.create_task(each) for each in (gathered.do(1), unlucky(), gathered.do(2))]
        await started(*tasks)
        work.may.set()
    assert [task.result() for task in tasks] == [2, 0, 4]
    assert work.done == [[0], [1, 13, 2], [1], [13], [2]]
    assert await gathered.do(3) == 6


@pytest.mark.parametrize("which", [0, 1])
async def test_one_that_is_given_up_keeps_nobody(which: int) -> None:
    work = Work()
    gathered = Gathered(work)
    async with asyncio.TaskGroup() as group:
        first = await held(gathered, work, group)
        tasks = [group.create_task(gathered.do(number)) for number in (1, 2)]
        await started(*tasks)
        (first, tasks[0])[which].cancel()
        await started(*tasks)
        work.may.set()
    assert tasks[1].result() == 4
    assert work.done == ([[1, 2]] if which == 0 else [[0], [2]])
