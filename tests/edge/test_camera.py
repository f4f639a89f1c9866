"""`brama camera`: which camera is meant, what the settings call it, and what its pictures hold."""

import asyncio
import json
import os
import re
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from config.hardware import DEFAULT_SYMBOLOGIES, SYMBOLOGIES, CameraReader
from config.settings import BadSettings, Settings, check_settings
from drivers.protocols import DeviceLost
from edge import camera
from edge.camera import Asked, chosen_camera, settings_entry
from edge.camera_files import chosen_symbologies
from edge.devices import list_devices
from tests.drivers.cameras import NOTHING, a_jpeg, a_scene
from tests.system.processes import BRAMA, HANG_S, ROOT, brama, environment

URL = "http://10.0.0.20/video"


def settings_with(*readers: dict[str, object]) -> Settings:
    return check_settings({"device": {"name": "x"}, "lane": [{"id": "a", "readers": list(readers)}]}, "-")


# --- which camera ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (Asked(device="/dev/video7"), {"device": "/dev/video7"}),
        (Asked(url=URL), {"url": URL}),
        (Asked(device="/dev/video7", rotate=90, mirror=True), {"device": "/dev/video7", "rotate": 90, "mirror": True}),
        (Asked(url=URL, region="0.25,0,0.5,1"), {"url": URL, "region": (0.25, 0, 0.5, 1)}),
        (Asked(url=URL, symbologies="qr, aztec"), {"url": URL, "symbologies": ("qr", "aztec")}),
        (Asked(url=URL, symbologies="all"), {"url": URL, "symbologies": SYMBOLOGIES}),
        (Asked(), {"url": URL, "on_page": True, "rotate": 180}),
        (Asked(rotate=0, symbologies="qr"), {"url": URL, "on_page": True, "rotate": 0, "symbologies": ("qr",)}),
    ],
)
def test_camera_that_is_meant_is_the_one_named_or_the_first_in_the_settings(
    asked: Asked, meant: dict[str, object]
) -> None:
    settings = settings_with(
        {"driver": "serial", "device": "/dev/ttyACM0"},
        {"driver": "camera", "url": URL, "on_page": True, "rotate": 180},
        {"driver": "camera", "device": "/dev/video0"},
    )
    assert chosen_camera(asked, settings) == CameraReader.model_validate({"driver": "camera", **meant})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(device="/dev/video0", url=URL), "--device, --url: each names a camera; give one of them"),
        (Asked(device="camera\x1b"), "--device: camera<ESC>: give a camera's number in brama devices, or a path"),
        (Asked(device="100000"), "--device: 100000: give a camera's number in brama devices, or a path"),
        (Asked(url="file:///etc/passwd"), "--url: no address of a stream"),
        (Asked(url=URL, rotate=45), "--rotate: input should be 0, 90, 180 or 270"),
        (Asked(url=URL, region="0,0,1"), "--region: write it as left,top,width,height, such as 0.25,0.25,0.5,0.5"),
        (Asked(url=URL, region="0,0,1,2"), "--region: not inside the picture"),
        (Asked(url=URL, region="a,b,c,d"), "--region: input should be a valid number"),
        (Asked(url=URL, symbologies="qr,qrr"), "--symbologies: qrr: not known; use all, or some of qr,micro_qr,aztec"),
        (Asked(url=URL, symbologies=" ,"), "--symbologies: none is named; use all, or some of qr"),
    ],
)
def test_what_cannot_be_meant_is_named_by_its_option(asked: Asked, said: str) -> None:
    with pytest.raises(BadSettings) as caught:
        chosen_camera(asked, None)
    assert str(caught.value).startswith(said)


def test_first_camera_connected_is_meant_where_nothing_names_one() -> None:
    connected = [each for each in list_devices() if each.driver == "camera"]
    settings = settings_with({"driver": "serial", "device": "/dev/ttyACM0"})
    if connected:
        assert settings_entry(chosen_camera(Asked(), settings)) == connected[0].reader
        assert settings_entry(chosen_camera(Asked(device=str(connected[0].number)), None)) == connected[0].reader
        return
    with pytest.raises(BadSettings, match=r"^no camera: the settings name none, and none is connected; plug one in"):
        chosen_camera(Asked(), settings)
    with pytest.raises(BadSettings, match=r"^no camera: none is connected; plug one in, or name one with --device"):
        chosen_camera(Asked(), None)


