"""Still pictures: files and folders, read to the last one, whatever is among them."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from drivers import camera_child
from drivers.camera.frames import Luma
from drivers.camera.messages import Ended, StillDone, Stills, Task, packed
from drivers.camera.symbologies import DEFAULT
from drivers.hotplug import Hotplug
from drivers.image_files import arriving, images_in
from drivers.protocols import DeviceLost, DeviceRefused, Read, Spoiled
from drivers.scanner_camera import CameraScanner, decode_stills
from drivers.stills_decoder import StillsDecoder
from tests.drivers.cameras import NOTHING, a_scene, a_stranger, failure, gone, listening, until, without_libraries
from tests.drivers.plugs import READ_AT, TIMEOUT_S, FixedClock, Listener, watched


def save(path: Path, luma: Luma) -> str:
    """Write a picture under another name first, as who copies files should."""
    part = path.with_name(f".{path.name}")
    part.write_bytes(cv2.imencode(path.suffix, luma)[1].tobytes())
    part.rename(path)
    return str(path)


async def decoded(*paths: str | Path, symbologies: Sequence[str] = DEFAULT) -> list[StillDone]:
    async with (
        asyncio.timeout(2 * TIMEOUT_S),
        aclosing(decode_stills([str(path) for path in paths], symbologies)) as all_,
    ):
        return [done async for done in all_]


def processes() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "drivers.camera" in each.cmdline()]


async def test_files_are_decoded_in_order(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}.png", a_scene(name)) for name in ("b", "a", "c")]
    empty = save(tmp_path / "empty.png", NOTHING)
    done = await decoded(*paths, empty)
    assert [each.path for each in done] == [*paths, empty]
    assert [[code.text for code in each.codes] for each in done] == [["b"], ["a"], ["c"], []]
    assert all(each.error is None and each.took_ms > 0 and each.width == 640 for each in done)
    assert processes() == []


async def test_a_folder_is_walked_in_order(tmp_path: Path) -> None:
    (tmp_path / "day 2" / "gate").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("being copied")
    for name in ("day 2/gate/c.png", "b.JPG", "a.png", "day 2/d.bmp"):
        save(tmp_path / name, a_scene(name))
    done = await decoded(tmp_path)
    names = ["a.png", "b.JPG", "day 2/d.bmp", "day 2/gate/c.png"]
    assert [os.path.relpath(each.path, tmp_path) for each in done] == names
    assert [code.text for each in done for code in each.codes] == names


async def test_what_cannot_be_read_says_why_and_keeps_nobody_from_going_on(tmp_path: Path) -> None:
    (tmp_path / "nothing here").mkdir()
    cut = save(tmp_path / "cut.jpg", a_scene("cut"))
    Path(cut).write_bytes(Path(cut).read_bytes()[:300])
    page = tmp_path / "page.png"
    page.write_text("<html>")
    dot = save(tmp_path / "dot.png", np.zeros((1, 1), np.uint8))
    good = save(tmp_path / "good.png", a_scene("good"))
    odd = tmp_path / os.fsdecode(b"\xff.png")
    save(odd, a_scene("odd"))
    done = await decoded(tmp_path / "gone.png", tmp_path / "nothing here", cut, page, dot, odd, good)
    assert [bool(each.error) for each in done] == [True, True, True, True, bool(done[4].error), True, False]
    assert done[1].error == "no picture in this folder; give PNG, JPEG, WebP, BMP or TIFF"
    assert done[5].error == "its name is not UTF-8; rename it"
    assert [code.text for each in done for code in each.codes] == ["good"]


async def test_a_decoder_that_dies_of_a_picture_takes_no_other_with_it(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}.png", a_scene(name)) for name in ("a", "b", "c")]
    async with asyncio.timeout(TIMEOUT_S), aclosing(decode_stills(paths, DEFAULT)) as all_:
        assert [code.text for code in (await anext(all_)).codes] == ["a"]
        (process,) = processes()
        process.suspend()  # it has yet to get to the next one
        waiting = asyncio.create_task(anext(all_), name="picture")
        await asyncio.sleep(0)
        process.kill()
        done = await waiting
        assert (done.path, done.codes, done.error) == (paths[1], (), "the decoder died (signal 9) on this picture")
        assert [code.text for code in (await anext(all_)).codes] == ["c"]
        assert process.pid not in {each.pid for each in processes()}
    assert processes() == []


async def test_a_decoder_that_hangs_over_a_picture_is_given_up(tmp_path: Path) -> None:
    decoder = StillsDecoder(Task(Stills(()), DEFAULT), "still pictures", picture_s=0.5)
    good = save(tmp_path / "good.png", a_scene("good"))
    decoder.begins = lambda: os.kill(decoder.pid or 0, signal.SIGSTOP)
    try:
        done = await decoder.decode(good)
        assert done.error == "the decoder said nothing for 0.5 s on this picture"
    finally:
        await decoder.end()
    assert processes() == []


async def test_without_the_libraries_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", without_libraries(tmp_path))
    with pytest.raises(DeviceRefused, match=r"cameras need: pip install 'brama\[camera\]'"):
        await decoded(save(tmp_path / "a.png", a_scene("a")))


# --- a folder at a lane -----------------------------------------------------------------------------------------------


def a_folder(*paths: Path, follow: bool = True, keeps: bool = False, hotplug: Hotplug | None = None) -> CameraScanner:
    stills = Stills(tuple(map(str, paths)), follow)
    return CameraScanner(Task(stills, DEFAULT, keeps_pictures=keeps), FixedClock(), hotplug or Hotplug())


async def test_a_folder_is_read_and_then_followed(tmp_path: Path) -> None:
    save(tmp_path / "b.png", a_scene("T-2"))
    save(tmp_path / "a.png", a_scene("T-1"))
    async with listening(a_folder(tmp_path)) as listener:
        assert [await listener.next() for _ in range(2)] == [Read("T-1", READ_AT, "]Q1"), Read("T-2", READ_AT, "]Q1")]
        for text in ("T-1", "T-3"):
            save(tmp_path / f"{text}.jpg", a_scene(text))
            assert await listener.next() == Read(text, READ_AT, "]Q1")
        (tmp_path / "notes.txt").write_text("no picture")
        save(tmp_path / "T-1.jpg", a_scene("T-4"))
        assert await listener.next() == Read("T-4", READ_AT, "]Q1")
        (tmp_path / "page.png").write_text("<html>")
        spoiled = await listener.next()
        assert isinstance(spoiled, Spoiled)
        assert spoiled.why.startswith("page.png: ")


async def test_a_file_written_in_place_is_read_when_it_is_complete(tmp_path: Path) -> None:
    picture = cv2.imencode(".png", a_scene("T-1"))[1].tobytes()
    save(tmp_path / "first.png", a_scene("T-0"))
    async with listening(a_folder(tmp_path)) as listener:
        assert await listener.next() == Read("T-0", READ_AT, "]Q1")
        with (tmp_path / "slow.png").open("wb") as file:
            file.write(picture[:100])
            file.flush()
            save(tmp_path / "quick.png", a_scene("T-2"))
            assert await listener.next() == Read("T-2", READ_AT, "]Q1")
            file.write(picture[100:])
        assert await listener.next() == Read("T-1", READ_AT, "]Q1")


async def test_what_was_read_is_not_read_again_when_the_reader_comes_back(tmp_path: Path) -> None:
    scanner = a_folder(tmp_path)
    save(tmp_path / "a.png", a_scene("T-1"))
    async with listening(scanner) as listener:
        assert await listener.next() == Read("T-1", READ_AT, "]Q1")
        process = scanner.pid
        assert process is not None
        os.kill(process, signal.SIGKILL)
        await gone(process)
        save(tmp_path / "b.png", a_scene("T-2"))
        spoiled = await listener.next()
        assert isinstance(spoiled, Spoiled)
        assert spoiled.why == "b.png: the decoder died (signal 9) on this picture"
    save(tmp_path / "c.png", a_scene("T-3"))
    async with listening(scanner) as listener:
        assert await listener.next() == Read("T-3", READ_AT, "]Q1")


async def test_a_picture_that_no_process_could_look_at_is_looked_at_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = a_folder(tmp_path)
    save(tmp_path / "a.png", a_scene("T-1"))
    with monkeypatch.context() as short:
        short.setattr(sys, "executable", "/gone/python")
        assert isinstance(await failure(scanner), DeviceLost)
    async with listening(scanner) as listener:
        assert await listener.next() == Read("T-1", READ_AT, "]Q1")


async def test_a_folder_that_does_not_answer_holds_up_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one on the network may not: all that asks about it stands still, and the loop goes on."""
    answers, asked = threading.Event(), threading.Event()
    stat, loop_thread = Path.stat, threading.current_thread()

    def slow(path: Path, **how: bool) -> os.stat_result:
        assert threading.current_thread() is not loop_thread, f"{path} was asked about in the loop"
        asked.set()
        answers.wait(TIMEOUT_S)
        return stat(path, **how)

    save(tmp_path / "a.png", a_scene("T-1"))
    scanner = a_folder(tmp_path)
    with monkeypatch.context() as network:
        network.setattr(Path, "stat", slow)
        reading = asyncio.create_task(Listener(scanner).run(), name="lane")
        assert await asyncio.to_thread(asked.wait, TIMEOUT_S)
        assert not reading.done()
        answers.set()
        await until(lambda: scanner.pid is not None or reading.done())
        reading.cancel()
        await asyncio.wait([reading])
    assert reading.cancelled()


