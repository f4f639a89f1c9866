"""zxing-cpp's reads as sightings: names, texts, corners; and arrays of any shape harm nothing."""

import numpy as np
import pytest
import segno
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drivers.camera.decoder import ALL, Effort, Found, Placing, decode, distinct, nearest_first, owned
from drivers.camera.frames import Luma
from drivers.camera.symbologies import SYMBOLOGIES
from tests.drivers.camera.symbols import TEXTS, drawn, drawn_as, middle_of, near, scene


def found_in(luma: Luma, *kinds: str, effort: Effort = ALL) -> list[Found]:
    height, width = luma.shape
    placing = Placing((0, 0), (1 / max(1, width), 0), (0, 1 / max(1, height)))
    return decode(luma, kinds or SYMBOLOGIES, effort, placing, "test")


def only(found: list[Found]) -> Found:
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(("kind", "text"), TEXTS.items())
def test_each_symbology_is_read_and_named(kind: str, text: str) -> None:
    sighting = only(found_in(drawn(kind, text[:12] if kind == "ean_upc" else text))).sighting
    assert (sighting.text, sighting.kind, sighting.step) == (text, kind, "test")
    assert sighting.certain == (kind not in {"code39", "ean_upc", "itf", "codabar"})


@pytest.mark.parametrize("kind", SYMBOLOGIES)
def test_one_that_is_not_asked_for_is_not_read(kind: str) -> None:
    others = [each for each in SYMBOLOGIES if each != kind]
    luma = drawn(kind, TEXTS[kind][:12] if kind == "ean_upc" else TEXTS[kind])
    assert not [each for each in found_in(luma, *others) if each.sighting.text == TEXTS[kind]]


@pytest.mark.parametrize(
    ("form", "text", "says", "identifier", "short"),
    [
        (zxingcpp.BarcodeFormat.EAN8, "1234567", "12345670", "]E4", False),
        (zxingcpp.BarcodeFormat.UPCA, "01234567890", "0012345678905", "]E0", False),
        (zxingcpp.BarcodeFormat.UPCE, "0123456", "0012345000065", "]E0", True),
        (zxingcpp.BarcodeFormat.ITF14, "00012345600012", "00012345600012", "]I1", False),
        (zxingcpp.BarcodeFormat.CompactPDF417, "compact", "compact", "]L2", False),
        (zxingcpp.BarcodeFormat.Code39Std, "A+B$C", "A+B$C", "]A0", False),
    ],
)
def test_variants_say_what_a_hand_held_scanner_says(
    form: zxingcpp.BarcodeFormat, text: str, says: str, identifier: str, short: bool
) -> None:
    found = only(found_in(drawn_as(form, text)))
    assert (found.sighting.text, found.sighting.symbology, found.short) == (says, identifier, short)


@pytest.mark.parametrize(("kind", "identifier"), [("code128", "]C1"), ("qr", "]Q3"), ("data_matrix", "]d2")])
def test_gs1_content_is_marked_and_keeps_its_separators(kind: str, identifier: str) -> None:
    sighting = only(found_in(drawn(kind, "[01]09501101530003[10]AB12[21]5", gs1=True))).sighting
    assert (sighting.text, sighting.symbology) == ("010950110153000310AB12\x1d215", identifier)


@pytest.mark.parametrize("text", ["Привет-12", "A-Привет", "点茗"])
def test_kanji_mode_is_understood(text: str) -> None:
    assert only(found_in(drawn("qr", text))).sighting.text == text


@pytest.mark.parametrize(
    ("kind", "identifier"), [("qr", "]Q2"), ("aztec", "]z3"), ("data_matrix", "]d4"), ("pdf417", "]L1")]
)
def test_a_declared_character_set_is_obeyed_and_told(kind: str, identifier: str) -> None:
    sighting = only(found_in(drawn(kind, "Їжак 5", eci=26))).sighting
    assert (sighting.text, sighting.symbology) == ("Їжак 5", identifier)


def test_the_latin1_of_a_plain_byte_mode_is_latin1() -> None:
    symbol = segno.make("Hélène", mode="byte", encoding="iso-8859-1", micro=False)
    rows = np.array([list(row) for row in symbol.matrix_iter(scale=4, border=4)], dtype=np.uint8)
    assert only(found_in(np.where(rows > 0, 0, 255).astype(np.uint8))).sighting.text == "Hélène"


