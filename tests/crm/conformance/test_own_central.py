"""Our own central keeps the contract; and what cannot be checked is said to be skipped, with what would help."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm import enrolment, schema, service
from crm.conformance.checks import Level, Outcome
from crm.conformance.gate import Box
from crm.conformance.run import CHECKS, keeps_it
from crm.conformance.session import announcement, examine
from crm.conformance.subject import Options
from crm.database import Database
from crm.errors import BadInput
from crm.web import make_app
from sync.wire import DeviceModel
from tests.crm.conformance.conftest import Maker, of_outcome
from tests.sync.rig import served

NOT_GIVEN: dict[str, Any] = {"other_code": None, "known_code": None, "admit": False, "ask": None}


async def recorded(db: Database) -> list[Any]:
    async with db.read() as tx:
        return list(await tx.rows(sa.select(schema.scan)))


async def test_it_passes_every_check_where_all_can_be_made(maker: Maker) -> None:
    results = await maker.examine()
    assert {name: (each.said, each.mend) for name, each in results.items() if each.outcome is not Outcome.PASSED} == {}
    assert list(results) == [check.name for check in CHECKS]
    assert keeps_it(list(results.values()), strict=True)


async def test_what_was_not_given_is_skipped_and_nobody_is_admitted(maker: Maker) -> None:
    results = await maker.examine(**NOT_GIVEN)
    skipped = of_outcome(results, Outcome.SKIPPED)
    other = {"enrol-name-only", "enrol-new-device", "enrol-same-key"}
    admissions = {name for name in results if name.startswith(("admission-", "release-"))}
    assert skipped == {"lookup-of-code", "live-change"} | other | admissions
    assert of_outcome(results, Outcome.FAILED) == set()
    assert "--other" in results["enrol-name-only"].said
    assert "--admit" in results["admission-acked"].said
    assert "--interactive" in results["live-change"].said
    assert "--known-code" in results["lookup-of-code"].said
    assert keeps_it(list(results.values()))
    assert not keeps_it(list(results.values()), strict=True)
    scans = await recorded(maker.db)
    assert {(scan.verdict, scan.lane) for scan in scans} == {("refused", "conformance")}
    assert 515 <= len(scans) <= 525


async def test_a_device_that_is_enrolled_already_can_be_played(maker: Maker, db: Database) -> None:
    made = await enrolment.enrol(db, await maker.code(), DeviceModel(name="North 1"))
    box = Box(made.id, made.token, db.organiser.lookup_key)
    results = await examine(maker.address, Options(known_code="CODE-1", wait_s=0.2), box, clock=maker.clock)
    assert [each.check.name for each in results if each.outcome is Outcome.FAILED] == []
    found = {each.check.name: each for each in results}
    assert found["enrol-answer"].outcome is Outcome.SKIPPED
    assert found["lookup-of-code"].outcome is Outcome.PASSED
    assert {scan.device for scan in await recorded(db)} == {made.id}


async def test_the_ticket_to_admit_can_be_named(maker: Maker, db: Database) -> None:
    results = await maker.examine(ticket="T-3")
    assert results["admission-acked"].said == "ticket T-3"
    assert {scan.ticket_id for scan in await recorded(db) if scan.verdict == "admitted"} == {"T-3"}


async def test_an_empty_list_is_not_passed_in_silence(db: Database, maker: Maker) -> None:
    await service.delete_tickets(db, [f"T-{number}" for number in range(1, 10)])
    results = await maker.examine(ask=None)
    assert of_outcome(results, Outcome.FAILED) == set()
    skipped = of_outcome(results, Outcome.SKIPPED)
    lists = {"snapshot-rows", "snapshot-count", "snapshot-fingerprint", "snapshot-lookup-once", "lookup-of-code"}
    assert lists | {"cut-stream", "resume-same-list", "fingerprints-whole", "tickets-range"} <= skipped
    assert results["cut-stream"].said == "no ticket is on the list: put some there"


async def test_a_list_with_one_cursor_says_that_no_cut_was_tried(db: Database, maker: Maker) -> None:
    async with served(make_app(db)) as address:
        results = await maker.examine(address)
    assert results["cut-stream"].outcome is Outcome.PASSED
    assert of_outcome(results, Outcome.SKIPPED) == {"resume-same-list", "resume-goes-on"}
    assert "only cursor" in results["resume-same-list"].said


async def test_without_an_enrolment_nothing_is_said_of_the_rest(maker: Maker) -> None:
    results = await maker.examine(code="NO-SUCH-CODE", other_code=None)
    assert of_outcome(results, Outcome.FAILED) == {"enrol-answer"}
    assert of_outcome(results, Outcome.PASSED) == {
        "enrol-wrong-code",
        "token-none",
        "token-wrong",
        "token-not-revoked",
    } | {"error-form"}
    assert not keeps_it(list(results.values()))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "crm.example", "http://["])
async def test_a_crm_that_is_not_there_is_no_failed_check(url: str) -> None:
    with pytest.raises(BadInput, match=r"^URL: "):
        await examine(url, Options(code="X"))


def test_what_a_run_does_is_said_before() -> None:
    said = announcement("http://crm", Options(code="A", other_code="B", admit=True))
    assert "enrol 2 devices" in said
    assert "admit one ticket" in said
    assert "BRAMA-CONFORMANCE-" in said
    assert "admit" not in announcement("http://crm", Options()).replace("admitted", "")


def test_names_are_each_used_once_and_each_check_says_what_it_wants() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.wants.endswith((".", "text.")) for check in CHECKS)
    assert {check.level for check in CHECKS} == {*Level}


def test_sections_are_those_of_the_contract() -> None:
    text = (Path(__file__).parents[3] / "docs" / "gate-api.md").read_text()
    headings = {line.lstrip("# ") for line in text.splitlines() if line.startswith("##")}
    assert {check.section for check in CHECKS} <= headings
