"""A box out of its packing reads the enrolment code that the CRM shows, and goes to work without a restart.

The gate is whole but for its sockets' ports, the central is real; both run here and now.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import BadSettings, Settings, check_settings
from crm import enrolment, service
from crm.central import Central, open_central
from crm.importer import import_rows
from crm.reports import figures, list_devices
from drivers.protocols import Read, Spoiled
from edge.clock import wall_clock
from edge.enrolling import enrol
from edge.gate import Lane
from edge.main import OpenGate, open_gate
from edge.store.belonging import OTHER_DEVICE, OTHER_KEY
from edge.store.credentials import Credentials, load_credentials, save_credentials
from edge.supervise import run_until
from sync.wire import EnrolmentCode
from tests.edge.conftest import ADMITTED, KEY, said
from tests.sync.rig import News, served
from tests.system.processes import free_ports


@dataclass
class Palace:
    """A real central with one event, and what it shows its technicians."""

    central: Central
    url: str

    async def shows(self, name: str | None = None) -> str:
        """Return what the QR of a new enrolment code holds."""
        made = await enrolment.make_enrolment_code(self.central.db, self.url, name=name, checkpoint="c-1")
        return made.model_dump_json()

    async def sells(self, *codes: str) -> None:
        await import_rows(self.central.db, "e-1", [(code, None, f"t-{code}") for code in codes])

    async def devices(self) -> list[str]:
        return [each["name"] for each in await list_devices(self.central.db)]


@asynccontextmanager
async def open_palace(path: Path, organiser: str = "Palace") -> AsyncIterator[Palace]:
    async with open_central(path, organiser=organiser) as central, served(central.app()) as url:
        now = wall_clock()
        await service.put_event(
            central.db, id="e-1", name="Concert", tz="Europe/Kyiv", starts_at=now, ends_at=now + timedelta(hours=5)
        )
        await service.put_ticket_type(central.db, id="tt-1", event="e-1", name="Standard")
        await service.put_checkpoint(central.db, id="c-1", event="e-1", name="North")
        found = Palace(central, url)
        await found.sells("T-1", "T-2")
        yield found


@pytest.fixture
async def palace(tmp_path: Path) -> AsyncIterator[Palace]:
    async with open_palace(tmp_path / "central.db") as found:
        yield found


@dataclass
class Reader:
    """A scanner that reads what it is given, and is then unplugged."""

    given: list[str]

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        for each in self.given:
            yield Read(each, wall_clock())


@dataclass
class Box:
    """A gate at work, all it told its page, and a reader at its one lane."""

    gate: OpenGate
    told: list[dict[str, Any]] = field(default_factory=list)
    news: News = field(default_factory=News)

    @property
    def lane(self) -> Lane:
        return self.gate.box.lane(None)

    async def reads(self, *codes: str) -> None:
        await self.lane.pump(Reader(list(codes)), others=self.gate.box.desk.take)

    async def until(self, fact: Callable[[], bool]) -> None:
        await self.news.until(fact)

    async def until_tickets(self, count: int) -> None:
        await self.until(lambda: self.gate.box.store.data.tickets == count)

    async def device(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.gate.box.status())["device"]
        return found

    @property
    def notices(self) -> list[str]:
        return [each["notice"] for each in self.told if each["kind"] == "notice"]

    @property
    def last_said(self) -> str:
        said: str = [each["message"] for each in self.told if each["kind"] == "notice"][-1]
        return said


def the_settings(folder: Path, crm: str | None = None) -> Settings:
    tables: dict[str, Any] = {
        "device": {"name": "North 1", "data_path": str(folder), "language": "en"},
        "web": {"port": 0},
        "lane": [{"id": "north-1"}],
    }
    return check_settings(tables | ({"crm": {"url": crm}} if crm else {}), "-")


@asynccontextmanager
async def at_work(folder: Path, crm: str | None = None) -> AsyncIterator[Box]:
    """Run a gate in a folder, as its service does."""
    defects: list[BaseException] = []
    stop = asyncio.Event()
    async with open_gate(the_settings(folder, crm), defects.append) as gate, asyncio.TaskGroup() as group:
        box = Box(gate)

        def hear(message: dict[str, Any]) -> None:
            box.told.append(message)
            box.news.poke()

        gate.box.hub.listen(hear)
        jobs = {name: gate.jobs[name] for name in ("changes", "scans", "heartbeat")}
        group.create_task(run_until(stop, jobs, gate.box.healths), name="gate")
        yield box
        stop.set()
    assert defects == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


# --- one that is taken ----------------------------------------------------------------------------------------------


async def test_box_reads_the_code_and_is_at_work_without_a_restart(palace: Palace, folder: Path) -> None:
    async with at_work(folder) as box:
        assert await box.device() == {"name": "North 1", "id": None, "organiser": None, "enrolled": False}
        assert said(await box.lane.offer("T-1")) == ("refused", "unknown_ticket")
        await box.reads(await palace.shows())
        assert box.notices == ["enrolling", "enrolled"]
        assert box.last_said == "This box now works for Palace as North 1."
        device = await box.device()
        assert (device["organiser"], device["enrolled"]) == ("Palace", True)
        await box.until_tickets(2)
        await box.reads("T-1")
        _unknown, row = await box.gate.box.store.scans_after(0, 10)
        assert ((row.verdict, row.reason), row.checkpoint) == (ADMITTED, "c-1")
        await box.until(lambda: box.gate.box.crm.state == "connected")
        assert box.gate.box.crm.url == palace.url
        async with asyncio.timeout(15):
            while (await box.gate.box.store.backlog()).unsent:
                await box.gate.box.store.read(lambda _tx: None)
    points = {each["id"]: each for each in (await figures(palace.central.db))["checkpoints"]}
    assert (points["c-1"]["entries"], points["c-1"]["refused"]) == (1, 0)
    assert await palace.devices() == ["North 1"]


async def test_what_enrolment_gave_is_kept_to_itself_and_names_the_crm(palace: Palace, folder: Path) -> None:
    async with at_work(folder) as box:
        await box.reads(await palace.shows(name="Door 7"))
        assert box.last_said == "This box now works for Palace as Door 7."
    kept = load_credentials(folder)
    assert kept is not None
    assert (kept.url, kept.name, kept.organiser, kept.pulls) == (palace.url, "Door 7", "Palace", True)
    assert (folder / "credentials.json").stat().st_mode & 0o777 == 0o600


async def test_box_pulls_after_a_restart_though_its_settings_name_no_crm(palace: Palace, folder: Path) -> None:
    async with at_work(folder) as box:
        await box.reads(await palace.shows())
        await box.until_tickets(2)
    await palace.sells("T-3")
    async with at_work(folder) as box:
        await box.until_tickets(3)
        assert said(await box.lane.offer("T-3")) == ADMITTED
        assert box.gate.box.crm.url == palace.url


async def test_box_that_was_enrolled_by_command_without_a_crm_in_its_settings_waits_for_pushes(
    palace: Palace, folder: Path
) -> None:
    given = Credentials(
        url=palace.url, device_id="d-1", name="North 1", organiser="Palace", token="t", lookup_key=KEY, pulls=False
    )
    save_credentials(folder, given)
    async with at_work(folder) as box:
        assert (box.gate.box.crm.url, box.gate.box.crm.state) == (None, "none")
        await box.reads(await palace.shows())
        assert box.notices == ["already_enrolled"]


async def test_code_of_the_crm_in_the_settings_is_taken_however_its_address_ends(palace: Palace, folder: Path) -> None:
    async with at_work(folder, f"{palace.url}/") as box:
        assert "scan an enrolment code" in str(box.gate.box.crm.error)
        await box.reads(await palace.shows())
        assert box.notices == ["enrolling", "enrolled"]
        await box.until_tickets(2)
        assert box.gate.box.crm.error is None


async def test_box_that_is_enrolled_with_another_crm_judges_by_no_list_until_it_has_that_ones(
    palace: Palace, folder: Path, tmp_path: Path
) -> None:
    """The old list's lookups are under another key: by it every guest would be unknown."""
    async with at_work(folder, palace.url) as box:
        await box.reads(await palace.shows())
        await box.until_tickets(2)
    async with open_palace(tmp_path / "arena.db", "Arena") as arena:
        code = EnrolmentCode.model_validate_json(await arena.shows())
        await enrol(the_settings(folder), arena.url, code.code)
        async with open_gate(the_settings(folder, arena.url), _no_defect) as gate:  # before its jobs begin
            assert await gate.box.store.read(lambda tx: len(tx.plan.events)) == 0
            assert gate.box.faults() == [f"data: {OTHER_KEY}"]
            refused = (await gate.box.lane(None).offer("T-1")).body()
            assert refused["reason"] == "unknown_ticket"
            assert "This gate has no ticket list yet and cannot know" in refused["message"]
        async with at_work(folder, arena.url) as box:
            await box.until_tickets(2)
            assert box.gate.box.faults() == []
            assert said(await box.lane.offer("T-1")) == ADMITTED


