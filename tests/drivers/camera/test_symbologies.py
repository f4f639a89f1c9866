"""The names that settings use, and what each stands for."""

import subprocess
import sys

import pytest
import zxingcpp

from drivers.camera.symbologies import DEFAULT, SYMBOLOGIES, of_shape, symbology


def test_all_that_the_gate_reads_can_be_named() -> None:
    assert SYMBOLOGIES == (
        "qr", "micro_qr", "aztec", "pdf417", "data_matrix", "code128", "code39", "ean_upc", "itf", "codabar",
    )  # fmt: skip


def test_those_that_are_found_in_fences_are_off_unless_asked_for() -> None:
    assert set(SYMBOLOGIES) - set(DEFAULT) == {"itf", "code39"}


@pytest.mark.parametrize("name", SYMBOLOGIES)
def test_each_is_known_to_the_decoder(name: str) -> None:
    assert all(form in zxingcpp.BarcodeFormat.__members__ for form in symbology(name).formats)


def test_only_bars_with_a_weak_check_are_uncertain() -> None:
    assert {name for name in SYMBOLOGIES if not symbology(name).certain} == {"code39", "ean_upc", "itf", "codabar"}


def test_shapes_part_the_names_in_their_order() -> None:
    assert of_shape(SYMBOLOGIES, "matrix", "stacked") == ("qr", "micro_qr", "aztec", "pdf417", "data_matrix")
    assert of_shape(("itf", "qr", "code128"), "linear") == ("itf", "code128")


def test_names_are_had_without_loading_a_decoder() -> None:
    loaded = "import sys, drivers.camera.symbologies; print({'cv2', 'numpy', 'zxingcpp', 'pyzbar'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