@pytest.mark.parametrize(
    "keys",
    [
        {"device": "/dev/video0"},
        {"usb": "046d:0825", "serial": 'A"\\1', "port": "1-1.2", "rotate": 270, "mirror": True},
        {"url": URL, "region": (0.1, 0.2, 0.5, 0.25), "symbologies": ("qr", "code39"), "codes": "all"},
    ],
)
def test_entry_means_what_was_tried(keys: dict[str, object]) -> None:
    reader = CameraReader.model_validate({"driver": "camera", **keys})
    entry = settings_entry(reader)
    assert entry.startswith('{ driver = "camera", ')
    assert settings_with(*tomllib.loads(f"readers = [{entry}]")["readers"]).lane[0].readers[0] == reader


def test_entry_keeps_a_password_to_itself() -> None:
    reader = CameraReader(driver="camera", url="rtsp://gate:s3cret@10.0.0.20/live?key=s3cret")
    assert settings_entry(reader) == '{ driver = "camera", url = "rtsp://10.0.0.20/live" }'


def test_symbologies_are_those_of_a_camera_unless_named() -> None:
    assert chosen_symbologies(None) == DEFAULT_SYMBOLOGIES
    assert chosen_symbologies("qr,qr,itf") == ("qr", "itf")


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        (None, "http://127.0.0.1:8080/camera"),
        ({"host": "0.0.0.0", "port": 8081}, "http://127.0.0.1:8081/camera"),  # noqa: S104
        ({"host": "::1", "port": 80}, "http://[::1]:80/camera"),
        ({"host": "gate.lan", "port": 8080}, "http://gate.lan:8080/camera"),
    ],
)
def test_camera_that_the_gate_has_is_said_to_be_on_its_page(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object] | None, page: str
) -> None:
    async def taken(*_arguments: object) -> None:
        raise DeviceLost("/dev/video0: in use by another program; fuser /dev/video0 names it")

    monkeypatch.setattr(camera, "show_camera", taken)  # no test here has a camera to take twice
    tables = {"device": {"name": "x"}, "lane": [{"id": "a"}], "web": settings}
    given = check_settings(tables, "-") if settings else None
    with pytest.raises(DeviceLost) as caught:
        camera.look(Asked(device="/dev/video0"), given, None)
    assert str(caught.value).startswith("/dev/video0: in use by another program; ")
    assert str(caught.value).endswith(f"the gate may have it: its own page shows what it sees, {page}")


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder as an auditor might have it."""
    folder = tmp_path / "pictures"
    (folder / "evening").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(a_jpeg(a_scene("T-1\x1d2")))
    (folder / "b.png").write_bytes(_png(a_scene("Привіт", "Aztec")))
    (folder / "c.jpg").write_bytes(a_jpeg(NOTHING))
    (folder / "d.jpg").write_bytes(a_jpeg(NOTHING)[:200])
    (folder / "evening" / "e.jpg").write_bytes(a_jpeg(a_scene("4006381333931", "EAN13", 3)))
    (folder / "notes.txt").write_text("not a picture")
    return folder


def _png(luma: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    done, data = cv2.imencode(".png", luma)
    assert done
    return data.tobytes()


async def test_each_picture_of_a_folder_has_its_line(pictures: Path) -> None:
    code, out, err = await brama(pictures, "camera", str(pictures))
    first, second, third, fourth, fifth = out.splitlines()
    assert re.fullmatch(rf"{pictures}/a\.jpg  qr  \]Q1  [0-9.]+ ms  T-1<GS>2", first)
    assert re.fullmatch(rf"{pictures}/b\.png  aztec  \]z\d  [0-9.]+ ms  Привіт", second)
    assert re.fullmatch(rf"{pictures}/c\.jpg  no code  [0-9.]+ ms", third)
    assert re.fullmatch(rf"{pictures}/d\.jpg  \S.*", fourth)
    assert "no code" not in fourth
    assert re.fullmatch(rf"{pictures}/evening/e\.jpg  ean_upc  \]E0  [0-9.]+ ms  4006381333931", fifth)
    assert (code, err) == (1, "brama: pictures: 5, with a code: 3, not readable: 1\n")


async def test_pictures_that_all_hold_a_code_are_a_success(pictures: Path) -> None:
    code, out, err = await brama(pictures, "camera", str(pictures / "b.png"), str(pictures / "a.jpg"))
    assert [line.split()[1] for line in out.splitlines()] == ["aztec", "qr"]
    assert (code, err) == (0, "brama: pictures: 2, with a code: 2\n")


async def test_only_the_symbologies_asked_for_are_read(pictures: Path) -> None:
    code, out, _err = await brama(pictures, "camera", "--symbologies", "aztec", str(pictures / "a.jpg"))
    assert (code, "no code" in out) == (1, True)


async def test_pictures_are_told_to_programs_as_json(pictures: Path) -> None:
    code, out, _err = await brama(pictures, "camera", "--json", str(pictures), str(pictures / "none.png"))
    assert code == 1
    assert out.isascii()
    found = [json.loads(line) for line in out.splitlines()]
    assert [Path(each["path"]).name for each in found] == ["a.jpg", "b.png", "c.jpg", "d.jpg", "e.jpg", "none.png"]
    assert set(found[0]) == {"path", "width", "height", "took_ms", "codes", "error"}
    assert (found[0]["width"], found[0]["height"], found[0]["error"]) == (640, 360, None)
    (read,) = found[0]["codes"]
    assert (read["text"], read["kind"], read["symbology"]) == ("T-1\x1d2", "qr", "]Q1")
    assert len(read["outline"]) == 4
    assert all(0 <= part <= 1 for corner in read["outline"] for part in corner)
    assert found[1]["codes"][0]["text"] == "Привіт"
    assert (found[2]["codes"], found[2]["error"]) == ([], None)
    assert [bool(each["error"]) for each in found] == [False, False, False, True, False, True]


async def test_names_and_codes_are_one_line_each_whatever_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[2J\u202e.png"
    path.write_bytes(_png(a_scene("T-1\n\x1b[2J\u202e")))
    code, out, _err = await brama(tmp_path, "camera", str(path))
    (line,) = out.splitlines()
    assert code == 0
    assert line.isprintable()
    assert line.startswith(f"{tmp_path}/a<LF><ESC>[2J<U+202E>.png  qr  ")
    assert line.endswith("  T-1<LF><ESC>[2J<U+202E>")


async def test_hundreds_of_pictures_are_told_in_order(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}.png").write_bytes(_png(a_scene(f"T-{number}", scale=3, size=(160, 120))))
    code, out, err = await brama(tmp_path, "camera", str(tmp_path))
    assert [line.rpartition(" ")[2] for line in out.splitlines()] == [f"T-{number}" for number in range(300)]
    assert (code, err) == (0, "brama: pictures: 300, with a code: 300\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-",), "IMAGE: -: standard input is not read; name a file or a folder"),
        (("a.jpg", URL), "IMAGE: http://...: an address; show a stream with --url"),
        (("--symbologies", "qrr", "a.jpg"), "--symbologies: qrr: not known; use all, or some of"),
        (("--rotate", "90", "--port", "8090", "a.jpg"), "--rotate, --port: of no account with files; leave it out"),
        (("--json",), "--json: of no account with a live camera; name files or folders"),
        (("--device", "/dev/videoNONE"), "/dev/videoNONE: not connected; plug it in, or see brama devices for what is"),
        (("-c", "none.toml"), "none.toml: no such file; name one with -c, or copy one of config/*.toml there"),
    ],
)
async def test_what_cannot_be_shown_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    code, _out, err = await brama(tmp_path, "camera", *arguments)
    assert code == (78 if "-c" in arguments else 1)
    assert err.startswith(f"brama: {said}")
    assert len(err.splitlines()) == 1


async def test_whoever_has_read_enough_ends_the_decoding(pictures: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *BRAMA,
        *("camera", *[str(pictures / "a.jpg")] * 2000),
        cwd=ROOT,
        env=environment(pictures) | {"PYTHONUNBUFFERED": "1"},
        stdout=(write := os.pipe())[1],
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(write[1])
    assert os.read(write[0], 10)
    os.close(write[0])
    async with asyncio.timeout(2 * HANG_S):
        _out, err = await child.communicate()
    assert (child.returncode, err) == (1, b"")
