"""Cameras in the settings: named in one way, with the options that this way has, and no password ever shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.fields import shown_url
from config.hardware import DEFAULT_SYMBOLOGIES, SYMBOLOGIES, CameraReader
from config.settings import BadSettings, Settings, check_settings, load_settings
from drivers.camera import symbologies

READY = Path(__file__).parents[2] / "config" / "camera.toml"


def settings(*lanes: list[dict[str, Any]]) -> Settings:
    """Check lanes that have these cameras."""
    readers = [[{"driver": "camera", **each} for each in lane] for lane in lanes]
    named = [{"id": f"lane-{number}", "readers": each} for number, each in enumerate(readers)]
    return check_settings({"device": {"name": "x"}, "lane": named}, "-")


def camera(**keys: Any) -> CameraReader:
    (reader,) = settings([keys]).lane[0].readers
    assert isinstance(reader, CameraReader)
    return reader


def problems(*lanes: list[dict[str, Any]]) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        settings(*lanes)
    return str(caught.value).splitlines()[1:]


def test_a_camera_that_is_only_named_has_usual_settings() -> None:
    reader = camera(device="/dev/video0")
    assert (reader.width, reader.height, reader.fps, reader.exposure_ms) == (1280, 720, 30, None)
    assert (reader.region, reader.rotate, reader.mirror) == ((0.0, 0.0, 1.0, 1.0), 0, False)
    assert (reader.symbologies, reader.codes) == (DEFAULT_SYMBOLOGIES, "nearest")
    assert (reader.on_page, reader.keep_refused_h) == (False, 0)


def test_the_names_of_symbologies_are_those_of_the_decoder() -> None:
    assert SYMBOLOGIES == symbologies.SYMBOLOGIES
    assert DEFAULT_SYMBOLOGIES == symbologies.DEFAULT


@pytest.mark.parametrize(
    ("keys", "shown", "is_plugged"),
    [
        ({"device": "/dev/v4l/by-id/usb-046d_Brio-video-index0", "exposure_ms": 4}, "", True),
        ({"usb": "046d:085e", "serial": "A1", "port": "1-1.2", "width": 640, "height": 480, "fps": 15}, "", True),
        ({"url": "rtsp://10.0.0.20:8554/stream"}, "rtsp://10.0.0.20:8554/stream", False),
        (
            {"url": "http://cam.local/video?fps=10", "region": [0, 0.25, 1, 0.5], "rotate": 270},
            "http://cam.local/video",
            False,
        ),
        ({"folder": "/srv/pictures", "codes": "all", "symbologies": ["itf"]}, "/srv/pictures", False),
    ],
    ids=["device", "usb", "rtsp", "http", "folder"],
)
def test_each_way_to_name_a_camera_is_read_as_written(keys: dict[str, Any], shown: str, is_plugged: bool) -> None:
    reader = camera(**keys)
    assert (reader.shown, reader.is_plugged) == (shown, is_plugged)
    assert reader.model_dump(include=set(keys), mode="json") == keys


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "name the camera in one way: by device, by usb, serial and port, by url, or by folder; see brama devices"),
        ({"device": "/dev/video0", "usb": "046d:085e"}, "(device, usb, serial or port are given)"),
        ({"url": "rtsp://u:secret@a/", "folder": "/x"}, "(url, folder are given)"),
        ({"device": "video0"}, "device: "),
        ({"folder": "pictures"}, "folder: "),
        (
            {"url": "rtmp://u:secret@a/"},
            "url: no address of a stream, or no host that there can be; write it as rtsp://",
        ),
        ({"url": "rtsp://u:secret@..local/"}, "url: no address of a stream, or no host that there can be"),
        ({"url": "rtsp://u:secret@a:0/"}, "url: no address of a stream, or no host that there can be"),
        ({"url": "rtsp://u:secret@a/\x1b"}, "url: no address of a stream, or no host that there can be"),
        ({"url": 7}, "url: no address of a stream"),
    ],
)
def test_a_camera_that_is_named_wrongly_is_told_how(keys: dict[str, Any], said: str) -> None:
    (problem,) = problems([keys])
    assert problem.startswith("  lane.0.readers.0")
    assert said in problem
    assert "secret" not in problem


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"width": 64}, "width: "),
        ({"fps": 0}, "fps: "),
        ({"exposure_ms": 0}, "exposure_ms: "),
        ({"exposure_ms": float("nan")}, "exposure_ms: "),
        ({"rotate": 45}, "rotate: input should be 0, 90, 180 or 270 (found 45)"),
        ({"codes": "some"}, "codes: input should be 'nearest' or 'all'"),
        ({"keep_refused_h": 721}, "keep_refused_h: "),
        (
            {"symbologies": []},
            "symbologies: none is named, so nothing would be read; name some, or leave symbologies out",
        ),
        ({"symbologies": ["qr", "aztec", "qr"]}, "symbologies: qr is there twice; name each once"),
        ({"symbologies": ["ean"]}, "symbologies.0: input should be 'qr', 'micro_qr', 'aztec', 'pdf417'"),
        ({"symbologies": "qr"}, "symbologies: write it as a list, with its parts in [ ]"),
        ({"region": [0, 0, 1]}, "region.3: missing; add it"),
        ({"region": [0.5, 0, 0.6, 1]}, "region: not inside the picture; write it as [left, top, width, height]"),
        ({"region": [-0.1, 0, 1, 1]}, "region: not inside the picture"),
        ({"region": [0, 0, 0.01, 1]}, "region: not inside the picture"),
        ({"region": [0, 0, float("nan"), 1]}, "region: not inside the picture"),
        ({"region": [float("nan"), 0, 1, 1]}, "region: not inside the picture"),
        ({"baud": 9600}, "baud: no such key; known: direction, device"),
        ({"exposure": 9}, "exposure: no such key; did you mean exposure_ms?"),
    ],
)
def test_a_wrong_option_is_named_by_its_key(keys: dict[str, Any], said: str) -> None:
    (problem,) = problems([{"device": "/dev/video0", **keys}])
    assert problem.startswith(f"  lane.0.readers.0.{said}")


def test_a_region_that_fills_the_picture_but_for_rounding_is_right() -> None:
    assert camera(device="/dev/video0", region=[0.7, 0.1, 0.3, 0.9]).region == (0.7, 0.1, 0.3, 0.9)


def test_options_that_mean_nothing_for_the_way_it_is_named_are_all_told() -> None:
    size = {"width": 1280, "height": 720, "fps": 30, "exposure_ms": 4}
    assert problems([{"url": "rtsp://a/", **size}]) == [
        f"  lane.0.readers.0.{key}: of no account with a url; leave it out" for key in size
    ]
    shape = {"region": [0, 0, 1, 1], "rotate": 0, "mirror": False}
    assert problems([{"folder": "/x", **shape}]) == [
        f"  lane.0.readers.0.{key}: of no account with a folder; leave it out" for key in shape
    ]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ({"device": "/dev/video0"}, {"device": "/dev/video0", "fps": 10}, "camera reader device /dev/video0"),
        ({"usb": "046d:085e"}, {"usb": "046d:085e"}, "camera reader usb 046d:085e"),
        ({"url": "rtsp://u:secret@a/1"}, {"url": "rtsp://u:secret@a/1", "rotate": 90}, "camera rtsp://a/1"),
        ({"folder": "/x"}, {"folder": "/x"}, "camera /x"),
    ],
)
def test_two_lanes_cannot_take_one_camera(one: dict[str, Any], other: dict[str, Any], shared: str) -> None:
    said = [f"  lane: {shared}: there twice, and a box has one of it; name another"]
    assert problems([one], [other]) == problems([one, other]) == said


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"device": "/dev/video0"}, {"device": "/dev/video2"}),
        ({"usb": "046d:085e", "port": "1-1"}, {"usb": "046d:085e", "port": "1-2"}),
        ({"url": "rtsp://a/live?channel=1"}, {"url": "rtsp://a/live?channel=2"}),
    ],
)
def test_two_cameras_serve_two_lanes(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(settings([one], [other]).lane) == len(settings([one, other]).lane[0].readers) == 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:secret@10.0.0.20:554/a/b", "rtsp://10.0.0.20:554/a/b"),
        ("rtsps://u:se%40cret@[fd00::20]/a", "rtsps://[fd00::20]/a"),
        ("http://a/video.cgi?user=u&pwd=secret", "http://a/video.cgi"),
        ("http://a?pwd=secret", "http://a"),
        ("rtsp://a/user=admin&password=secret&channel=1/s.sdp", "rtsp://a/…/s.sdp"),
        ("rtsp://a/user=admin_password=secret_channel=1.sdp", "rtsp://a/…"),
        ("rtsp://a:554/0/admin:secret/main", "rtsp://a:554/0/…/main"),
        ("rtsp://u:12/secret@10.0.0.20/a", "rtsp://u:12/…/a"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    reader = camera(url=url)
    assert (shown_url(url), reader.shown, reader.uses("a")[0].name) == (shown, shown, f"camera {shown}")
    assert "secret" not in f"{reader!r} {reader.uses('a')!r}"


def test_the_environment_may_name_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = {"driver": "camera", "url": "rtsp://a/", "symbologies": ["qr"], "region": [0, 0, 1, 0.5]}
    monkeypatch.setenv("BRAMA_LANE", json.dumps([{"id": "b", "readers": [reader]}]))
    (lane,) = check_settings({"device": {"name": "x"}}, "-").lane
    assert lane.readers == (CameraReader.model_validate(reader),)


def test_the_ready_file_means_a_camera() -> None:
    (reader,) = load_settings(READY).lane[0].readers
    assert isinstance(reader, CameraReader)
    assert (reader.usb, reader.symbologies, reader.on_page) == ("046d:085e", ("qr", "aztec"), True)


def test_what_the_ready_file_leaves_to_be_uncommented_is_right(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    keys = ("region", "rotate", "exposure_ms", "keep_refused_h")
    lines = READY.read_text().splitlines()
    path.write_text("\n".join(line[2:] if line[2:].startswith(keys) else line for line in lines))
    (reader,) = load_settings(path).lane[0].readers
    assert isinstance(reader, CameraReader)
    assert reader.model_fields_set >= set(keys)
