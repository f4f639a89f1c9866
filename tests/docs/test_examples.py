"""The TOML of the documentation can be copied into a settings file as it stands."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from config.settings import LaneSettings, Settings, load_settings
from sync.file_plan import Owner, load_plan

ROOT = Path(__file__).parents[2]


class Fence(NamedTuple):
    """A fenced block of TOML; `place` is its file and line."""

    place: str
    text: str


def fences_of(path: Path) -> list[Fence]:
    text = path.read_text()
    found = re.finditer(r"^( *)```toml\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [Fence(f"{path.name}:{text.count(chr(10), 0, each.start()) + 1}", each[2]) for each in found]


FENCES = [fence for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) for fence in fences_of(path)]
KEYS = {*Settings.model_fields, *LaneSettings.model_fields}


def is_plan(fence: Fence) -> bool:
    """Tell whether it is of a plan.toml, whose tables are named after what they describe."""
    return "event" in tomllib.loads(fence.text)


PLANS = [fence for fence in FENCES if is_plan(fence)]
IN_FENCES = pytest.mark.parametrize("fence", FENCES, ids=[fence.place for fence in FENCES])


def whole(text: str) -> str:
    """Put around it what a settings file needs at least; a lane's keys and tables follow its `[[lane]]`."""
    tables = tomllib.loads(text)
    device = "" if "device" in tables else '[device]\nname = "x"\n'
    lane = "" if isinstance(tables.get("lane"), list) else '[[lane]]\nid = "a"\n'
    return device + lane + text


@IN_FENCES
def test_every_example_is_toml(fence: Fence) -> None:
    assert tomllib.loads(fence.text)


@IN_FENCES
def test_every_example_of_settings_is_right(fence: Fence, tmp_path: Path) -> None:
    if is_plan(fence) or not KEYS & set(tomllib.loads(fence.text)):
        pytest.skip("not of the settings")
    path = tmp_path / fence.place
    path.write_text(whole(fence.text))
    assert load_settings(path).lane


@pytest.mark.parametrize("fence", PLANS, ids=[fence.place for fence in PLANS])
def test_every_example_of_a_plan_is_right(fence: Fence, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(fence.text)
    assert load_plan(path, Owner("d-1", bytes(32), "North 1", "tickets", "UTC")).lines


def test_every_kind_of_driver_has_an_example(tmp_path: Path) -> None:
    shown = set()
    for at, fence in enumerate(fences_of(ROOT / "docs" / "hardware.md")):
        path = tmp_path / f"{at}.toml"
        path.write_text(whole(fence.text))
        for lane in load_settings(path).lane:
            parts = {"reader": lane.readers, "turnstile": (lane.turnstile,), "lights": (lane.lights,)}
            shown |= {(kind, part.driver) for kind, some in parts.items() for part in some if part}
    assert shown == {
        *(("reader", driver) for driver in ("camera", "evdev", "hidraw", "serial")),
        *(("turnstile", driver) for driver in ("gpio", "http", "modbus")),
        ("lights", "gpio"),
    }
