"""What commands show of a gate's files: they look, and touch nothing."""

import csv
import io
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import BadSettings, Settings, check_settings
from edge.clock import wall_clock
from edge.core.model import Checkpoint, Controller
from edge.doctor import examine
from edge.finding import Finding
from edge.reports import check_code, export_csv, print_status, verify_journal
from edge.store.credentials import ApiTokens, Credentials, load_credentials, save_credentials
from edge.store.outbox import Reject, acknowledge
from sync.push import Caller, PushSink
from tests.edge.conftest import KEY, HandClock, Venue, fill, open_venue
from tests.edge.web.conftest import Venue as WebVenue
from tests.edge.web.conftest import open_venue as open_web_venue
from tests.edge.web.pushing import a_sink
from tests.sync.book import everything, packed


def the_settings(folder: Path, *readers: dict[str, str]) -> Settings:
    """Return the settings of a gate with no CRM, so that nothing is asked of a network."""
    lanes = [
        {"id": "north-1", "checkpoint": "c-north", "readers": readers},
        {"id": "out", "checkpoint": "c-exit", "direction": "exit"},
    ]
    device = {"name": "North 1", "data_path": str(folder), "language": "en"}
    return check_settings({"device": device, "lane": lanes}, "-")


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Venue]:
    """An enrolled box at work today, since a command takes the time from the machine."""
    folder = tmp_path / "data"
    async with open_venue(folder, HandClock(wall=wall_clock()), filled=False) as venue:
        await fill(venue.store, venue.clock.now())
        await venue.puts("checkpoint", Checkpoint("c-north", "concert", "North gate"))
        save_credentials(
            folder,
            Credentials(
                url="https://crm.example",
                device_id="device-1",
                name="North 1",
                organiser="Kyiv Concerts",
                token="t",
                lookup_key=KEY,
            ),
        )
        yield venue


# --- check ----------------------------------------------------------------------------------------------------------


async def test_check_says_what_the_gate_would_and_records_nothing(box: Venue) -> None:
    settings, lane = the_settings(box.folder), box.lane()
    await box.sells("T-1", "T-2")
    await box.sells("T-3", state="blocked")
    await lane.offer("T-2")
    before = await box.journal()
    asked = {code: check_code(settings, code, None)[:2] for code in ("T-1", "T-2", "T-3", "FORGED", "")}
    assert await box.journal() == before
    assert asked == {
        "T-1": ("admitted", "admitted"),
        "T-2": ("refused", "already_used"),
        "T-3": ("refused", "blocked"),
        "FORGED": ("refused", "unknown_ticket"),
        "": ("refused", "unreadable"),
    }
    box.hand.pass_(60)
    for code, verdict in asked.items():
        scan = (await lane.offer(code)).scan
        assert (scan.verdict, scan.reason) == verdict


async def test_check_is_for_the_lane_that_is_named(box: Venue) -> None:
    await box.sells("T-1")
    assert check_code(the_settings(box.folder), "T-1", "out")[:2] == ("exited", "exited")
    with pytest.raises(BadSettings, match="use one of north-1, out"):
        check_code(the_settings(box.folder), "T-1", "south")


def test_check_before_the_first_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="start the gate once"):
        check_code(the_settings(tmp_path), "T-1", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 4096])
async def test_check_on_a_damaged_list_says_so_and_moves_nothing(box: Venue, keep: int) -> None:
    """The gate alone sets files aside: a command that did it under a gate at work would take its journal away."""
    await box.sells(*[f"T-{n}" for n in range(500)])
    path = box.store.whitelist_path
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(keep)
        file.write(random.Random(7).randbytes(size - keep))
    before = sorted(box.folder.iterdir())
    with pytest.raises(BadSettings, match="gate"):
        check_code(the_settings(box.folder), "T-1", None)
    assert sorted(box.folder.iterdir()) == before


async def test_check_on_a_list_with_a_row_that_makes_no_sense_moves_nothing_either(box: Venue) -> None:
    await box.sells("T-1", state="eaten")
    before = sorted(box.folder.iterdir())
    with pytest.raises(BadSettings, match="set"):
        check_code(the_settings(box.folder), "T-1", None)
    assert sorted(box.folder.iterdir()) == before


# --- export ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
async def test_no_code_becomes_a_formula_in_a_spreadsheet(box: Venue, start: str) -> None:
    code = f'{start}HYPERLINK("http://evil.example","free"), \'x\''
    refused = (await box.lane().offer(code)).scan
    why = f"{start}1+1"
    await box.lane().override(refused.scan_id, Controller("taras", "Taras", supervisor=True), why)
    out = io.StringIO(newline="")
    assert export_csv(box.folder, out) == 2
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert [row["code"] for row in rows] == [f"'{code}"] * 2
    assert [row["note"] for row in rows] == ["", f"'{why}"]
    assert [row["seq"] for row in rows] == ["1", "2"]


async def test_export_of_nothing_is_a_heading(box: Venue) -> None:
    out = io.StringIO()
    assert export_csv(box.folder, out) == 0
    assert out.getvalue().startswith("seq,at,lane,")


# --- status ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def pushed_to(tmp_path: Path) -> AsyncIterator[WebVenue]:
    """A gate that calls no CRM."""
    async with open_web_venue(tmp_path) as venue:
        venue.box.crm.state = "none"
        yield venue


Shown = Callable[[], Awaitable[str]]


