"""What each step of decoding reads that the one before does not."""

import pytest

from drivers.camera.decoder import Found, Placing
from drivers.camera.ladder import COSTLIER, FIRST, THOROUGH, Step, View, narrowed, view_of
from drivers.camera.messages import Sighting
from drivers.camera.symbologies import SYMBOLOGIES
from tests.drivers.camera.symbols import TEXTS, blurred, drawn, middle_of, near, noisy, scene, turned

STEPS = {step.name: step for step in COSTLIER}


def texts(step: Step, view: View) -> list[str]:
    return [each.sighting.text for each in step.look(view)]


@pytest.mark.parametrize("kind", ["qr", "micro_qr", "aztec", "data_matrix", "ean_upc"])
def test_the_first_step_reads_what_is_held_well(kind: str) -> None:
    text = TEXTS[kind]
    code = drawn(kind, text[:12] if kind == "ean_upc" else text, 6)
    assert texts(FIRST, view_of(scene((code, 400, 200)), SYMBOLOGIES)) == [text]


def test_the_first_step_reads_light_on_dark() -> None:
    code = 255 - drawn("qr", "inverted", 6)
    assert texts(FIRST, view_of(scene((code, 400, 200), grey=20), SYMBOLOGIES)) == ["inverted"]


def test_a_small_code_is_read_at_its_own_size() -> None:
    view = view_of(blurred(scene((drawn("qr", "small", 2), 700, 300)), 0.7), SYMBOLOGIES)
    assert texts(STEPS["native"], view) == ["small"]


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 160])
def test_bars_are_read_at_any_angle(degrees: int) -> None:
    luma = noisy(turned(scene((drawn("code128", "TKT7Q4M2291", 2), 450, 300)), degrees), 5)
    found = STEPS["bars"].look(view_of(luma, SYMBOLOGIES))
    assert [each.sighting.text for each in found] == ["TKT7Q4M2291"]
    assert found[0].careful
    assert found[0].whole


def test_light_bars_on_a_dark_screen_are_read() -> None:
    view = view_of(scene((255 - drawn("code128", "TKT7Q4M2291", 2), 450, 300), grey=10), SYMBOLOGIES)
    assert texts(STEPS["native"], view) == []
    assert texts(STEPS["bars"], view) == ["TKT7Q4M2291"]


def test_bars_are_read_out_of_noise_in_which_nothing_else_reads_them() -> None:
    dim = (scene((drawn("code128", "TKT7Q4M2291", 2), 450, 300)) // 6).astype("uint8")
    view = view_of(noisy(dim, 9), SYMBOLOGIES)
    assert "TKT7Q4M2291" not in texts(STEPS["native"], view)
    assert texts(STEPS["bars"], view) == ["TKT7Q4M2291"]


@pytest.mark.parametrize("degrees", [0, 15, 40, 75])
def test_pdf417_is_read_at_any_angle(degrees: int) -> None:
    luma = turned(scene((drawn("pdf417", "TKT-7Q4M-2291", 3), 480, 260)), degrees)
    assert "TKT-7Q4M-2291" in texts(STEPS["close"], view_of(luma, ("pdf417",)))


@pytest.mark.parametrize("step", THOROUGH, ids=lambda step: step.name)
def test_every_step_tells_where_the_code_stands(step: Step) -> None:
    kind = "code128" if step.name in {"bars", "broad"} else "qr"
    code = drawn(kind, "WHERE-12345", 3)
    # In the right half of a picture that is twice as wide as what is looked at.
    view = View(scene((code, 500, 300)), (kind,), Placing((0.5, 0.0), (1 / 2560, 0.0), (0.0, 1 / 720)))
    found = step.look(view)
    assert [each.sighting.text for each in found] == ["WHERE-12345"]
    middle = (0.5 + (500 + code.shape[1] / 2) / 2560, (300 + code.shape[0] / 2) / 720)
    assert near(middle_of(found[0].sighting.outline), middle, 0.03)
    assert found[0].sighting.step == step.name


def test_half_an_itf_is_known_to_be_a_part() -> None:
    code = drawn("itf", "00123456789012", 3)
    luma = scene((code, 300, 300))
    whole = STEPS["native"].look(view_of(luma, ("itf",)))
    assert [each.whole for each in whole] == [True]
    # As glare takes a part of it out for a decoder, though bars are still to be seen there.
    outline = tuple((x * 0.6 + 0.1, y) for x, y in whole[0].sighting.outline)
    part = Found(Sighting("123456", "]I0", "itf", outline, "native"), b"123456", None)
    assert view_of(luma, ("itf",)).measured(part).whole is False


def test_steps_look_only_for_what_they_are_asked_for() -> None:
    luma = scene((drawn("qr", "qr", 5), 100, 100), (drawn("code128", "BARS-1234", 2), 500, 400))
    for step in (FIRST, *COSTLIER, *THOROUGH):
        assert {each.sighting.kind for each in step.look(view_of(luma, ("qr",)))} <= {"qr"}
        assert {each.sighting.kind for each in step.look(view_of(luma, ("code128",)))} <= {"code128"}
        assert step.look(view_of(luma, ())) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (40, 40), (9, 700)])
def test_odd_sizes_are_looked_at_by_every_step(shape: tuple[int, int]) -> None:
    luma = noisy(scene(size=(shape[1], shape[0])), 60)
    assert all(step.look(view_of(luma, SYMBOLOGIES)) == [] for step in (FIRST, *COSTLIER, *THOROUGH))


def test_a_wide_picture_is_narrowed_and_a_narrow_one_left_alone() -> None:
    assert narrowed(scene(), 640).shape == (360, 640)
    luma = scene(size=(320, 240))
    assert narrowed(luma, 640) is luma
