"""How a camera fares, in the status and in the metrics: as its process last said, and nothing once that is gone."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp import AiohttpClient

from drivers.camera.messages import Alive
from edge.box import ShownCamera, reader_name
from edge.supervise import Health
from edge.web.answers import StatusAnswer
from tests.edge.web.cameras import ALIVE, HandCamera

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue

NAMED = {"lane": "north-1", "driver": "camera", "device": "/dev/video0"}


@pytest.fixture
def camera(venue: "Venue") -> HandCamera:
    """A camera, the second reader of the lane north-1."""
    made, job = HandCamera(), reader_name(*NAMED.values())
    venue.box.healths[job] = Health()  # type: ignore[index]
    venue.box.cameras["north-1.2"] = ShownCamera(made, "north-1", "/dev/video0", False, job)
    return made


async def figures(venue: "Venue") -> dict[str, Any] | None:
    status = await venue.box.status()
    StatusAnswer.model_validate(status)
    serial, found = status["readers"]
    assert serial["camera"] is None
    assert {key: found[key] for key in NAMED} == NAMED
    return found["camera"]  # type: ignore[no-any-return]


async def test_the_status_says_how_a_camera_fares(venue: "Venue", camera: HandCamera) -> None:
    assert await figures(venue) == {
        "id": "north-1.2",
        "frames": 300,
        "dropped": 2,
        "still": 100,
        "fps": 29.9,
        "median_ms": 2.4,
        "brightness": 120,
        "sharpness": 250,
        "hint": None,
    }


async def test_of_a_camera_that_is_not_up_nothing_is_said(venue: "Venue", camera: HandCamera) -> None:
    camera.alive = None
    assert await figures(venue) is None


@pytest.mark.parametrize(
    ("alive", "hint"),
    [
        (replace(ALIVE, brightness=12.0, sharpness=3.0), "too_dark"),
        (replace(ALIVE, brightness=250.0, sharpness=3.0), "too_bright"),
        (replace(ALIVE, sharpness=12.0), "out_of_focus"),
    ],
)
async def test_what_spoils_its_picture_is_named(venue: "Venue", camera: HandCamera, alive: Alive, hint: str) -> None:
    camera.alive = alive
    found = await figures(venue)
    assert found is not None
    assert found["hint"] == hint


async def test_the_metrics_count_its_pictures(
    venue: "Venue", camera: HandCamera, aiohttp_client: AiohttpClient
) -> None:
    client = await aiohttp_client(venue.app())

    async def metrics() -> dict[tuple[str, str], float]:
        text = await (await client.get("/metrics")).text()
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
        mine = [each for each in samples if each.labels.get("device") == "/dev/video0"]
        assert all(NAMED.items() <= each.labels.items() for each in mine)
        return {(each.name, each.labels.get("frames", "")): each.value for each in mine}

    assert await metrics() == {
        ("brama_reader_up", ""): 0,
        ("brama_reader_reads_total", ""): 0,
        ("brama_reader_spoiled_total", ""): 0,
        ("brama_camera_frames_total", "decoded"): 198,
        ("brama_camera_frames_total", "dropped"): 2,
        ("brama_camera_frames_total", "still"): 100,
        ("brama_camera_fps", ""): 29.9,
        ("brama_camera_decode_seconds", ""): 0.0024,
    }
    camera.alive = None
    assert {name for name, _frames in await metrics()} == {
        "brama_reader_up",
        "brama_reader_reads_total",
        "brama_reader_spoiled_total",
    }
