"""What cameras send becomes luma, whatever form it comes in."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera.frames import GLIMPSE_PX, Frame, Luma
from drivers.camera.pixels import BadPicture, JpegFrame, RawFrame, jpeg_size, luma_view

WIDTH, HEIGHT = 64, 36
LUMA: Luma = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
OTHER = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)


def two(first: Luma, second: Luma) -> NDArray[np.uint8]:
    return np.stack([first, second], axis=2)


def followed(share: float) -> NDArray[np.uint8]:
    """Luma with chroma behind it, as OpenCV gives such a buffer: so many rows more."""
    return np.concatenate([LUMA, OTHER[: int(HEIGHT * share)]])


RAW = {
    "GREY": LUMA,
    "Y800": LUMA,
    "NV12": followed(0.5),
    "NV21": followed(0.5),
    "YU12": followed(0.5),
    "YV12": followed(0.5),
    "422P": followed(1.0),
    "YUYV": two(LUMA, OTHER),
    "YVYU": two(LUMA, OTHER).reshape(1, -1),
    "UYVY": two(OTHER, LUMA),
    "VYUY": two(OTHER, LUMA).reshape(1, -1),
    "BGR3": np.stack([OTHER, LUMA, OTHER], axis=2),
    "RGB3": np.stack([OTHER, LUMA, OTHER], axis=2),
    "Y16 ": (LUMA.astype(np.uint16) << 8 | OTHER).view(np.uint8),
}


def is_luma(made: Luma) -> bool:
    return bool(made.dtype == np.uint8 and made.flags.c_contiguous and made.ndim == 2)


@pytest.mark.parametrize("fourcc", sorted(RAW))
def test_the_luma_of_each_raw_form_is_taken(fourcc: str) -> None:
    frame: Frame = RawFrame(RAW[fourcc].copy(), fourcc, WIDTH, HEIGHT, 1.5)
    assert frame.at_s == 1.5
    np.testing.assert_array_equal(frame.luma(), LUMA)
    assert is_luma(frame.luma())
    assert frame.luma().flags.owndata, "a decoder that reads from a borrowed buffer crashes"
    assert frame.luma() is frame.luma()


@pytest.mark.parametrize("fourcc", sorted(RAW))
def test_a_buffer_that_is_too_short_is_a_bad_picture(fourcc: str) -> None:
    flat = RAW[fourcc].reshape(-1)
    with pytest.raises(BadPicture, match=r"bytes for 64x36"):
        luma_view(flat[: WIDTH * HEIGHT - 1], fourcc, WIDTH, HEIGHT)
    with pytest.raises(BadPicture):
        luma_view(flat, fourcc, 0, HEIGHT)


def test_a_form_that_is_not_known_is_a_bad_picture() -> None:
    with pytest.raises(BadPicture, match="H264"):
        RawFrame(LUMA, "H264", WIDTH, HEIGHT, 0.0)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (720, 1280), (640, 480), (160, 90), (3, 2)])
def test_a_glimpse_is_small_and_like_the_picture(width: int, height: int) -> None:
    rows, columns = np.mgrid[0:height, 0:width]
    luma = ((rows * 120 // height) + (columns * 120 // width)).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", luma)
    frames: list[Frame] = [
        RawFrame(two(luma, luma), "YUYV", width, height, 0.0),
        JpegFrame(np.asarray(packed, dtype=np.uint8), 0.0),
    ]
    for frame in frames:
        glimpse = frame.glimpse()
        assert is_luma(glimpse)
        assert max(glimpse.shape) <= GLIMPSE_PX
        assert min(width, 80) <= glimpse.shape[1] or height > width
        assert abs(glimpse.shape[0] * width - glimpse.shape[1] * height) <= max(width, height) * 2
        assert abs(float(glimpse.mean()) - float(luma.mean())) < 5
        assert frame.luma().shape == (height, width)


def a_jpeg(luma: Luma = LUMA) -> bytes:
    return cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()


def test_a_jpeg_is_unpacked_when_it_is_looked_at() -> None:
    data = np.frombuffer(a_jpeg(), np.uint8)
    frame = JpegFrame(data.reshape(1, -1), 2.5)
    assert (frame.at_s, frame.width, frame.height, frame.packed_bytes) == (2.5, WIDTH, HEIGHT, len(data))
    assert np.abs(frame.luma().astype(int) - LUMA).max() < 12
    assert is_luma(frame.luma())
    assert frame.luma() is frame.luma()


def test_a_jpeg_of_a_camera_that_leaves_its_tables_out_is_unpacked() -> None:
    """Motion JPEG takes the usual Huffman tables for granted."""
    data = cv2.imencode(".jpg", LUMA, [cv2.IMWRITE_JPEG_OPTIMIZE, 0])[1].tobytes()
    at, bare = 2, data[:2]
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        bare += data[at : at + length] if data[at + 1] != 0xC4 else b""
        at += length
    bare += data[at:]
    assert len(bare) < len(data)
    np.testing.assert_array_equal(
        JpegFrame(np.frombuffer(bare, np.uint8), 0.0).luma(), JpegFrame(np.frombuffer(data, np.uint8), 0.0).luma()
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"\xff\xd8\xff\xe0\xff\xff",
        b"\xff\xd8\xff\xe0\x00\x00" * 9,
    ],
)
def test_what_has_no_frame_header_is_a_bad_picture(data: bytes) -> None:
    with pytest.raises(BadPicture):
        JpegFrame(np.frombuffer(data, np.uint8), 0.0)


def test_each_beginning_of_a_jpeg_is_a_bad_picture_or_a_picture() -> None:
    whole = a_jpeg()
    for length in range(len(whole)):
        try:
            frame = JpegFrame(np.frombuffer(whole[:length], np.uint8), 0.0)
            assert frame.luma().shape == (HEIGHT, WIDTH)
            assert frame.glimpse().shape == (HEIGHT, WIDTH)
        except BadPicture:
            continue


def test_a_jpeg_that_would_fill_the_memory_is_not_unpacked() -> None:
    huge = a_jpeg().replace(b"\x08" + bytes((0, HEIGHT, 0, WIDTH)), b"\x08\xff\xff\xff\xff")
    assert jpeg_size(huge) == (65535, 65535)
    with pytest.raises(BadPicture, match="65535x65535 pixels"):
        JpegFrame(np.frombuffer(huge, np.uint8), 0.0)


def test_the_size_is_found_behind_a_thumbnail_and_filling_bytes() -> None:
    whole = a_jpeg()
    thumbnail = b"\xff\xe1" + (2 + 200).to_bytes(2, "big") + a_jpeg()[:200]
    assert jpeg_size(whole[:2] + thumbnail + b"\xff\xff" + whole[2:]) == (WIDTH, HEIGHT)
