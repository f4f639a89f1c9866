"""What an image file is, by its first bytes."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera.picture_files import Unreadable, form_of, is_cut_short, size_of, with_end

EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}


def packed(form: str, width: int = 70, height: int = 40, *options: int) -> bytes:
    luma = np.random.default_rng(1).integers(0, 256, (height, width), dtype=np.uint8)
    return bytes(cv2.imencode(EXTENSIONS[form], luma, options)[1])


@pytest.mark.parametrize("form", EXTENSIONS)
def test_form_and_size_are_told(form: str) -> None:
    data = packed(form)
    assert form_of(data) == form
    assert size_of(data, form) == (70, 40)


@pytest.mark.parametrize("quality", [50, 101])
def test_both_kinds_of_webp(quality: int) -> None:
    assert size_of(packed("WebP", 70, 40, cv2.IMWRITE_WEBP_QUALITY, quality), "WebP") == (70, 40)


def test_headers_that_no_encoder_here_writes() -> None:
    assert size_of(b"GIF89a" + struct.pack("<HH", 70, 40), "GIF") == (70, 40)
    assert size_of(b"BM" + bytes(12) + struct.pack("<IHH", 12, 70, 40), "BMP") == (70, 40)
    assert size_of(b"BM" + bytes(12) + struct.pack("<Iii", 40, 70, -40), "BMP") == (70, 40)
    extended = b"RIFF0000WEBPVP8X" + bytes(8) + (69).to_bytes(3, "little") + (39).to_bytes(3, "little")
    assert size_of(extended, "WebP") == (70, 40)
    big_endian = b"MM\0*" + struct.pack(">IHHHIHHHHIHH", 8, 2, 256, 3, 1, 70, 0, 257, 3, 1, 40, 0)
    assert size_of(big_endian, "TIFF") == (70, 40)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, world", "not a picture: save it as PNG or JPEG"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"RIFF\0\0\0\0AVI LIST", "not a picture"),
    ],
)
def test_what_is_not_read_is_named_with_its_mend(data: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        form_of(data)


@pytest.mark.parametrize("form", EXTENSIONS)
def test_a_header_that_is_cut_off_or_says_nothing(form: str) -> None:
    for data in (packed(form)[:11], packed(form)[:12] + bytes(60)):
        with pytest.raises(Unreadable, match="copy it again"):
            size_of(data, form)


def test_what_is_cut_short_is_seen() -> None:
    for form in ("PNG", "JPEG"):
        data = packed(form, 300, 200)
        assert not is_cut_short(data, form)
        assert is_cut_short(data[: len(data) * 3 // 4], form)
        assert is_cut_short(data[:200], form)
    assert not is_cut_short(packed("JPEG") + b"a phone's own trailer", "JPEG")
    assert not is_cut_short(packed("BMP")[:100], "BMP")


def test_what_there_is_of_a_jpeg_can_be_unpacked() -> None:
    whole = packed("JPEG", 300, 200)
    part = cv2.imdecode(np.frombuffer(with_end(whole[: len(whole) // 2]), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert part is not None
    assert part.shape == (200, 300)
    assert part[:60].std() > 30
    assert part[-60:].std() < 1


@given(st.sampled_from(sorted(EXTENSIONS)), st.binary(max_size=80), st.integers(0, 40))
def test_rubbish_after_a_good_beginning_is_unreadable_or_has_a_size(form: str, rubbish: bytes, kept: int) -> None:
    data = packed(form)[: 12 + kept] + rubbish
    try:
        width, height = size_of(data, form)
    except Unreadable:
        return
    assert min(width, height) >= 1
    is_cut_short(data, form)
