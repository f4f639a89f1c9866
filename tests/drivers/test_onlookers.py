"""Who looks at a camera gets its newest picture; nobody looks, and none is made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from drivers.camera.messages import Show, Shown
from drivers.onlookers import Form, Onlookers
from drivers.protocols import Picture
from tests.drivers.plugs import TIMEOUT_S


class Camera:
    """Takes down what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[Show] = []
        self.onlookers = Onlookers(self.asked.append)
        self.stack = AsyncExitStack()

    def shows(self, number: int, form: Form = "jpeg") -> None:
        self.onlookers.show(Shown(form, 2, 2, float(number), "640", (), bytes([number] * 4)))


class Onlooker:
    """Waits for one picture at a time."""

    def __init__(self, camera: Camera, form: Form, width: int, every_s: float) -> None:
        self._pictures = camera.onlookers.watch(form, width, every_s)
        self._coming = asyncio.create_task(anext(self._pictures), name="onlooker")

    async def sees(self) -> int:
        async with asyncio.timeout(TIMEOUT_S):
            picture: Picture = await self._coming
        self._coming = asyncio.create_task(anext(self._pictures), name="onlooker")
        await asyncio.sleep(0)
        return picture.data[0]

    async def aclose(self) -> None:
        self._coming.cancel()
        await asyncio.wait([self._coming])
        await self._pictures.aclose()


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    made = Camera()
    async with made.stack:
        yield made


async def looks(camera: Camera, form: Form, width: int, every_s: float) -> Onlooker:
    made = Onlooker(camera, form, width, every_s)
    camera.stack.push_async_callback(made.aclose)
    await asyncio.sleep(0)
    return made


async def test_the_most_demanding_decides_and_the_last_to_go_ends_it(camera: Camera) -> None:
    first = await looks(camera, "jpeg", 320, 1.0)
    second = await looks(camera, "jpeg", 640, 2.0)
    third = await looks(camera, "jpeg", 160, 0.5)
    assert camera.asked == [Show("jpeg", 320, 1.0), Show("jpeg", 640, 1.0), Show("jpeg", 640, 0.5)]
    camera.asked.clear()
    await first.aclose()
    assert camera.asked == []
    await second.aclose()
    await third.aclose()
    assert camera.asked == [Show("jpeg", 160, 0.5), Show("jpeg", 0, None)]


async def test_forms_are_asked_for_and_given_apart(camera: Camera) -> None:
    jpeg, luma = await looks(camera, "jpeg", 640, 0.2), await looks(camera, "luma", 100, 0.1)
    assert camera.asked == [Show("jpeg", 640, 0.2), Show("luma", 100, 0.1)]
    camera.shows(1, "jpeg")
    camera.shows(2, "luma")
    assert (await jpeg.sees(), await luma.sees()) == (1, 2)


async def test_who_is_slow_gets_the_newest_only(camera: Camera) -> None:
    slow, quick = await looks(camera, "jpeg", 640, 0.0), await looks(camera, "jpeg", 640, 0.0)
    seen = []
    for number in range(1, 6):
        camera.shows(number)
        seen.append(await quick.sees())
    assert seen == [1, 2, 3, 4, 5]
    assert await slow.sees() in {1, 5}
    assert await slow.sees() == 5


async def test_a_new_process_is_asked_for_what_is_wanted_now(camera: Camera) -> None:
    onlooker = await looks(camera, "luma", 100, 0.1)
    camera.asked.clear()
    camera.onlookers.ask_again()
    assert camera.asked == [Show("luma", 100, 0.1)]
    await onlooker.aclose()
    camera.asked.clear()
    camera.onlookers.ask_again()
    assert camera.asked == []
