"""Image files, good and bad: codes, or what is wrong and what mends it."""

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.camera.frames import Luma
from drivers.camera.messages import StillDone
from drivers.camera.stills import MOST_BYTES, decode_still, read_file
from drivers.camera.symbologies import SYMBOLOGIES
from tests.drivers.camera.symbols import TEXTS, drawn, middle_of, near, noisy, scene, turned

QR = drawn("qr", "T-42", 6)


def a_picture() -> Luma:
    return scene((QR, 700, 300), size=(1200, 900))


def saved(path: Path, image: object, *options: int) -> str:
    assert cv2.imwrite(str(path), np.asarray(image), options)
    return str(path)


def read(path: str | Path) -> StillDone:
    return read_file(str(path), SYMBOLOGIES)


def texts(done: StillDone) -> list[str]:
    return [code.text for code in done.codes]


@pytest.mark.parametrize(("kind", "text"), TEXTS.items())
@pytest.mark.parametrize("degrees", [0, 25, 130])
def test_every_symbology_is_read_at_any_angle(kind: str, text: str, degrees: int) -> None:
    code = drawn(kind, text[:12] if kind == "ean_upc" else text, 3)
    luma = noisy(turned(scene((code, 640 - code.shape[1] // 2, 360 - code.shape[0] // 2)), degrees), 4)
    assert [each.text for each in decode_still(luma, SYMBOLOGIES)] == [text]


def test_all_codes_come_nearest_to_the_middle_first_or_only_that_one() -> None:
    luma = scene((drawn("qr", "corner", 4), 20, 20), (drawn("code128", "MIDDLE-1", 2), 500, 320))
    assert [each.text for each in decode_still(luma, SYMBOLOGIES)] == ["MIDDLE-1", "corner"]
    assert [each.text for each in decode_still(luma, SYMBOLOGIES, all_codes=False)] == ["MIDDLE-1"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tif", "misnamed.txt.png"])
def test_each_form_of_file_is_read(tmp_path: Path, name: str) -> None:
    done = read(saved(tmp_path / name, a_picture()))
    assert (texts(done), done.width, done.height, done.error) == (["T-42"], 1200, 900, None)
    assert done.took_ms > 0


def test_sixteen_bits_are_read_even_where_they_are_dark(tmp_path: Path) -> None:
    deep = a_picture().astype(np.uint16)
    assert texts(read(saved(tmp_path / "full.png", deep * 257))) == ["T-42"]
    assert texts(read(saved(tmp_path / "dark.png", deep * 8 + 1000))) == ["T-42"]
    assert texts(read(saved(tmp_path / "deep.tif", deep.astype(np.float32) / 255))) == ["T-42"]


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_is_transparent_is_white(tmp_path: Path, name: str, depth: type[np.uint8]) -> None:
    if name == "a.webp" and depth is not np.uint8:
        pytest.skip("WebP has 8 bits")
    full = np.iinfo(depth).max
    image = np.zeros((*QR.shape, 4), depth)
    image[:, :, 3] = np.where(QR < 128, full, 0)
    assert texts(read(saved(tmp_path / name, image, cv2.IMWRITE_WEBP_QUALITY, 101))) == ["T-42"]


def test_a_picture_on_its_side_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    jpeg = Path(saved(tmp_path / "plain.jpg", a_picture())).read_bytes()
    # TIFF header, one entry: orientation (274), SHORT, 1, "turn clockwise by 90 degrees".
    exif = b"Exif\0\0" + struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 274, 3, 1, 6, 0, 0)
    (tmp_path / "side.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    done = read(tmp_path / "side.jpg")
    assert (texts(done), done.width, done.height) == (["T-42"], 900, 1200)
    x, y = middle_of(read(tmp_path / "plain.jpg").codes[0].outline)
    assert near(middle_of(done.codes[0].outline), (1 - y, x))


@pytest.mark.parametrize("kind", ["qr", "code128", "data_matrix"])
def test_a_code_that_was_cut_close_and_one_of_a_pixel_a_module(tmp_path: Path, kind: str) -> None:
    code = drawn(kind, "CLOSE-123", 1)
    dark = np.argwhere(code < 128)
    (top, left), (bottom, right) = dark.min(axis=0), dark.max(axis=0)
    close = np.ascontiguousarray(code[top : bottom + 1, left : right + 1])
    for factor in (1, 2, 6):
        larger = np.repeat(np.repeat(close, factor, axis=0), factor, axis=1)
        assert texts(read(saved(tmp_path / f"{factor}.png", larger))) == ["CLOSE-123"], factor


def test_a_picture_20000_pixels_wide_is_read(tmp_path: Path) -> None:
    wide = scene((QR, 9000, 40), size=(20_000, 400))
    for name in ("wide.png", "wide.jpg"):
        done = read(saved(tmp_path / name, wide))
        assert (texts(done), done.width, done.error) == (["T-42"], 20_000, None)


def test_20000_by_20000_pixels_are_refused_unless_it_is_a_jpeg_which_is_unpacked_smaller(tmp_path: Path) -> None:
    png = Path(saved(tmp_path / "small.png", a_picture())).read_bytes()
    (tmp_path / "huge.png").write_bytes(png[:16] + struct.pack(">II", 20_000, 20_000) + png[24:])
    done = read(tmp_path / "huge.png")
    assert done.codes == ()
    assert done.error == "20,000 by 20,000 pixels is too large: save it smaller, 50 megapixels at most"
    vast = scene((np.repeat(np.repeat(QR, 8, axis=0), 8, axis=1), 3000, 2000), size=(12_000, 10_000))
    done = read(saved(tmp_path / "vast.jpg", vast))
    assert (texts(done), done.width, done.height) == (["T-42"], 12_000, 10_000)


def test_too_many_bytes(tmp_path: Path) -> None:
    with (tmp_path / "long.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(MOST_BYTES + 1)
    assert "save it smaller" in str(read(tmp_path / "long.png").error)


def test_of_a_jpeg_that_is_cut_short_what_there_is_is_read_and_that_is_said(tmp_path: Path) -> None:
    jpeg = Path(saved(tmp_path / "whole.jpg", a_picture())).read_bytes()
    (tmp_path / "most.jpg").write_bytes(jpeg[: len(jpeg) * 8 // 10])
    (tmp_path / "little.jpg").write_bytes(jpeg[: len(jpeg) * 2 // 10])
    most, little = read(tmp_path / "most.jpg"), read(tmp_path / "little.jpg")
    assert (texts(most), texts(little)) == (["T-42"], [])
    assert most.error == little.error == "the file is cut short, so a part of the picture is missing: copy it again"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"no picture at all", "not a picture"),
        (b"\xff\xd8\xff\xe0", "without a size in its header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "without a size in its header"),
    ],
)
def test_what_is_no_picture_says_what_to_do(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    done = read(tmp_path / "bad.png")
    assert done.codes == ()
    assert says in str(done.error)


def test_a_damaged_png_is_said_to_be_damaged(tmp_path: Path) -> None:
    png = bytearray(Path(saved(tmp_path / "a.png", noisy(a_picture(), 9))).read_bytes())
    png[len(png) // 2 : len(png) // 2 + 4000] = bytes(4000)
    (tmp_path / "a.png").write_bytes(png)
    assert "damaged" in str(read(tmp_path / "a.png").error)


def test_one_pixel_is_too_small(tmp_path: Path) -> None:
    done = read(saved(tmp_path / "dot.png", np.zeros((1, 1), np.uint8)))
    assert (done.codes, done.width, done.height) == ((), 1, 1)
    assert done.error == "1 by 1 pixels is too small to hold a code"


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read(tmp_path / "nothing.png").error == "no such file: check its name"
    assert read(tmp_path).error == "a folder: name the pictures in it"
    assert read(tmp_path / "pipe").error == "not a file: name a picture"
    assert read("/dev/zero").error == "not a file: name a picture"
    assert "it cannot be read" in str(read("a\0b").error)


def test_a_file_without_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    path = Path(saved(tmp_path / "mine.png", a_picture()))
    path.chmod(0)
    assert "chmod a+r" in str(read(path).error)


def test_nothing_is_printed_about_bad_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    jpeg = Path(saved(tmp_path / "a.jpg", a_picture())).read_bytes()
    for number, content in enumerate((jpeg[:-50], jpeg[:-50] + bytes(50), jpeg[:300] + bytes(300))):
        (tmp_path / f"{number}.jpg").write_bytes(content)
        read(tmp_path / f"{number}.jpg")
    assert capfd.readouterr() == ("", "")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([".png", ".jpg", ".webp", ".bmp", ".tif"]), data=st.data())
def test_a_file_with_bytes_changed_harms_nothing(tmp_path: Path, name: str, data: st.DataObject) -> None:
    image = scene((drawn("qr", "T-42", 2), 8, 8), size=(96, 80))
    content = bytearray(Path(saved(tmp_path / f"a{name}", image)).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        # Its first bytes stay, so that it is taken for what it was.
        at = data.draw(st.integers(40, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    (tmp_path / f"b{name}").write_bytes(content[:end])
    done = read(tmp_path / f"b{name}")
    assert set(texts(done)) <= {"T-42"}