async def test_what_was_read_of_a_large_folder_is_looked_through_in_a_moment(tmp_path: Path) -> None:
    """A lane waits while the loop is kept busy."""
    for number in range(4_000):
        (tmp_path / f"{number}.png").touch()
    scanner = a_folder(tmp_path)
    scanner._files = {path: _as_it_is(path) for path in tmp_path.iterdir()}
    reading = asyncio.create_task(Listener(scanner).run(), name="lane")
    longest_s, up = 0.0, asyncio.Event()
    scanner.on_up = up.set
    while not up.is_set():
        began_s = time.thread_time()
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.thread_time() - began_s)
    reading.cancel()
    await asyncio.wait([reading])
    assert longest_s < 0.2


def _as_it_is(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_ino, status.st_mtime_ns, status.st_size)


async def test_words_of_the_decoder_are_made_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packet = tmp_path / "packet"
    packet.write_bytes(packed(Ended("red\x1b[31m\n", refused=True)))
    monkeypatch.setattr(camera_child, "_process", partial(a_stranger, packet))
    with pytest.raises(DeviceRefused, match=r"^red\?\[31m\?$"):
        await decoded(save(tmp_path / "a.png", a_scene("a")))


async def test_a_still_picture_is_as_certain_as_it_will_be(tmp_path: Path) -> None:
    async with listening(a_folder(tmp_path, keeps=True)) as listener:
        save(tmp_path / "a.png", a_scene("4006381333931", "EAN13", scale=3))
        read = await listener.next()
    assert isinstance(read, Read)
    assert (read.code, read.certain, read.again) == ("4006381333931", True, False)
    assert read.picture is not None
    assert read.picture.startswith(b"\xff\xd8")