def test_the_largest_qr_of_binary_comes_out_byte_for_byte() -> None:
    content = bytes(np.random.default_rng(5).integers(0, 256, 2953, dtype=np.uint8))
    symbol = segno.make(content.decode("latin-1"), mode="byte", encoding="iso-8859-1", error="l", boost_error=False)
    rows = np.array([list(row) for row in symbol.matrix_iter(scale=4, border=4)], dtype=np.uint8)
    found = only(found_in(np.where(rows > 0, 0, 255).astype(np.uint8), "qr"))
    assert found.content == content
    assert found.sighting.text == content.decode("latin-1")


def test_the_longest_qr_of_digits_comes_out_whole() -> None:
    text = "0123456789" * 708 + "987654321"
    assert only(found_in(drawn("qr", text, ecLevel="L"), "qr")).sighting.text == text


@pytest.mark.parametrize("kind", ["qr", "aztec", "data_matrix", "pdf417"])
def test_every_byte_value_survives(kind: str) -> None:
    assert only(found_in(drawn(kind, bytes(range(256))), kind)).sighting.text == "".join(map(chr, range(256)))


def test_corners_are_fractions_of_the_shown_picture() -> None:
    code = drawn("qr", "corner")
    luma = scene((code, 800, 400))
    whole = only(found_in(luma)).sighting.outline
    margin = 4 * 4
    assert near(whole[0], ((800 + margin) / 1280, (400 + margin) / 720))
    # The same out of its right lower quarter, enlarged three times.
    quarter = np.repeat(np.repeat(luma[360:, 640:], 3, axis=0), 3, axis=1)
    shown = Placing((0.5, 0.5), (1 / 1280, 0), (0, 1 / 720)).within(Placing((0, 0), (1 / 3, 0), (0, 1 / 3)))
    part = only(decode(quarter, ["qr"], ALL, shown, "")).sighting.outline
    assert all(near(one, other) for one, other in zip(whole, part, strict=True))


def test_the_nearest_goes_by_pixels_and_not_by_fractions() -> None:
    luma = scene((drawn("qr", "beside", 3), 800, 320), (drawn("qr", "below", 3), 600, 590))
    ordered = nearest_first(found_in(luma), (0.5, 0.5), 1280 / 720)
    assert [each.sighting.text for each in ordered] == ["beside", "below"]
    assert [each.sighting.text for each in nearest_first(ordered, (0.5, 1.0), 1280 / 720)] == ["below", "beside"]


def test_the_same_code_twice_counts_once() -> None:
    code = drawn("qr", "twin", 3)
    found = found_in(scene((code, 100, 100), (code, 800, 300)))
    assert len(found) == 2
    assert only(distinct(found)).sighting.text == "twin"


def test_zxing_is_never_handed_a_view() -> None:
    luma = scene((drawn("qr", "view"), 300, 300))
    for view in (luma[200:], luma[:, 200:], luma[::2, ::2], np.asfortranarray(luma)):
        mine = owned(view)
        assert mine.flags.owndata
        assert mine.flags.c_contiguous
        assert np.array_equal(mine, view)
    assert owned(luma) is luma


@pytest.mark.parametrize("shape", [(0, 0), (0, 9), (9, 0), (1, 1), (1, 4000), (4000, 1), (2, 3), (7, 20000)])
def test_odd_shapes_hold_no_code(shape: tuple[int, int]) -> None:
    for level in (0, 255):
        assert found_in(np.full(shape, level, np.uint8)) == []


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(0, 90), st.integers(0, 90))))
def test_no_array_raises(luma: Luma) -> None:
    found_in(luma)


def test_noise_reads_as_nothing() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (360, 640), dtype=np.uint8)
    assert found_in(noise) == []


def test_what_is_read_has_its_middle_where_it_stands() -> None:
    code = drawn("aztec", "middle")
    sighting = only(found_in(scene((code, 500, 100)))).sighting
    assert near(middle_of(sighting.outline), ((500 + code.shape[1] / 2) / 1280, (100 + code.shape[0] / 2) / 720))
