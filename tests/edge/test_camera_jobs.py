"""What the settings make of cameras and of their pictures in a gate that is opened: readers, names, and jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import check_settings
from edge.main import OpenGate, open_gate
from edge.store.pictures import Taken
from edge.store.records import new_scan_id

FOLDER = {"driver": "camera", "folder": "/srv/pictures"}
CHANNEL = {"driver": "camera", "url": "rtsp://gate:secret@recorder/live?channel=1"}


@asynccontextmanager
async def opened(folder: Path, *readers: dict[str, Any]) -> AsyncIterator[OpenGate]:
    """Open a gate whose one lane has these readers."""
    lane = {"id": "north-1", "readers": readers}
    device = {"name": "x", "data_path": str(folder)}
    settings = check_settings({"device": device, "web": {"port": 0}, "lane": [lane]}, "-")
    defects: list[BaseException] = []
    async with open_gate(settings, defects.append) as gate:
        yield gate
    assert defects == []


def readers_of(gate: OpenGate) -> list[str]:
    return [name for name in gate.jobs if name.startswith("reader:")]


async def test_each_camera_is_a_reader_and_has_a_name_that_is_its_place(tmp_path: Path) -> None:
    async with opened(tmp_path, FOLDER, {"driver": "terminal"}, CHANNEL) as gate:
        cameras = gate.box.cameras
        assert {each: cameras[each].device for each in cameras} == {
            "north-1.1": "/srv/pictures",
            "north-1.3": "rtsp://recorder/live",
        }
        assert [cameras[each].job for each in cameras] == [readers_of(gate)[0], readers_of(gate)[2]]
        assert set(gate.box.readers) == set(readers_of(gate)) <= set(gate.box.healths)
        assert "hot-plug" in gate.jobs


async def test_streams_that_differ_in_what_is_not_shown_are_two_readers(tmp_path: Path) -> None:
    other = {**CHANNEL, "url": "rtsp://gate:secret@recorder/live?channel=2"}
    async with opened(tmp_path, CHANNEL, other) as gate:
        names = ["reader:north-1:camera:rtsp://recorder/live", "reader:north-1:camera:rtsp://recorder/live (reader 2)"]
        assert readers_of(gate) == names
        assert [each.job for each in gate.box.cameras.values()] == names
        status = await gate.box.status()
        assert [each["device"] for each in status["readers"]] == [
            "rtsp://recorder/live",
            "rtsp://recorder/live (reader 2)",
        ]
        assert "secret" not in str(status)


@pytest.mark.parametrize(
    ("readers", "is_there", "has_job"),
    [
        ([], False, False),
        ([FOLDER], False, False),
        ([FOLDER], True, True),
        ([], True, True),
        ([FOLDER, {**CHANNEL, "keep_refused_h": 24}], False, True),
    ],
)
async def test_pictures_have_a_job_only_where_there_is_something_to_do(
    tmp_path: Path, readers: list[dict[str, Any]], is_there: bool, has_job: bool
) -> None:
    if is_there:
        (tmp_path / "pictures").mkdir()
    async with opened(tmp_path, *readers) as gate:
        assert ("pictures" in gate.jobs) is has_job


async def test_pictures_are_kept_as_long_as_the_settings_say_and_none_once_the_box_is_revoked(tmp_path: Path) -> None:
    async with opened(tmp_path, {**CHANNEL, "keep_refused_h": 24}) as gate:
        box, kept = gate.box, gate.box.store.pictures
        first, second = (new_scan_id(box.clock.now()) for _ in range(2))
        kept.keep(first, Taken(b"x", 720))
        await kept.write()
        assert [path.name for path in (tmp_path / "pictures").iterdir()] == [f"{first}.24.jpg"]
        box.crm.state = "revoked"
        kept.keep(second, Taken(b"x", 24))
        assert (kept.has(first), kept.has(second)) == (True, False)
        await kept.sweep()
        assert not kept.has(first)
