"""A whole gate that has no CRM: who it is, what it shows, and that no CRM can take it away."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import BadSettings, Settings, check_settings
from edge.enrolling import known_credentials
from edge.main import OpenGate, open_gate
from edge.store.credentials import Credentials, load_credentials, make_credentials, save_credentials
from edge.supervise import run_until
from edge.without_crm import place_of
from tests.edge.conftest import ADMITTED, ALREADY_USED, KEY, said
from tests.edge.test_enrolling import Box as ReadingBox
from tests.sync.rig import News

CODE = json.dumps({"brama": 1, "url": "http://127.0.0.1:9", "code": "7K3M-9QRT-0VWX"})


def the_settings(data: Path, crm: dict[str, Any] | None) -> Settings:
    tables: dict[str, Any] = {
        "device": {"name": "North 1", "data_path": str(data), "language": "en"},
        "web": {"port": 0},
        "lane": [{"id": "north-1", "repeat_s": 0}],
    }
    return check_settings(tables | ({"crm": crm} if crm else {}), "-")


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "Spring concert"
    path.mkdir()
    (path / "seller.csv").write_text("code,id\nA,T-1\nB,T-2\n")
    return path


@pytest.fixture
def settings(tmp_path: Path, tickets: Path) -> Settings:
    return the_settings(tmp_path / "data", {"kind": "file", "path": str(tickets), "tz": "Europe/Kyiv"})


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncIterator[ReadingBox]:
    """Run a gate as its service does."""
    defects: list[BaseException] = []
    stop, news = asyncio.Event(), News()
    async with open_gate(settings, defects.append) as gate, asyncio.TaskGroup() as group:
        box = ReadingBox(gate, news=news)
        gate.box.hub.listen(lambda message: _hear(box, message))
        jobs = {name: gate.jobs[name] for name in ("changes", "scans", "heartbeat")}
        group.create_task(run_until(stop, jobs, gate.box.healths), name="gate")
        yield box
        stop.set()
    assert defects == []


def _hear(box: ReadingBox, message: dict[str, Any]) -> None:
    box.told.append(message)
    box.news.poke()


async def status_of(gate: OpenGate) -> dict[str, Any]:
    return await gate.box.status()


async def test_a_box_with_a_folder_needs_nobody(settings: Settings, tickets: Path) -> None:
    async with at_work(settings) as box:
        await box.until_tickets(2)
        assert [said(await box.lane.offer("A", scan_id=None)) for _ in range(2)] == [ADMITTED, ALREADY_USED]
        status = await status_of(box.gate)
    assert status["device"]["enrolled"]
    assert (status["crm"]["url"], status["crm"]["state"]) == (str(tickets), "connected")
    assert (status["lanes"][0]["event_name"], status["lanes"][0]["checkpoint_name"]) == ("Spring concert", "North 1")
    assert status["clock"]["skew_s"] is None


async def test_it_is_the_same_box_after_a_restart(settings: Settings) -> None:
    devices = []
    for _ in range(2):
        async with at_work(settings) as box:
            await box.until_tickets(2)
            devices.append((await box.device())["id"])
    found = load_credentials(settings.device.data_path)
    assert found is not None
    assert found.own
    assert devices == [found.device_id] * 2
    assert (settings.device.data_path / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_no_two_boxes_are_alike() -> None:
    made = [make_credentials("North 1") for _ in range(2)]
    assert made[0].device_id != made[1].device_id
    assert made[0].lookup_key != made[1].lookup_key


async def test_a_box_that_was_enrolled_stays_who_it_is(settings: Settings) -> None:
    """So its journal goes on."""
    theirs = Credentials(url="http://x", device_id="d-7", name="N", organiser="Palace", token="t", lookup_key=KEY)
    save_credentials(settings.device.data_path, theirs)
    async with at_work(settings) as box:
        await box.until_tickets(2)
        assert (await box.device())["id"] == "d-7"


async def test_no_enrolment_code_takes_it_away(settings: Settings) -> None:
    before = known_credentials(settings)
    async with at_work(settings) as box:
        await box.until_tickets(2)
        await box.reads(CODE)
        assert box.notices[-1] == "not_enrolled"
        assert 'for a CRM set crm.kind = "brama"' in box.last_said
    assert load_credentials(settings.device.data_path) == before


@pytest.mark.parametrize("crm", [None, {"url": "http://127.0.0.1:9"}])
async def test_what_it_made_for_itself_is_no_enrolment(settings: Settings, crm: dict[str, Any] | None) -> None:
    known_credentials(settings)
    other = the_settings(settings.device.data_path, crm)
    assert known_credentials(other) is None
    async with at_work(other) as box:
        assert not (await box.device())["enrolled"]
        await box.reads(CODE)
        assert box.notices[0] == "enrolling", "it may still be enrolled"


def test_a_data_folder_that_cannot_be_made_is_a_bad_setting(tickets: Path) -> None:
    settings = the_settings(Path("/proc/brama"), {"kind": "file", "path": str(tickets)})
    with pytest.raises(BadSettings, match=r"device\.data_path: /proc/brama"):
        known_credentials(settings)


def test_passwords_of_an_address_are_not_shown(tmp_path: Path) -> None:
    crm = the_settings(tmp_path, {"kind": "file", "url": "https://a:b@x.example/list.csv?key=secret"}).crm
    assert crm is not None
    assert crm.kind == "file"
    assert place_of(crm) == "https://x.example/list.csv"
