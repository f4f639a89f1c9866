"""A camera at a lane: real processes, real sockets, and whatever goes wrong with them."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivers.camera.messages import Seen, Sighting, Stream, Task
from drivers.hotplug import Hotplug
from drivers.protocols import Camera
from drivers.scanner_camera import CameraScanner
from tests.drivers.cameras import (
    HEIGHT,
    NOTHING,
    PASSWORD,
    USER,
    WIDTH,
    NetworkCamera,
    a_camera,
    a_scanner,
    a_scene,
    listening,
    next_read,
    until,
)
from tests.drivers.plugs import READ_AT, TIMEOUT_S, FixedClock
from tests.drivers.relays import tls_of_localhost

LONG_ENOUGH = 75
"""Frames for which a code is away, at thirty a second, after which it is shown anew."""
SIGHTING = Sighting("T-1", "]Q1", "qr", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), "640")


@pytest.fixture
async def camera() -> AsyncIterator[NetworkCamera]:
    async with a_camera() as made:
        yield made


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_a_code_is_read_once_each_time_it_is_shown(camera: NetworkCamera) -> None:
    scanner = a_scanner(camera.stream())
    ups: list[int | None] = []
    scanner.on_up = lambda: ups.append(scanner.pid)
    async with listening(scanner) as listener:
        assert ups == [], "it has only begun to try"
        camera.shows(a_scene("T-1"))
        first = await next_read(listener)
        assert ups == [scanner.pid]
        assert (first.code, first.symbology, first.certain, first.again) == ("T-1", "]Q1", True, False)
        await camera.sends(LONG_ENOUGH)
        camera.shows(a_scene("T-2"))
        assert (await next_read(listener)).code == "T-2"
        camera.shows(NOTHING)
        await camera.sends(LONG_ENOUGH)
        camera.shows(a_scene("T-1"))
        assert (await next_read(listener)).code == "T-1"


async def test_an_uncertain_code_is_offered_once_more_while_it_is_shown(camera: NetworkCamera) -> None:
    scanner = a_scanner(camera.stream(), symbologies=("ean_upc", "qr"))
    async with listening(scanner) as listener:
        camera.shows(a_scene("4006381333931", "EAN13", scale=3))
        offers = [await next_read(listener) for _ in range(2)]
        assert [(each.code, each.certain, each.again) for each in offers] == [
            ("4006381333931", False, False),
            ("4006381333931", False, True),
        ]
        await camera.sends(LONG_ENOUGH)
        camera.shows(a_scene("T-2"))
        assert (await next_read(listener)).code == "T-2"


async def test_as_much_as_a_symbol_holds_comes_whole(camera: NetworkCamera) -> None:
    binary = bytes(range(256)) * 11
    async with listening(a_scanner(camera.stream())) as listener:
        camera.shows(a_scene(binary, scale=5, size=(1280, 960)))
        assert (await next_read(listener)).code == binary.decode("latin-1")


async def test_damaged_and_tiny_pictures_in_a_stream_do_no_harm(camera: NetworkCamera) -> None:
    scanner = a_scanner(camera.stream())
    async with listening(scanner) as listener:
        camera.is_cut = True
        camera.shows(a_scene("T-1"))
        assert (await next_read(listener)).code == "T-1"
        await until(lambda: scanner.alive is not None and scanner.alive.dropped > 0)
        camera.is_cut = False
        camera.shows(np.zeros((1, 1), np.uint8))
        await camera.sends(3)
        camera.shows(a_scene("T-2"))
        assert (await next_read(listener)).code == "T-2"


async def test_a_stream_that_is_not_jpeg_is_read(camera: NetworkCamera, tmp_path: Path) -> None:
    path = str(tmp_path / "video.ts")
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp2v"), 30, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(300):
        noise = np.random.default_rng(number).integers(0, 3, (HEIGHT, WIDTH), dtype=np.uint8)
        writer.write(cv2.cvtColor(a_scene("T-1") // 2 + 60 + noise, cv2.COLOR_GRAY2BGR))
    writer.release()
    camera.video = Path(path).read_bytes()
    scanner = a_scanner(camera.stream("video"))
    async with listening(scanner) as listener:
        assert (await next_read(listener)).code == "T-1"
        assert scanner.up is not None
        assert (scanner.up.width, scanner.up.height) == (WIDTH, HEIGHT)


async def test_a_camera_that_signs_its_own_certificate_is_read(tmp_path: Path) -> None:
    async with a_camera(tls_of_localhost(tmp_path)) as camera:
        camera.shows(a_scene("T-1"))
        async with listening(a_scanner(camera.stream("secret", f"{USER}:{PASSWORD}@"))) as listener:
            assert (await next_read(listener)).code == "T-1"


async def test_a_picture_is_kept_of_each_code_where_that_is_asked_for(camera: NetworkCamera) -> None:
    task = Task(camera.stream(), ("qr",), keeps_pictures=True)
    async with listening(CameraScanner(task, FixedClock(), Hotplug())) as listener:
        for text in ("T-1", "T-2"):
            camera.shows(a_scene(text))
            read = await next_read(listener)
            assert read.picture is not None
            picture = cv2.imdecode(np.frombuffer(read.picture, np.uint8), cv2.IMREAD_GRAYSCALE)
            assert picture is not None
            assert picture.shape == (270, 480)
            assert picture.std() > 10
    async with listening(a_scanner(camera.stream())) as listener:
        assert (await next_read(listener)).picture is None


def test_what_was_seen_too_long_ago_is_no_read() -> None:
    """The gate was stopped for a while, and finds what the camera's process said meanwhile."""
    scanner = a_scanner(Stream("http://camera/", "http://camera/"))
    now_s = time.monotonic()
    assert list(scanner._taken(Seen(now_s - 3.5, 1.0, (SIGHTING,)), "camera")) == []
    (read,) = scanner._taken(Seen(now_s - 1.0, 1.0, (SIGHTING,)), "camera")
    assert timedelta(seconds=0.9) < READ_AT - read.at < timedelta(seconds=1.5)
    (read,) = scanner._taken(Seen(now_s + 1e9, 1.0, (replace(SIGHTING, text="T-2"),)), "camera")
    assert read.at == READ_AT


