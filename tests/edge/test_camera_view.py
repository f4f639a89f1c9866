"""A camera's picture in a terminal: as large as there is room for, the codes' outlines where they are."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from drivers.camera.messages import Alive
from drivers.protocols import Outline, Picture
from edge.camera_view import LEVELS, CameraView, fitted, hint, sampled, traced

ALIVE = Alive(frames=300, dropped=2, still=100, fps=29.9, median_ms=2.4, brightness=120.0, sharpness=250.0)
SQUARE = Outline("T-1", "]Q1", ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)))


def a_picture(width: int, height: int, *outlines: Outline, data: bytes | None = None) -> Picture:
    shown = data if data is not None else bytes((width * height - 1) * [0]) + b"\xff"
    return Picture("luma", width, height, shown, outlines, took_ms=1.5, step="640")


def seen(view: CameraView, width: int, height: int, **options: object) -> list[str]:
    """Return what a terminal of this size shows, line by line."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=height, **options)  # type: ignore[arg-type]
    console.print(view)
    return file.getvalue().splitlines()


# --- the picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "room", "wanted"),
    [
        ((160, 90), (80, 32), (57, 32)),
        ((160, 90), (80, 90), (80, 44)),
        ((90, 160), (80, 32), (18, 32)),
        ((1, 1), (80, 32), (32, 32)),
        ((4000, 1), (80, 32), (80, 2)),
        ((1, 4000), (80, 32), (1, 32)),
    ],
)
def test_picture_keeps_its_proportions(size: tuple[int, int], room: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert fitted(*size, *room) == wanted


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 120), st.integers(2, 80), st.randoms())
def test_any_picture_fits_any_room(width: int, height: int, columns: int, rows: int, seed: object) -> None:
    picture = a_picture(width, height, data=seed.randbytes(width * height))  # type: ignore[attr-defined]
    size = fitted(width, height, columns, rows)
    levels = sampled(picture, *size)
    assert (len(levels[0]), len(levels)) == size
    assert size[0] <= columns
    assert size[1] <= rows
    assert all(0 <= each < LEVELS for row in levels for each in row)


def test_each_place_has_the_level_of_the_pixel_there() -> None:
    picture = a_picture(4, 2, data=bytes([0, 64, 128, 255, 255, 128, 64, 0]))
    assert sampled(picture, 4, 2) == [[0, 6, 12, 23], [23, 12, 6, 0]]
    assert sampled(picture, 2, 2) == [[0, 12], [23, 6]]
    assert sampled(picture, 1, 4) == [[0], [0], [23], [23]]


def test_outline_is_traced_where_the_code_is() -> None:
    found = traced([SQUARE], 41, 21)
    assert {(10, 5), (30, 5), (30, 15), (10, 15), (20, 5), (20, 15), (10, 10), (30, 10)} <= found
    assert all(x in {10, 30} or y in {5, 15} for x, y in found)
    assert len(found) == 2 * 21 + 2 * 9


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=6))
def test_outline_outside_the_picture_is_left_out(corners: list[tuple[float, float]]) -> None:
    found = traced([Outline("T-1", "]Q1", tuple(corners))], 80, 40)
    assert all(0 <= x < 80 and 0 <= y < 40 for x, y in found)


# --- the terminal ---------------------------------------------------------------------------------------------------


def test_two_pixels_stand_in_a_character() -> None:
    view = CameraView("/dev/video0", "http://127.0.0.1:8090/camera")
    view.picture = a_picture(2, 2, data=bytes([0, 255, 255, 0]))
    (first, *_rest) = seen(view, 2, 12, color_system="256")
    assert first == "\x1b[38;5;232;48;5;255m▀\x1b[0m\x1b[38;5;255;48;5;232m▀\x1b[0m"


@pytest.mark.parametrize("options", [{"color_system": None}, {"color_system": "256", "no_color": True}])
def test_terminal_without_colours_has_letters(options: dict[str, object]) -> None:
    view = CameraView("/dev/video0", "http://127.0.0.1:8090/camera")
    view.picture = a_picture(40, 20, SQUARE, data=bytes(400) + b"\xff" * 400)
    shown = "\n".join(seen(view, 40, 20, **options))
    assert "▀" not in shown
    assert all(letter in shown for letter in " @O")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (20, 12)])
def test_all_of_it_fits_the_terminal(width: int, height: int) -> None:
    view = CameraView("/dev/video0", "http://127.0.0.1:8090/camera")
    view.picture, view.alive = a_picture(240, 135, SQUARE), ALIVE
    for number in range(9):
        view.note(f"18:00:0{number}  ]Q1  qr  640  1.5 ms  T-{number}" + "x" * 300)
    lines = seen(view, width, height, color_system=None)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert [line[7] for line in lines[-5:]] == ["4", "5", "6", "7", "8"]


def test_codes_reach_the_terminal_as_text() -> None:
    view = CameraView("[bold]x", "http://127.0.0.1:8090/camera")
    view.trouble = "\x1b]0;title\x07\x9b2J"
    view.note("[red]T-1[/] \x1b[2J\u202e")
    shown = "\n".join(seen(view, 80, 24, color_system=None))
    assert "[bold]x" in shown
    assert "<ESC>]0;title<U+0007><U+009B>2J" in shown
    assert "[red]T-1[/] <ESC>[2J<U+202E>" in shown


def test_trouble_stands_in_the_pictures_place() -> None:
    view = CameraView("/dev/video0", "http://127.0.0.1:8090/camera")
    assert "waiting for a picture" in "\n".join(seen(view, 80, 24, color_system=None))
    view.picture, view.trouble = a_picture(240, 135), "/dev/video0: unplugged; plug it in again"
    lines = seen(view, 80, 24, color_system=None)
    assert lines[0].startswith("/dev/video0   page: http://127.0.0.1:8090/camera")
    assert lines[1].startswith("/dev/video0: unplugged; plug it in again")


@pytest.mark.parametrize(
    ("alive", "reads", "said"),
    [
        (None, False, ""),
        (ALIVE, False, "hold a code to the camera"),
        (ALIVE, True, "light and focus are good"),
        (replace(ALIVE, brightness=3.0), True, "too dark: more light, or a longer exposure"),
        (replace(ALIVE, brightness=252.0), False, "too bright: less light, or a shorter exposure"),
        (replace(ALIVE, sharpness=3.0), False, "out of focus, or nothing to see: turn the lens, or hold a code to it"),
        (replace(ALIVE, sharpness=3.0), True, "light and focus are good"),
    ],
)
def test_what_spoils_the_picture_is_said(alive: Alive | None, reads: bool, said: str) -> None:
    assert hint(alive, reads=reads) == said