async def test_box_that_is_enrolled_anew_with_its_crm_uses_its_list_until_it_is_pulled_anew(
    palace: Palace, folder: Path
) -> None:
    async with at_work(folder, palace.url) as box:
        await box.reads(await palace.shows())
        await box.until_tickets(2)
    await enrol(the_settings(folder), palace.url, EnrolmentCode.model_validate_json(await palace.shows()).code)
    async with open_gate(the_settings(folder, palace.url), _no_defect) as gate:
        assert gate.box.faults() == [f"data: {OTHER_DEVICE}"]
        assert gate.box.store.data.tickets == 2
    await palace.sells("T-3")
    async with at_work(folder, palace.url) as box:
        await box.until_tickets(3)
        assert box.gate.box.faults() == []
        assert said(await box.lane.offer("T-3")) == ADMITTED


def _no_defect(exc: BaseException) -> None:
    raise exc


# --- one that is not ------------------------------------------------------------------------------------------------


async def test_nobody_takes_a_box_away_from_the_crm_that_its_settings_name(palace: Palace, folder: Path) -> None:
    code = await palace.shows()
    async with at_work(folder, "https://crm.example") as box:
        await box.reads(code)
        assert box.notices == ["enrolling", "not_enrolled"]
        assert box.last_said == (
            f"crm.url: the settings name https://crm.example, the code {palace.url}; mend one of them"
        )
        assert (await box.device())["enrolled"] is False
    assert (load_credentials(folder), await palace.devices()) == (None, [])
    async with at_work(folder) as box:
        await box.reads(code)
        assert box.notices[-1] == "enrolled"


