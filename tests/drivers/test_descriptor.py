"""Waiting for something to read never misses what is there, and never watches longer than it waits."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from drivers.descriptor import until_readable


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


async def test_it_returns_when_something_comes(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    waiting = asyncio.create_task(until_readable(reader), name="waiting")
    await asyncio.sleep(0)
    assert not waiting.done()
    os.write(writer, b".")
    assert await waiting is True


@pytest.mark.parametrize("timeout_s", [-1.0, 0.0, 1e-9])
async def test_what_is_there_is_found_although_the_time_is_up(pipe: tuple[int, int], timeout_s: float) -> None:
    """As when the loop was held up: a code whose keys have all come must not be cut in two."""
    reader, writer = pipe
    assert await until_readable(reader, timeout_s) is False
    os.write(writer, b".")
    assert await until_readable(reader, timeout_s) is True


async def test_an_end_that_is_closed_is_something_to_read() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    assert await until_readable(reader) is True
    assert await until_readable(reader, 0.0) is True
    os.close(reader)


async def test_the_loop_watches_only_while_somebody_waits(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    loop = asyncio.get_running_loop()
    os.write(writer, b".")
    await until_readable(reader)
    assert loop.remove_reader(reader) is False
    os.read(reader, 1)
    await until_readable(reader, 0.0)
    assert loop.remove_reader(reader) is False
    waiting = asyncio.create_task(until_readable(reader), name="waiting")
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert loop.remove_reader(reader) is False