async def test_an_onlooker_sees_each_picture_as_it_is_read(tmp_path: Path) -> None:
    scanner = a_folder(tmp_path)
    async with asyncio.timeout(TIMEOUT_S), aclosing(scanner.watch("luma", 100, 0.1)) as pictures:
        coming = asyncio.create_task(anext(pictures), name="onlooker")
        async with listening(scanner) as listener:
            save(tmp_path / "a.png", a_scene("T-1"))
            assert await listener.next() == Read("T-1", READ_AT, "]Q1")
            picture = await coming
    assert (picture.width, picture.height, picture.step) == (100, 56, "still picture")
    assert [outline.text for outline in picture.outlines] == ["T-1"]


async def test_files_that_are_not_followed_come_to_an_end(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "a.png", a_scene("T-1")))
    async with asyncio.timeout(TIMEOUT_S), aclosing(a_folder(path, follow=False).reads()) as reads:
        assert [each async for each in reads] == [Read("T-1", READ_AT, "]Q1")]


async def test_a_folder_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    async with watched(folder) as hotplug:
        lost = await failure(scanner := a_folder(folder, hotplug=hotplug))
        assert str(lost) == f"{folder}: not there; make the folder, or mend its name in the settings"
        assert isinstance(lost, DeviceLost)
        assert lost.again is not None
        folder.mkdir()
        await lost.again()
        async with listening(scanner) as listener:
            save(folder / "a.png", a_scene("T-1"))
            assert await listener.next() == Read("T-1", READ_AT, "]Q1")


async def test_a_folder_that_is_taken_away_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(ExceptionGroup) as caught:
        async with listening(a_folder(folder)) as listener:
            save(folder / "a.png", a_scene("T-1"))
            await listener.next()
            (folder / "a.png").unlink()
            folder.rmdir()
            await asyncio.Event().wait()
    assert caught.group_contains(DeviceLost, match=rf"^{folder}: not there; make the folder")


async def test_arriving_files_are_heard_of_once_they_are_complete(tmp_path: Path) -> None:
    async with asyncio.timeout(TIMEOUT_S), aclosing(arriving([tmp_path])) as coming:
        assert await anext(coming) is None
        with (tmp_path / "a.png").open("w") as file:
            file.write("begun")
            (tmp_path / "b.png").touch()
            assert await anext(coming) == tmp_path / "b.png"
        assert await anext(coming) == tmp_path / "a.png"


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        images_in(tmp_path / "gone", deep=True)