@pytest.fixture
def shown(pushed_to: WebVenue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """What the status says of the CRM, which stands before what there is to send."""
    monkeypatch.setenv("COLUMNS", "200")

    async def show() -> str:
        print_status(await pushed_to.box.status())
        said = " ".join(capsys.readouterr().out.split())
        return said[said.index(" crm ") + 5 : said.index(" to send ")]

    return show


async def push(sink: PushSink, body: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    await sink.apply(chunks(), Caller("digest", "192.0.2.7"))


async def test_status_in_push_mode_says_who_pushes_and_what_is_amiss(pushed_to: WebVenue, shown: Shown) -> None:
    sink = a_sink(pushed_to)
    assert await shown() == "no changes were pushed here since the start"
    await push(sink, packed(everything(2)))
    assert await shown() == "changes are pushed here by 192.0.2.7: connected"
    await push(sink, b"<html>\n")
    refused = "changes are pushed here by 192.0.2.7: connected, what was pushed was refused: feed line 1"
    assert (await shown()).startswith(refused)


async def test_status_names_a_crm_that_is_called_and_then_its_note(pushed_to: WebVenue, shown: Shown) -> None:
    crm = pushed_to.box.crm
    crm.url, crm.state, crm.note = "https://crm.example", "away", "1 code is in two files"
    crm.error = "cannot be reached"
    assert await shown() == "https://crm.example: away, cannot be reached 1 code is in two files"


# --- doctor ---------------------------------------------------------------------------------------------------------


def faults(findings: list[Finding]) -> list[str]:
    """Return what is wrong, each with its mend."""
    return [f"{each.what} -> {each.mend}" for each in findings if each.level == "fault"]


async def test_doctor_finds_nothing_wrong_with_a_box_that_is_well(box: Venue) -> None:
    await box.sells("T-1")
    await box.lane().offer("T-1")
    findings = await examine(the_settings(box.folder))
    assert faults(findings) == []
    told = [each.what for each in findings]
    assert "journal: 1 scans, the chain is whole" in told
    assert "ticket list: 1 tickets" in told


@pytest.mark.parametrize("name", ["credentials.json", "tokens.json"])
async def test_doctor_finds_secrets_that_others_may_read(box: Venue, name: str) -> None:
    ApiTokens(box.folder).make("phone", box.clock.now())
    path = box.folder / name
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert faults(await examine(the_settings(box.folder))) == [f"{name}: others may read it (644) -> chmod 600 {path}"]


async def test_doctor_finds_a_broken_chain(box: Venue) -> None:
    for code in ("A", "B", "C"):
        await box.lane().offer(code)
    await box.sql("DELETE FROM scan WHERE seq = 2")
    (fault,) = faults(await examine(the_settings(box.folder)))
    assert fault == "journal: seq 2 to 2: missing -> copy the data folder for the auditor before anything else"
    assert verify_journal(box.folder).rows == 2


async def test_doctor_finds_scans_that_the_crm_refused(box: Venue) -> None:
    scan = (await box.lane().offer("A")).scan
    reject = Reject(scan.scan_id, "bad", "no such lane")
    await box.store.write(lambda tx: acknowledge(tx, 1, [reject], box.clock.now()))
    (fault,) = faults(await examine(the_settings(box.folder)))
    assert fault.startswith("1 scans refused by the CRM are parked")


async def test_doctor_finds_a_reader_that_is_not_plugged_in(box: Venue) -> None:
    reader = {"driver": "serial", "device": "/dev/serial/by-id/no-such-scanner"}
    (fault,) = faults(await examine(the_settings(box.folder, reader)))
    assert fault.startswith("lane north-1: /dev/serial/by-id/no-such-scanner: not connected; plug it in")


async def test_doctor_finds_a_damaged_journal_and_says_what_mends_it(box: Venue) -> None:
    await box.store._writer.close()
    path = box.store.journal_path
    with path.open("r+b") as file:
        file.write(random.Random(7).randbytes(path.stat().st_size))
    found = faults(await examine(the_settings(box.folder)))
    assert len(found) == 1
    assert str(path.parent) in found[0]


async def test_doctor_on_a_box_that_never_ran(tmp_path: Path) -> None:
    found = faults(await examine(the_settings(tmp_path / "none")))
    assert any("not there -> start the gate once" in each for each in found)


async def test_doctor_finds_damaged_credentials(box: Venue) -> None:
    (box.folder / "credentials.json").write_text("{")
    assert any("enrol this box again" in each for each in faults(await examine(the_settings(box.folder))))


# --- credentials ----------------------------------------------------------------------------------------------------


async def test_credentials_come_back_as_they_were_and_may_be_handed_over_by_systemd(
    box: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = load_credentials(box.folder)
    assert kept is not None
    assert kept.lookup_key == KEY
    handed = kept.model_copy(update={"device_id": "device-2"})
    (tmp_path / "brama-credentials").write_text(handed.model_dump_json())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load_credentials(box.folder) == handed


async def test_token_is_good_at_once_in_a_gate_at_work_and_is_not_stored(box: Venue) -> None:
    at_work = ApiTokens(box.folder)
    assert not at_work.allows("guess")
    token = ApiTokens(box.folder).make("phone", box.clock.now())
    second = ApiTokens(box.folder).make("tablet", box.clock.now() + timedelta(seconds=1))
    assert at_work.allows(token)
    assert at_work.allows(second)
    assert not at_work.allows(token[:-1])
    assert token not in (box.folder / "tokens.json").read_text()