async def test_box_that_is_enrolled_takes_no_other_code(palace: Palace, folder: Path) -> None:
    async with at_work(folder) as box:
        await box.reads(await palace.shows())
        before = load_credentials(folder)
        await box.reads(await palace.shows(), json.dumps({"brama": 1, "url": "http://thief.example", "code": "X"}))
        assert box.notices[2:] == ["already_enrolled", "already_enrolled"]
        assert box.last_said == "This box works for Palace. Nothing was changed."
    assert load_credentials(folder) == before
    assert len(await palace.devices()) == 1


async def test_code_that_two_readers_see_at_once_enrols_once(palace: Palace, folder: Path) -> None:
    async with at_work(folder) as box, asyncio.TaskGroup() as group:
        for code in (await palace.shows(), await palace.shows()):
            group.create_task(box.reads(code))
        await box.until(lambda: len(box.notices) == 4)
        assert sorted(box.notices) == ["enrolled", "enrolling", "enrolling", "not_enrolled"]
        assert box.last_said == "code: this box is enrolled with Palace already"
    assert len(await palace.devices()) == 1


@pytest.mark.parametrize("spent", [True, False], ids=["used", "wrong"])
async def test_code_that_the_crm_does_not_take_is_told_in_its_own_words(
    palace: Palace, folder: Path, spent: bool
) -> None:
    code = json.loads(await palace.shows())
    if spent:
        async with at_work(folder.with_name("other")) as other:
            await other.reads(json.dumps(code))
    else:
        code["code"] = "0000-0000-0000"
    async with at_work(folder) as box:
        await box.reads(json.dumps(code))
        assert box.notices == ["enrolling", "not_enrolled"]
        assert box.last_said == (
            "code: it has enrolled a device already; make a new one in the CRM"
            if spent
            else "code: no such enrolment code; check it, or make a new one in the CRM"
        )
        await box.reads(await palace.shows())
        assert box.notices[-1] == "enrolled"


async def test_crm_that_is_away_is_said_and_the_reader_reads_on(folder: Path) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    async with at_work(folder) as box:
        await box.reads(json.dumps({"brama": 1, "url": url, "code": "ABCD"}), "T-1")
        assert box.notices == ["enrolling", "not_enrolled"]
        assert box.last_said.startswith("the CRM cannot be reached: no connection")
        assert [row.reason for row in await box.gate.box.store.scans_after(0, 10)] == ["unknown_ticket"]
        assert box.gate.box.crm.state == "none"


async def test_address_that_cannot_be_one_is_said_and_the_reader_reads_on(folder: Path) -> None:
    async with at_work(folder) as box:
        await box.reads(json.dumps({"brama": 1, "url": "http://-a.é", "code": "ABCD"}), "T-1")
        assert box.notices == ["enrolling", "not_enrolled"]
        assert box.last_said.startswith("crm.url: http://-a.é: ")
        assert box.last_said.endswith("; write it as https://crm.example")
        assert len(await box.gate.box.store.scans_after(0, 10)) == 1


async def test_folder_that_takes_no_credentials_is_said(palace: Palace, folder: Path) -> None:
    async with at_work(folder) as box:
        (folder / "credentials.json.part").mkdir()
        await box.reads(await palace.shows())
        assert box.notices == ["enrolling", "not_enrolled"]
        assert box.last_said.startswith("device.data_path: ")
        assert (await box.device())["enrolled"] is False


async def test_no_enrolment_code_is_ever_written_down(palace: Palace, folder: Path) -> None:
    code = await palace.shows()
    async with at_work(folder) as box:
        await box.reads(code, code)
        assert await box.gate.box.store.scans_after(0, 10) == []
    files = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    assert json.loads(code)["code"].encode() not in files


async def test_address_in_damaged_credentials_is_named_before_anything_opens(folder: Path) -> None:
    given = Credentials(
        url="http://-a.é", device_id="d-1", name="North 1", organiser="Palace", token="t", lookup_key=KEY, pulls=True
    )
    save_credentials(folder, given)
    with pytest.raises(BadSettings, match=r"crm\.url: http://-a\.é: .*; write it as https://crm\.example"):
        async with at_work(folder):
            pass
