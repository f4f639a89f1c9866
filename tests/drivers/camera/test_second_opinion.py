"""pyzbar's reads, where it and its library are; and that nothing needs them."""

import subprocess
import sys

import pytest

from drivers.camera.decoder import Placing
from drivers.camera.second_opinion import second_opinion, why_missing
from drivers.camera.symbologies import SYMBOLOGIES
from tests.drivers.camera.symbols import TEXTS, drawn, middle_of, near, scene

SHOWN = Placing((0, 0), (1 / 1280, 0), (0, 1 / 720))
needs_zbar = pytest.mark.skipif(why_missing() is not None, reason=str(why_missing()))


@needs_zbar
@pytest.mark.parametrize("kind", ["qr", "code128", "code39", "ean_upc", "itf", "codabar"])
def test_what_it_reads_comes_as_from_the_other_decoder(kind: str) -> None:
    text = TEXTS[kind]
    code = drawn(kind, text[:12] if kind == "ean_upc" else text, 3)
    (found,) = second_opinion(scene((code, 400, 200)), SYMBOLOGIES, SHOWN)
    assert (found.sighting.text, found.sighting.kind, found.sighting.step) == (text, kind, "zbar")
    middle = ((400 + code.shape[1] / 2) / 1280, (200 + code.shape[0] / 2) / 720)
    assert near(middle_of(found.sighting.outline), middle, 0.06)


@needs_zbar
def test_it_is_asked_only_for_what_is_wanted() -> None:
    luma = scene((drawn("qr", "T-1", 4), 200, 200), (drawn("code128", "T-12345", 2), 700, 200))
    assert [each.sighting.text for each in second_opinion(luma, ("code128", "aztec"), SHOWN)] == ["T-12345"]
    assert second_opinion(luma, ("aztec",), SHOWN) == []


@needs_zbar
def test_content_that_it_may_have_changed_is_left_to_the_other_decoder() -> None:
    for text in ("Квиток", bytes(range(128, 200))):
        assert second_opinion(scene((drawn("qr", text, 4), 200, 200)), ("qr",), SHOWN) == []


def test_without_it_still_pictures_are_read_and_it_is_said_once_what_is_missing() -> None:
    script = """
import sys
sys.modules["pyzbar"] = None
from drivers.camera.second_opinion import why_missing
from drivers.camera.stills import decode_still
from tests.drivers.camera.symbols import drawn, scene
print(why_missing())
print([each.text for each in decode_still(scene((drawn("qr", "T-1"), 200, 200)), ("qr",))])
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "apt install libzbar0" in told
    assert told.endswith("['T-1']\n")