# --- pictures for people ----------------------------------------------------------------------------------------------


async def test_onlookers_see_what_the_camera_sees(camera: NetworkCamera) -> None:
    task = Task(camera.stream(), ("qr",), rotate=90)
    scanner = CameraScanner(task, FixedClock(), Hotplug())
    as_camera: Camera = scanner
    async with asyncio.timeout(TIMEOUT_S), aclosing(as_camera.watch("jpeg", 180, 0.0)) as pictures:
        coming = asyncio.create_task(anext(pictures), name="onlooker")
        camera.shows(a_scene("T-1"))
        async with listening(scanner) as listener, aclosing(scanner.watch("luma", 90, 0.0)) as tiny:
            assert (await next_read(listener)).code == "T-1"
            first = await coming
            assert (first.form, first.width, first.height) == ("jpeg", 180, 320)
            assert first.data.startswith(b"\xff\xd8")
            async for picture in tiny:
                assert (picture.form, picture.width, picture.height) == ("luma", 90, 160)
                assert len(picture.data) == 90 * 160
                if picture.outlines:
                    break
            (outline,) = picture.outlines
            assert (outline.text, outline.symbology) == ("T-1", "]Q1")
            assert all(0.2 < right < 0.8 and 0.3 < down < 0.7 for right, down in outline.corners)
            assert scanner.up is not None
            assert (scanner.up.width, scanner.up.height) == (HEIGHT, WIDTH)
            await until(lambda: scanner.alive is not None and scanner.alive.brightness > 100)
            assert scanner.seen is not None
            assert [code.text for code in scanner.seen.codes] == ["T-1"]
            assert scanner.pid is not None
            os.kill(scanner.pid, signal.SIGSTOP)  # a child that takes no more words
        assert [scanner.pid, scanner.alive, scanner.up] == [None, None, None]
        camera.shows(a_scene("T-2"))
        async with listening(scanner) as listener:
            assert (await next_read(listener)).code == "T-2"
            async for picture in pictures:
                if [outline.text for outline in picture.outlines] == ["T-2"]:
                    break
