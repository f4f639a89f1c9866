"""A camera being watched: what is looked at, what is left alone, and what is said of it. Times are the frames' own."""

import socket
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from drivers.camera.capture import Newest
from drivers.camera.frames import ArrayFrame, Luma
from drivers.camera.link import Link
from drivers.camera.live import REST_AFTER_S, Watch
from drivers.camera.messages import MOST_BYTES, FromCamera, Seen, Show, Shown, Stream, Task, Up, from_camera
from drivers.camera.pixels import BadPicture, JpegFrame
from tests.drivers.cameras import HEIGHT, NOTHING, WIDTH, a_jpeg, a_scene

FRAME_S = 1 / 30


class CountedFrame(JpegFrame):
    """Counts how often a frame is unpacked."""

    unpacked = 0

    def glimpse(self) -> Luma:
        type(self).unpacked += 1
        return super().glimpse()


class Watched:
    """A camera's process without its process: frames go in, messages come out."""

    def __init__(self, *, keeps_pictures: bool = False) -> None:
        self._gate, camera = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._gate.setblocking(False)
        self.link = Link(camera.detach())
        task = Task(Stream("http://camera/", "http://camera/"), ("qr",), keeps_pictures=keeps_pictures)
        self._watch = Watch(task, self.link, Newest())
        self.now_s = 100.0

    def close(self) -> None:
        self._gate.close()
        self.link._socket.close()

    @property
    def newest(self) -> Newest:
        return self._watch._newest

    def sees(self, luma: Luma, frames: int = 1) -> list[FromCamera]:
        """Show a picture for so many frames, with a little noise as there is in each; return what is said of it."""
        for _ in range(frames):
            self.now_s += FRAME_S
            noise = np.random.default_rng(int(self.now_s * 1000)).integers(0, 2, luma.shape, dtype=np.uint8)
            data = np.frombuffer(a_jpeg(np.asarray(luma // 2 + 60 + noise, dtype=np.uint8)), np.uint8)
            self._watch._take(CountedFrame(data, self.now_s))
        return self.said()

    def said(self) -> list[FromCamera]:
        messages = []
        while True:
            try:
                messages.append(from_camera(self._gate.recv(MOST_BYTES + 1)))
            except BlockingIOError:
                return messages


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.close()


def test_the_size_is_told_first(watched: Watched) -> None:
    assert watched.sees(NOTHING) == [Up(WIDTH, HEIGHT)]
    assert watched.sees(NOTHING, 10) == []


def test_where_nothing_moves_few_frames_are_unpacked_and_a_code_is_seen_at_once(watched: Watched) -> None:
    watched.sees(NOTHING, round((REST_AFTER_S + 1) / FRAME_S))
    CountedFrame.unpacked = 0
    watched.sees(NOTHING, 30)
    assert 8 <= CountedFrame.unpacked <= 11
    (seen,) = watched.sees(a_scene("T-1"))
    assert isinstance(seen, Seen)
    assert seen.frame_at_s == watched.now_s
    assert [code.text for code in seen.codes] == ["T-1"]


def test_a_code_that_stays_is_told_of_now_and_then(watched: Watched) -> None:
    watched.sees(NOTHING, 5)
    told = watched.sees(a_scene("T-1"), 90)
    assert 4 <= len(told) <= 10
    assert all(isinstance(each, Seen) and each.codes[0].text == "T-1" and each.picture is None for each in told)


def test_a_picture_is_kept_when_a_code_comes_into_view() -> None:
    watched = Watched(keeps_pictures=True)
    try:
        watched.sees(NOTHING, 5)
        told = [each for each in watched.sees(a_scene("T-1"), 60) if isinstance(each, Seen)]
    finally:
        watched.close()
    kept = [each.picture for each in told if each.picture is not None]
    assert len(kept) == 1
    assert told[0].picture is kept[0]
    picture = cv2.imdecode(np.frombuffer(kept[0], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    assert picture.shape == (270, 480)


def test_pictures_for_people_are_made_as_often_as_somebody_wants_them(watched: Watched) -> None:
    watched.sees(a_scene("T-1"), 60)
    watched.link.shows["jpeg"] = Show("jpeg", 320, 0.5)
    told = [each for each in watched.sees(a_scene("T-1"), 90) if isinstance(each, Shown)]
    assert 5 <= len(told) <= 7
    assert all((each.form, each.width, each.height) == ("jpeg", 320, 180) for each in told)
    assert {each.step for each in told} == {"still"}, "nothing moves"
    assert all([code.text for code in each.codes] == ["T-1"] for each in told), (
        "and what was decoded still stands there"
    )
    watched.link.shows["jpeg"] = Show("jpeg", 320, None)
    assert not any(isinstance(each, Shown) for each in watched.sees(a_scene("T-1"), 30))


def test_a_bad_picture_is_forgotten_once_a_good_one_came(watched: Watched) -> None:
    """Else it would be told as the cause when, hours later, none comes any more."""
    watched.newest.spoil(BadPicture("damaged JPEG"))
    assert "damaged JPEG" in watched._watch._stalled()
    watched.sees(NOTHING)
    assert "damaged JPEG" not in watched._watch._stalled()


def test_a_frame_of_another_kind_is_always_looked_at(watched: Watched) -> None:
    """Of raw frames a glimpse costs next to nothing."""
    for _ in range(90):
        watched.now_s += FRAME_S
        watched._watch._take(ArrayFrame(NOTHING, watched.now_s))
        assert watched._watch._looked_s == watched.now_s
